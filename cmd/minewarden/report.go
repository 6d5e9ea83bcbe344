package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/posture/score"
)

func newReport() *cobra.Command {
	cmd := &cobra.Command{Use: "report", Short: "Write reports", Args: cobra.NoArgs}
	cmd.AddCommand(newReportPosture())
	return cmd
}

func newReportPosture() *cobra.Command {
	var data, format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "posture",
		Short: "What the last audits found, why it matters, how to repair it, and what was not looked at",
		Long: "posture reports the newest audit of each target that was kept in --data: the score and how it moved, what failed and which\n" +
			"campaign used it, how to repair it, and what could not be looked at.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			write := map[string]func(io.Writer) error{"html": rep.HTML, "markdown": rep.Markdown, "json": rep.JSON}
			if asJSON {
				format = "json"
			}
			w, ok := write[format]
			if !ok {
				return errors.New("--format is html, markdown or json")
			}
			return w(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&data, "data", "/var/lib/minewarden", "folder in which audits are kept")
	cmd.Flags().StringVar(&format, "format", "markdown", "html, markdown or json")
	cmd.Flags().BoolVar(&asJSON, "json", false, "same as --format json")
	return cmd
}
