package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func listCommand() *cobra.Command {
	var mount target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what a mount exposes, and to whom",
		Args:  noArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			entries := []control.Entry{} // prints as [], not null
			if err := mount.call(cmd.Context(), control.CmdList, nil, &entries); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), entries)
			}
			rows := make([][]string, len(entries))
			for i, e := range entries {
				rows[i] = []string{displayPath(e), e.Mode, e.Owner, e.Group, e.Backend, e.Key, onlyText(e.Only)}
			}
			return printTable(cmd.OutOrStdout(), "PATH\tMODE\tOWNER\tGROUP\tBACKEND\tKEY\tONLY", rows)
		}),
	}
	mount.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// displayPath marks a directory with a slash, as ls -p does.
func displayPath(e control.Entry) string {
	if e.Kind == control.KindDirectory {
		return e.Path + "/"
	}
	return e.Path
}

func onlyText(o control.Only) string {
	var parts []string
	for _, kind := range []struct {
		name   string
		values []string
	}{{"units", o.Units}, {"executables", o.Executables}, {"users", o.Users}, {"groups", o.Groups}} {
		if len(kind.values) > 0 {
			parts = append(parts, kind.name+"="+strings.Join(kind.values, ","))
		}
	}
	return strings.Join(parts, " ")
}
