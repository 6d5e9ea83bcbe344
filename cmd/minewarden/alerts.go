package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newAlerts() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "alerts", Short: "See and try who is told of incidents", Args: cobra.NoArgs,
		Long: "Whom to tell is in the section \"alerts\" of the configuration: chats, mail, syslog, SNMP, files. What could not be told yet waits in the\ndata directory and is tried again.",
	}
	wf.add(cmd)
	cmd.AddCommand(alertsStatus(&wf), alertsTest(&wf))
	return cmd
}

// dispatcher opens the outputs; it may stand beside a running agent, which does the sending.
func (wf *workFlags) dispatcher(cmd *cobra.Command) (*alerts.Dispatcher, error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return nil, err
	}
	cfg.Data = dataDir(wf.data, cfg)
	return app.OpenAlerts(cmd.Context(), cfg, version, newLog(cmd.ErrOrStderr(), slog.LevelWarn))
}

func alertsStatus(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say for each output what waits and what was sent", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := app.LoadConfig(wf.config)
			if err != nil {
				return err
			}
			cfg.Data = dataDir(wf.data, cfg)
			all, running, err := app.RunningAlerts(cmd.Context(), cfg.Data)
			if !running {
				var d *alerts.Dispatcher
				if d, err = wf.dispatcher(cmd); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, d.Close()) }()
				all, err = d.Status(cmd.Context())
			}
			if err != nil {
				return err
			}
			for _, s := range all {
				if wf.json {
					if err := terminal.JSON(cmd.OutOrStdout()).Encode(s); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-16s %-9s waiting %d, sent %d, refused %d, expired %d, lost %d\n", terminal.Safe(s.Name), s.Type, s.Waiting, s.Sent, s.Refused, s.Expired, s.Lost)
				if s.Error != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "  since %s: %s\n", s.Since.Local().Format(time.DateTime), terminal.Safe(s.Error))
				}
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "nobody is told: the configuration has no alerts: outputs:")
			}
			return nil
		},
	}
}

func alertsTest(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "test OUTPUT…", Short: "Send a test to outputs now", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			d, err := wf.dispatcher(cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			for _, name := range args {
				if err := d.Try(cmd.Context(), name, app.HostName()); err != nil {
					return fmt.Errorf("output %s: %w", name, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s took it\n", terminal.Safe(name))
			}
			return nil
		},
	}
}
