package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/table"
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
		Args:  noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "secretfs %s\n", version)
			if commit != "" {
				fmt.Fprintf(w, "commit   %s\n", commit)
			}
			fmt.Fprintf(w, "go-fuse  %s\n", moduleVersion("github.com/hanwen/go-fuse/v2"))
			fmt.Fprintf(w, "go       %s\n", runtime.Version())
			fmt.Fprintf(w, "table    %s\n", table.Layout())
			_, err := fmt.Fprintf(w, "kernel   %s\n", kernelText(kernelRelease()))
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

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// kernelText tells what FUSE can do in a kernel by its number, because only a
// mount could ask it; FUSE_NOTIFY_RESEND and passthrough came with 6.9.
func kernelText(release string) string {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return release
	}
	if major > 6 || major == 6 && minor >= 9 {
		return release + ": repeats what a killed worker left (resend), reads open secrets by itself (passthrough)"
	}
	return release + ": no resend, no passthrough (both need 6.9)"
}
