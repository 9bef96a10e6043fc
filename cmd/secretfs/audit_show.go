package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/policy/audit"
)

func showCommand() *cobra.Command {
	var log auditLog
	var filter auditFilter
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show what was recorded",
		Example: "  secretfs audit show --denied --since 24h\n  secretfs audit show --path 'mem0/*' --json",
		Args:    noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			f, err := filter.parse(cmd.Context())
			if err != nil {
				return err
			}
			path, err := log.path(cmd.Context())
			if err != nil {
				return err
			}
			files, err := logFiles(path)
			if err != nil {
				return err
			}
			return audit.Show(cmd.Context(), f, files, filter.printer(cmd.OutOrStdout()))
		}),
	}
	log.flags(cmd)
	filter.flags(cmd)
	cmd.Flags().StringVar(&filter.since, "since", "", "records from this `TIME` on: 24h, 2026-01-31, or RFC 3339")
	return cmd
}

func followCommand() *cobra.Command {
	var log auditLog
	var filter auditFilter
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Show what is recorded from now on",
		Args:  noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			f, err := filter.parse(cmd.Context())
			if err != nil {
				return err
			}
			path, err := log.path(cmd.Context())
			if err != nil {
				return err
			}
			return audit.Follow(cmd.Context(), f, path, filter.printer(cmd.OutOrStdout()))
		}),
	}
	log.flags(cmd)
	filter.flags(cmd)
	return cmd
}

// printer prints a record a line, for people or programs.
func (a *auditFilter) printer(w io.Writer) func(audit.Record) error {
	if a.json {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return func(r audit.Record) error { return enc.Encode(r) }
	}
	return func(r audit.Record) error {
		_, err := fmt.Fprintln(w, recordText(&r))
		return err
	}
}

func recordText(r *audit.Record) string {
	parts := []string{
		r.Time.Local().Format(time.DateTime),
		fmt.Sprintf("%-7s", r.Outcome),
		plain(r.Path),
		fmt.Sprintf("uid %d pid %d", r.UID, r.PID),
		plain(r.Exe),
	}
	if r.Unit != "" {
		parts = append(parts, plain(r.Unit))
	}
	if r.Errno != "" {
		parts = append(parts, r.Errno)
	}
	if r.Rule != "" {
		parts = append(parts, "by "+r.Rule)
	}
	if r.Resent {
		parts = append(parts, "(sent again after a restart)")
	}
	return strings.Join(parts, "  ")
}
