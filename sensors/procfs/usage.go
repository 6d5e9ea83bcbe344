package procfs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	tick           = time.Second / minewarden.TicksPerSecond
	maxThreads     = 512  // of one process, looked at
	maxThreadsLook = 2048 // of all processes in one look
	reported       = 64   // threads in one Usage
	forgetThreads  = 30 * time.Second
)

// watch is the state of one Run.
type watch struct {
	tree     *tree
	emit     minewarden.Emit
	now      func() time.Time
	log      *slog.Logger
	programs bool

	known map[int32]*process
	round uint32 // counts listings, to find who is gone

	host     hostStat
	hostTime time.Time
	stall    time.Duration // of /proc/pressure, since the start
	energy   *rapl
	full     time.Time // of the last look at every process
	report   time.Time // of the last Usage of every process

	threadsLeft int
	memoryLeft  int
	tids        []int32
	maps        []byte
	gpus        bool

	// Stand-in for eBPF.
	lastPid uint64
	seen    uint64 // processes and threads found since the last look
	sockets *sockets
	hidden  *hidden
}

// process is what is kept of one. Its key tells whether the pid is still the same process.
type process struct {
	who    *minewarden.Process // shared with events, never changed
	round  uint32
	found  time.Time
	looked time.Time
	ticks  uint64
	rss    uint64 // when it was last reported
	tasks  int
	stack  uint64
	kernel bool

	busy    time.Time // last time that it was above minShare
	threads map[int32]time.Duration
	mem     memory
	gpu     gpu
}

// look reads who used what since the last look.
func (w *watch) look() error {
	now := w.now()
	text, err := w.tree.readInto(w.maps, "stat")
	if err != nil {
		return fmt.Errorf("read the host's processor time: %w", err)
	}
	h, err := parseHostStat(text)
	if err != nil {
		return err
	}
	stall, _ := w.tree.stalled(w.maps)
	first := w.hostTime.IsZero()
	interval := now.Sub(w.hostTime)
	busy := time.Duration(h.busy-min(h.busy, w.host.busy)) * tick
	if !first && interval > 0 {
		w.send(now, nil, &minewarden.HostUsage{
			Interval: interval, Busy: busy, CPUs: h.cpus, Stalled: min(max(0, stall-w.stall), interval), Joules: w.energy.joules(),
		})
	}
	w.stall = stall
	forks := h.forks - min(h.forks, w.host.forks)
	since := w.hostTime // what was idle until here need not be looked at again
	w.host, w.hostTime = h, now
	everyone := first || now.Sub(w.full) >= fullEvery
	if !everyone && !w.programs && float64(busy) < minShare*float64(interval) {
		return w.lookGPUs(now)
	}
	if everyone {
		w.full = now
	}
	if err := w.sweep(now, since, first, everyone); err != nil {
		return err
	}
	if w.programs && !first {
		w.missed(now, forks)
		w.lookSockets(now)
		w.lookHidden(now)
	}
	w.seen = 0
	return nil
}

// sweep looks at the processes. since is when the host was last looked at: no process did much before it that was not
// seen then.
func (w *watch) sweep(now, since time.Time, first, everyone bool) error {
	reportAll := everyone && !first && now.Sub(w.report) >= reportEvery
	if reportAll || first {
		w.report = now
	}
	pids, err := w.tree.list()
	if errors.Is(err, errMany) {
		w.send(now, nil, &minewarden.Lost{N: 1, Where: "processes beyond the limit"})
	} else if err != nil {
		return err
	}
	w.round++
	w.threadsLeft, w.memoryLeft = maxThreadsLook, maxMemoryLook
	for _, pid := range pids {
		p := w.known[pid]
		if p != nil && p.kernel && !everyone && !w.programs {
			p.round = w.round
			continue
		}
		s, err := w.tree.stat(pid, 0)
		if err != nil {
			if !gone(err) {
				w.log.Debug("process could not be read", "pid", pid, "err", err)
			}
			continue
		}
		if s.dead() {
			continue
		}
		p = w.meet(now, pid, s, first)
		p.round = w.round
		w.use(now, since, p, s, reportAll)
	}
	w.forget(now)
	return nil
}

// meet returns what is known of the process of s, and reports it where it is new.
func (w *watch) meet(now time.Time, pid int32, s stat, existing bool) *process {
	p := w.known[pid]
	if p != nil && p.who.Key.Start == s.start {
		if p.stack == s.stack {
			return p
		}
		// The same process runs another program.
		p.stack = s.stack
		if w.programs || p.who.Name != string(s.name) {
			w.introduce(now, p, s, false)
		}
		return p
	}
	if p != nil {
		w.exit(now, p)
	}
	p = &process{found: now, stack: s.stack, kernel: s.flags&kernelThread != 0}
	if existing {
		p.looked, p.ticks = now, s.ticks
	}
	w.known[pid] = p
	w.seen++
	w.introduce(now, p, s, existing)
	return p
}

// introduce makes the process's identity and, in stand-in mode, reports the program that it runs.
func (w *watch) introduce(now time.Time, p *process, s stat, existing bool) {
	p.who = &minewarden.Process{
		Key: minewarden.ProcessKey{PID: s.pid, Start: s.start}, Name: string(s.name), Kernel: p.kernel, Existing: existing,
	}
	if !w.programs {
		return
	}
	parent := s.parent
	e := w.tree.describe(s)
	e.Existing = existing
	if q := w.known[parent]; q != nil {
		e.Parent, e.ParentName = q.who.Key, q.who.Name
	} else if ps, err := w.tree.stat(parent, 0); parent != 0 && err == nil {
		e.Parent, e.ParentName = minewarden.ProcessKey{PID: parent, Start: ps.start}, string(ps.name)
	}
	w.send(now, p.who, e)
}

// forget drops who was not listed in this round.
func (w *watch) forget(now time.Time) {
	for pid, p := range w.known {
		if p.round != w.round {
			w.exit(now, p)
			delete(w.known, pid)
		}
	}
}

func (w *watch) exit(now time.Time, p *process) {
	if w.programs {
		w.send(now, p.who, &minewarden.Exit{Code: -1})
	}
}

// use reports what the process used, if that is worth it.
func (w *watch) use(now, since time.Time, p *process, s stat, always bool) {
	interval := now.Sub(p.looked)
	if p.looked.Before(since) {
		interval = now.Sub(since)
	}
	cpu := time.Duration(s.ticks-min(s.ticks, p.ticks)) * tick
	born := p.looked.IsZero()
	p.looked, p.ticks, p.tasks = now, s.ticks, s.threads
	if p.kernel || interval <= 0 {
		return
	}
	rss := s.pages * uint64(os.Getpagesize())
	if born {
		p.rss = rss
	}
	busy := float64(cpu) >= minShare*float64(interval) && cpu >= 2*tick
	if busy {
		p.busy = now
	}
	gpu := w.gpuTime(now, p)
	var threads []minewarden.ThreadUsage
	if busy || now.Sub(p.busy) < forgetThreads && !p.busy.IsZero() {
		threads = w.threadTimes(p, s, cpu)
	} else {
		p.threads = nil
	}
	if busy {
		w.lookMemory(now, p, rss)
	}
	if !busy && !always && gpu == 0 && rss < p.rss+minGrowth {
		return
	}
	p.rss = rss
	w.send(now, p.who, &minewarden.Usage{
		Interval: interval, CPU: cpu, Threads: threads, Tasks: s.threads, RSS: rss, Swap: p.mem.swap,
		GPU: gpu, GPUOpen: p.gpu.open, Nice: s.nice, Policy: policyName(s.policy),
	})
}

// threadTimes returns the share of each thread since the last call for p, the busiest first. The first call for p knows
// no share, unless there is but one thread.
func (w *watch) threadTimes(p *process, s stat, cpu time.Duration) []minewarden.ThreadUsage {
	if s.threads <= 1 {
		p.threads = nil
		return []minewarden.ThreadUsage{{TID: s.pid, CPU: cpu}}
	}
	if w.threadsLeft <= 0 {
		return nil
	}
	tids, err := w.tree.threads(s.pid, w.tids[:0], min(maxThreads, w.threadsLeft))
	w.tids = tids
	if err != nil && !errors.Is(err, errMany) {
		return nil
	}
	w.threadsLeft -= len(tids)
	before := p.threads
	p.threads = make(map[int32]time.Duration, len(tids))
	var all []minewarden.ThreadUsage
	for _, tid := range tids {
		total, err := w.threadTotal(s.pid, tid)
		if err != nil {
			continue
		}
		p.threads[tid] = total
		if last, ok := before[tid]; ok && total > last {
			all = append(all, minewarden.ThreadUsage{TID: tid, CPU: total - last})
		}
	}
	slices.SortFunc(all, func(a, b minewarden.ThreadUsage) int { return cmp.Compare(b.CPU, a.CPU) })
	return all[:min(len(all), reported)]
}

// threadTotal returns all that a thread used: to the nanosecond where the kernel keeps scheduling statistics.
func (w *watch) threadTotal(pid, tid int32) (time.Duration, error) {
	if text, err := w.tree.read(w.tree.path(pid, tid, "schedstat")); err == nil {
		if n, length := number(text); length > 0 && n > 0 {
			return time.Duration(n), nil
		}
	}
	s, err := w.tree.stat(pid, tid)
	return time.Duration(s.ticks) * tick, err
}

func (w *watch) send(now time.Time, who *minewarden.Process, data minewarden.Data) {
	w.emit(minewarden.Event{Time: now, Process: who, Data: data})
}
