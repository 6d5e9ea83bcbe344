package ebpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/minewarden/minewarden"
)

const (
	// burning is the share of a core from which on a thread is sampled, reported and probed: a miner throttled below it
	// earns next to nothing.
	burning = 0.05
	// fewReads is how many reads of the rounding mode in probeAgain a burning thread must have to be left alone: with 20
	// reads the rule finds 99.7 % of the miners.
	fewReads = 24

	probeWakes = 32
	probeSleep = 3 * time.Millisecond
	// A burning thread is probed at once, then again as long as it has few reads: soon while it is new or computes in
	// other modes than nearest, else seldom.
	probeSoon   = 2 * time.Second
	probeSeldom = 30 * time.Second
	newProbes   = 3
	// maxProbesPerTick bounds the wakes of a second.
	maxProbesPerTick = 8
)

// burningHits is how many hits in one to two seconds mean that a thread burns CPU.
func burningHits(c Config) uint32 { return uint32(max(1, 1.5*burning*float64(c.SampleHz))) }

// threads follows the counters that the kernel keeps by thread.
type threads struct {
	hz    int
	seen  map[uint32]*thread
	round uint32
	keys  []uint32
	vals  []cpuThread

	removed, forgotten uint64 // entries that were deleted here, and that the kernel evicted, so far
}

type thread struct {
	last   cpuThread
	round  uint32 // when it was last in the kernel's table
	odd    bool   // it was seen in another mode than nearest, or with flush-to-zero
	recent uint32 // reads since asked
	asked  time.Time
	probes int
}

func newThreads(c Config) *threads {
	const batch = 512
	return &threads{hz: c.SampleHz, seen: map[uint32]*thread{}, keys: make([]uint32, batch), vals: make([]cpuThread, batch)}
}

// reportThreads reads the kernel's table, emits Rounding for the threads that are worth it, and asks for probes.
func (r *run) reportThreads(since time.Duration) {
	if r.kernel.threads == nil {
		return
	}
	t := r.threads
	t.round++
	now := time.Now()
	probes := map[int]bool{}
	var gone []uint32
	made, err := total(r.kernel.made, 0) // before the table is read: what comes meanwhile is not taken for forgotten
	if err != nil {
		r.env.Log.Error("read thread table", "error", err)
		return
	}
	present := uint64(0)
	err = batches(r.kernel.threads, t.keys, t.vals, func(tid uint32, v *cpuThread) {
		present++
		r.observe(tid, v, since, now, probes)
		if v.Gone != 0 {
			gone = append(gone, tid)
		}
	})
	if err != nil {
		r.env.Log.Error("read thread table", "error", err)
		return
	}
	if n := int64(made - t.removed - present - t.forgotten); n > 0 {
		t.forgotten += uint64(n)
		r.emit(minewarden.Event{Time: now, Data: &minewarden.Lost{N: uint64(n), Where: "threads, the table is full"}})
	}
	for _, tid := range gone {
		delete(t.seen, tid)
		switch err := r.kernel.threads.Delete(tid); {
		case err == nil:
			t.removed++
		case !errors.Is(err, ebpf.ErrKeyNotExist):
			r.env.Log.Error("forget a thread", "tid", tid, "error", err)
		}
	}
	for tid, th := range t.seen { // the kernel evicts what it has not seen for long
		if th.round != t.round {
			delete(t.seen, tid)
		}
	}
	for cpu := range probes {
		select {
		case r.probes <- cpu:
		default: // it is asked for again
		}
	}
}

func (r *run) observe(tid uint32, v *cpuThread, since time.Duration, now time.Time, probes map[int]bool) {
	t := r.threads
	th := t.seen[tid]
	if th == nil || th.last.Start != v.Start {
		// What it used before is not known; what was read is all new.
		th = &thread{last: cpuThread{Start: v.Start, Cpu: v.Cpu}}
		t.seen[tid] = th
	}
	th.round = t.round
	d := minewarden.Rounding{
		TID:  int32(tid),
		Near: v.Modes[0] - th.last.Modes[0],
		Down: v.Modes[1] - th.last.Modes[1],
		Up:   v.Modes[2] - th.last.Modes[2],
		Zero: v.Modes[3] - th.last.Modes[3],
		FTZ:  v.Ftz - th.last.Ftz,
		CPU:  time.Duration(v.Cpu - th.last.Cpu),
	}
	hits := v.Hits - th.last.Hits
	th.last = *v
	share := max(float64(d.CPU), float64(hits)/float64(max(t.hz, 1))*float64(time.Second)) / float64(since)
	odd := d.Reads() > d.Near || d.FTZ > 0
	th.odd = th.odd || odd
	if d.Reads() > 0 && (odd || share >= burning) {
		r.emit(minewarden.Event{
			Time:    now,
			Process: &minewarden.Process{Key: key(v.Tgid, v.LeaderStart)},
			Data:    &d,
		})
	}
	th.recent += d.Reads()
	if r.probes == nil || v.Gone != 0 || share < burning || hits == 0 {
		return
	}
	pause := probeSeldom
	if th.odd || th.probes < newProbes {
		pause = probeSoon
	}
	if now.Sub(th.asked) < pause {
		return
	}
	if th.recent < fewReads && len(probes) < maxProbesPerTick {
		probes[int(v.OnCpu)] = true
		th.probes++
	}
	th.asked, th.recent = now, 0
}

// batches calls visit for each entry of a table that changes meanwhile. Kernels before 5.6 cannot read many at once.
func batches[K comparable, V any](m *ebpf.Map, keys []K, vals []V, visit func(K, *V)) error {
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		for i := range n {
			visit(keys[i], &vals[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
	}
}
