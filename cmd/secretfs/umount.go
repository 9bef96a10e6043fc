package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/fs/mount"
)

func umountCommand() *cobra.Command {
	var target target
	var lazy bool
	cmd := &cobra.Command{
		Use:   "umount [DIR]",
		Short: "Unmount",
		Long: `Unmount, and end what served the mount. A busy mount is refused, and who is
busy is said; --lazy takes it out of sight at once and ends it with the last
open file. With DIR, only if that is where it is mounted.`,
		Args: between(0, 1, "DIR"),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := expectMountedAt(cmd.Context(), &target, args[0]); err != nil {
					return err
				}
			}
			c, err := target.client()
			if err != nil {
				return err
			}
			_ = os.Chdir("/") // or we are among those who keep it busy
			answer, err := c.Umount(cmd.Context(), lazy)
			if err == nil && answer.Orphaned {
				return mount.Unmount(answer.Mount, c.Path, lazy)
			}
			return err
		}),
	}
	target.flags(cmd)
	cmd.Flags().BoolVar(&lazy, "lazy", false, "unmount even if busy")
	return cmd
}

// expectMountedAt refuses to unmount anything but the mount at dir.
func expectMountedAt(ctx context.Context, target *target, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("finding the directory: %w", err)
	}
	// The mount itself is not looked at, which may not answer.
	if above, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(above, filepath.Base(dir))
	}
	var status control.Status
	if err := target.call(ctx, control.CmdStatus, nil, &status); err != nil {
		return err
	}
	if status.Mount != dir {
		return hinted(exitNoMount, fmt.Errorf("no such mount: %s is not where this secretfs is mounted, %s is", dir, status.Mount),
			"another one is named by --control PATH or --policy FILE")
	}
	return nil
}
