package account

import (
	"fmt"
	"sync"
	"time"

	"github.com/minewarden/minewarden/console/access"
)

// A Locked is the error for somebody who is to wait. It is the same for names that no account has.
type Locked struct{ Wait time.Duration }

func (l *Locked) Error() string {
	return fmt.Sprintf("too many attempts: try again in %s", (l.Wait + time.Second - 1).Truncate(time.Second))
}

// Unwrap tells the API that it is about too many attempts.
func (l *Locked) Unwrap() error { return access.ErrTooMany }

// A lane is what attempts are counted by. After free failures each further one doubles the wait, from a second to most.
type lane struct {
	kind string
	free int
	most time.Duration
}

// Passwords for a name from browsers that never logged in to it wait a minute at most, whatever a crowd of addresses does, and a
// browser that did has a lane of its own. So nobody can lock somebody else out for good.
var (
	byAddress = lane{"address ", 20, 15 * time.Minute}
	byName    = lane{"name ", 8, time.Minute}
	byDevice  = lane{"device ", 8, 15 * time.Minute}
)

const (
	maxLanes = 10000
	forgets  = time.Hour // without an attempt
)

type tries struct {
	failed int
	until  time.Time
	last   time.Time
}

// lockouts count failures, in memory: a restart forgets them, and who can restart the agent needs no password.
type lockouts struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*tries
}

// An attempt is charged when it begins, so that many at once are counted as many.
type attempt struct {
	lane lane
	key  string
}

func (a attempt) id() string { return a.lane.kind + a.key }

// begin charges the attempts, or says how long to wait. Attempts during the wait do not make it longer. It also returns how many
// failed before.
func (l *lockouts) begin(attempts ...attempt) (failed int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var wait time.Duration
	for _, a := range attempts {
		if t := l.all[a.id()]; t != nil {
			if now.Sub(t.last) > forgets {
				delete(l.all, a.id())
				continue
			}
			wait = max(wait, t.until.Sub(now))
		}
	}
	if wait > 0 {
		return 0, &Locked{Wait: wait}
	}
	for _, a := range attempts {
		t := l.all[a.id()]
		if t == nil {
			l.makeRoom(now)
			t = &tries{}
			l.all[a.id()] = t
		}
		failed = max(failed, t.failed)
		t.failed++
		t.last = now
		if over := t.failed - a.lane.free; over >= 0 {
			t.until = now.Add(min(a.lane.most, time.Second<<min(over, 20)))
		}
	}
	return failed, nil
}

// succeeded takes the charge back. The failures of an address stay: its owner may have an account, and guess at others.
func (l *lockouts) succeeded(attempts ...attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range attempts {
		t := l.all[a.id()]
		if t == nil {
			continue
		}
		if a.lane.kind != byAddress.kind {
			delete(l.all, a.id())
			continue
		}
		t.failed--
		t.until = time.Time{}
	}
}

// undo takes back an attempt that was not made.
func (l *lockouts) undo(attempts ...attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range attempts {
		if t := l.all[a.id()]; t != nil {
			t.failed--
			t.until = time.Time{}
		}
	}
}

// forget unlocks a name; other lanes unlock by themselves.
func (l *lockouts) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, attempt{byName, name}.id())
}

// until returns when a name is unlocked; the zero time when it is.
func (l *lockouts) until(name string) *time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.all[attempt{byName, name}.id()]; t != nil && t.until.After(l.now()) {
		at := t.until.UTC()
		return &at
	}
	return nil
}

// makeRoom drops what is forgotten, else what failed least: whoever fills the table with names of their own invention pushes
// those out, not the one that they are guessing at.
func (l *lockouts) makeRoom(now time.Time) {
	if l.all == nil {
		l.all = map[string]*tries{}
	}
	if len(l.all) < maxLanes {
		return
	}
	least, fewest := "", 0
	for id, t := range l.all {
		if now.Sub(t.last) > forgets {
			delete(l.all, id)
			continue
		}
		if least == "" || t.failed < fewest {
			least, fewest = id, t.failed
		}
	}
	if len(l.all) >= maxLanes {
		delete(l.all, least)
	}
}

// A limiter bounds how often something is asked, by key: so many a second, and a burst.
type limiter struct {
	now func() time.Time
	mu  sync.Mutex
	due map[string]time.Time // when the bucket of a key is full again
}

const maxRates = 10000

func (l *limiter) allow(key string, perSecond, burst int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	due := l.due[key]
	if due.Before(now) {
		due = now
	}
	each := time.Second / time.Duration(perSecond)
	next := due.Add(each)
	if wait := next.Sub(now) - time.Duration(burst)*each; wait > 0 {
		return &Locked{Wait: wait}
	}
	if _, known := l.due[key]; !known && len(l.due) >= maxRates {
		for k, d := range l.due {
			if d.Before(now) || len(l.due) >= maxRates {
				delete(l.due, k)
			}
		}
	}
	if l.due == nil {
		l.due = map[string]time.Time{}
	}
	l.due[key] = next
	return nil
}
