package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func auditCommand() *cobra.Command {
	show := showCommand()
	cmd := &cobra.Command{
		Use:   "audit [show|follow|verify]",
		Short: "Show or verify the record of who read what",
		Long: `Show or verify the record of who read what. Without a subcommand it is shown.

The log is read directly, with the files it was rotated into, so that it can be
read without a mount when --file or --policy says where it is.`,
		Args: show.Args,
		RunE: show.RunE,
	}
	cmd.Flags().AddFlagSet(show.Flags()) // bare `audit` is `audit show`
	cmd.AddCommand(show, followCommand(), verifyCommand())
	return cmd
}

// An auditLog says where the log is: a file, or the mount that writes it.
type auditLog struct {
	mount target
	file  string
}

func (a *auditLog) flags(cmd *cobra.Command) {
	a.mount.flags(cmd)
	cmd.Flags().StringVar(&a.file, "file", "", "the audit log itself, `FILE`")
	cmd.MarkFlagsMutuallyExclusive("file", "control")
	cmd.MarkFlagsMutuallyExclusive("file", "policy")
}

// path asks the policy, or else the running mount, where the log is.
func (a *auditLog) path(ctx context.Context) (string, error) {
	if a.file != "" {
		return a.file, nil
	}
	if a.mount.policy != "" {
		p, err := loadPolicy(a.mount.policy)
		if err != nil {
			return "", err
		}
		return p.Audit.File, nil
	}
	var status control.Status
	err := a.mount.call(ctx, control.CmdStatus, nil, &status)
	if errors.Is(err, control.ErrNoDaemon) {
		return "", hinted(exitNoMount, err, "name the log with --file FILE or --policy FILE")
	}
	return status.Audit, err
}

// existing is path, of a log that is there.
func (a *auditLog) existing(ctx context.Context) (string, error) {
	path, err := a.path(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the audit log: %s is not there, nothing was recorded yet", path)
	} else if err != nil {
		return "", fmt.Errorf("reading the audit log: %w", err)
	}
	return path, nil
}
