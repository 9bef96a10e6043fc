package main

import (
	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func refreshCommand() *cobra.Command {
	var mount target
	cmd := &cobra.Command{
		Use:   "refresh [PATH...]",
		Short: "Have backends look for new versions now",
		Long:  "Have the backends of each PATH, or all of them, look for new versions now.",
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return mount.call(cmd.Context(), control.CmdRefresh, control.RefreshRequest{Paths: args}, nil)
		}),
	}
	mount.flags(cmd)
	return cmd
}
