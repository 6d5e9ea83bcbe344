// Package pipeline is the road from sensors to detectors: it puts events in order, adds to each the process that did it with
// its ancestry, hands it to the detectors that want its kind, and counts whatever is lost.
//
// One goroutine runs every detector, so that detectors need no locks and a recording replays to the same findings for ever.
// Replay drives the same code through Observe; a live host through Run.
package pipeline

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/minewarden/minewarden"
)

// maxPanics is how often a detector may panic before it is switched off: a bug in one must not blind the others.
const maxPanics = 3

// A Host knows facts about this machine that sensors leave to the pipeline. Its methods are called on the pipeline's
// goroutine and must not block.
type Host interface {
	Container(cgroup string) minewarden.Container
	CgroupPath(id uint64) string // "" where unknown
	// CgroupOf asks the process itself; "" where it ended.
	CgroupOf(key minewarden.ProcessKey) string
	// Owner returns the package of a file that runs, as "dpkg:openssl"; "" where none, or where path names another file by now.
	Owner(path string, file minewarden.Inode) string
}

// Options say what a Pipeline is made of. Every field may be left zero.
type Options struct {
	Log       *slog.Logger
	Boot      string // fills ProcessKey.Boot where a sensor left it empty
	HostName  string // fills Subject.Host
	Host      Host   // nil in replay: recordings already hold what it would add
	Detectors []minewarden.Detector
	// Match returns the indicators that values of the event meet.
	Match func(*minewarden.Event) []minewarden.Match
	// Country returns the country of an address, "" where it is not known. It must be quick.
	Country func(netip.Addr) string
	// Tap sees every event after it was enriched and before the detectors do. It must be quick and must not keep the event.
	Tap []func(*minewarden.Event)
	// Finding receives what the detectors claim, in order.
	Finding func(minewarden.Finding)
}

// A Pipeline is driven from one goroutine, by Run or by Observe.
type Pipeline struct {
	opt   Options
	tree  tree
	flows flows
	mods  []*module
	route [minewarden.NumKinds][]*module
	ticks []*module
	last  time.Time // of the newest event: time never runs backwards for detectors
	tick  time.Time
	shift time.Duration    // what detectors' time is ahead of the clock on the wall, which was set back
	ev    minewarden.Event // the one in hand: kept here so that it does not escape to the heap each time
	stats Stats
}

// Stats counts what passed.
type Stats struct {
	Events   uint64
	Findings uint64
	Lost     uint64 // told by sensors, or dropped at the queue
}

type module struct {
	det      minewarden.Detector
	ticker   minewarden.Ticker
	name     string
	panics   int
	findings uint64
	off      string // why it was switched off; "" while it runs
}

// New returns a pipeline of opt.
func New(opt Options) *Pipeline {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Finding == nil {
		opt.Finding = func(minewarden.Finding) {}
	}
	p := &Pipeline{opt: opt, tree: newTree(opt.Boot)}
	for _, d := range opt.Detectors {
		m := &module{det: d, name: d.Info().Name}
		p.mods = append(p.mods, m)
		for _, k := range d.Kinds() {
			p.route[k] = append(p.route[k], m)
		}
		if t, ok := d.(minewarden.Ticker); ok {
			m.ticker = t
			p.ticks = append(p.ticks, m)
		}
	}
	return p
}

// Observe takes one event through enrichment and all detectors that want it. The pipeline owns ev.Data from then on.
func (p *Pipeline) Observe(ev minewarden.Event) {
	if ev.Data == nil {
		return
	}
	wall := ev.Time
	if p.shift > 0 {
		if ev.Time = ev.Time.Add(p.shift); ev.Time.After(p.last.Add(setBack)) {
			ev.Time = p.last // it happened before the clock was set
		}
	}
	if ev.Time.Before(p.last) {
		ev.Time = p.last
	}
	if p.shift == 0 {
		wall = ev.Time
	}
	p.Advance(ev.Time)
	p.stats.Events++
	p.ev = ev
	p.enrich(&p.ev)
	steady := p.ev.Time
	p.ev.Time = wall
	if p.opt.Match != nil {
		p.ev.Matches = append(p.ev.Matches, p.opt.Match(&p.ev)...)
	}
	if p.opt.Country != nil {
		p.country(&p.ev)
	}
	for _, tap := range p.opt.Tap {
		tap(&p.ev)
	}
	p.ev.Time = steady
	mods := p.route[p.ev.Data.Kind()]
	for i := 0; i < len(mods); {
		i = p.observe(mods, i)
	}
	if lost, ok := p.ev.Data.(*minewarden.Lost); ok {
		p.stats.Lost += lost.N
	}
	p.tree.after(&p.ev)
}

// Advance tells the detectors that time passed, when a second or more did.
func (p *Pipeline) Advance(now time.Time) {
	if now.Before(p.last) {
		return
	}
	p.last = now
	if p.tick.IsZero() {
		p.tick = now
	}
	if now.Sub(p.tick) < time.Second {
		return
	}
	p.tick = now
	p.tree.expire(now)
	for _, m := range p.ticks {
		if m.off == "" {
			p.tickOne(m, now)
		}
	}
}

// setBack is by how much the clock on the wall must go back between two seconds to have been set; less is waited for.
const setBack = 5 * time.Second

// clockSet says that the clock on the wall was set, to now. Detectors' time goes on from where it was: if it stood still until the
// clock has caught up, nothing that counts over time would see anything. Findings are told in the time of the wall.
func (p *Pipeline) clockSet(now time.Time) { p.shift = max(0, p.last.Sub(now)) }

// flushFor is how much time Flush lets pass: longer than any rule waits.
const flushFor = 2 * time.Minute

// Flush ends a replay: time goes on without events, so that rules which wait for more can speak.
func (p *Pipeline) Flush() {
	end := p.last.Add(flushFor)
	for now := p.last.Add(time.Second); !now.After(end); now = now.Add(time.Second) {
		p.Advance(now)
	}
}

// observe runs mods from i on and returns the index to go on with: past the end, or past one that panicked.
func (p *Pipeline) observe(mods []*module, i int) (next int) {
	defer func() {
		if r := recover(); r != nil {
			p.panicked(mods[i], r)
			next = i + 1
		}
	}()
	for ; i < len(mods); i++ {
		if m := mods[i]; m.off == "" {
			for _, f := range m.det.Observe(&p.ev) {
				p.finding(m, f, p.ev.Process)
			}
		}
	}
	return i
}

func (p *Pipeline) tickOne(m *module, now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			p.panicked(m, r)
		}
	}()
	for _, f := range m.ticker.Tick(now) {
		p.finding(m, f, nil)
	}
}

func (p *Pipeline) panicked(m *module, r any) {
	m.panics++
	p.opt.Log.Error("detector panicked", "detector", m.name, "panic", r, "stack", string(debug.Stack()))
	if m.panics >= maxPanics {
		m.off = fmt.Sprintf("panicked %d times, last: %v", m.panics, r)
	}
}

func (p *Pipeline) finding(m *module, f minewarden.Finding, by *minewarden.Process) {
	if f.Time.IsZero() {
		f.Time = p.last
	}
	f.Time = f.Time.Add(-p.shift)
	if f.Process == nil {
		f.Process = by
	}
	if f.Subject.Host == "" {
		f.Subject.Host = p.opt.HostName
	}
	if p.opt.Country != nil && f.Subject.Type == minewarden.SubjectFlow {
		p.land(&f)
	}
	m.findings++
	p.stats.Findings++
	p.opt.Finding(f)
}

// Process returns the process of that key as the pipeline knows it, or nil. Call it on the pipeline's goroutine only.
func (p *Pipeline) Process(key minewarden.ProcessKey) *minewarden.Process { return p.tree.find(key) }

// Stats returns the counts so far. Call it on the goroutine that drives the pipeline.
func (p *Pipeline) Stats() Stats { return p.stats }
