package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func statusCommand() *cobra.Command {
	var mount target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a mount and its backends are doing",
		Args:  noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			var status control.Status
			if err := mount.call(cmd.Context(), control.CmdStatus, nil, &status); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), status)
			}
			return printStatus(cmd.OutOrStdout(), &status)
		}),
	}
	mount.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, s *control.Status) error {
	fmt.Fprintf(w, "%s  mounted %s, version %s\n", s.Mount, s.Since.Local().Format(time.DateTime), s.Version)
	fmt.Fprintf(w, "policy %s, audit log %s\n", s.Policy, s.Audit)
	fmt.Fprintf(w, "holder pid %d, worker pid %d, %d restarts, resend %s, passthrough %s\n",
		s.HolderPID, s.WorkerPID, s.Restarts, onOff(s.Resend), onOff(s.Passthrough))
	for _, n := range s.Notices {
		fmt.Fprintf(w, "note: %s\n", indented(n))
	}
	fmt.Fprintln(w)
	rows := make([][]string, 0, len(s.Backends))
	for _, b := range s.Backends {
		rows = append(rows, []string{b.Name, b.Type, b.State, b.Error})
	}
	if err := printTable(w, "BACKEND\tTYPE\tSTATE\tERROR", rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = rows[:0]
	for _, f := range s.Secrets {
		rows = append(rows, []string{f.Path, f.State, f.Backend, f.Version, sizeText(f.Size), f.Error})
	}
	return printTable(w, "SECRET\tSTATE\tBACKEND\tVERSION\tSIZE\tERROR", rows)
}

// indented is a sentence of several lines, such as the errors of a policy, with
// all but the first set back.
func indented(sentence string) string {
	lines := strings.Split(sentence, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n      ")
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// sizeText is a size in bytes; a negative one is not known yet.
func sizeText(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
