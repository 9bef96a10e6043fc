package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker (see the Makefile).
var (
	version = "dev"
	commit  = ""
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what this kernel offers",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "secretfs %s\n", version)
			if commit != "" {
				fmt.Fprintf(w, "commit   %s\n", commit)
			}
			fmt.Fprintf(w, "go-fuse  %s\n", moduleVersion("github.com/hanwen/go-fuse/v2"))
			_, err := fmt.Fprintf(w, "go       %s\n", runtime.Version())
			return err
		}),
	}
}

// moduleVersion is the version of a module that is linked in.
func moduleVersion(path string) string {
	bi, ok := debug.ReadBuildInfo()
	if ok {
		for _, dep := range bi.Deps {
			if dep.Path == path {
				return dep.Version
			}
		}
	}
	return "unknown"
}
