package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/drills"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newDrill() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drill", Short: "Emulate attacks harmlessly and say whether they are seen", Args: cobra.NoArgs,
		Long: "A drill does what an attacker would, without harm: on loopback, in a directory of its own, for at most 30 seconds, and cleaned up\n" +
			"even when it is interrupted. It runs beside sensors and detectors of its own, so no agent needs to run; one that does sees it too.",
	}
	cmd.AddCommand(drillList(), drillRun(), drillRecord())
	return cmd
}

func drillList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the drills", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, d := range drills.All() {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-16s %s (%s)\n", d.Name, d.Title, strings.Join(d.Technique, ", ")); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func drillRun() *cobra.Command {
	var all, asJSON bool
	var configFile string
	cmd := &cobra.Command{
		Use: "run NAME… | --all", Short: "Run drills; the exit code is 1 when one was missed",
		RunE: func(cmd *cobra.Command, names []string) error {
			list, err := choose(names, all)
			if err != nil {
				return err
			}
			cfg, err := app.LoadConfig(configFile)
			if err != nil {
				return err
			}
			missed, failed := 0, 0
			err = app.Drill(cmd.Context(), cfg, newLog(cmd.ErrOrStderr(), slog.LevelWarn), list, func(d app.Drilled) {
				switch {
				case d.Unsupported:
				case d.Error != "":
					failed++
				case !d.Seen:
					missed++
				}
				printDrilled(cmd.OutOrStdout(), d, asJSON)
			})
			switch {
			case err != nil:
				return err
			case failed > 0:
				return fmt.Errorf("%d of %d drills could not run", failed, len(list))
			case missed > 0:
				return errFound
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "run every drill")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file")
	return cmd
}

func choose(names []string, all bool) ([]drills.Drill, error) {
	if all != (len(names) == 0) {
		return nil, fmt.Errorf("name the drills, or give --all; 'minewarden drill list' shows them")
	}
	if all {
		return drills.All(), nil
	}
	var list []drills.Drill
	for _, name := range names {
		found := false
		for _, d := range drills.All() {
			if d.Name == name {
				list, found = append(list, d), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no drill %q; 'minewarden drill list' shows them", name)
		}
	}
	return list, nil
}

func printDrilled(w io.Writer, d app.Drilled, asJSON bool) {
	if asJSON {
		if err := terminal.JSON(w).Encode(d); err == nil {
			return
		}
	}
	switch {
	case d.Seen:
		fmt.Fprintf(w, "seen    %-16s by %s after %s\n", d.Drill, d.Rule, d.After.Round(10*time.Millisecond))
	case d.Unsupported:
		fmt.Fprintf(w, "skipped %-16s %s\n", d.Drill, terminal.Safe(d.Error))
	case d.Error != "":
		fmt.Fprintf(w, "failed  %-16s %s\n", d.Drill, terminal.Safe(d.Error))
	default:
		fmt.Fprintf(w, "MISSED  %-16s %s\n", d.Drill, terminal.Safe(d.Title))
	}
}
