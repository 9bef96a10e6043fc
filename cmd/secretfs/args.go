package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// noArgs refuses arguments: cobra's own would call them unknown commands.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, have %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// noPolicyArg is noArgs for a command whose policy is easily taken for one.
func noPolicyArg(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, have %q; the policy is given with --policy %[2]s", cmd.CommandPath(), args[0])
	}
	return nil
}

// between wants at least least and at most most arguments, which are called
// name; most is negative for any number.
func between(least, most int, name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s needs a %s", cmd.CommandPath(), name)
		case most >= 0 && len(args) > most:
			return fmt.Errorf("%s takes one %s, have %d arguments", cmd.CommandPath(), name, len(args))
		}
		return nil
	}
}

// onlyCommands takes no argument but the name of a command, which cobra has
// looked for before it asks.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	err := fmt.Sprintf("no such command: %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err += fmt.Sprintf(", did you mean %q?", near[0])
	}
	return errors.New(err)
}
