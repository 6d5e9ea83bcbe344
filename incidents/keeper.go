package incidents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	coalesce   = 200 * time.Millisecond // between writes: an incident that changes all the time is written once in it
	minBackoff = 200 * time.Millisecond
	maxBackoff = 5 * time.Second
	lastChance = 5 * time.Second // for what is unsaved when the agent ends
	saveWait   = 10 * time.Second
)

// A Keeper runs a Correlator beside a store. Its methods but Save never wait for the store: what could not be written stays in
// memory, is counted, and is tried again. It is safe for concurrent use.
type Keeper struct {
	store  minewarden.Store
	log    *slog.Logger
	notify func(minewarden.Incident)
	wake   chan struct{}
	hurry  chan struct{} // somebody waits in Save
	ended  chan struct{} // Run wrote for the last time

	mu      sync.Mutex // held for microseconds only
	c       *Correlator
	writing map[string]bool // taken from c, not yet written
	waits   map[string][]chan error
	err     error
	saved   uint64
}

// KeeperStats say whether all is saved.
type KeeperStats struct {
	Stats
	Incidents int    // in memory
	Unsaved   int    // changed, and not yet in the store
	Saved     uint64 // writes that succeeded
	Err       error  // of the last write, nil when it succeeded
}

// NewKeeper returns a Keeper without incidents: Load fills it. notify, which may be nil, is told of each incident that changed,
// once it is saved, or could not be, from one goroutine: a full disk is no reason not to act.
func NewKeeper(store minewarden.Store, c Config, log *slog.Logger, notify func(minewarden.Incident)) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if notify == nil {
		notify = func(minewarden.Incident) {}
	}
	return &Keeper{
		store: store, log: log, notify: notify, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		ended: make(chan struct{}), waits: map[string][]chan error{}, writing: map[string]bool{}, c: New(c),
	}
}

// What is in memory at the start: findings join by the processes and files of these at once. Older incidents are found by their
// id when a finding about their subject comes, and taken up from the store then.
const (
	loadOpen   = 1000
	loadClosed = 200
)

// Load takes up what the store has: the newest of what is not closed, and the newest of the rest.
func (k *Keeper) Load(ctx context.Context) error {
	for _, q := range []minewarden.Query{
		{States: []minewarden.State{minewarden.Open, minewarden.Contained}, Limit: loadOpen},
		{States: []minewarden.State{minewarden.Closed}, Limit: loadClosed},
	} {
		for inc, err := range k.store.Incidents(ctx, q) {
			if err != nil {
				return fmt.Errorf("load incidents: %w", err)
			}
			k.mu.Lock()
			k.c.Load(inc)
			k.mu.Unlock()
		}
	}
	return nil
}

// Finding joins f; it returns its incident's id, or "" when f was suppressed.
func (k *Keeper) Finding(f *minewarden.Finding) string {
	k.mu.Lock()
	id := k.c.Finding(f)
	k.mu.Unlock()
	k.poke()
	return id
}

// Event tells the Correlator of an event.
func (k *Keeper) Event(ev *minewarden.Event) {
	k.mu.Lock()
	k.c.Event(ev)
	dirty := len(k.c.dirty) > 0
	k.mu.Unlock()
	if dirty {
		k.poke()
	}
}

// Change calls f with the Correlator, for what people and responders do. f must not block.
func (k *Keeper) Change(f func(*Correlator) error) error {
	k.mu.Lock()
	err := f(k.c)
	k.mu.Unlock()
	k.poke()
	return err
}

// Save calls f as Change does and returns when the incident of that id is written, or why it is not: then it is kept in memory
// and tried again. Run must run.
func (k *Keeper) Save(ctx context.Context, id string, f func(*Correlator) error) error {
	saved := make(chan error, 1)
	k.mu.Lock()
	err := f(k.c)
	if _, changed := k.c.dirty[id]; !changed || err != nil {
		k.mu.Unlock()
		k.poke()
		return err
	}
	k.waits[id] = append(k.waits[id], saved)
	k.mu.Unlock()
	select {
	case k.hurry <- struct{}{}:
	default:
	}
	k.poke()
	late := time.NewTimer(saveWait)
	defer late.Stop()
	select {
	case err = <-saved:
	case <-k.ended:
		select {
		case err = <-saved:
		default:
			err = errors.New("the agent ends")
		}
	case <-late.C:
		err = errors.New("the store does not answer")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("incident %s is changed in memory, but not saved yet: %w", id, err)
	}
	return nil
}

// Get returns an incident as it is now, from memory or else from the store.
func (k *Keeper) Get(ctx context.Context, id string) (minewarden.Incident, error) {
	k.mu.Lock()
	inc, ok := k.c.Get(id)
	k.mu.Unlock()
	if ok {
		return inc, nil
	}
	return k.store.Get(ctx, id)
}

// Now returns an incident that is in memory, as it is now.
func (k *Keeper) Now(id string) (minewarden.Incident, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.c.Get(id)
}

// Of returns the id of the incident that a process belongs to, or "".
func (k *Keeper) Of(key minewarden.ProcessKey) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.c.procs[key]; s != nil {
		return s.inc.ID
	}
	return ""
}

// Bring takes an incident that left memory back from the store, so that Change finds it.
func (k *Keeper) Bring(ctx context.Context, id string) error {
	k.mu.Lock()
	_, ok := k.c.Get(id)
	k.mu.Unlock()
	if ok {
		return nil
	}
	inc, err := k.store.Get(ctx, id)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.c.Get(id); !ok {
		k.c.Load(inc)
	}
	return nil
}

// Stats returns the counts so far.
func (k *Keeper) Stats() KeeperStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeeperStats{Stats: k.c.Stats(), Incidents: k.c.Len(), Unsaved: k.unsaved(), Saved: k.saved, Err: k.err}
}

// unsaved counts what is changed and not written. The caller holds mu.
func (k *Keeper) unsaved() int {
	n := len(k.c.dirty)
	for id := range k.writing {
		if k.c.dirty[id] == nil { // else it changed once more meanwhile
			n++
		}
	}
	return n
}

// Unsaved returns the incidents that wait to be written since a write failed, as they are now; none while writes succeed.
func (k *Keeper) Unsaved() []minewarden.Incident {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		return nil
	}
	var out []minewarden.Incident
	for id := range k.c.dirty {
		if inc, ok := k.c.Get(id); ok {
			out = append(out, inc)
		}
	}
	for id := range k.writing {
		if inc, ok := k.c.Get(id); ok && k.c.dirty[id] == nil {
			out = append(out, inc)
		}
	}
	return out
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run writes what changes until ctx is done, then what is left, and returns an error if that could not be written.
func (k *Keeper) Run(ctx context.Context) error {
	defer close(k.ended)
	backoff := minBackoff
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
			defer cancel()
			for {
				err := k.flush(last)
				if n := k.Stats().Unsaved; err == nil && n == 0 {
					return nil
				} else if last.Err() != nil {
					return fmt.Errorf("%d incidents are not saved: %w", n, errors.Join(err, last.Err()))
				}
				if err != nil {
					pause(last, nil, minBackoff)
				}
			}
		case <-k.wake:
		}
		wait := coalesce
		if err := k.flush(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("incidents are not saved, kept in memory and tried again", "unsaved", k.Stats().Unsaved, "in", backoff, "err", err)
			wait, backoff = backoff, min(2*backoff, maxBackoff)
			k.poke()
		} else {
			backoff = minBackoff
		}
		pause(ctx, k.hurry, wait)
	}
}

func pause(ctx context.Context, hurry <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-hurry:
	case <-t.C:
	}
}

// flush writes all that changed, oldest first. After an error it goes on to tell of the rest, but writes no more.
func (k *Keeper) flush(ctx context.Context) error {
	k.mu.Lock()
	changed := k.c.Changed()
	for i := range changed {
		k.writing[changed[i].ID] = true
	}
	waits := k.waits
	k.waits = map[string][]chan error{}
	k.mu.Unlock()
	var failed error
	for _, inc := range changed {
		if failed == nil {
			inc, failed = k.put(ctx, inc)
		}
		k.mu.Lock()
		delete(k.writing, inc.ID)
		k.err = failed
		if failed != nil {
			k.c.again(inc.ID)
		} else {
			k.saved++
		}
		k.mu.Unlock()
		for _, saved := range waits[inc.ID] {
			saved <- failed
		}
		k.notify(inc)
	}
	return failed
}

// put writes inc. What the store has of it from before is not replaced but taken up.
func (k *Keeper) put(ctx context.Context, inc minewarden.Incident) (minewarden.Incident, error) {
	k.mu.Lock()
	fresh := k.c.Fresh(inc.ID)
	k.mu.Unlock()
	if fresh {
		old, err := k.store.Get(ctx, inc.ID)
		if err != nil && !errors.Is(err, minewarden.ErrNotFound) {
			return inc, err
		}
		k.mu.Lock()
		if err == nil {
			k.c.Load(old)
			inc, _ = k.c.Get(inc.ID)
		} else {
			k.c.Compared(inc.ID)
		}
		k.mu.Unlock()
	}
	return inc, k.store.Put(ctx, inc)
}

// again says that an incident is not saved after all.
func (c *Correlator) again(id string) {
	if s := c.all[id]; s != nil {
		c.touch(s)
	}
}
