package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
)

func incidentsJudge(wf *workFlags) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "judge ID VERDICT", Short: "Say what an incident was: true_positive, false_positive or authorised", Args: cobra.ExactArgs(2),
		Long: "judge keeps what a person found an incident to be, for the figures of the month. It hides nothing: 'suppress' does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(minewarden.Verdicts[:], args[1]) {
				return fmt.Errorf("verdict %q: use %s", args[1], strings.Join(minewarden.Verdicts[:], ", "))
			}
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				inc, err := w.Judge(ctx, args[0], args[1], app.Me(), why)
				if err != nil {
					return err
				}
				return printIncidentLine(cmd.OutOrStdout(), &inc, wf.json)
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept as a note")
	return cmd
}
