package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
)

func respondBlock(wf *workFlags) *cobra.Command {
	var yes bool
	var why string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "block TARGET…", Short: "Refuse connections to addresses, networks, ADDRESS:PORT, :PORT or names, for a while", Args: cobra.MinimumNArgs(1),
		Long: "block shows which connections a block would end, and with --yes does it. It ends by itself, and 'respond undo' ends it earlier. What keeps\n" +
			"this machine reachable is never blocked: the plan says what it leaves.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if lasts < 0 || (lasts > 0 && lasts < time.Second) {
				return fmt.Errorf("--for %s: use a second or more", lasts)
			}
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				if yes {
					r, err := w.Block(ctx, args, lasts, app.Me(), why)
					if err != nil {
						return err
					}
					return printReceipt(cmd.OutOrStdout(), r, wf.json)
				}
				a, err := w.PlanBlock(ctx, args, lasts)
				if err != nil {
					return err
				}
				if err := printAction(cmd.OutOrStdout(), a, wf.json); err != nil {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing was done; add --yes to do it")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept with the action")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long, as 2h (default: as configured, 1h)")
	return cmd
}
