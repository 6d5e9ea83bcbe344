package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newUp() *cobra.Command {
	var configFile, data, respond, listen string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Protect this machine until interrupted",
		Long: "up watches this machine and keeps an incident for each attack it sees. It prints each finding of medium or more, and each action,\n" +
			"once. What it does without asking: --respond observe (the default) nothing; contain freezes the processes of an incident that is\n" +
			"high or critical and at least 90 % sure; kill freezes and then kills them.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := app.LoadConfig(configFile)
			if err != nil {
				return err
			}
			if respond != "" {
				if cfg.Respond, err = config.ParseRespond(respond); err != nil {
					return fmt.Errorf("--respond: %w", err)
				}
			}
			if listen != "" {
				cfg.Listen = listen
				if err := cfg.Validate(); err != nil {
					return fmt.Errorf("--listen: %w", err)
				}
			}
			cfg.Data, cfg.Version = dataDir(data, cfg), version
			app.Frugal()
			out, errOut := cmd.OutOrStdout(), cmd.ErrOrStderr()
			a, err := app.NewAgent(cmd.Context(), cfg, newLog(errOut, slog.LevelInfo), app.Notice{
				Ready: func(sensors []string) {
					fmt.Fprintf(errOut, "watching with %s; policy: %s; data: %s\n", strings.Join(sensors, ", "), cfg.Respond, terminal.Safe(cfg.Data))
				},
				Finding: func(f minewarden.Finding, r minewarden.Rule) { tellFinding(out, f, r, asJSON) },
				Console: func(page string, login bool, fingerprint string) { tellConsole(errOut, page, login, fingerprint) },
				Action:  func(inc minewarden.Incident, r minewarden.Receipt) { tellAction(errOut, inc, r) },
			})
			if err != nil {
				if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
					return nil // told to end while it began: no failure, or systemd would start it again
				}
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file")
	cmd.Flags().StringVar(&data, "data", "", "directory of everything that is kept (default /var/lib/minewarden, or in the home where not root)")
	cmd.Flags().StringVar(&respond, "respond", "", "what is done without asking: observe, contain or kill (default observe)")
	cmd.Flags().StringVar(&listen, "listen", "", "address of the console, or off (default 127.0.0.1:7443)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print every finding as one JSON object a line")
	return cmd
}

func tellConsole(w io.Writer, page string, login bool, fingerprint string) {
	fmt.Fprintf(w, "console: %s\n", page)
	if login {
		fmt.Fprintln(w, "  open it within 15 minutes: it lets in once, as the first admin")
	}
	fmt.Fprintf(w, "  its certificate has the SHA-256 fingerprint %s\n", fingerprint)
}

// dataDir chooses the flag, else what the configuration says, else a place that this user may write.
func dataDir(flag string, cfg *config.Config) string {
	if flag != "" {
		return flag
	}
	if cfg.Data != config.Default().Data || os.Geteuid() == 0 {
		return cfg.Data
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "minewarden")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "minewarden")
	}
	return cfg.Data
}

func tellFinding(w io.Writer, f minewarden.Finding, r minewarden.Rule, asJSON bool) {
	if !asJSON {
		if r.Severity >= minewarden.Medium {
			fmt.Fprintf(w, "%s %s", f.Time.Format("15:04:05"), findingText(f, r))
		}
		return
	}
	line, err := minewarden.MarshalFinding(f, r)
	if err != nil {
		fmt.Fprintln(os.Stderr, "minewarden: print finding:", err)
		return
	}
	fmt.Fprintf(w, "%s\n", terminal.SafeJSON(line))
}

func tellAction(w io.Writer, inc minewarden.Incident, r minewarden.Receipt) {
	what := "done"
	switch {
	case !r.Undone.IsZero():
		what = "taken back by " + r.UndoneBy
	case !r.OK:
		what = "FAILED"
	}
	fmt.Fprintf(w, "%s: %s: %s (%s, because: %s); incident %s is %s", what, terminal.Safe(r.Action.Summary), terminal.Safe(r.Result),
		terminal.Safe(r.Who), terminal.Safe(r.Why), inc.ID, inc.State)
	if r.OK && r.Action.Reversible && r.Undone.IsZero() {
		fmt.Fprintf(w, "; take it back with: minewarden incidents undo %s", inc.ID)
	}
	fmt.Fprintln(w)
}
