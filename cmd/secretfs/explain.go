package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/secretfs/secretfs/fs/control"
)

func explainCommand() *cobra.Command {
	var mount target
	var req control.ExplainRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain PATH",
		Short: "Say whether somebody may read a secret, and what decides",
		Long: `Say whether a process (--pid), or who --user, --unit and --executable describe,
may read the secret at PATH (relative to the mount), and which rule or mode bit
decides. Without --pid and --user it is asked for yourself.
Nothing is read and nothing is recorded. Exits 0 if allowed and 1 if refused.`,
		Example: `  secretfs explain mem0/token --user mem0 --unit mem0.service
  secretfs explain mem0/token --pid 4711`,
		Args: between(1, 1, "PATH"),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if e := req.Executable; e != "" && !filepath.IsAbs(e) {
				return exitWith(exitUsage, fmt.Errorf("--executable %s: want an absolute path", e))
			}
			req.Path = args[0]
			if req.PID == 0 && req.User == "" {
				req.User = strconv.Itoa(os.Getuid())
			}
			var answer control.Explanation
			if err := mount.call(cmd.Context(), control.CmdExplain, req, &answer); err != nil {
				return err
			}
			if err := printExplanation(cmd.OutOrStdout(), &answer, asJSON); err != nil {
				return err
			}
			if !answer.Allowed {
				return errors.New("refused")
			}
			return nil
		}),
	}
	mount.flags(cmd)
	flags := cmd.Flags()
	flags.Uint32Var(&req.PID, "pid", 0, "process `N`")
	flags.StringVar(&req.User, "user", "", "user `U`, by name or number")
	flags.StringVar(&req.Unit, "unit", "", "systemd unit `X`, such as mem0.service")
	flags.StringVar(&req.Executable, "executable", "", "absolute path `E` of the program")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	for _, who := range []string{"user", "unit", "executable"} {
		cmd.MarkFlagsMutuallyExclusive("pid", who)
	}
	return cmd
}

func printExplanation(w io.Writer, e *control.Explanation, asJSON bool) error {
	if asJSON {
		return printJSON(w, e)
	}
	for _, step := range e.Steps {
		fmt.Fprintf(w, "  %s\n", step)
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", e.Path, verdictText(e))
	return err
}

// verdictText is one line: whether it is allowed, and what comes of it.
func verdictText(e *control.Explanation) string {
	switch {
	case !e.Allowed:
		return "refused with " + e.Errno + ": " + e.Rule
	case e.Errno != "":
		return "allowed by " + e.Rule + ", but there is nothing to read: " + e.Errno
	}
	return "allowed by " + e.Rule
}
