package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/policy/audit"
)

func verifyCommand() *cobra.Command {
	var log auditLog
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that no record was changed, removed or reordered",
		Long: `Verify the chain of the audit log and of the files it was rotated into: no line
changed, removed or reordered. Exits 1 if one was, and says where.

For the very last line the mount that writes the log is asked. Without one, or
with --file, that it was changed or that lines after it are missing only shows
by comparing its number and hash, which are printed, with a copy of them that is
kept elsewhere. Lines before the first one may be in files that were deleted.`,
		Args: noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			path, err := log.path(cmd.Context())
			if err != nil {
				return err
			}
			known := log.head(cmd.Context(), path) // before the files are read
			files, err := logFiles(path)
			if err != nil {
				return err
			}
			report, err := audit.VerifyTo(known, files...)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), verdictOf(&report))
			} else {
				err = printVerdict(cmd.OutOrStdout(), &report)
			}
			if err == nil && len(report.Problems) > 0 {
				err = errors.New("the audit log is not as it was written")
			}
			return err
		}),
	}
	log.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printVerdict(w io.Writer, r *audit.Report) error {
	for _, p := range r.Problems {
		fmt.Fprintln(w, plain(p.String()))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", plain(n.String()))
	}
	verdict := "the chain is whole"
	switch {
	case len(r.Problems) > 0:
		verdict = "THE CHAIN IS BROKEN"
	case r.First > 1:
		verdict = fmt.Sprintf("the chain is whole from record %d on", r.First)
	}
	if r.Records == 0 && len(r.Problems) == 0 {
		_, err := fmt.Fprintln(w, "no records yet")
		return err
	}
	_, err := fmt.Fprintf(w, "%s, %d to %d: %s; the last is %s\n",
		count(int(r.Records), "record"), r.First, r.Head.Seq, verdict, r.Head.Hash)
	return err
}

// A verdict is a Report for programs.
type verdict struct {
	OK       bool     `json:"ok"`
	Records  uint64   `json:"records"`
	First    uint64   `json:"first"`
	Last     uint64   `json:"last"`
	Hash     string   `json:"hash"` // of the last line
	Problems []string `json:"problems"`
	Notes    []string `json:"notes"`
}

func verdictOf(r *audit.Report) verdict {
	return verdict{
		OK:       len(r.Problems) == 0,
		Records:  r.Records,
		First:    r.First,
		Last:     r.Head.Seq,
		Hash:     r.Head.Hash,
		Problems: sentences(r.Problems),
		Notes:    sentences(r.Notes),
	}
}

func sentences(findings []audit.Finding) []string {
	texts := make([]string, len(findings))
	for i, f := range findings {
		texts[i] = f.String()
	}
	return texts
}
