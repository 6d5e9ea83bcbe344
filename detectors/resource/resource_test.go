package resource

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

var begin = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

// run gives a process's use to a fresh detector, one report in each step, and returns the rules that it cites.
func run(t *testing.T, cpus int, steps int, step time.Duration, use func(i int) minewarden.Usage) []string {
	t.Helper()
	d := &detector{processes: newTable(), packages: true, cpus: cpus}
	p := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Name: "x", Exe: "/opt/x"}
	var got []string
	for i := range steps {
		u := use(i)
		u.Interval = step
		for _, f := range d.Observe(&minewarden.Event{Time: begin.Add(time.Duration(i) * step), Process: p, Data: &u}) {
			got = append(got, f.Rule)
		}
	}
	return got
}

func equal(share float64, n int) minewarden.Usage {
	u := minewarden.Usage{CPU: time.Duration(share * float64(time.Second))}
	for i := range n {
		u.Threads = append(u.Threads, minewarden.ThreadUsage{TID: int32(100 + i), CPU: u.CPU / time.Duration(n)})
	}
	return u
}

func has(rules []string, want string) bool {
	for _, r := range rules {
		if r == want {
			return true
		}
	}
	return false
}

func TestUse(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name  string
		cpus  int
		steps int
		use   func(i int) minewarden.Usage
		rule  string
		want  bool
	}{
		{"a core for 59 s", 4, 59, func(int) minewarden.Usage { return equal(1, 1) }, ruleBusy, false},
		{"a core for 62 s", 4, 62, func(int) minewarden.Usage { return equal(1, 1) }, ruleBusy, true},
		{"85 % for ten minutes", 4, 600, func(int) minewarden.Usage { return equal(0.85, 1) }, ruleBusy, false},
		{"a core with a second off now and then", 4, 120, func(i int) minewarden.Usage { return equal(map[bool]float64{true: 0.5, false: 1}[i%10 == 0], 1) }, ruleBusy, true},
		{"a core, off every second half minute", 4, 600, func(i int) minewarden.Usage { return equal(float64(1-i/30%2), 1) }, ruleBusy, false},
		{"a limit on four threads", 8, 320, func(int) minewarden.Usage { return equal(1.2+0.05*noise.NormFloat64(), 4) }, rulePlateau, true},
		{"a tenth of a core on two threads", 8, 320, func(int) minewarden.Usage { return equal(0.1+0.01*noise.NormFloat64(), 2) }, rulePlateau, true},
		{"a limit for four minutes", 8, 240, func(int) minewarden.Usage { return equal(1.2, 4) }, rulePlateau, false},
		{"a limit on one thread", 8, 320, func(int) minewarden.Usage { return equal(0.3, 1) }, rulePlateau, false},
		{"no limit", 4, 320, func(int) minewarden.Usage { return equal(3.95, 4) }, rulePlateau, false},
		{"more threads than processors", 2, 320, func(int) minewarden.Usage { return equal(1.95, 8) }, rulePlateau, false},
		{"waves", 8, 900, func(i int) minewarden.Usage { return equal(1+0.3*math.Sin(float64(i)/20), 4) }, rulePlateau, false},
		{"threads that come and go", 8, 400, func(i int) minewarden.Usage {
			u := equal(0.5, 2)
			u.Threads[0].TID, u.Threads[1].TID = int32(1000+2*i), int32(1001+2*i)
			return u
		}, rulePlateau, false},
		{"a GPU without engine time", 4, 70, func(int) minewarden.Usage { return minewarden.Usage{GPUOpen: true} }, ruleHandle, true},
		{"a GPU let go", 4, 70, func(i int) minewarden.Usage { return minewarden.Usage{GPUOpen: i%30 != 0} }, ruleHandle, false},
		{"a GPU half busy", 4, 70, func(int) minewarden.Usage { return minewarden.Usage{GPUOpen: true, GPU: 510 * time.Millisecond} }, ruleGPUAlien, true},
		{"a GPU a third busy", 4, 90, func(int) minewarden.Usage { return minewarden.Usage{GPUOpen: true, GPU: 330 * time.Millisecond} }, ruleGPUAlien, false},
		{"growth while learning", 4, 590, func(i int) minewarden.Usage { return minewarden.Usage{RSS: uint64(i) << 24} }, ruleMemory, false},
		{"sudden growth", 4, 700, func(i int) minewarden.Usage { return minewarden.Usage{RSS: 100<<20 + uint64(i/650)<<30} }, ruleMemory, true},
		{"growth below 256 MiB", 4, 700, func(i int) minewarden.Usage { return minewarden.Usage{RSS: 100<<20 + uint64(i/650)<<27} }, ruleMemory, false},
		{"growth of a third", 4, 700, func(i int) minewarden.Usage { return minewarden.Usage{RSS: 3<<30 + uint64(i/650)<<30} }, ruleMemory, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := run(t, c.cpus, c.steps, time.Second, c.use)
			if has(got, c.rule) != c.want {
				t.Errorf("told %v; %s: want %v", got, c.rule, c.want)
			}
		})
	}
}

func TestRulesAreWeak(t *testing.T) {
	for _, r := range rules {
		if r.Severity > minewarden.Low {
			t.Errorf("%s is %s: use alone is never more than low", r.ID, r.Severity)
		}
	}
}

func TestTableIsBounded(t *testing.T) {
	tab := newTable()
	key := func(i int) minewarden.ProcessKey { return minewarden.ProcessKey{PID: int32(i), Start: 1} }
	for i := range 3 * maxProcesses {
		tab.meet(key(i)).busy = i
		if i%3 == 0 {
			tab.forget(key(i))
		}
	}
	if len(tab.at) != maxProcesses || len(tab.slots) > maxProcesses+1 {
		t.Errorf("%d processes in %d slots", len(tab.at), len(tab.slots))
	}
	last := 3*maxProcesses - 1
	if s := tab.find(key(last)); s == nil || s.busy != last || s.key != key(last) {
		t.Errorf("the last process is kept as %+v", s)
	}
	if tab.find(key(1)) != nil {
		t.Error("the first process is still kept")
	}
	n := 0
	for i := tab.slots[0].next; i != 0; i = tab.slots[i].next {
		n++
	}
	if n != maxProcesses {
		t.Errorf("%d processes in the list", n)
	}
}

func FuzzUsage(f *testing.F) {
	f.Add(int64(1), int64(time.Second), int64(time.Second), uint64(1<<30), int64(5))
	f.Fuzz(func(t *testing.T, at, interval, cpu int64, rss uint64, gpu int64) {
		d := &detector{processes: newTable(), packages: true}
		p := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Exe: "/x"}
		for i := range int64(40) {
			for _, found := range d.Observe(&minewarden.Event{Time: time.Unix(0, at*i), Process: p, Data: &minewarden.Usage{
				Interval: time.Duration(interval), CPU: time.Duration(cpu), RSS: rss * uint64(i), GPU: time.Duration(gpu), GPUOpen: true,
				Threads: []minewarden.ThreadUsage{{TID: 1, CPU: time.Duration(cpu)}, {TID: 2, CPU: time.Duration(cpu)}},
			}}) {
				if len(found.Evidence) == 0 {
					t.Error("a finding has no evidence")
				}
			}
		}
	})
}

// BenchmarkQuiet is the use of a host's processes that do nothing remarkable.
func BenchmarkQuiet(b *testing.B) {
	d := &detector{processes: newTable(), packages: true, cpus: 8}
	var events []*minewarden.Event
	for i := range 500 {
		u := equal(0.3, 4)
		u.Interval, u.RSS = time.Second, 64<<20
		events = append(events, &minewarden.Event{Process: &minewarden.Process{Key: minewarden.ProcessKey{Boot: "b", PID: int32(i), Start: 1}, Name: strconv.Itoa(i), Exe: "/usr/bin/x"}, Data: &u})
	}
	at := begin
	quiet := func(i int) {
		ev := events[i%len(events)]
		if i%len(events) == 0 {
			at = at.Add(time.Second)
		}
		ev.Time = at
		ev.Data.(*minewarden.Usage).CPU = time.Duration(200+i/len(events)/20%2*400) * time.Millisecond // never the same for long
		if d.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
	for i := range len(events) {
		quiet(i)
	}
	b.ReportAllocs()
	i := len(events)
	for b.Loop() {
		quiet(i)
		i++
	}
}
