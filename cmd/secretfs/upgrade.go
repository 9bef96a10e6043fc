package main

import (
	"github.com/spf13/cobra"
)

func upgradeCommand() *cobra.Command {
	var mount target
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Go on with the program that is installed now",
		Long: `Replace the running holder and worker by the program that is installed now.
The holder keeps its pid, readers notice nothing, open files stay open. Returns
when the new worker serves.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, err := mount.client()
			if err != nil {
				return err
			}
			return c.Upgrade(cmd.Context())
		}),
	}
	mount.flags(cmd)
	return cmd
}
