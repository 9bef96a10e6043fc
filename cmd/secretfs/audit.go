package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy/audit"
)

func auditCommand() *cobra.Command {
	show := showCommand()
	cmd := &cobra.Command{
		Use:   "audit [show|follow|verify]",
		Short: "Show or verify the record of who read what",
		Long: `Show or verify the record of who read what. Without a subcommand it is shown.

The log is read directly, with the files it was rotated into, so that it can be
read without a mount when --file or --policy says where it is.`,
		Args: onlyCommands,
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

// head is the last record that a running mount wrote to the log at path; zero
// without one.
func (a *auditLog) head(ctx context.Context, path string) audit.Head {
	var status control.Status
	if a.file != "" || a.mount.call(ctx, control.CmdStatus, nil, &status) != nil || status.Audit != path {
		return audit.Head{}
	}
	return audit.Head(status.AuditHead)
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

// logFiles are those of a log that is there: what it was rotated into, and itself.
func logFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	files := audit.Files(path)
	switch {
	case len(files) > 0:
		return files, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the audit log: %s is not there, nothing was recorded yet", path)
	case err != nil:
		return nil, fmt.Errorf("reading the audit log: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("reading the audit log: %s is not a file", path)
	case info.Size() > 0:
		return nil, fmt.Errorf("reading the audit log: %s holds no audit records", path)
	}
	return []string{path}, nil // empty
}
