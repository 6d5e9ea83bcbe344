package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/responders/evidence"
)

const (
	// maxBlast is how many processes the policy stops at once outside a container. A miner has a few; a plan that takes more
	// has most likely taken a service, a build or somebody's session along, and waits for a person.
	maxBlast = 24
	// offerQueue bounds the incidents that wait. One that does not fit is offered again with its next change.
	offerQueue = 1024
	// An incident that was not acted on at once is looked at again for a while: it may be cooling down after the action before.
	retryAfter = 2 * time.Second
	retryFor   = 2 * time.Minute
	coolDown   = 3 * time.Second // the receipt of an action is saved within it
)

// policy acts on incidents without asking, as configured. It runs on a goroutine of its own: an action takes up to a second.
type policy struct {
	decide responders.Policy
	desk   *Desk
	log    *slog.Logger
	queue  chan string // incident ids
	kills  chan kill
}

func newPolicy(respond config.Respond, desk *Desk, log *slog.Logger) *policy {
	return &policy{decide: responders.Policy{Mode: responders.Mode(respond), CoolDown: coolDown}, desk: desk, log: log, queue: make(chan string, offerQueue), kills: make(chan kill, killQueue)}
}

// offer never blocks.
func (p *policy) offer(inc minewarden.Incident) {
	if p == nil || p.decide.Mode == responders.Observe || inc.State != minewarden.Open || inc.Severity < minewarden.High {
		return
	}
	select {
	case p.queue <- inc.ID:
	default:
		p.log.Error("too many incidents at once for the policy", "incident", inc.ID)
	}
}

func (p *policy) run(ctx context.Context) {
	if p.decide.Mode == responders.Observe {
		return
	}
	var killing sync.WaitGroup
	killing.Go(func() { p.killAll(ctx) })
	defer killing.Wait()
	retry := time.NewTicker(retryAfter)
	defer retry.Stop()
	again := map[string]time.Time{} // incident → until when
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-p.queue:
			if !p.act(ctx, id) {
				again[id] = time.Now().Add(retryFor)
			}
		case <-retry.C:
			for id, until := range again {
				if p.act(ctx, id) || time.Now().After(until) {
					delete(again, id)
				}
			}
		}
	}
}

// act does what the policy decides about an incident; false: it is to be looked at again.
func (p *policy) act(ctx context.Context, id string) bool {
	inc, err := p.desk.Incident(ctx, id)
	if err != nil {
		p.log.Error("policy: incident is gone", "incident", id, "error", err)
		return true
	}
	d := p.decide.Decide(&inc, time.Now())
	if d.Held != "" {
		p.log.Error("the policy holds still", "because", d.Held)
		return false
	}
	if len(d.Ops) == 0 {
		return inc.State != minewarden.Open
	}
	for n, op := range d.Ops {
		if op == "kill" && n > 0 && p.handOver(id, d) { // what is frozen can wait for the evidence
			return true
		}
		again, err := p.do(ctx, &inc, op, d)
		if err != nil {
			p.log.Error("action failed", "incident", id, "op", op, "error", err)
		}
		if again || err != nil {
			return !again
		}
	}
	return true
}

// errLeft says that a plan is left to a person.
var errLeft = errors.New("the policy leaves this to a person: it would stop too many processes")

// do plans anew and does one operation; again: it could not, but may later.
func (p *policy) do(ctx context.Context, inc *minewarden.Incident, op string, d responders.Decision) (again bool, err error) {
	actions, err := p.desk.Plan(ctx, inc.ID)
	if err != nil {
		return true, fmt.Errorf("plan: %w", err)
	}
	i := slices.IndexFunc(actions, func(a minewarden.Action) bool { return a.Op == op && len(a.Blast) > 0 })
	if i < 0 {
		return false, nil // gone, or protected: the plan says which
	}
	a := actions[i]
	if op != evidence.Collect && len(a.Blast) > maxBlast && inc.Subject.Type != minewarden.SubjectContainer && !contained(inc) {
		return false, fmt.Errorf("%w: %d; see 'minewarden respond plan %s', do 'minewarden respond do %s %s --yes'", errLeft, len(a.Blast), inc.ID, inc.ID, op)
	}
	receipt, err := p.desk.Do(ctx, a, d.Who, d.Why)
	if err == nil && !receipt.OK && op == evidence.Collect {
		err = errors.New(receipt.Result)
	}
	return err != nil, err
}

// contained reports whether all grave members run in one container: what is stopped then is that container.
func contained(inc *minewarden.Incident) bool {
	in := ""
	for _, m := range inc.Members {
		if m.Severity < minewarden.High {
			continue
		}
		if m.Container.ID == "" || (in != "" && in != m.Container.ID) {
			return false
		}
		in = m.Container.ID
	}
	return in != ""
}
