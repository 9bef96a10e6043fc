package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const longHelp = `secretfs exposes secrets as files: it mounts them at /run/secrets (whole
machine) or $XDG_RUNTIME_DIR/secrets (one user). Opening a path fetches that
one secret, checks the policy for whoever asks, writes the audit record, and
only then answers.

Exit codes of every command:
  0  fine
  1  it did not work
  2  wrong use of the command line
  3  the policy has errors
  4  no such mount, or nobody serves the control socket`

// execute runs one command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return report(stderr, err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
}

// newRoot builds the tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "secretfs",
		Short:         "Secrets as files",
		Long:          longHelp,
		SilenceErrors: true, // report prints them
		SilenceUsage:  true,
		Version:       version, // for --version; the command tells more
	}
	needsSubcommand(root)
	root.CompletionOptions.DisableDefaultCmd = true // ours has a manual page
	root.AddCommand(
		mountCommand(),
		umountCommand(),
		checkCommand(),
		waitCommand(),
		statusCommand(),
		listCommand(),
		explainCommand(),
		auditCommand(),
		unlockCommand(),
		lockCommand(),
		refreshCommand(),
		reloadCommand(),
		upgradeCommand(),
		policyCommand(),
		versionCommand(),
		completionCommand(),
		demoCommand(),
	)
	return root
}

// action is what a command does once its command line is known to be right;
// its errors are classified, never taken for wrong use.
func action(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return classify(run(cmd, args))
	}
}

// needsSubcommand has a command that only groups others refuse to be run alone.
func needsSubcommand(group *cobra.Command) {
	group.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("a command is missing")
		}
		return onlyCommands(cmd, args)
	}
	group.RunE = func(*cobra.Command, []string) error { return nil } // Args refuses first
}
