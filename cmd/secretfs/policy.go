package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/policy"
)

func policyCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "policy schema",
		Short: "Print what a policy file may hold",
	}
	needsSubcommand(group)
	group.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the policy file, for editors",
		Example: `  secretfs policy schema > policy.schema.json
  # first line of policy.yaml: yaml-language-server: $schema=policy.schema.json`,
		Args: noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			schema, err := policy.Schema(schemas)
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(schema); err != nil {
				return fmt.Errorf("writing the output: %w", err)
			}
			return nil
		}),
	})
	return group
}
