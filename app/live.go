package app

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/pipeline"
)

// The bounds of what is remembered for the console.
const (
	liveProcesses   = 512
	liveConnections = 1024
	liveNames       = 1024 // addresses that a DNS answer named
	liveBusy        = 120  // looks at the whole host
	liveTuned       = 8
	liveStale       = time.Minute // a process that used no processor for so long is idle
)

// A live remembers what the sensors last said of processes and connections. It sees every event, on the pipeline's goroutine, and
// does no more there than to note it.
type live struct {
	keeper *incidents.Keeper
	runner *pipeline.Runner
	since  time.Time
	name   string
	cpus   int

	mu    sync.Mutex
	procs map[minewarden.ProcessKey]*seenProcess
	conns map[minewarden.FlowKey]*seenConn
	names map[string]string // address to the name that was asked for
	busy  []float64
}

type seenProcess struct {
	p     *minewarden.Process
	seen  time.Time
	usage minewarden.Usage
	cpu   time.Duration // in all
	work  *console.WorkEvidence
}

type seenConn struct {
	key     minewarden.FlowKey
	p       *minewarden.Process
	first   time.Time
	last    time.Time
	result  string
	app     string
	out, in uint64
	matches []string
}

func newLive(keeper *incidents.Keeper) *live {
	return &live{
		keeper: keeper, since: time.Now(), name: HostName(), cpus: runtime.NumCPU(), procs: map[minewarden.ProcessKey]*seenProcess{},
		conns: map[minewarden.FlowKey]*seenConn{}, names: map[string]string{},
	}
}

// observe is a tap of the pipeline.
func (l *live) observe(ev *minewarden.Event) {
	switch d := ev.Data.(type) {
	case *minewarden.HostUsage:
		l.host(d)
	case *minewarden.Usage, *minewarden.Rounding, *minewarden.Sample, *minewarden.Memory, *minewarden.Protect, *minewarden.Tune, *minewarden.Exit:
		if ev.Process != nil {
			l.process(ev)
		}
	case *minewarden.Connect:
		k := minewarden.FlowKey{Proto: d.Proto, Client: d.Local, Server: d.Remote}
		l.conn(k, ev, func(c *seenConn) {
			if d.Result != "" {
				c.result = d.Result
			}
		})
	case *minewarden.Flow:
		l.conn(d.Key, ev, func(c *seenConn) {
			c.out, c.in = d.ClientBytes, d.ServerBytes
			if d.App != "" {
				c.app = d.App
			}
		})
	case *minewarden.DNS:
		if d.Response {
			l.dns(d)
		}
	}
}

func (l *live) host(u *minewarden.HostUsage) {
	if u.Interval <= 0 || u.CPUs <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cpus = u.CPUs
	if len(l.busy) == liveBusy {
		l.busy = slices.Delete(l.busy, 0, 1)
	}
	l.busy = append(l.busy, min(1, float64(u.Busy)/float64(u.Interval)/float64(u.CPUs)))
}

func (l *live) process(ev *minewarden.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := ev.Process.Key
	s := l.procs[key]
	if _, gone := ev.Data.(*minewarden.Exit); gone {
		delete(l.procs, key)
		return
	}
	if s == nil {
		if u, ok := ev.Data.(*minewarden.Usage); ok && u.CPU == 0 && u.GPU == 0 {
			return
		}
		if len(l.procs) >= liveProcesses && !l.evict(ev.Time) {
			return
		}
		s = &seenProcess{}
		l.procs[key] = s
	}
	s.p, s.seen = ev.Process, ev.Time
	switch d := ev.Data.(type) {
	case *minewarden.Usage:
		s.cpu += d.CPU
		s.usage = *d
		s.usage.Threads = nil
	case *minewarden.Rounding:
		w := s.evidence()
		w.Near, w.Down, w.Up, w.Zero = w.Near+uint64(d.Near), w.Down+uint64(d.Down), w.Up+uint64(d.Up), w.Zero+uint64(d.Zero)
	case *minewarden.Sample:
		w := s.evidence()
		w.Samples++
		if d.Anon {
			w.Anon++
		}
	case *minewarden.Memory:
		if d.AnonExec == 0 && d.Huge == 0 && d.Locked == 0 {
			return
		}
		w := s.evidence()
		w.AnonExec, w.Huge, w.Regions = d.AnonExec, d.Huge, d.Regions
	case *minewarden.Protect:
		s.evidence().WX += d.Flips
	case *minewarden.Tune:
		w := s.evidence()
		if what := d.What + " " + d.Value; len(w.Tuned) < liveTuned && !slices.Contains(w.Tuned, what) {
			w.Tuned = append(w.Tuned, what)
		}
	}
}

func (s *seenProcess) evidence() *console.WorkEvidence {
	if s.work == nil {
		s.work = &console.WorkEvidence{}
	}
	return s.work
}

// evict makes room: who was idle longest goes, and nobody when all are busy.
func (l *live) evict(now time.Time) bool {
	var oldest minewarden.ProcessKey
	at := now.Add(-time.Second)
	for k, s := range l.procs {
		if s.seen.Before(at) {
			oldest, at = k, s.seen
		}
	}
	if oldest == (minewarden.ProcessKey{}) {
		return false
	}
	delete(l.procs, oldest)
	return true
}

func (l *live) conn(k minewarden.FlowKey, ev *minewarden.Event, note func(*seenConn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[k]
	if c == nil {
		if len(l.conns) >= liveConnections {
			var oldest *seenConn
			for _, x := range l.conns {
				if oldest == nil || x.last.Before(oldest.last) {
					oldest = x
				}
			}
			delete(l.conns, oldest.key)
		}
		c = &seenConn{key: k, first: ev.Time}
		l.conns[k] = c
	}
	c.last = ev.Time
	if ev.Process != nil {
		c.p = ev.Process
	}
	for _, m := range ev.Matches {
		if len(c.matches) < 4 && !slices.Contains(c.matches, m.Indicator.Value) {
			c.matches = append(c.matches, m.Indicator.Value)
		}
	}
	note(c)
}

func (l *live) dns(d *minewarden.DNS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) >= liveNames {
		clear(l.names)
	}
	for _, a := range d.Addrs {
		l.names[a.String()] = d.Name
	}
}

// Host implements console.Live.
func (l *live) Host() console.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return console.Host{
		Name: l.name, This: true, OS: osName(), Kernel: kernelRelease(), Arch: runtime.GOARCH, CPUs: l.cpus, Since: l.since,
		Busy: append([]float64{}, l.busy...),
	}
}

func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil || len(b) > 1<<16 {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return runtime.GOOS
}

// Processes implements console.Live.
func (l *live) Processes(limit int) []console.LiveProcess {
	l.mu.Lock()
	var newest time.Time
	all := make([]*seenProcess, 0, len(l.procs))
	for _, s := range l.procs {
		c := *s
		if s.work != nil {
			w := *s.work
			w.Regions, w.Tuned = append([]uint64{}, w.Regions...), append([]string{}, w.Tuned...)
			c.work = &w
		}
		all = append(all, &c)
		if s.seen.After(newest) {
			newest = s.seen
		}
	}
	l.mu.Unlock()
	share := func(s *seenProcess) float64 {
		if s.usage.Interval <= 0 || newest.Sub(s.seen) > liveStale {
			return 0
		}
		return float64(s.usage.CPU) / float64(s.usage.Interval)
	}
	slices.SortFunc(all, func(a, b *seenProcess) int {
		if x, y := share(a), share(b); x != y {
			return map[bool]int{true: -1, false: 1}[x > y]
		}
		return int(a.p.Key.PID) - int(b.p.Key.PID)
	})
	out := []console.LiveProcess{}
	for _, s := range all[:min(limit, len(all))] {
		lp := console.LiveProcess{
			Key: s.p.Key, ID: s.p.Key.String(), Name: s.p.Name, Exe: s.p.Exe, Args: append([]string{}, s.p.Args...), UID: s.p.UID, Lineage: s.p.Lineage(), Package: s.p.Package,
			SHA256: s.p.SHA256, Container: s.p.Container, Started: s.p.Started, Seen: s.seen, CPU: share(s), CPUTotal: s.cpu.Seconds(),
			RSS: s.usage.RSS, Tasks: s.usage.Tasks, Nice: s.usage.Nice, Work: s.work, Incident: l.keeper.Of(s.p.Key),
		}
		if s.usage.Interval > 0 {
			lp.GPU = float64(s.usage.GPU) / float64(s.usage.Interval)
		}
		out = append(out, lp)
	}
	return out
}

// Connections implements console.Live.
func (l *live) Connections(limit int) []console.Connection {
	l.mu.Lock()
	all := make([]console.Connection, 0, len(l.conns))
	for _, c := range l.conns {
		x := console.Connection{
			Proto: c.key.Proto, Remote: c.key.Server.String(), Name: l.names[c.key.Server.Addr().String()], Result: c.result, App: c.app, Out: c.out, In: c.in,
			First: c.first, Last: c.last, Matches: append([]string{}, c.matches...),
		}
		if c.key.Client.IsValid() {
			x.Local = c.key.Client.String()
		}
		if c.p != nil {
			x.Process, x.Key = c.p.Name, c.p.Key
		}
		all = append(all, x)
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b console.Connection) int {
		if d := b.Last.Compare(a.Last); d != 0 {
			return d
		}
		return strings.Compare(a.Remote+a.Local, b.Remote+b.Local)
	})
	all = all[:min(limit, len(all))]
	for i := range all {
		if all[i].Key.PID != 0 {
			all[i].Incident = l.keeper.Of(all[i].Key)
		}
	}
	return all
}

// Sensors implements console.Live.
func (l *live) Sensors() console.Sensors {
	h, k := l.runner.Health(), l.keeper.Stats()
	s := console.Sensors{
		Items: []console.SensorHealth{}, Detectors: []console.DetectorHealth{}, Host: l.name,
		Lost:  console.LostEvents{Events: h.Stats.Lost, Total: h.Stats.Events},
		Store: console.StoreHealth{Incidents: k.Incidents, Unsaved: k.Unsaved, Suppressed: k.Suppressed},
	}
	for _, x := range h.Sensors {
		s.Items = append(s.Items, console.SensorHealth(x))
	}
	for _, x := range h.Detectors {
		s.Detectors = append(s.Detectors, console.DetectorHealth(x))
	}
	if k.Err != nil {
		s.Store.Error = k.Err.Error()
	}
	return s
}
