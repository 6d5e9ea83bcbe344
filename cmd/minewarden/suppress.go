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

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newSuppress() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "suppress", Short: "Hide findings that are known and of no interest, for a while and with a reason", Args: cobra.NoArgs,
		Long: "A suppressed finding makes no incident and is acted on by nobody, but it is counted. Critical findings, such as proof of mining, are shown\nall the same unless --even-critical is said.",
	}
	wf.add(cmd)
	cmd.AddCommand(suppressAdd(&wf), suppressList(&wf), suppressEnd(&wf))
	return cmd
}

func (wf *workFlags) hider(cmd *cobra.Command, f func(context.Context, app.Hider) error) error {
	cfg, err := wf.settings()
	if err != nil {
		return err
	}
	h, done, err := app.OpenHider(cfg, newLog(cmd.ErrOrStderr(), slog.LevelWarn))
	if err != nil {
		return err
	}
	return errors.Join(f(cmd.Context(), h), done())
}

func suppressAdd(wf *workFlags) *cobra.Command {
	var x incidents.Suppression
	var span time.Duration
	cmd := &cobra.Command{
		Use: "add --reason TEXT --for 168h (--rule | --subject | --sha256 | --package | --path)", Short: "Hide what all of the given flags fit", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			x.Who, x.Expires = app.Me(), time.Now().Add(span)
			return wf.hider(cmd, func(ctx context.Context, h app.Hider) error {
				out, err := h.Suppress(ctx, x)
				if err != nil {
					return err
				}
				return printSuppression(cmd.OutOrStdout(), &out, wf.json)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.Rule, "rule", "", "rule, or a prefix that ends in a slash")
	f.StringVar(&x.Subject, "subject", "", "id of the subject, HOST:PORT of a flow, or id of a container")
	f.StringVar(&x.SHA256, "sha256", "", "hash of the executable or file")
	f.StringVar(&x.Package, "package", "", "package of the executable, as dpkg:openssl")
	f.StringVar(&x.Path, "path", "", "path of the executable or file, or a folder that ends in a slash")
	f.StringVar(&x.Reason, "reason", "", "why; needed")
	f.DurationVar(&span, "for", 7*24*time.Hour, "how long, at most a year")
	f.BoolVar(&x.EvenCritical, "even-critical", false, "hide critical findings, too")
	return cmd
}

func suppressList(wf *workFlags) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List what is hidden, how often it was, and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return wf.hider(cmd, func(ctx context.Context, h app.Hider) error {
				items, err := h.Suppressions(ctx)
				if err != nil {
					return err
				}
				ended := 0
				for i := range items {
					if !items[i].Ended.IsZero() && !all {
						ended++
						continue
					}
					if err := printSuppression(cmd.OutOrStdout(), &items[i], wf.json); err != nil {
						return err
					}
				}
				if ended > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d more have ended; --all lists them, too\n", ended)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that ended, too")
	return cmd
}

func suppressEnd(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "end ID", Short: "Hide no more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.hider(cmd, func(ctx context.Context, h app.Hider) error {
				out, err := h.Unsuppress(ctx, args[0], app.Me())
				if err != nil {
					return err
				}
				return printSuppression(cmd.OutOrStdout(), &out, wf.json)
			})
		},
	}
}

func printSuppression(w io.Writer, x *incidents.Suppression, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(x)
	}
	var about []string
	for _, p := range [...][2]string{{"rule", x.Rule}, {"subject", x.Subject}, {"sha256", x.SHA256}, {"package", x.Package}, {"path", x.Path}} {
		if p[1] != "" {
			about = append(about, p[0]+" "+terminal.Safe(p[1]))
		}
	}
	if x.EvenCritical {
		about = append(about, "even critical")
	}
	state := "until " + x.Expires.Local().Format(time.DateTime)
	if !x.Ended.IsZero() {
		state = fmt.Sprintf("ended %s: %s", x.Ended.Local().Format(time.DateTime), terminal.Safe(x.EndedBy))
	}
	spared := ""
	if x.Spared > 0 {
		spared = fmt.Sprintf(", %d critical ones shown all the same", x.Spared)
	}
	_, err := fmt.Fprintf(w, "%s  %s  hid %d%s  %s  %s (%s)\n", terminal.Safe(x.ID), state, x.Count, spared, strings.Join(about, ", "), terminal.Safe(x.Reason), terminal.Safe(x.Who))
	return err
}
