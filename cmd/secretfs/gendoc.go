//go:build gendoc

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The generator of `make docs` is built in under a tag of its own, because it
// needs the tree of commands and the program must not link it.
func init() { roles["gendoc"] = genDoc }

// genDoc writes manual pages and completions into the directory args[0].
func genDoc(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: gendoc DIR")
		return exitUsage
	}
	if err := writeDocs(newRoot(), args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exitOK
}

func writeDocs(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root.DisableAutoGenTag = true // the date of the build has no place in it
	header := &doc.GenManHeader{Section: "1", Source: "secretfs", Manual: "secretfs"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return err
	}
	manual, err := os.ReadFile("cmd/secretfs/MANUAL.md")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "secretfs.5"), md2man.Render(manual), 0o644); err != nil {
		return err
	}
	for name, write := range map[string]func(string) error{
		"secretfs.bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"_secretfs":     root.GenZshCompletionFile,
		"secretfs.fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
	} {
		if err := write(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
