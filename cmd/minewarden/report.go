package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/posture/score"
)

func newReport() *cobra.Command {
	cmd := &cobra.Command{Use: "report", Short: "Write reports", Args: cobra.NoArgs}
	cmd.AddCommand(newReportIncident(), newReportReview(), newReportKPI(), newReportPosture())
	return cmd
}

func newReportPosture() *cobra.Command {
	var data string
	var asHTML, asMarkdown, asJSON bool
	cmd := &cobra.Command{
		Use:   "posture",
		Short: "What the last audits found, why it matters, how to repair it, and what was not looked at",
		Long: "posture reports the newest audit of each target that was kept in --data: the score and how it moved, what failed and which\n" +
			"campaign used it, how to repair it, and what could not be looked at.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data = dataDir(data, config.Default())
			history, err := score.Load(data)
			if err != nil && len(history) == 0 {
				return err
			}
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "minewarden report:", sentence(err))
			}
			if len(history) == 0 {
				return fmt.Errorf("no audit was kept in %s: run 'minewarden audit' first, or name the folder with --data", data)
			}
			rep := score.NewReport(history, time.Now())
			switch {
			case asHTML:
				return rep.HTML(cmd.OutOrStdout())
			case asJSON:
				return rep.JSON(cmd.OutOrStdout())
			}
			return rep.Markdown(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "folder in which audits are kept (default /var/lib/minewarden, or in the home where not root)")
	cmd.Flags().BoolVar(&asHTML, "html", false, "one page that loads nothing")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "text (the default)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.MarkFlagsMutuallyExclusive("html", "markdown", "json")
	return cmd
}
