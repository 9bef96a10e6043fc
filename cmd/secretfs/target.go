package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

// A target is the running mount that a command talks to, as its flags name it.
type target struct {
	control string
	policy  string
}

func (t *target) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.control, "control", "", "control socket of the mount, `PATH`")
	cmd.Flags().StringVar(&t.policy, "policy", "", "policy `FILE` of the mount, which names the socket")
	cmd.MarkFlagsMutuallyExclusive("control", "policy")
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml", "json") // the flag exists
}

// client finds the socket: --control, the policy's, or the default.
func (t *target) client() (*control.Client, error) {
	if t.control != "" {
		return &control.Client{Path: t.control}, nil
	}
	if t.policy != "" {
		p, err := loadPolicy(t.policy)
		if err != nil {
			return nil, err
		}
		return &control.Client{Path: p.Control}, nil
	}
	path, err := control.DefaultPath()
	if err != nil {
		return nil, hinted(exitNoMount, err, "name the socket with --control PATH")
	}
	return &control.Client{Path: path}, nil
}

// call sends one command to the mount.
func (t *target) call(ctx context.Context, command string, args, result any) error {
	c, err := t.client()
	if err != nil {
		return err
	}
	return c.Call(ctx, command, args, result)
}
