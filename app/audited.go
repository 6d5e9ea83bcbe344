package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/posture/score"
	"github.com/minewarden/minewarden/responders/repair"
)

const (
	auditTime  = 5 * time.Minute
	checksFor  = 15 * time.Minute // how long the checks of an audit serve for repairs
	maxHistory = 366
	hostTarget = "host" // as records name this machine
)

// A postureDesk audits this host for the console.
type postureDesk struct {
	data string
	log  *slog.Logger
	desk *Desk
	feed *console.Feed

	mu      sync.Mutex
	running chan struct{} // nil: none runs
	checks  []minewarden.Check
	at      time.Time              // of checks
	cached  *console.PostureResult // of the history on the disk; nil: to be read
	wg      sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context //nolint:containedctx // audits outlive the requests that begin them, and end with the agent
}

func newPostureDesk(ctx context.Context, data string, log *slog.Logger, desk *Desk, feed *console.Feed) *postureDesk {
	p := &postureDesk{data: data, log: log, desk: desk, feed: feed}
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	return p
}

// end stops an audit that runs.
func (p *postureDesk) end() {
	p.stop()
	p.wg.Wait()
}

// Summary implements console.Posture.
func (p *postureDesk) Summary() (*console.PostureSummary, error) {
	r, err := p.last()
	if err != nil || r.At.IsZero() {
		return nil, err
	}
	return &r.PostureSummary, nil
}

// Last implements console.Posture.
func (p *postureDesk) Last(all bool) (console.PostureResult, error) {
	r, err := p.last()
	if err != nil {
		return console.PostureResult{}, err
	}
	out := *r
	p.mu.Lock()
	out.Running = p.running != nil
	p.mu.Unlock()
	if !all {
		out.Checks = slices.DeleteFunc(slices.Clone(out.Checks), func(c console.PostureCheck) bool {
			return c.Status == minewarden.StatusPass || c.Status == minewarden.StatusNotApplicable
		})
	}
	if out.Checks == nil {
		out.Checks = []console.PostureCheck{}
	}
	return out, nil
}

func (p *postureDesk) last() (*console.PostureResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cached != nil {
		return p.cached, nil
	}
	history, err := score.Load(p.data)
	if err != nil {
		return nil, err
	}
	p.cached = postureOf(history)
	return p.cached, nil
}

func postureOf(history []score.Record) *console.PostureResult {
	r := &console.PostureResult{Checks: []console.PostureCheck{}, Errors: []string{}, History: []console.PosturePoint{}}
	for i := range history { // the overall score after each audit
		if i+1 < len(history) && history[i+1].Time.Sub(history[i].Time) < time.Second {
			continue // of one audit of several targets
		}
		latest, _ := score.Latest(history[:i+1])
		if s, ok := score.Overall(latest); ok {
			r.History = append(r.History, console.PosturePoint{At: history[i].Time, Score: s})
		}
	}
	r.History = r.History[max(0, len(r.History)-maxHistory):]
	latest, _ := score.Latest(history)
	r.Score, r.Scored = score.Overall(latest)
	for _, rec := range latest {
		if rec.Time.After(r.At) {
			r.At = rec.Time
		}
		if rec.Error != "" {
			r.Errors = append(r.Errors, rec.Target+" ("+rec.Product+"): "+rec.Error)
		}
		for _, it := range rec.Items {
			failed := it.Status == minewarden.StatusFail || it.Status == minewarden.StatusPossible
			if failed {
				r.Failed++
			}
			r.Checks = append(r.Checks, console.PostureCheck{
				ID: it.Rule, Title: it.Title, Severity: it.Severity, Status: it.Status, Passed: it.Status == minewarden.StatusPass, Target: rec.Target, Product: rec.Product,
				Subject: it.Subject, Evidence: it.Proof, Why: it.Why, Advice: it.Advice, Repair: it.Repair, References: append([]string{}, it.References...),
				Fixable: failed && len(it.Files) > 0 && rec.Target == hostTarget,
			})
		}
	}
	rank := map[minewarden.Status]int{minewarden.StatusFail: 0, minewarden.StatusPossible: 0, minewarden.StatusUnknown: 1, minewarden.StatusPass: 2, minewarden.StatusNotApplicable: 3}
	slices.SortStableFunc(r.Checks, func(a, b console.PostureCheck) int {
		if d := rank[a.Status] - rank[b.Status]; d != 0 {
			return d
		}
		return int(b.Severity) - int(a.Severity)
	})
	return r
}

// Run implements console.Posture.
func (p *postureDesk) Run(ctx context.Context, who string) error {
	return p.desk.trail.changing(ctx, audittrail.Entry{Who: who, What: "posture.audit", Target: "host"}, func() error {
		_, err := p.begin()
		return err
	})
}

// begin starts an audit, and returns what is closed when it ended.
func (p *postureDesk) begin() (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running, nil
	}
	if err := p.ctx.Err(); err != nil {
		return nil, errors.New("the agent ends")
	}
	done := make(chan struct{})
	p.running = done
	p.wg.Go(func() {
		checks, records, err := p.audit()
		if err == nil {
			err = score.Append(p.data, records)
		}
		if err != nil {
			p.log.Error("the audit of this host is not kept", "error", err)
		}
		p.mu.Lock()
		p.running, p.cached, p.checks, p.at = nil, nil, checks, time.Now()
		p.mu.Unlock()
		close(done)
		if s, err := p.Summary(); err == nil && s != nil {
			p.feed.Publish("posture", *s)
		}
		debug.FreeOSMemory() // an audit reads much that is not needed again
	})
	return done, nil
}

// audit asks every auditor about this host, one after the other: it runs beside what it protects.
func (p *postureDesk) audit() ([]minewarden.Check, []score.Record, error) {
	ctx, cancel := context.WithTimeout(p.ctx, auditTime)
	defer cancel()
	var checks []minewarden.Check
	var records []score.Record
	target := minewarden.Target{Kind: minewarden.TargetHost, Name: hostTarget, Root: os.DirFS("/")}
	for _, n := range audits.All() {
		a, err := n.New(minewarden.Env{Now: time.Now, Root: target.Root, Log: p.log.With("audit", n.Name)})
		if err != nil {
			return nil, nil, fmt.Errorf("audit %s: %w", n.Name, err)
		}
		v, err := a.Audit(ctx, target)
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("audit %s: %w", n.Name, ctx.Err())
		}
		switch now := time.Now().UTC(); {
		case err != nil:
			records = append(records, score.Failed(target.Name, n.Name, err, now))
		case v.Applies:
			records = append(records, score.Of(target.Name, v, a.Rules(), now))
			for _, c := range v.Checks {
				if c.Finding != nil && c.Repair != nil {
					checks = append(checks, c)
				}
			}
		}
	}
	repairable(records, repair.Actions("/", checks, false, time.Now()))
	return checks, records, nil
}

// repairable takes the files out of what records say that no repair could be planned for.
func repairable(records []score.Record, planned []repair.File) {
	able := map[string]bool{}
	for _, f := range planned {
		able[f.Path] = f.Err == nil && f.Diff != ""
	}
	for _, r := range records {
		for i := range r.Items {
			if slices.ContainsFunc(r.Items[i].Files, func(path string) bool { return !able[path] }) {
				r.Items[i].Files = nil
			}
		}
	}
}

// Repairs implements console.Posture. Where the last audit is not recent it audits first.
func (p *postureDesk) Repairs(ctx context.Context) ([]console.PostureRepair, error) {
	files, err := p.plan(ctx)
	if err != nil {
		return nil, err
	}
	var out []console.PostureRepair
	for _, f := range files {
		r := console.PostureRepair{ID: "repair " + f.Path, Path: f.Path, Rules: append([]string{}, f.Rules...), Diff: f.Diff, Summary: f.Action.Summary}
		if f.Err != nil {
			r.Error = f.Err.Error()
		} else if f.Diff == "" {
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func (p *postureDesk) plan(ctx context.Context) ([]repair.File, error) {
	p.mu.Lock()
	recent := p.running == nil && time.Since(p.at) < checksFor
	p.mu.Unlock()
	if !recent {
		done, err := p.begin()
		if err != nil {
			return nil, err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return repair.Actions("/", p.checks, false, time.Now()), nil
}

// Repair implements console.Posture: it plans anew, so that what is done is what is there now.
func (p *postureDesk) Repair(ctx context.Context, id, who, why string) (minewarden.Receipt, error) {
	files, err := p.plan(ctx)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	for _, f := range files {
		if "repair "+f.Path != id {
			continue
		}
		if f.Err != nil {
			return minewarden.Receipt{}, f.Err
		}
		r, err := p.desk.Do(ctx, f.Action, who, why)
		p.mu.Lock()
		p.at = time.Time{} // the checks say what was before
		p.mu.Unlock()
		return r, err
	}
	return minewarden.Receipt{}, fmt.Errorf("repair %q: %w", id, minewarden.ErrNotFound)
}
