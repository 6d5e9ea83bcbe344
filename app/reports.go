package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/posture/score"
	"github.com/minewarden/minewarden/reports"
)

// ReportEnv gathers what reports say beside the incidents: who we are, when the machine started, what audits found open.
func ReportEnv(cfg *config.Config, version string) (*reports.Env, error) {
	env := &reports.Env{Config: reports.DefaultConfig(), Version: version, Host: HostName(), Now: time.Now()}
	if err := cfg.Part("reports", &env.Config); err != nil {
		return nil, err
	}
	if err := env.Config.Validate(); err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	var err error
	if env.Boot, err = BootID(); err == nil {
		env.Booted, err = bootTime()
	}
	if err != nil {
		return nil, err
	}
	history, err := score.Load(cfg.Data)
	if err != nil && len(history) == 0 && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	latest, _ := score.Latest(history)
	for _, r := range latest {
		for _, it := range r.Items {
			if it.Status != minewarden.StatusFail && it.Status != minewarden.StatusPossible {
				continue
			}
			env.Weaknesses = append(env.Weaknesses, reports.Weakness{
				Rule: it.Rule, Title: it.Title, Severity: it.Severity, Target: r.Target, Where: it.Subject, Advice: it.Advice, Seen: r.Time,
			})
		}
	}
	return env, nil
}

// bootTime is when this machine started, to the second.
func bootTime() (time.Time, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of the start: %w", err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if text, ok := strings.CutPrefix(in.Text(), "btime "); ok {
			s, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return time.Time{}, fmt.Errorf("read the time of the start: %w", err)
			}
			return time.Unix(s, 0), nil
		}
	}
	return time.Time{}, errors.New("read the time of the start: /proc/stat has no btime")
}

// Incidents is where a report finds them: Work, or a Desk.
type Incidents interface {
	Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error)
}

// reportPage is how many incidents are in memory at once for the figures of a month.
const reportPage = 500

// MonthReport makes the figures of a month, which month begins.
func MonthReport(ctx context.Context, w Incidents, cfg *config.Config, env *reports.Env, month time.Time, suppressed uint64) (*reports.Month, error) {
	history, err := score.Load(cfg.Data)
	if err != nil && len(history) == 0 && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	all := func(yield func(minewarden.Incident, error) bool) {
		q := minewarden.Query{Since: month, Limit: reportPage} // what was opened in it was updated in it, or later
		for {
			page, err := w.Incidents(ctx, q)
			if err != nil {
				yield(minewarden.Incident{}, err)
				return
			}
			for _, inc := range page {
				if !yield(inc, nil) {
					return
				}
			}
			if len(page) < reportPage {
				return
			}
			q.After = page[len(page)-1].Cursor()
		}
	}
	return reports.NewMonth(month, month.AddDate(0, 1, 0), all, trend(history), suppressed, env)
}

// trend is the overall score after each day's last audit.
func trend(history []score.Record) []reports.Score {
	var out []reports.Score
	for i, r := range history {
		if r.Error != "" || (i+1 < len(history) && sameDay(history[i+1].Time, r.Time)) {
			continue
		}
		latest, _ := score.Latest(history[:i+1])
		if s, ok := score.Overall(latest); ok {
			out = append(out, reports.Score{Time: r.Time, Score: s})
		}
	}
	return out
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Format(time.DateOnly) == b.UTC().Format(time.DateOnly)
}
