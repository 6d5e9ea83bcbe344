package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newScan() *cobra.Command {
	var ff findingFlags
	var configFile string
	opt := app.ScanOptions{Root: "/", For: 10 * time.Second}
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Look once at this machine, or at a mounted disk",
		Long: "scan watches the running processes for a while, reads the places where intruders make themselves at home and where they drop\n" +
			"programs, and reports what it found, worst first. It changes nothing. With --root it looks at the files of a mounted disk or a\n" +
			"container image only.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := ff.printer(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if opt.For < 0 || opt.For > time.Hour {
				return fmt.Errorf("--for %s: use 0s to 1h", opt.For)
			}
			cfg, err := app.LoadConfig(configFile)
			if err != nil {
				return err
			}
			stop := tellTime(cmd.ErrOrStderr(), opt)
			res, err := app.Scan(cmd.Context(), cfg, newLog(cmd.ErrOrStderr(), slog.LevelWarn), opt)
			stop()
			if err != nil {
				return err
			}
			found := make([]ruledFinding, len(res.Findings))
			for i, f := range res.Findings {
				found[i] = ruledFinding{f, res.Rules.Get(f.Rule)}
			}
			worstFirst(found)
			for _, f := range found {
				p.print(f.Finding, f.rule)
			}
			tellScanned(cmd.ErrOrStderr(), p, res)
			if err := cmd.Context().Err(); err != nil {
				return fmt.Errorf("interrupted: what is above is not all: %w", err)
			}
			return p.result()
		},
	}
	ff.add(cmd)
	cmd.Flags().StringVar(&opt.Root, "root", opt.Root, "directory to look at instead of this machine")
	cmd.Flags().DurationVar(&opt.For, "for", opt.For, "how long to watch running processes")
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file")
	return cmd
}

// tellTime shows on a terminal that something is going on.
func tellTime(w io.Writer, opt app.ScanOptions) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !terminal.Is(f) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				fmt.Fprintf(f, "\rlooking at %s, %.0f s ", terminal.Safe(opt.Root), time.Since(start).Seconds())
			case <-done:
				fmt.Fprint(f, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// tellScanned says what was looked at, and above all what was not.
func tellScanned(w io.Writer, p *findingPrinter, res *app.Scanned) {
	fmt.Fprintf(w, "%s; %d files looked at", p.summary(), res.Walk.Files)
	for _, reason := range slices.Sorted(maps.Keys(res.Walk.Skipped)) {
		fmt.Fprintf(w, "; not looked at: %d, %s", res.Walk.Skipped[reason], terminal.Safe(reason))
	}
	fmt.Fprintln(w)
	for _, s := range res.Health.Sensors {
		if s.State == "unsupported" || (s.State == "waiting" && s.Reason != "") {
			fmt.Fprintf(w, "not looked: %s: %s\n", s.Name, terminal.Safe(s.Reason))
		}
	}
	if res.Health.Stats.Lost > 0 {
		fmt.Fprintf(w, "%d events were lost: the look was not complete\n", res.Health.Stats.Lost)
	}
}
