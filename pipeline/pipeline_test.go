package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/pipeline"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

// spy records what a detector was given.
type spy struct {
	seen  []minewarden.Event
	ticks []time.Time
	panic bool
}

func (s *spy) Info() minewarden.Info { return minewarden.Info{Name: "spy"} }
func (s *spy) Rules() []minewarden.Rule {
	return []minewarden.Rule{{ID: "spy/saw", Severity: minewarden.Low}}
}
func (s *spy) Kinds() []minewarden.Kind { return minewarden.AllKinds() }
func (s *spy) Observe(ev *minewarden.Event) []minewarden.Finding {
	if s.panic {
		panic("spy")
	}
	s.seen = append(s.seen, *ev)
	return nil
}

func (s *spy) Tick(now time.Time) []minewarden.Finding {
	s.ticks = append(s.ticks, now)
	return nil
}

func key(pid int32) minewarden.ProcessKey {
	return minewarden.ProcessKey{PID: pid, Start: uint64(pid) * 10}
}

func exec(at time.Time, pid, parent int32, name string) minewarden.Event {
	x := &minewarden.Exec{Name: name, Exe: "/bin/" + name}
	if parent != 0 {
		x.Parent = key(parent)
	}
	return minewarden.Event{Time: at, Process: &minewarden.Process{Key: key(pid)}, Data: x}
}

func fork(at time.Time, pid, child int32) minewarden.Event {
	return minewarden.Event{Time: at, Process: &minewarden.Process{Key: key(pid)}, Data: &minewarden.Fork{Child: key(child)}}
}

func exit(at time.Time, pid int32) minewarden.Event {
	return minewarden.Event{Time: at, Process: &minewarden.Process{Key: key(pid)}, Data: &minewarden.Exit{}}
}

func usage(at time.Time, pid int32) minewarden.Event {
	return minewarden.Event{Time: at, Process: &minewarden.Process{Key: key(pid)}, Data: &minewarden.Usage{}}
}

func TestLineage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []minewarden.Event
		want   string
	}{
		{"fork and exec", []minewarden.Event{
			exec(t0, 10, 0, "nomad"), fork(t0, 10, 20), exec(t0, 20, 10, "sh"), fork(t0, 20, 30), exec(t0, 30, 20, "wget"), usage(t0, 30),
		}, "nomad > sh > wget"},
		{"a shell that execs its last command stays in the lineage", []minewarden.Event{
			exec(t0, 10, 0, "nomad"), fork(t0, 10, 20), exec(t0, 20, 10, "sh"), exec(t0, 20, 10, "curl"), usage(t0, 20),
		}, "nomad > sh > curl"},
		{"ancestry survives the parent's exit and the end of its grace", []minewarden.Event{
			exec(t0, 10, 0, "gitea"), fork(t0, 10, 20), exec(t0, 20, 10, "sh"), fork(t0, 20, 30), exec(t0, 30, 20, "miner"), exit(t0, 20),
			usage(t0.Add(time.Hour), 10), usage(t0.Add(time.Hour), 30),
		}, "gitea > sh > miner"},
		{"a forked child that runs no program of its own", []minewarden.Event{
			exec(t0, 10, 0, "nginx"), fork(t0, 10, 20), usage(t0, 20),
		}, "nginx > nginx"},
		{"fork event lost", []minewarden.Event{
			exec(t0, 10, 0, "redis"), exec(t0, 20, 10, "sh"), usage(t0, 20),
		}, "redis > sh"},
		{"parent never seen", []minewarden.Event{
			{Time: t0, Process: &minewarden.Process{Key: key(20)}, Data: &minewarden.Exec{Name: "sh", Parent: key(9), ParentName: "consul"}}, usage(t0, 20),
		}, "consul > sh"},
		{"pid used again", []minewarden.Event{
			exec(t0, 10, 0, "java"), fork(t0, 10, 20), exec(t0, 20, 10, "sh"), exit(t0, 20),
			{Time: t0, Process: &minewarden.Process{Key: minewarden.ProcessKey{PID: 20, Start: 999}}, Data: &minewarden.Exec{Name: "ls"}},
			{Time: t0, Process: &minewarden.Process{Key: minewarden.ProcessKey{PID: 20, Start: 999}}, Data: &minewarden.Usage{}},
		}, "ls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &spy{}
			p := pipeline.New(pipeline.Options{Boot: "b", Detectors: []minewarden.Detector{s}})
			for _, ev := range tt.events {
				p.Observe(ev)
			}
			last := s.seen[len(s.seen)-1]
			if got := last.Process.Lineage(); got != tt.want {
				t.Errorf("lineage %q, want %q", got, tt.want)
			}
			if last.Process.Key.Boot != "b" {
				t.Errorf("boot id %q was not filled", last.Process.Key.Boot)
			}
		})
	}
}

func TestLineageIsBounded(t *testing.T) {
	s := &spy{}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
	p.Observe(exec(t0, 1, 0, "init"))
	for pid := int32(1); pid < 1000; pid++ {
		p.Observe(fork(t0, pid, pid+1))
		p.Observe(exec(t0, pid+1, pid, "sh"))
		n := 0
		for a := s.seen[len(s.seen)-1].Process.Parent; a != nil; a = a.Parent {
			n++
		}
		if n > minewarden.MaxAncestors {
			t.Fatalf("process %d has %d ancestors, more than %d", pid+1, n, minewarden.MaxAncestors)
		}
	}
}

func TestTimeNeverRunsBackwards(t *testing.T) {
	s := &spy{}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
	for _, d := range []time.Duration{0, 1500 * time.Millisecond, time.Second, 3 * time.Second} {
		p.Observe(exec(t0.Add(d), 10, 0, "x"))
	}
	for i := 1; i < len(s.seen); i++ {
		if s.seen[i].Time.Before(s.seen[i-1].Time) {
			t.Errorf("event %d is older than the one before it", i)
		}
	}
	if len(s.ticks) != 2 {
		t.Errorf("%d ticks in 3 s of events, want 2 (after 1.5 s and 3 s)", len(s.ticks))
	}
}

func TestPanicBlindsNobodyElse(t *testing.T) {
	bad, good := &spy{panic: true}, &spy{}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{bad, good}})
	for range 5 {
		p.Observe(exec(t0, 10, 0, "x"))
	}
	if len(good.seen) != 5 {
		t.Errorf("the detector after the one that panics saw %d of 5 events", len(good.seen))
	}
}

type source struct {
	run func(context.Context, minewarden.Emit) error
}

func (s source) Info() minewarden.Info                               { return minewarden.Info{Name: "source"} }
func (s source) Run(ctx context.Context, emit minewarden.Emit) error { return s.run(ctx, emit) }

func TestRunSupervises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		src := source{func(ctx context.Context, emit minewarden.Emit) error {
			starts++
			emit(exec(time.Now(), 10, 0, "x"))
			switch starts {
			case 1:
				return errors.New("passing")
			case 2:
				panic("bug")
			}
			<-ctx.Done()
			return nil
		}}
		never := source{func(context.Context, minewarden.Emit) error {
			return errors.Join(minewarden.ErrUnsupported, errors.New("no BTF"))
		}}
		s := &spy{}
		p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
		r := pipeline.NewRunner(p, slog.New(slog.DiscardHandler), time.Now, []minewarden.Sensor{src, never})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		time.Sleep(10 * time.Second) // of the bubble
		h := r.Health()
		cancel()
		<-done
		if starts != 3 || len(s.seen) != 3 {
			t.Errorf("started %d times with %d events, want 3 and 3", starts, len(s.seen))
		}
		if h.Sensors[0].State != "running" || h.Sensors[1].State != "unsupported" || h.Sensors[1].Reason == "" {
			t.Errorf("health %+v: want the first running and the second unsupported with a reason", h.Sensors)
		}
	})
}

func TestLossIsCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100_000
		src := source{func(ctx context.Context, emit minewarden.Emit) error {
			for range n { // nothing else runs meanwhile: the queue must overflow
				emit(exec(time.Now(), 10, 0, "x"))
			}
			<-ctx.Done()
			return nil
		}}
		s := &spy{}
		block := make(chan struct{})
		p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}, Tap: []func(*minewarden.Event){func(*minewarden.Event) { <-block }}})
		r := pipeline.NewRunner(p, slog.New(slog.DiscardHandler), time.Now, []minewarden.Sensor{src})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		synctest.Wait()
		close(block)
		time.Sleep(3 * time.Second)
		cancel()
		<-done
		var seen, lost uint64
		for _, ev := range s.seen {
			if l, ok := ev.Data.(*minewarden.Lost); ok {
				lost += l.N
			} else {
				seen++
			}
		}
		if lost == 0 || seen+lost != n {
			t.Errorf("%d seen and %d told lost, want %d together and some lost", seen, lost, n)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	p := pipeline.New(pipeline.Options{Boot: "b"})
	p.Observe(exec(t0, 10, 0, "x"))
	ev := usage(t0, 10)
	b.ReportAllocs()
	for b.Loop() {
		p.Observe(ev)
	}
}

func TestFlowsCarryTheirProcess(t *testing.T) {
	client, server := netip.MustParseAddrPort("10.0.0.2:40000"), netip.MustParseAddrPort("192.0.2.1:3333")
	connect := minewarden.Event{Time: t0, Process: &minewarden.Process{Key: key(10)}, Data: &minewarden.Connect{
		Proto: "tcp", Local: netip.MustParseAddrPort("[::ffff:10.0.0.2]:40000"), Remote: server, Result: "ok",
	}}
	flow := func(k minewarden.FlowKey) minewarden.Event {
		return minewarden.Event{Time: t0, Data: &minewarden.Stream{Key: k}}
	}
	s := &spy{}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
	p.Observe(exec(t0, 10, 0, "xmrig"))
	p.Observe(connect)
	for _, tt := range []struct {
		name string
		key  minewarden.FlowKey
		want bool
	}{
		{"as it connected", minewarden.FlowKey{Proto: "tcp", Client: client, Server: server}, true},
		{"the ends mistaken for each other", minewarden.FlowKey{Proto: "tcp", Client: server, Server: client}, true},
		{"another protocol", minewarden.FlowKey{Proto: "udp", Client: client, Server: server}, false},
		{"another port", minewarden.FlowKey{Proto: "tcp", Client: netip.MustParseAddrPort("10.0.0.2:40001"), Server: server}, false},
	} {
		p.Observe(flow(tt.key))
		got := s.seen[len(s.seen)-1].Process
		if (got != nil) != tt.want || (tt.want && got.Name != "xmrig") {
			t.Errorf("%s: process %+v, want one: %t", tt.name, got, tt.want)
		}
	}
}

func write(at time.Time, k minewarden.ProcessKey, path string) minewarden.Event {
	return minewarden.Event{Time: at, Process: &minewarden.Process{Key: k}, Data: &minewarden.Write{Op: "write", Path: path}}
}

// The sensor of files may tell of a write before the sensor of processes tells who wrote.
func TestWriterIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := minewarden.ProcessKey{PID: 11} // when the sensor looked
		src := source{func(ctx context.Context, emit minewarden.Emit) error {
			emit(exec(time.Now(), 10, 0, "nginx"))
			emit(minewarden.Event{Time: time.Now(), Process: &minewarden.Process{Key: key(12)}, Data: &minewarden.File{Path: "/0"}})
			emit(write(time.Now(), key(12), "/1"))
			emit(write(time.Now(), ended, "/2"))
			emit(write(time.Now(), key(13), "/3"))
			time.Sleep(100 * time.Millisecond)
			emit(exec(time.Now(), 11, 10, "sh"))
			emit(exec(time.Now(), 12, 10, "dash"))
			<-ctx.Done()
			return nil
		}}
		s := &spy{}
		p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
		r := pipeline.NewRunner(p, slog.New(slog.DiscardHandler), time.Now, []minewarden.Sensor{src})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		cancel()
		<-done
		got := map[string]string{}
		order := ""
		for _, ev := range s.seen {
			path := ""
			switch d := ev.Data.(type) {
			case *minewarden.Write:
				path = d.Path
			case *minewarden.File:
				path = d.Path
			default:
				continue
			}
			got[path] = ev.Process.Lineage()
			order += path
		}
		want := map[string]string{"/0": "nginx > dash", "/1": "nginx > dash", "/2": "nginx > sh", "/3": ""}
		if diff := cmp.Diff(want, got); diff != "" || order != "/0/1/2/3" {
			t.Errorf("writers in order %s (-want +got):\n%s", order, diff)
		}
	})
}

// A process of which only the pid was told keeps its parent when its program is told.
func TestStubKeepsItsParent(t *testing.T) {
	s := &spy{}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}})
	p.Observe(exec(t0, 10, 0, "nginx"))
	p.Observe(write(t0, key(11), "/etc/rc.local"))
	p.Observe(exec(t0, 11, 10, "sh"))
	if got := s.seen[2].Process.Lineage(); got != "nginx > sh" {
		t.Errorf("lineage %q, want nginx > sh", got)
	}
}
