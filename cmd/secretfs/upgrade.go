package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func upgradeCommand() *cobra.Command {
	var mount target
	var program string
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Go on with the program that is installed now",
		Long: `Replace the running holder and worker by this program, or by --program.
The holder keeps its pid, readers notice nothing, open files stay open. Returns
when the new worker serves.`,
		Args: noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, err := mount.client()
			if err != nil {
				return err
			}
			path := program
			if path == "" {
				path, err = os.Executable()
			} else {
				path, err = filepath.Abs(path)
			}
			if err != nil {
				return fmt.Errorf("finding the program: %w", err)
			}
			return c.Upgrade(cmd.Context(), path)
		}),
	}
	mount.flags(cmd)
	cmd.Flags().StringVar(&program, "program", "", "the program to go on with, `FILE`; this one if not given")
	return cmd
}
