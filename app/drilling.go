package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/drills"
)

// A drillDesk runs drills beside the agent's own sensors and detectors, one at a time, and tells the console how each went.
type drillDesk struct {
	makers *Makers
	trail  *trail
	feed   *console.Feed
	log    *slog.Logger
	seen   examiner

	mu      sync.Mutex
	running string
	last    map[string]console.DrillNews
	wg      sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context //nolint:containedctx // drills outlive the requests that begin them, and end with the agent
}

func newDrillDesk(ctx context.Context, makers *Makers, t *trail, feed *console.Feed) *drillDesk {
	d := &drillDesk{makers: makers, trail: t, feed: feed, log: makers.log, last: map[string]console.DrillNews{}}
	d.ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.seen.whole, d.seen.told = true, d.told
	return d
}

func (d *drillDesk) end() {
	d.stop()
	d.wg.Wait()
}

// finding is told of every finding of the agent.
func (d *drillDesk) finding(f *minewarden.Finding) { d.seen.live(*f) }

// List implements console.Drills.
func (d *drillDesk) List() []console.DrillDoc {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []console.DrillDoc
	for _, x := range drills.All() {
		doc := console.DrillDoc{Name: x.Name, Title: x.Title, Technique: append([]string{}, x.Technique...), Rules: append([]string{}, x.Rules...)}
		if n, ok := d.last[x.Name]; ok {
			doc.Last = &n
		}
		out = append(out, doc)
	}
	return out
}

// Run implements console.Drills.
func (d *drillDesk) Run(ctx context.Context, name, who string) error {
	for _, x := range drills.All() {
		if x.Name != name {
			continue
		}
		return d.trail.changing(ctx, audittrail.Entry{Who: who, What: "drill.run", Target: name}, func() error { return d.begin(x, who) })
	}
	return fmt.Errorf("drill %q: %w", name, minewarden.ErrNotFound)
}

// told says that the drill which runs was seen; it goes on, so that a person can act on it.
func (d *drillDesk) told(rule string, after time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if news, ok := d.last[d.running]; ok {
		news.Rule, news.After = rule, after.Seconds()
		d.last[d.running] = news
		d.feed.Publish("drill", news)
	}
}

func (d *drillDesk) begin(x drills.Drill, who string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return errors.New("the agent ends")
	}
	if d.running != "" {
		return fmt.Errorf("the drill %s runs: one at a time", d.running)
	}
	news := console.DrillNews{Drill: x.Name, State: "running", Who: who, Began: time.Now()}
	d.running, d.last[x.Name] = x.Name, news
	d.feed.Publish("drill", news)
	d.wg.Go(func() {
		res := drillOne(d.ctx, d.makers, x, &d.seen)
		d.seen.rest()
		news.State, news.Rule, news.After, news.Error = "missed", res.Rule, res.After.Seconds(), res.Error
		switch {
		case res.Seen:
			news.State = "seen"
		case res.Unsupported:
			news.State = "unsupported"
		case res.Error != "":
			news.State = "failed"
		}
		d.mu.Lock()
		d.running, d.last[x.Name] = "", news
		d.mu.Unlock()
		d.feed.Publish("drill", news)
	})
	return nil
}
