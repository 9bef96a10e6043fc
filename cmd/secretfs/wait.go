package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func waitCommand() *cobra.Command {
	var mount target
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "wait PATH...",
		Short:   "Wait until secrets can be read",
		Long:    "Wait until every PATH, relative to the mount, can be read.",
		Example: "  secretfs wait --timeout 30s mem0/token db/password",
		Args:    between(1, -1, "PATH"),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return exitWith(exitUsage, fmt.Errorf("--timeout %s is negative", timeout))
			}
			ctx, cancel := cmd.Context(), func() {}
			if timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, timeout)
			}
			defer cancel()
			err := mount.call(ctx, control.CmdWait, control.WaitRequest{Paths: args}, nil)
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("waited %s: %s", timeout, waitingFor(cmd.Context(), &mount, args))
			}
			return err
		}),
	}
	mount.flags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this `TIME`, such as 30s; 0 is never")
	return cmd
}

// waitingFor says which of paths are not ready, and why.
func waitingFor(ctx context.Context, mount *target, paths []string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var status control.Status
	if err := mount.call(ctx, control.CmdStatus, nil, &status); err != nil {
		return fmt.Sprintf("%s, and no answer to why: %v", strings.Join(paths, ", "), err)
	}
	var left []string
	for _, s := range status.Secrets {
		if s.State != "ready" && slices.Contains(paths, s.Path) {
			left = append(left, strings.TrimSuffix(s.Path+" is "+s.State+": "+s.Error, ": "))
		}
	}
	if left == nil {
		return strings.Join(paths, ", ") + " not ready"
	}
	return strings.Join(left, "; ")
}
