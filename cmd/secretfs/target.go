package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy"
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
	path, err := t.socket()
	if err != nil {
		return nil, err
	}
	return &control.Client{Path: path}, nil
}

func (t *target) socket() (string, error) {
	switch {
	case t.control != "":
		return filepath.Abs(t.control)
	case t.policy != "":
		return controlOf(t.policy)
	}
	path, err := control.DefaultPath()
	if err != nil {
		return "", hinted(exitNoMount, err, "name the socket with --control PATH")
	}
	return path, nil
}

// controlOf is the control socket of a policy. The mount of one that has got
// errors since goes on, and answers at the socket that is still named in it.
func controlOf(name string) (string, error) {
	p, err := loadPolicy(name)
	if err == nil {
		return p.Control, nil
	}
	path, absErr := filepath.Abs(name)
	data, readErr := os.ReadFile(path)
	if absErr != nil || readErr != nil {
		return "", err
	}
	socket := policy.ControlOf(path, data)
	if info, statErr := os.Stat(socket); statErr != nil || info.Mode().Type() != fs.ModeSocket {
		return "", err
	}
	return socket, nil
}

// call sends one command to the mount.
func (t *target) call(ctx context.Context, command string, args, result any) error {
	c, err := t.client()
	if err != nil {
		return err
	}
	return c.Call(ctx, command, args, result)
}
