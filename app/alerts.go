package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/config"
)

// healthEvery is how often the agent's own state is looked at for alerts.
const healthEvery = 30 * time.Second

// alertConfig reads the section "alerts".
func alertConfig(cfg *config.Config) (alerts.Config, error) {
	c := alerts.DefaultConfig()
	if err := cfg.Part("alerts", &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// OpenAlerts opens the outputs of a configuration. Only one program at a time should run them.
func OpenAlerts(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*alerts.Dispatcher, error) {
	c, err := alertConfig(cfg)
	if err != nil {
		return nil, err
	}
	return alerts.New(ctx, c, filepath.Join(cfg.Data, "alerts"), version, log)
}

// catchUp offers what is not closed: what a killed agent had no time to tell is told now, and nothing twice.
func (a *Agent) catchUp(ctx context.Context) {
	for inc, err := range a.desk.Whole(ctx, minewarden.Query{States: []minewarden.State{minewarden.Open, minewarden.Contained}, Limit: 1000}) {
		if err != nil {
			a.log.Error("not all incidents could be read for alerts", "error", err)
			return
		}
		a.alerts.Offer(inc)
	}
}

// watchHealth tells when a sensor stops or loses events, and when incidents cannot be saved.
func (a *Agent) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	states, dropped := map[string]string{}, map[string]uint64{}
	unsaved := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			tell := func(severity minewarden.Severity, key, format string, args ...any) {
				a.alerts.Tell(alerts.Notice(alerts.Health, key+" "+now.Format(time.RFC3339), HostName(), fmt.Sprintf(format, args...), severity, now))
			}
			for _, s := range a.runner.Health().Sensors {
				if before, ok := states[s.Name]; ok && before != s.State {
					severity := minewarden.Medium
					if s.State == "running" {
						severity = minewarden.Informational
					}
					tell(severity, s.Name, "sensor %s is %s: %s", s.Name, s.State, s.Reason)
				}
				if n := s.Dropped - min(dropped[s.Name], s.Dropped); n > 0 {
					tell(minewarden.Medium, s.Name+" dropped", "%d events of sensor %s were dropped in %s: the pipeline was behind", n, s.Name, healthEvery)
				}
				states[s.Name], dropped[s.Name] = s.State, s.Dropped
			}
			if k := a.keeper.Stats(); (k.Err != nil) != unsaved {
				if unsaved = k.Err != nil; unsaved {
					tell(minewarden.High, "store", "%d incidents cannot be saved and are kept in memory: %v", k.Unsaved, k.Err)
				} else {
					tell(minewarden.Informational, "store", "incidents are saved again")
				}
			}
		}
	}
}

// RunningAlerts asks the running agent of a data directory how its outputs do; running is false where none runs.
func RunningAlerts(ctx context.Context, data string) (all []alerts.Status, running bool, err error) {
	c := newClient(data)
	if !c.alive() {
		return nil, false, nil
	}
	var out struct{ Items []alerts.Status }
	err = c.get(ctx, "/alerts", nil, &out)
	return out.Items, true, err
}
