package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/cmd/secretfs/ask"
	"github.com/secretfs/secretfs/fs/control"
)

// pinentryEnv configures a pinentry program for all of a session.
const pinentryEnv = "SECRETFS_PINENTRY"

func unlockCommand() *cobra.Command {
	var mount target
	var way asking
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "unlock [BACKEND...]",
		Short: "Type what opens backends",
		Long: `Ask for what the policy has under {ask: true}, and say whether the backend then
opens. Without a BACKEND: all that lack something or were locked. Asks at the
terminal, up to three times if it is wrong; through a pinentry program where
--pinentry or $` + pinentryEnv + ` names one; or takes lines of stdin. What was
typed is kept in locked memory until secretfs lock or the end of the mount.`,
		Example: "  secretfs unlock bw\n  systemd-ask-password | secretfs unlock --stdin bw",
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := secret.Harden(os.Geteuid() == 0); err != nil {
				return err
			}
			if way.stdin && len(args) != 1 {
				return exitWith(exitUsage, errors.New("--stdin is for one backend"))
			}
			c, err := mount.client()
			if err != nil {
				return err
			}
			return unlockAll(cmd, c, &way, args, asJSON)
		}),
		ValidArgsFunction: completeBackends(&mount),
	}
	mount.flags(cmd)
	cmd.Flags().BoolVar(&way.stdin, "stdin", false, "read what is asked for from stdin, one a line")
	cmd.Flags().StringVar(&way.pinentry, "pinentry", "", "ask through a pinentry program, `PROG`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("stdin", "pinentry")
	return cmd
}

// An asking is how the user is asked.
type asking struct {
	stdin    bool
	pinentry string
}

func (a *asking) asker() (ask.Asker, error) {
	if a.stdin {
		return ask.Lines(os.Stdin), nil
	}
	if program := cmp.Or(a.pinentry, os.Getenv(pinentryEnv)); program != "" {
		return ask.Pinentry(program), nil
	}
	asker, err := ask.Terminal()
	if err != nil {
		return nil, hinted(exitFailed, err, "give it on stdin with --stdin, or name a program that asks with --pinentry PROG")
	}
	return asker, nil
}

// An unlocked backend is one line of the output.
type unlocked struct {
	Backend string `json:"backend"`
	Open    bool   `json:"open"`
	Error   string `json:"error"`
}

func unlockAll(cmd *cobra.Command, c *control.Client, way *asking, names []string, asJSON bool) error {
	if len(names) == 0 {
		var err error
		if names, err = closedBackends(cmd.Context(), c); err != nil {
			return err
		}
	}
	done := make([]unlocked, 0, len(names))
	var failed []error
	for _, name := range names {
		err := unlock(cmd.Context(), c, way, name)
		if errors.Is(err, context.Canceled) {
			return err
		}
		u := unlocked{Backend: name, Open: err == nil}
		if err != nil {
			u.Error = err.Error()
			failed = append(failed, err)
		} else if !asJSON {
			fmt.Fprintf(cmd.OutOrStdout(), "%s is open\n", plain(name))
		}
		done = append(done, u)
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), done); err != nil {
			return err
		}
	}
	if len(failed) == 1 {
		return failed[0] // with its exit code and hint
	}
	return errors.Join(failed...)
}

// closedBackends are those that there is something to do about.
func closedBackends(ctx context.Context, c *control.Client) (names []string, err error) {
	var status control.Status
	if err := c.Call(ctx, control.CmdStatus, nil, &status); err != nil {
		return nil, err
	}
	locked := make(map[string]bool)
	for _, s := range status.Secrets {
		locked[s.Backend] = locked[s.Backend] || s.State == "locked"
	}
	for _, b := range status.Backends {
		if locked[b.Name] || b.State == "locked" {
			names = append(names, b.Name)
		}
	}
	return names, nil
}

// unlock asks until the backend is open, or there is no sense in asking.
func unlock(ctx context.Context, c *control.Client, way *asking, name string) error {
	answer, err := c.Unlock(ctx, name, nil)
	if err != nil || answer.Open {
		return err
	}
	if len(answer.Asks) == 0 {
		return errors.New(answer.Error)
	}
	asker, err := way.asker()
	if err != nil {
		return err
	}
	given := make(map[string]bool)
	for attempt := 1; ; {
		problem := ""
		if slices.ContainsFunc(answer.Asks, func(q control.Question) bool { return given[q.Field] }) {
			problem, attempt = answer.Error, attempt+1
		}
		if len(answer.Asks) == 0 || attempt > asker.Attempts() {
			return errors.New(answer.Error)
		}
		typed, err := askAll(ctx, asker, name, problem, answer.Asks)
		for _, t := range typed {
			given[t.Field] = true
		}
		if err == nil {
			answer, err = c.Unlock(ctx, name, typed)
		}
		control.Wipe(typed)
		if err != nil || answer.Open {
			return err
		}
	}
}

func askAll(ctx context.Context, asker ask.Asker, name, problem string, asks []control.Question) (typed []control.Typed, err error) {
	for _, q := range asks {
		v, err := asker.Ask(ctx, ask.Question{Title: "backend " + plain(name), Prompt: plain(q.Prompt), Problem: plain(problem)})
		if err != nil {
			return typed, err
		}
		typed = append(typed, control.Typed{Field: q.Field, Value: v})
		problem = ""
	}
	return typed, nil
}

func lockCommand() *cobra.Command {
	var mount target
	cmd := &cobra.Command{
		Use:   "lock [BACKEND...]",
		Short: "Have backends forget what opens them",
		Long: `Have each BACKEND, or all of them, forget what was typed, keys, logins, leases
and values. Opening its files gives ENOKEY until secretfs unlock, whatever else
would open it; files that are open stay so.`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return mount.call(cmd.Context(), control.CmdLock, control.LockRequest{Backends: args}, nil)
		}),
		ValidArgsFunction: completeBackends(&mount),
	}
	mount.flags(cmd)
	return cmd
}

// completeBackends completes the names of the backends of a running mount.
func completeBackends(mount *target) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var status control.Status
		_ = mount.call(ctx, control.CmdStatus, nil, &status) // nothing to complete, then
		var names []string
		for _, b := range status.Backends {
			if !slices.Contains(args, b.Name) {
				names = append(names, b.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
