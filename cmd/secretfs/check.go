package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/check"
	"github.com/secretfs/secretfs/fs/mount"
	"github.com/secretfs/secretfs/policy"
)

func checkCommand() *cobra.Command {
	var name string
	var static, resolve bool
	cmd := &cobra.Command{
		Use:   "check --policy FILE",
		Short: "List what is wrong with a policy",
		Long: `List everything that is wrong with a policy: what it says, and whether this
machine has the files, keys, users, groups and executables that it names, and can
mount it.

With --static nothing of the machine is looked at but the policy and, where they
can be read, the encrypted files: for building a system on another one.
With --resolve every secret is decrypted as well, and a verdict printed; never a
value.

Exits 3 if the policy is wrong, 1 if this machine lacks something.`,
		Args: noPolicyArg,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			p, err := loadPolicy(name)
			if err != nil {
				return err
			}
			cfg := check.Config{Policy: p, Openers: openers, Needs: needs, Doubts: doubts, Identities: identities, Lookup: policy.Getent}
			find := check.Machine
			if static {
				find = check.Static
			}
			report, err := find(cmd.Context(), &cfg)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			for _, s := range report.Skipped {
				fmt.Fprintf(w, "note: %s\n", s)
			}
			for _, s := range report.Warnings {
				fmt.Fprintf(w, "warning: %s\n", s)
			}
			if resolve {
				err = printVerdicts(cmd, &cfg)
			}
			if problems := problemsError(p.File, report); problems != nil {
				return problems
			}
			if err != nil {
				return err
			}
			return printSummary(w, p)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "policy", "", "policy `FILE`")
	flags.BoolVar(&static, "static", false, "know nothing of this machine")
	flags.BoolVar(&resolve, "resolve", false, "decrypt every secret, and say whether that worked")
	cmd.MarkFlagsMutuallyExclusive("static", "resolve")
	_ = cmd.MarkFlagRequired("policy") // the flag exists
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml", "json")
	return cmd
}

// problemsError lists all problems; one that is the policy's own decides the
// exit code.
func problemsError(file string, r *check.Report) error {
	if len(r.Problems) == 0 {
		return nil
	}
	var b strings.Builder
	code := exitFailed
	for _, p := range r.Problems {
		b.WriteByte('\n')
		b.WriteString(file)
		if at := p.Pos.String(); at != "" {
			b.WriteString(":" + at)
		}
		b.WriteString(": " + p.What)
		if p.Policy {
			code = exitPolicy
		}
	}
	return exitWith(code, fmt.Errorf("%s:%s", count(len(r.Problems), "problem"), b.String()))
}

func printSummary(w io.Writer, p *policy.Policy) error {
	_, err := fmt.Fprintf(w, "%s: nothing wrong with %s, %s, %s\n", p.File,
		count(len(p.Secrets), "secret"), count(len(p.Dirs), "directory"), count(len(p.Backends), "backend"))
	return err
}

// printVerdicts decrypts every secret. What is decrypted here is kept out of
// swap and core dumps as in the worker.
func printVerdicts(cmd *cobra.Command, cfg *check.Config) error {
	if err := secret.Harden(os.Geteuid() == 0); err != nil {
		return err
	}
	cfg.Helper = mount.NewHelpers(helperConfig).Run
	var rows [][]string
	failed := 0
	err := check.Resolve(cmd.Context(), cfg, func(v check.Verdict) error {
		if v.Err != nil {
			failed++
			rows = append(rows, []string{v.Path, "failed", "", v.Err.Error()})
		} else {
			rows = append(rows, []string{v.Path, "ok", fmt.Sprint(v.Size), ""})
		}
		return cmd.Context().Err()
	})
	if err != nil {
		return err
	}
	if err := printTable(cmd.OutOrStdout(), "SECRET\tVERDICT\tSIZE\tERROR", rows); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s cannot be read", failed, count(len(rows), "secret"))
	}
	return nil
}
