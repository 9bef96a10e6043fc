package main

import "github.com/spf13/cobra"

// mountOptions is the command line of `secretfs mount`.
type mountOptions struct {
	policy string // file name as given
	detach bool   // return once mounted
}

func mountCommand() *cobra.Command {
	var opts mountOptions
	cmd := &cobra.Command{
		Use:   "mount --policy FILE",
		Short: "Mount the secrets of a policy",
		Long: `Mount the secrets of a policy and serve them until unmounted.

SIGTERM and SIGINT unmount; SIGHUP reloads the policy and reopens the audit log.`,
		Example: `  secretfs mount --policy /etc/secretfs/policy.yaml
  secretfs mount --policy policy.yaml --detach && cat $XDG_RUNTIME_DIR/secrets/token`,
		Args: noPolicyArg,
		RunE: action(func(*cobra.Command, []string) error { return runMount(opts) }),
	}
	cmd.Flags().StringVar(&opts.policy, "policy", "", "policy `FILE`")
	cmd.Flags().BoolVar(&opts.detach, "detach", false, "return once mounted, and serve in the background")
	_ = cmd.MarkFlagRequired("policy") // the flag exists
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml", "json")
	return cmd
}
