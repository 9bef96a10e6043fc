package main

import (
	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func reloadCommand() *cobra.Command {
	var mount target
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Read the policy again",
		Long: `Read the policy again. One that has errors changes nothing: the errors are
printed, shown in status, and the policy in force stays.`,
		Args: noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			return mount.call(cmd.Context(), control.CmdReload, nil, nil)
		}),
	}
	mount.flags(cmd)
	return cmd
}
