package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A stage is a directory in which commands run for all to see.
type stage struct {
	out io.Writer
	dir string
	env []string // besides our own environment
}

// A line is one command of the tour.
type line struct {
	shown string // as a person would type it; empty to show the arguments
	args  []string
	input string // on its standard input
	fails bool   // it is expected to fail
}

// run shows a command and what it prints, and returns that.
func (s *stage) run(ctx context.Context, l line) (string, error) {
	shown := l.shown
	if shown == "" {
		shown = filepath.Base(l.args[0]) + " " + strings.Join(l.args[1:], " ")
	}
	fmt.Fprintf(s.out, "   $ %s\n", shown)
	out, err := s.quietly(ctx, l)
	for text := range strings.Lines(out) {
		fmt.Fprintf(s.out, "   %s\n", strings.TrimSuffix(text, "\n"))
	}
	switch {
	case err != nil && !l.fails:
		return out, fmt.Errorf("%s: %w", shown, err)
	case err == nil && l.fails:
		return out, fmt.Errorf("%s worked, and should have been refused", shown)
	}
	return out, nil
}

// quietly runs a command unseen. Its output goes through a file: a pipe would
// end only with the daemon that `mount --detach` leaves behind.
func (s *stage) quietly(ctx context.Context, l line) (string, error) {
	out, err := os.CreateTemp(s.dir, "output-")
	if err != nil {
		return "", fmt.Errorf("running %s: %w", l.args[0], err)
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd := exec.CommandContext(ctx, l.args[0], l.args[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	if l.input != "" {
		cmd.Stdin = strings.NewReader(l.input)
	}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	return string(text), errors.Join(err, readErr)
}

// say is a remark between commands.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, "   # "+format+"\n", args...)
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(name, content string) error {
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing the demo's files: %w", err)
	}
	return nil
}

// mounted says that dir is on another filesystem than the directory it is in.
func mounted(dir string) bool {
	var inner, outer syscall.Stat_t
	if err := syscall.Stat(dir, &inner); err != nil {
		return err != syscall.ENOENT // a dead FUSE mount answers ENOTCONN
	}
	return syscall.Stat(filepath.Dir(dir), &outer) == nil && inner.Dev != outer.Dev
}
