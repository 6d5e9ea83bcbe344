package resource

import (
	"fmt"
	"math"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	span    = int64(10 * time.Second) // what use is averaged over: shorter and the scheduler is seen, not the program
	maxGap  = int64(25 * time.Second) // between two reports; a longer one ends what was going on. A busy process has one every second
	minute  = 6                       // spans
	plateau = 30                      // spans: five minutes

	busyShare  = 0.90 // of a core
	gpuShare   = 0.50 // of an engine
	fullShare  = 0.95 // of all processors: nothing is idle
	lowShare   = 0.08 // of a core: less is no mining that pays, and timers of services are there
	deviation  = 0.10 // of the mean
	likeness   = 0.15 // threads are equal within it
	mostShare  = 0.70 // of the process's use, by its equal threads
	belowShare = 0.90 // of what the equal threads could use
	fading     = 1 - 1./plateau

	growth      = 1.5
	minGrowth   = 256 << 20 // bytes: RandomX's cache
	learnFor    = int64(10 * time.Minute)
	followFor   = float64(time.Hour) // the baseline takes on two thirds of a change in this time
	handleAfter = int64(time.Minute)
)

// What was told of a program already, as state.told.
const (
	toldBusy = 1 << iota
	toldPlateau
	toldGPU
	toldHandle
)

// state is what is kept of a process's program. Times are Unix nanoseconds.
type state struct {
	key        minewarden.ProcessKey
	prev, next int32
	told       uint8

	begin, last int64 // of the span, and of the last report in it
	cpu, gpu    int64 // ns used within the span
	busy        int   // spans in a row
	gpuBusy     int

	shares  [plateau]float32 // of a core, in the last spans
	spans   int              // filled, in all
	full    uint32           // bit i: no processor was idle in span i of shares
	threads [8]thread        // the busiest; old use fades with the spans
	spent   float64          // ns by all threads, fading likewise

	since    int64 // of the first report
	baseline float64
	huge     uint64
	locked   uint64
	opened   int64 // a GPU was seen open first; 0: not
}

type thread struct {
	tid int32
	cpu float64 // ns
}

func (d *detector) usage(ev *minewarden.Event, u *minewarden.Usage) []minewarden.Finding {
	s := d.processes.meet(ev.Process.Key)
	now := ev.Time.UnixNano()
	c := claim{ev: ev}
	s.memory(&c, u, now)
	d.handle(&c, s, u, now)
	if s.begin == 0 || now < s.last || now-int64(u.Interval)-s.last > maxGap {
		s.rest(now - int64(u.Interval))
	}
	s.last = now
	s.cpu += int64(u.CPU)
	s.spent += float64(u.CPU)
	s.gpu += int64(u.GPU)
	for i := range u.Threads {
		s.thread(u.Threads[i])
	}
	if d.full {
		s.full |= 1 << (s.spans % plateau)
	}
	if now-s.begin >= span {
		d.close(&c, s, now)
	}
	return c.found
}

// rest begins anew: what the process did before has ended.
func (s *state) rest(begin int64) {
	s.begin, s.cpu, s.gpu, s.busy, s.gpuBusy, s.spans, s.full, s.spent = begin, 0, 0, 0, 0, 0, 0, 0
	s.threads = [len(s.threads)]thread{}
}

// thread adds the use of a thread. A new one takes the place of the one that used the least.
func (s *state) thread(u minewarden.ThreadUsage) {
	least := 0
	for i := range s.threads {
		if s.threads[i].tid == u.TID {
			s.threads[i].cpu += float64(u.CPU)
			return
		}
		if s.threads[i].cpu < s.threads[least].cpu {
			least = i
		}
	}
	if float64(u.CPU) > s.threads[least].cpu {
		s.threads[least] = thread{u.TID, float64(u.CPU)}
	}
}

// close ends a span and judges those before it.
func (d *detector) close(c *claim, s *state, now int64) {
	wall := float64(now - s.begin)
	share := float64(s.cpu) / wall
	engine := float64(s.gpu) / wall
	s.shares[s.spans%plateau] = float32(share)
	s.spans++
	s.busy = streak(s.busy, share >= busyShare)
	s.gpuBusy = streak(s.gpuBusy, engine >= gpuShare)
	if s.busy >= minute && s.told&toldBusy == 0 {
		s.told |= toldBusy
		c.tell(ruleBusy, 0.2, minewarden.Evidence{Key: "cpu", Value: fmt.Sprintf("%.2f cores in the last %v, at least %.0f %% of one for a minute", share, seconds(int64(wall)), 100*busyShare)})
	}
	if s.gpuBusy >= minute && s.told&toldGPU == 0 {
		s.told |= toldGPU
		e := minewarden.Evidence{Key: "gpu", Value: fmt.Sprintf("%.0f %% of an engine's time in the last %v, at least %.0f %% for a minute", 100*engine, seconds(int64(wall)), 100*gpuShare)}
		if d.alien(c.ev.Process) {
			c.tell(ruleGPUAlien, 0.4, e)
		} else {
			c.tell(ruleGPU, 0.2, e)
		}
	}
	if s.spans >= plateau && s.told&toldPlateau == 0 {
		d.plateau(c, s)
	}
	for i := range s.threads {
		s.threads[i].cpu *= fading
	}
	s.spent *= fading
	s.begin, s.cpu, s.gpu = now, 0, 0
	s.full &^= 1 << (s.spans % plateau)
}

func streak(n int, goesOn bool) int {
	if !goesOn {
		return 0
	}
	return min(n+1, plateau)
}

// plateau judges the last five minutes.
func (d *detector) plateau(c *claim, s *state) {
	var sum, squares float64
	waits := 0
	for i, x := range s.shares {
		sum += float64(x)
		squares += float64(x) * float64(x)
		waits += int(s.full >> i & 1)
	}
	mean := sum / plateau
	dev := math.Sqrt(max(squares/plateau-mean*mean, 0))
	if mean < lowShare || dev > deviation*mean || waits > plateau/10 {
		return
	}
	var most, equal float64
	for _, t := range s.threads {
		most = max(most, t.cpu)
	}
	n := 0
	for _, t := range s.threads {
		if t.cpu > 0 && t.cpu >= (1-likeness)*most {
			equal += t.cpu
			n++
		}
	}
	cores := n
	if d.cpus > 0 {
		cores = min(n, d.cpus)
	}
	if n < 2 || equal < mostShare*s.spent || mean >= belowShare*float64(cores) {
		return
	}
	s.told |= toldPlateau
	c.tell(rulePlateau, 0.4,
		minewarden.Evidence{Key: "cpu", Value: fmt.Sprintf("%.2f cores for 5m0s, standard deviation %.1f %%", mean, percent(dev, mean))},
		minewarden.Evidence{Key: "threads", Value: fmt.Sprintf("%d of equal use", n)})
}

// memory compares with what the process used before, then learns.
func (s *state) memory(c *claim, u *minewarden.Usage, now int64) {
	used := float64(u.RSS + u.Swap)
	if s.since == 0 {
		s.since, s.last, s.baseline = now, now, used
		return
	}
	if now-s.since < learnFor {
		s.baseline = max(s.baseline, used)
		return
	}
	if used > growth*s.baseline && used-s.baseline >= minGrowth {
		ev := []minewarden.Evidence{{Key: "memory", Value: fmt.Sprintf("%.0f MiB, %.0f %% of the %.0f MiB before", used/(1<<20), percent(used, max(s.baseline, 1)), s.baseline/(1<<20))}}
		if s.huge > 0 || s.locked > 0 {
			ev = append(ev, minewarden.Evidence{Key: "huge pages", Value: fmt.Sprintf("%d MiB, %d MiB locked", s.huge>>20, s.locked>>20)})
		}
		c.tell(ruleMemory, 0.2, ev...)
		s.baseline = used
		return
	}
	s.baseline += (used - s.baseline) * min(float64(now-s.last)/followFor, 1)
}

// handle judges GPUs that are held open while no use is counted.
func (d *detector) handle(c *claim, s *state, u *minewarden.Usage, now int64) {
	switch {
	case !u.GPUOpen || u.GPU > 0:
		s.opened = 0
	case s.opened == 0:
		s.opened = now
	case now-s.opened >= handleAfter && s.told&(toldHandle|toldGPU) == 0 && d.alien(c.ev.Process):
		s.told |= toldHandle
		c.tell(ruleHandle, 0.15, minewarden.Evidence{Key: "gpu", Value: fmt.Sprintf("held for %v, no engine time is counted", seconds(now-s.opened))})
	}
}
