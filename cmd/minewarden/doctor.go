package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newDoctor() *cobra.Command {
	var configFile, data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what can be seen on this machine, what cannot, and why",
		Long:  "doctor tries each way of seeing without leaving anything behind. When minewarden is running on the same --data, it also tells\nhow its sensors and detectors are and what they lost. The exit code is 1 when something cannot be seen. A sensor of logs that this\nmachine does not have is \"off\", which is no fault unless the configuration has a section for it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(configFile)
			if err != nil {
				return err
			}
			checks, err := app.Doctor(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			running, err := app.RunningHealth(cmd.Context(), cfg, dataDir(data, cfg))
			if err != nil {
				checks = append(checks, app.Check{Name: "running agent", OK: false, Detail: err.Error()})
			} else {
				checks = append(checks, running...)
			}
			return printChecks(cmd.OutOrStdout(), checks, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file")
	cmd.Flags().StringVar(&data, "data", "", "data directory of the running agent")
	return cmd
}

func printChecks(w io.Writer, checks []app.Check, asJSON bool) error {
	var result error
	for _, c := range checks {
		if !c.OK && !c.Warning {
			result = errFound
		}
		var err error
		if asJSON {
			err = terminal.JSON(w).Encode(c)
		} else {
			mark := "ok"
			switch {
			case c.Warning:
				mark = "off"
			case !c.OK:
				mark = "NO"
			}
			_, err = fmt.Fprintf(w, "%-3s %s", mark, terminal.Safe(c.Name))
			if c.Detail != "" {
				_, err = fmt.Fprintf(w, ": %s", terminal.Safe(c.Detail))
			}
			fmt.Fprintln(w)
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return result
}
