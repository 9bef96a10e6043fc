package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
)

// An auditFilter is the flags that choose and print records.
type auditFilter struct {
	path, unit, user, since string
	denied, json            bool
}

func (a *auditFilter) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.path, "path", "", "only of paths that match `GLOB`, or lie below one that does")
	flags.StringVar(&a.unit, "unit", "", "only of systemd unit `X`")
	flags.StringVar(&a.user, "user", "", "only of user `U`, by name or number")
	flags.BoolVar(&a.denied, "denied", false, "only what was refused")
	flags.BoolVar(&a.json, "json", false, "print JSON, an object a line")
}

// parse turns the flags into a filter. What cannot be one is wrong use.
func (a *auditFilter) parse(ctx context.Context) (audit.Filter, error) {
	f := audit.Filter{PathGlob: a.path, Unit: a.unit, Denied: a.denied}
	if err := f.Check(); err != nil {
		return f, exitWith(exitUsage, err)
	}
	var err error
	if a.since != "" {
		if f.Since, err = parseSince(a.since, time.Now()); err != nil {
			return f, exitWith(exitUsage, err)
		}
	}
	if a.user != "" {
		uid, err := userID(ctx, a.user)
		if err != nil {
			return f, err
		}
		f.User = &uid
	}
	return f, nil
}

// parseSince reads a time, or how long ago it was.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("reading --since %q: want how long ago (24h), a date (2026-01-31) or RFC 3339", s)
}

// userID is the number of a user who is named by it or by name.
func userID(ctx context.Context, user string) (uint32, error) {
	if n, err := strconv.ParseUint(user, 10, 32); err == nil {
		return uint32(n), nil
	}
	uid, err := policy.Getent(ctx, policy.Users, user)
	if err != nil {
		return 0, fmt.Errorf("reading --user: %w", err)
	}
	return uid, nil
}
