package app

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/incidents"
)

// suppressionsFile is its name in the data directory.
const suppressionsFile = "suppressions.json"

// flushEvery is how often what suppressions hid is written down: the counts of a killed agent are that old.
const flushEvery = 10 * time.Second

// A Hider changes and lists what is suppressed.
type Hider interface {
	Suppressions(ctx context.Context) ([]incidents.Suppression, error)
	Suppress(ctx context.Context, x incidents.Suppression) (incidents.Suppression, error)
	Unsuppress(ctx context.Context, id, who string) (incidents.Suppression, error)
}

// suppressDesk changes suppressions, with an entry in the audit trail before.
type suppressDesk struct {
	list  *incidents.Suppressions
	trail *trail
	log   *slog.Logger
}

var _ console.Suppressions = (*suppressDesk)(nil)

// loadSuppressions reads those of a data directory. Damaged ones are set aside and told: to show too much is no reason not to start.
func loadSuppressions(data string, log *slog.Logger) (*incidents.Suppressions, error) {
	list, err := incidents.LoadSuppressions(filepath.Join(data, suppressionsFile), time.Now)
	if err != nil && list != nil {
		log.Error("suppressions", "error", err)
		err = nil
	}
	return list, err
}

// Suppressions implements console.Suppressions.
func (d *suppressDesk) Suppressions() []incidents.Suppression { return d.list.All() }

// Suppress implements console.Suppressions.
func (d *suppressDesk) Suppress(ctx context.Context, x incidents.Suppression) (out incidents.Suppression, err error) {
	e := audittrail.Entry{Who: x.Who, What: "suppression.add", Target: selects(&x), Why: x.Reason, Detail: map[string]string{"expires": x.Expires.UTC().Format(time.RFC3339)}}
	if x.EvenCritical {
		e.Detail["even_critical"] = "true"
	}
	err = d.trail.changing(ctx, e, func() error {
		out, err = d.list.Add(x)
		return err
	})
	return out, err
}

// selects says what a suppression is about, for people.
func selects(x *incidents.Suppression) string {
	var parts []string
	for _, p := range [...][2]string{{"rule", x.Rule}, {"subject", x.Subject}, {"sha256", x.SHA256}, {"package", x.Package}, {"path", x.Path}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// Unsuppress implements console.Suppressions.
func (d *suppressDesk) Unsuppress(ctx context.Context, id, who string) (out incidents.Suppression, err error) {
	err = d.trail.changing(ctx, audittrail.Entry{Who: who, What: "suppression.end", Target: id}, func() error {
		out, err = d.list.Remove(id, who)
		return err
	})
	return out, err
}

// run writes counts down now and then, and at the end.
func (d *suppressDesk) run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		if err := d.list.Flush(); err != nil {
			d.log.Error("what was suppressed is not counted on disk", "error", err)
		}
	}
}

// offlineHider works on the file of an agent that is not running.
type offlineHider struct{ *suppressDesk }

func (o offlineHider) Suppressions(context.Context) ([]incidents.Suppression, error) {
	return o.suppressDesk.Suppressions(), nil
}

// OpenHider reaches the suppressions of the running agent, or of its data where none runs.
func OpenHider(cfg *config.Config, log *slog.Logger) (Hider, func() error, error) {
	if c := newClient(cfg.Data); c.alive() {
		return c, func() error { return nil }, nil
	}
	list, err := loadSuppressions(cfg.Data, log)
	if err != nil {
		return nil, nil, err
	}
	d := &suppressDesk{list: list, trail: &trail{dir: cfg.Data, log: log}, log: log}
	return offlineHider{d}, func() error { return errors.Join(list.Flush(), d.trail.Close()) }, nil
}

func (c *client) Suppressions(ctx context.Context) ([]incidents.Suppression, error) {
	var out struct{ Items []incidents.Suppression }
	err := c.get(ctx, "/suppressions", nil, &out)
	return out.Items, err
}

func (c *client) Suppress(ctx context.Context, x incidents.Suppression) (out incidents.Suppression, err error) {
	in := map[string]any{"reason": x.Reason, "expires": x.Expires, "even_critical": x.EvenCritical}
	for key, v := range map[string]string{"subject": x.Subject, "sha256": x.SHA256, "package": x.Package, "rule": x.Rule, "path": x.Path} {
		if v != "" {
			in[key] = v
		}
	}
	return out, c.post(ctx, "/suppressions", in, &out, x.Who)
}

func (c *client) Unsuppress(ctx context.Context, id, who string) (out incidents.Suppression, err error) {
	err = c.call(ctx, "DELETE", "/suppressions/"+escape(id), nil, nil, &out, who)
	return out, err
}
