package pipeline

import (
	"time"

	"github.com/minewarden/minewarden"
)

const (
	// earlyFor is how long a write waits for its writer: the sensor of processes reads what the kernel told it every 100 ms.
	earlyFor = 300 * time.Millisecond
	// maxEarly bounds the writes that wait; one more lets the oldest go on with what is known.
	maxEarly = 1024
)

// early holds writes that were told of before the process that wrote, in order. Who wrote decides what a write means.
type early struct {
	items []item
	until []time.Time
	timer *time.Timer // runs while there are items
}

func newEarly() *early {
	e := &early{timer: time.NewTimer(time.Hour)}
	e.timer.Stop()
	return e
}

// early reports whether ev is a write by a process that nothing is known of yet.
func (p *Pipeline) early(ev *minewarden.Event) bool {
	if ev.Process == nil || ev.Process.Key.PID <= 0 || ev.Process.Name != "" || ev.Process.Exe != "" {
		return false
	}
	if !written(ev) {
		return false
	}
	key := ev.Process.Key
	if key.Boot == "" {
		key.Boot = p.opt.Boot
	}
	who := p.tree.find(key)
	return who == nil || who.Name == "" && who.Exe == ""
}

// written reports whether ev tells of a file that somebody wrote.
func written(ev *minewarden.Event) bool {
	switch ev.Data.(type) {
	case *minewarden.Write, *minewarden.File:
		return true
	}
	return false
}

// hold takes an event that must wait, or that comes after one that does, and returns one that must go on in its stead, if any.
func (e *early) hold(it item, now time.Time) (item, bool) {
	if len(e.items) == 0 {
		e.timer.Reset(earlyFor)
	}
	e.items, e.until = append(e.items, it), append(e.until, now.Add(earlyFor))
	if len(e.items) <= maxEarly {
		return item{}, false
	}
	return e.pop(), true
}

func (e *early) pop() item {
	it := e.items[0]
	e.items, e.until = e.items[1:], e.until[1:]
	if len(e.items) == 0 {
		e.items, e.until = nil, nil
		e.timer.Stop()
	}
	return it
}

// release lets those go on whose writer is known now, or that waited long enough; with all, every one.
func (r *Runner) release(now time.Time, all bool) {
	e := r.early
	for len(e.items) > 0 && (all || !now.Before(e.until[0]) || !r.pipe.early(&e.items[0].ev)) {
		r.pipe.Observe(e.pop().ev)
	}
	if len(e.items) > 0 && !all {
		e.timer.Reset(max(e.until[0].Sub(now), time.Millisecond))
	}
}
