// Command minewarden defends servers, and the DevOps services on them, against cryptojacking.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/drills"
	"github.com/minewarden/minewarden/internal/terminal"
)

// commands lists the subcommands: one file each.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newUp(), newScan(), newAudit(), newReplay(), newIncidents(), newRespond(), newEvidence(), newAuditTrail(), newAccount(), newDrill(), newReport(), newAlerts(), newPlaybooks(), newSuppress(), newRules(), newIntel(), newDoctor(), newExplain(), newVersion(), newReference(),
	}
}

// errFound makes the exit code 1: something at or above --fail-on was found.
var errFound = errors.New("found")

func main() { os.Exit(run()) }

// run returns the exit code: 0 nothing found, 1 something found, 2 could not do it.
func run() int {
	if handled, err := drills.Child(os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, "minewarden drill:", terminal.Safe(err.Error()))
			return 2
		}
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	}
	fmt.Fprintln(os.Stderr, "minewarden:", sentence(err))
	return 2
}

// sentence keeps an error on one safe line, except where it shows the place in a file.
func sentence(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = terminal.Safe(strings.ReplaceAll(lines[i], "\t", "  "))
	}
	return strings.Join(lines, "\n")
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "minewarden",
		Short: "Defends servers, and the DevOps services on them, against cryptojacking",
		Long: "minewarden finds and closes the ways in, sees a miner by what the processor computes and by what it does, stops it, and\n" +
			"keeps the evidence. Results go to standard output, progress and logs to standard error.\n\n" +
			"Exit code 0: nothing at or above --fail-on; 1: something; 2: it could not be done.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())
	})
	root.AddCommand(commands()...)
	groups(root)
	return root
}

// groups makes commands that only hold others refuse a name that none of these has: cobra would print help and succeed.
func groups(cmd *cobra.Command) {
	if !cmd.Runnable() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q; see '%s --help'", args[0], cmd.CommandPath())
			}
			return nil
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	for _, c := range cmd.Commands() {
		groups(c)
	}
}
