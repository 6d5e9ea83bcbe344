package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newRespond() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "respond", Short: "Plan, do and take back actions against an incident", Args: cobra.NoArgs,
		Long: "plan shows exactly what each action would touch and what it refuses to touch; it changes nothing. do plans again, so that it acts\non what is there now, and needs --yes.",
	}
	wf.add(cmd)
	cmd.AddCommand(respondPlan(&wf), respondDo(&wf), respondUndo(&wf), respondBlock(&wf), respondList(&wf))
	return cmd
}

func respondPlan(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "plan INCIDENT", Short: "Show what could be done about an incident", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				actions, err := w.Plan(ctx, args[0])
				if err != nil {
					return err
				}
				for _, a := range actions {
					if err := printAction(cmd.OutOrStdout(), a, wf.json); err != nil {
						return err
					}
				}
				if len(actions) == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), "nothing: its processes and files are gone, or all are protected")
				}
				return nil
			})
		},
	}
}

// maxShown is how many lines of what an action touches a person reads: the rules of an isolation are a hundred.
const maxShown = 24

func printAction(w io.Writer, a minewarden.Action, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(a)
	}
	var b strings.Builder
	back := "cannot be taken back"
	if a.Reversible {
		back = "can be taken back"
	}
	fmt.Fprintf(&b, "%s: %s (%s)\n", terminal.Safe(a.Op), terminal.Safe(a.Summary), back)
	for i, t := range a.Blast {
		if i == maxShown {
			fmt.Fprintf(&b, "  touches %d more; --json shows all\n", len(a.Blast)-i)
			break
		}
		fmt.Fprintf(&b, "  touches %s\n", terminal.Safe(t))
	}
	for _, t := range a.Refused {
		fmt.Fprintf(&b, "  leaves  %s\n", terminal.Safe(t))
	}
	if diff := a.Params["diff"]; diff != "" {
		for l := range strings.Lines(diff) {
			fmt.Fprintf(&b, "    %s\n", terminal.Safe(strings.TrimSuffix(l, "\n")))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func respondDo(wf *workFlags) *cobra.Command {
	var yes, blind bool
	var why string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "do INCIDENT OP", Short: "Do what plan shows, as: respond do 1a2b3c4d freeze --yes", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				actions, err := w.Plan(ctx, args[0])
				if err != nil {
					return err
				}
				var ops []string
				var chosen []minewarden.Action
				for _, a := range actions {
					ops = append(ops, a.Op)
					if a.Op == args[1] {
						chosen = append(chosen, a)
					}
				}
				if len(chosen) == 0 {
					slices.Sort(ops)
					return fmt.Errorf("%q is not in the plan of incident %s; what is: %s", args[1], args[0], strings.Join(slices.Compact(ops), ", "))
				}
				for _, a := range chosen {
					if !yes {
						if err := printAction(cmd.OutOrStdout(), a, wf.json); err != nil {
							return err
						}
						continue
					}
					setParams(&a, lasts, blind)
					r, err := w.Do(ctx, a, app.Me(), why)
					if err != nil {
						return err
					}
					if err := printReceipt(cmd.OutOrStdout(), r, wf.json); err != nil {
						return err
					}
				}
				if !yes {
					fmt.Fprintln(cmd.ErrOrStderr(), "nothing was done; add --yes to do it")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long a block or an isolation lasts, as 2h (default: as configured)")
	cmd.Flags().BoolVar(&blind, "without-management", false, "isolate although nobody could reach this machine any more")
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept with the action")
	return cmd
}

// setParams puts into an action what a person chose.
func setParams(a *minewarden.Action, lasts time.Duration, blind bool) {
	a.Params = maps.Clone(a.Params)
	if a.Params == nil {
		a.Params = map[string]string{}
	}
	if lasts > 0 {
		a.Params["expires"] = lasts.String()
	}
	if blind {
		a.Params["without_management"] = "yes"
	}
}

func respondUndo(wf *workFlags) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "undo ACTION | INCIDENT [ACTION]", Short: "Take back one action by its id, or all that was done about an incident", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			action := ""
			if len(args) == 2 {
				action = args[1]
			}
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				if action == "" {
					r, err := w.UndoAction(ctx, args[0], app.Me(), why)
					if err == nil {
						return printReceipt(cmd.OutOrStdout(), r, wf.json)
					}
					if !errors.Is(err, minewarden.ErrNotFound) {
						return err
					}
				}
				undone, err := w.Undo(ctx, args[0], action, app.Me(), why)
				for _, r := range undone {
					if printErr := printReceipt(cmd.OutOrStdout(), r, wf.json); printErr != nil {
						return printErr
					}
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept in the audit trail")
	return cmd
}

func respondList(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List actions: repairs first, then those of the incident last updated first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				records, bad := w.Records(ctx)
				for _, r := range records {
					if err := printListed(cmd.OutOrStdout(), nil, r, wf.json); err != nil {
						return err
					}
				}
				all, err := w.Incidents(ctx, minewarden.Query{})
				if err != nil {
					return errors.Join(bad, err)
				}
				for _, inc := range all {
					for _, r := range inc.Actions {
						if err := printListed(cmd.OutOrStdout(), &inc, r, wf.json); err != nil {
							return err
						}
					}
				}
				return bad
			})
		},
	}
}

// printListed prints an action; inc is nil where none asked for it.
func printListed(w io.Writer, inc *minewarden.Incident, r minewarden.Receipt, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(r)
	}
	state := "stands"
	switch {
	case !r.Undone.IsZero():
		state = "taken back"
	case !r.OK:
		state = "failed"
	}
	why := "no incident"
	if inc != nil {
		why = "incident " + inc.ID
	}
	_, err := fmt.Fprintf(w, "%s  %-10s  %s  %s  %s\n", r.Done.Local().Format("2006-01-02 15:04:05"), state, terminal.Safe(r.Action.ID), why, terminal.Safe(r.Action.Summary))
	return err
}
