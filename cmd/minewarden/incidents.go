package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
)

// workFlags are the flags of commands that act on the incidents of a data directory.
type workFlags struct {
	config, data string
	json         bool
}

func (wf *workFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&wf.config, "config", "", "configuration file")
	cmd.PersistentFlags().StringVar(&wf.data, "data", "", "data directory of the agent")
	cmd.PersistentFlags().BoolVar(&wf.json, "json", false, "print one JSON object a line")
}

// with runs f with the running agent's desk, or with that of its data where none runs.
func (wf *workFlags) with(cmd *cobra.Command, f func(context.Context, app.Work) error) (err error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return err
	}
	cfg.Data = dataDir(wf.data, cfg)
	work, done, err := app.OpenWork(cmd.Context(), cfg, newLog(cmd.ErrOrStderr(), slog.LevelWarn))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return f(cmd.Context(), work)
}

func newIncidents() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{Use: "incidents", Short: "List, show, close incidents, and take back what was done about them", Args: cobra.NoArgs}
	wf.add(cmd)
	cmd.AddCommand(incidentsList(&wf), incidentsShow(&wf), incidentsClose(&wf), incidentsJudge(&wf), incidentsUndo(&wf))
	return cmd
}

func incidentsList(wf *workFlags) *cobra.Command {
	q := minewarden.Query{Limit: 100}
	var state, severity string
	cmd := &cobra.Command{
		Use: "list", Short: "List incidents, last updated first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch state {
			case "all":
			case "open", "contained", "closed":
				q.States = []minewarden.State{minewarden.State(state)}
			default:
				return fmt.Errorf("--state %q: use open, contained, closed or all", state)
			}
			s, err := minewarden.ParseSeverity(severity)
			if err != nil {
				return fmt.Errorf("--severity: %w", err)
			}
			q.Severity = s
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				all, err := w.Incidents(ctx, q)
				if err != nil {
					return err
				}
				for i := range all {
					if err := printIncidentLine(cmd.OutOrStdout(), &all[i], wf.json); err != nil {
						return err
					}
				}
				if len(all) == q.Limit {
					fmt.Fprintf(cmd.ErrOrStderr(), "the first %d only; --limit shows more\n", q.Limit)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "all", "only these: open, contained, closed, all")
	cmd.Flags().StringVar(&severity, "severity", "info", "only this severe or worse")
	cmd.Flags().StringVar(&q.Text, "text", "", "only those with this in a name, path, title, rule or id")
	cmd.Flags().IntVar(&q.Limit, "limit", q.Limit, "at most so many; 0: all")
	return cmd
}

func printIncidentLine(w io.Writer, inc *minewarden.Incident, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(inc)
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-9s  %-8s  %3d%%  %s: %s\n", inc.ID, inc.Updated.Local().Format(time.DateTime), inc.State, inc.Severity, int(inc.Score*100),
		subjectText(inc.Subject), terminal.Safe(strings.Join(titles(inc), "; ")))
	return err
}

// titles returns the titles of the worst findings, each once.
func titles(inc *minewarden.Incident) (out []string) {
	seen := map[string]bool{}
	for s := inc.Severity; len(out) < 3; s-- {
		for _, f := range inc.Findings {
			if f.Severity == s && !seen[f.Title] && len(out) < 3 {
				seen[f.Title] = true
				out = append(out, f.Title)
			}
		}
		if s == minewarden.Informational {
			break
		}
	}
	return out
}

func incidentsShow(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Tell an incident's story: what happened, how sure, what was done, what to do next", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				inc, err := w.Incident(ctx, args[0])
				if err != nil {
					return err
				}
				if wf.json {
					return terminal.JSON(cmd.OutOrStdout()).Encode(inc)
				}
				_, err = io.WriteString(cmd.OutOrStdout(), story(&inc))
				return err
			})
		},
	}
}

func incidentsClose(wf *workFlags) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "close ID", Short: "Say that an incident is over; what was done about it stands", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return errors.New("say with --why how you know that it is over, or why it was none")
			}
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				inc, err := w.Close(ctx, args[0], app.Me(), why)
				if err != nil {
					return err
				}
				return printIncidentLine(cmd.OutOrStdout(), &inc, wf.json)
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept with the incident")
	return cmd
}

func incidentsUndo(wf *workFlags) *cobra.Command {
	var action, why string
	cmd := &cobra.Command{
		Use: "undo ID", Short: "Take back what was done about an incident, the newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
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
	cmd.Flags().StringVar(&action, "action", "", "this action only, by its id")
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept in the audit trail")
	return cmd
}

func printReceipt(w io.Writer, r minewarden.Receipt, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(r)
	}
	var err error
	if r.Undone.IsZero() {
		_, err = fmt.Fprintf(w, "%s: %s\n", terminal.Safe(r.Action.Summary), terminal.Safe(r.Result))
	} else {
		_, err = fmt.Fprintf(w, "taken back: %s\n", terminal.Safe(r.Action.Summary))
	}
	return err
}
