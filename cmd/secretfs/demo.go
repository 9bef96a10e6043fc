package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/cmd/secretfs/demo"
)

func demoCommand() *cobra.Command {
	var sops string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what secretfs does, in a directory of its own",
		Long: `Show what secretfs does, in a few seconds and in a temporary directory: encrypt
a file with sops, mount it, read it, be refused, kill the worker under readers,
rotate a secret, verify the audit log, unmount and remove everything. Needs
sops, /dev/fuse and, for ordinary users, fusermount3.`,
		Args: noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the program itself: %w", err)
			}
			path, err := exec.LookPath(sops)
			if err == nil {
				path, err = filepath.Abs(path) // the demo runs it elsewhere
			}
			if err != nil {
				return hinted(exitFailed, fmt.Errorf("finding sops: %w", err),
					"install it, name it with --sops FILE, or run `make demo`, which builds it")
			}
			if _, err := os.Stat("/dev/fuse"); err != nil {
				return hinted(exitFailed, fmt.Errorf("finding FUSE: %w", err),
					"load the kernel module with `modprobe fuse`, or give the container the device")
			}
			return demo.Run(cmd.Context(), demo.Options{Program: program, Sops: path, Out: cmd.OutOrStdout()})
		}),
	}
	cmd.Flags().StringVar(&sops, "sops", "sops", "the sops program, `FILE`")
	return cmd
}
