package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/reports"
)

// reportFlags are those of reports about incidents.
type reportFlags struct {
	workFlags
	format, lang, out string
}

func (f *reportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file")
	cmd.Flags().StringVar(&f.data, "data", "", "data directory of the agent")
	cmd.Flags().StringVar(&f.format, "format", reports.Markdown, "html, md, json or pdf")
	cmd.Flags().StringVar(&f.lang, "lang", "en", "en or zh")
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "file to write (default: standard output)")
}

func newReportIncident() *cobra.Command {
	return incidentReport("incident", "Report an incident with the fields of CISA's form",
		"incident writes what happened, how sure we are, what it cost, what was done, and the indicators that others can look for, with the\n"+
			"fields that CISA's federal incident notification guidelines ask for.", reports.NewIncident)
}

func newReportReview() *cobra.Command {
	return incidentReport("review", "Review an incident after 72 hours: attack path, what let it in, how quickly it was stopped",
		"review writes the attack path, what may have let it in, how quickly it was seen and stopped, and the questions that the people who\nworked on it should settle.", reports.NewReview)
}

func incidentReport(use, short, long string, make func(*minewarden.Incident, *reports.Env) *reports.Incident) *cobra.Command {
	var f reportFlags
	var made bool
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(cmd, func(ctx context.Context, w app.Work) error {
				inc, err := w.Incident(ctx, args[0])
				if err != nil {
					return err
				}
				env, err := f.env(cmd)
				if err != nil {
					return err
				}
				if err := f.write(cmd, make(&inc, env)); err != nil {
					return err
				}
				if !made {
					return nil
				}
				return app.Reported(ctx, w, inc.ID, use)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&made, "made", false, "say that this is the one that was handed in: its deadline is met")
	return cmd
}

func newReportKPI() *cobra.Command {
	var f reportFlags
	var month string
	cmd := &cobra.Command{
		Use: "kpi", Short: "Figures of a month: incidents, times to detect, stop and close, false alarms, cost, posture", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now().UTC()
			from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
			if month != "" {
				var err error
				if from, err = time.Parse("2006-01", month); err != nil {
					return fmt.Errorf("--month %q: use a year and a month, as 2026-11", month)
				}
			}
			return f.with(cmd, func(ctx context.Context, w app.Work) error {
				env, err := f.env(cmd)
				if err != nil {
					return err
				}
				cfg, err := app.LoadConfig(f.config)
				if err != nil {
					return err
				}
				cfg.Data = dataDir(f.data, cfg)
				m, err := app.MonthReport(ctx, w, cfg, env, from, 0)
				if err != nil {
					return err
				}
				return f.write(cmd, m)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&month, "month", "", "year and month, as 2026-11 (default: this month)")
	return cmd
}

func (f *reportFlags) env(*cobra.Command) (*reports.Env, error) {
	cfg, err := app.LoadConfig(f.config)
	if err != nil {
		return nil, err
	}
	cfg.Data = dataDir(f.data, cfg)
	return app.ReportEnv(cfg, version)
}

func (f *reportFlags) write(cmd *cobra.Command, r reports.Report) (err error) {
	var w io.Writer = cmd.OutOrStdout()
	if f.out == "" && f.format == reports.PDF {
		if info, statErr := os.Stdout.Stat(); statErr == nil && info.Mode()&os.ModeCharDevice != 0 {
			return errors.New("a PDF is not for a terminal: name a file with --output")
		}
	}
	if f.out != "" {
		file, err := os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		w = file
	}
	return reports.Write(w, r, f.format, f.lang)
}
