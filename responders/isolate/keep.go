package isolate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// What Receipt.UndoneBy says of an isolation that ended by itself.
const (
	byExpiry  = "expiry"
	bySilence = "the operator was not heard"
	byClosed  = "the incident was closed"
	byEnd     = "the agent ended"
	byRestart = "the agent was started again"
)

// keep has the isolation watched until it ends. The caller holds mu.
func (r *Responder) keep() {
	i := r.active
	if i.stop != nil {
		return
	}
	i.stop, i.done = make(chan struct{}), make(chan struct{})
	tick := min(max(r.config.Confirm/4, 500*time.Millisecond), 5*time.Second)
	if next := r.next() / 2; next < tick {
		tick = max(next, 100*time.Millisecond)
	}
	go func() {
		defer close(i.done)
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			r.check(i)
			select {
			case <-i.stop:
				return
			case <-t.C:
			}
		}
	}()
}

// next is how long until the first hold ends. The caller holds mu.
func (r *Responder) next() time.Duration {
	left := maxExpires
	for _, h := range r.active.holds {
		left = min(left, h.end-r.mono())
	}
	return max(left, 0)
}

// check ends what is over, asks whether the operator is there, and winds the dead-man switch up.
func (r *Responder) check(i *isolation) {
	probed := false
	if !i.blind {
		probed = probe(i.scope)
		r.ping(i.scope)
	}
	r.mu.Lock()
	if r.active != i {
		r.mu.Unlock()
		return
	}
	over, err := r.watch(i, probed)
	told := r.onRelease
	r.mu.Unlock()
	if err != nil {
		r.log.Error("the isolation could not be looked after", "error", err)
	}
	for _, receipt := range over {
		r.log.Warn("an isolation ended by itself", "action", receipt.Action.ID, "by", receipt.UndoneBy)
		if told != nil {
			told(receipt)
		}
	}
}

// watch is check under mu. It returns what ended.
func (r *Responder) watch(i *isolation, probed bool) ([]minewarden.Receipt, error) {
	now := r.mono()
	var over []minewarden.Receipt
	var errs []error
	end := func(id, by string) {
		receipt, err := r.let(id, by)
		if receipt != nil {
			over = append(over, *receipt)
		}
		errs = append(errs, err)
	}
	for _, id := range slices.Sorted(maps.Keys(i.holds)) {
		if now >= i.holds[id].end {
			end(id, byExpiry)
		}
	}
	if r.active != i {
		return over, errors.Join(errs...)
	}
	missing, err := r.missing(i)
	if err != nil {
		return over, errors.Join(append(errs, err)...)
	}
	if missing {
		r.log.Warn("somebody removed the rules of the isolation: they are made again")
		errs = append(errs, r.raise(i, r.timeout(r.latest(i)-now)))
		i.heard = 0
	}
	heard, _, err := r.nft.counts(i.tables[0])
	errs = append(errs, err)
	switch {
	case i.blind:
		i.confirmed, i.by = now, "nobody can be heard: the agent runs"
	case probed:
		i.confirmed, i.by = now, "a probe was answered"
	case heard > i.heard:
		i.confirmed, i.by = now, "packets from the operator"
	}
	i.heard = heard
	if now-i.confirmed > r.config.Confirm {
		for _, id := range slices.Sorted(maps.Keys(i.holds)) {
			end(id, bySilence)
		}
		return over, errors.Join(errs...)
	}
	// What was not confirmed is not wound up: the kernel opens when the time since the last sign is over.
	left := r.config.Confirm - (now - i.confirmed)
	if r.config.Survive {
		left = r.latest(i) - now
	}
	errs = append(errs, r.nft.refresh(i.tables, max(min(left, r.latest(i)-now), time.Millisecond)))
	return over, errors.Join(errs...)
}

// latest is when the last hold ends.
func (r *Responder) latest(i *isolation) time.Duration {
	var end time.Duration
	for _, h := range i.holds {
		end = max(end, h.end)
	}
	return end
}

func (r *Responder) missing(i *isolation) (bool, error) {
	have, err := r.nft.present()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(i.tables, func(t *tableSpec) bool { return !have[t.table.Family] }), nil
}

// Confirm says that the operator was there just now, as whoever serves him knows.
func (r *Responder) Confirm(by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active != nil {
		r.active.confirmed, r.active.by = r.mono(), by
	}
}

// Closed releases what an incident isolated, for it is over. The receipts are those of what ended.
func (r *Responder) Closed(ctx context.Context, incident string) ([]minewarden.Receipt, error) {
	if incident == "" {
		return nil, nil
	}
	r.mu.Lock()
	var over []minewarden.Receipt
	var errs []error
	if r.active != nil {
		for _, id := range slices.Sorted(maps.Keys(r.active.holds)) {
			if r.active == nil || r.active.holds[id].incident != incident {
				continue
			}
			receipt, err := r.let(id, byClosed)
			if receipt != nil {
				over = append(over, *receipt)
			}
			errs = append(errs, err)
		}
	}
	r.mu.Unlock()
	outside, err := r.outside.closed(ctx, incident)
	return append(over, outside...), errors.Join(append(errs, err)...)
}

// Close stops looking after the isolation. Without survive it ends with the agent; with it, it stays until it expires.
func (r *Responder) Close() error {
	r.outside.close()
	r.mu.Lock()
	i := r.active
	if i == nil {
		r.mu.Unlock()
		return nil
	}
	var errs []error
	if r.config.Survive {
		errs = append(errs, r.nft.refresh(i.tables, max(r.latest(i)-r.mono(), time.Millisecond)))
		close(i.stop)
		r.active = nil
	} else {
		for _, id := range slices.Sorted(maps.Keys(i.holds)) {
			_, err := r.let(id, byEnd)
			errs = append(errs, err)
		}
	}
	r.mu.Unlock()
	if i.done != nil {
		<-i.done
	}
	return errors.Join(errs...)
}

// A State is what holds now, for people.
type State struct {
	Isolated  bool      `json:"isolated"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"` // when the operator was last heard
	By        string    `json:"by,omitempty"`       // how
	Actions   []string  `json:"actions,omitempty"`
	Scope     *Scope    `json:"scope,omitempty"`
	Weak      []string  `json:"weak,omitempty"` // what the kernel did not take
	Dropped   uint64    `json:"dropped,omitempty"`
	// Controllers are the isolations outside of this host, each as a line.
	Controllers []string `json:"controllers,omitempty"`
}

// State returns what holds now.
func (r *Responder) State() (State, error) {
	s := State{Controllers: r.outside.state()}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.active
	if i == nil {
		return s, nil
	}
	s.Isolated, s.Since, s.By, s.Scope, s.Weak = true, i.since, i.by, i.scope, i.weak
	s.Confirmed = r.now().Add(i.confirmed - r.mono())
	for id, h := range i.holds {
		s.Actions = append(s.Actions, id)
		if h.until.After(s.Until) {
			s.Until = h.until
		}
	}
	slices.Sort(s.Actions)
	var errs []error
	for _, t := range i.tables {
		_, dropped, err := r.nft.counts(t)
		s.Dropped += dropped
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

const probeWait = time.Second

// probe asks those that are configured; one answer is enough, and a refusal is one.
func probe(s *Scope) bool {
	answers := make(chan bool, len(s.Probes))
	var all sync.WaitGroup
	for _, p := range s.Probes {
		all.Go(func() {
			c, err := net.DialTimeout("tcp", p.String(), probeWait)
			if err == nil {
				err = c.Close()
			}
			answers <- err == nil || errors.Is(err, unix.ECONNREFUSED)
		})
	}
	all.Wait()
	close(answers)
	for ok := range answers {
		if ok {
			return true
		}
	}
	return false
}

// Recover looks at what an agent left that was killed, and returns the receipts. What was half done is released. Without
// survive so is what stood; with it, it is held on. Call it before the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	outside, outsideErr := r.outside.recover(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	inside, err := r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		if r.outside.owns(id) {
			return nil, nil
		}
		return r.mend(id, lines)
	})
	receipts, errs := append(outside, inside...), []error{outsideErr, err}
	if ctx.Err() != nil {
		return receipts, errors.Join(errs...)
	}
	if r.active == nil {
		errs = append(errs, r.sweep())
	} else {
		r.keep()
	}
	return receipts, errors.Join(errs...)
}

// sweep removes what no action stands for. Where there is no nftables, or no right to look, there is nothing of ours.
func (r *Responder) sweep() error {
	err := r.nft.remove()
	if errors.Is(err, fs.ErrPermission) || errors.Is(explain(err), minewarden.ErrUnsupported) {
		r.log.Debug("nothing to look for in nftables", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove what an agent left: %w", err)
	}
	return nil
}
