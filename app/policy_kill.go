package app

import (
	"context"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/responders/evidence"
)

const (
	// killQueue bounds what is frozen and waits to be killed. What does not fit is killed at once, without evidence.
	killQueue = 64
	// collectFor bounds the collection before a kill. What was not collected by then is lost: what mines ends all the same.
	collectFor = time.Minute
)

// kill is an incident that is frozen and to be killed.
type kill struct {
	incident string
	decision responders.Decision
	since    time.Time
}

// handOver leaves collecting and killing to a goroutine of their own: meanwhile others can be frozen. False: there is nobody to
// collect, or too much waits.
func (p *policy) handOver(id string, d responders.Decision) bool {
	if !slices.ContainsFunc(p.desk.responders, func(r minewarden.Responder) bool { return r.Info().Name == evidence.Name }) {
		return false
	}
	select {
	case p.kills <- kill{id, d, time.Now()}:
		return true
	default:
		p.log.Error("too many wait to be killed: this one is, without evidence", "incident", id)
		return false
	}
}

// killAll collects the evidence of what is frozen, then kills it, until ctx is done; what still waits then is killed.
func (p *policy) killAll(ctx context.Context) {
	for {
		select {
		case k := <-p.kills:
			p.finish(ctx, k)
			continue
		case <-ctx.Done():
		}
		select {
		case k := <-p.kills:
			p.finish(ctx, k)
		default:
			return
		}
	}
}

// finish collects, then kills, whatever became of the collection; but not what a person let go on meanwhile.
func (p *policy) finish(ctx context.Context, k kill) {
	inc, err := p.desk.Incident(ctx, k.incident)
	if err == nil {
		collecting, cancel := context.WithTimeout(ctx, collectFor)
		_, err = p.do(collecting, &inc, evidence.Collect, k.decision)
		cancel()
	}
	if err != nil {
		p.log.Error("no evidence, or not all of it, was collected before the kill", "incident", k.incident, "error", err)
	}
	ctx = context.WithoutCancel(ctx) // an agent that is told to end ends this first: it takes seconds
	if inc, err = p.desk.Incident(ctx, k.incident); err != nil {
		p.log.Error("policy: incident is gone", "incident", k.incident, "error", err)
		return
	}
	if inc.State == minewarden.Closed || slices.ContainsFunc(inc.Actions, func(r minewarden.Receipt) bool { return r.Undone.After(k.since) }) {
		p.log.Warn("not killed: somebody let it go on while evidence was collected", "incident", k.incident)
		return
	}
	if _, err := p.do(ctx, &inc, "kill", k.decision); err != nil {
		p.log.Error("action failed", "incident", k.incident, "op", "kill", "error", err)
	}
}
