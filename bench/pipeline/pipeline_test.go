// Package pipeline_test measures how many events a second pass the pipeline with every detector on, on one core.
package pipeline_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/pipeline"
)

// programs are what a busy build and web server runs, by how often.
var programs = [][]string{
	{"/usr/bin/dash", "sh", "-c", "test -f /run/x && exec /usr/lib/x"},
	{"/usr/bin/x86_64-linux-gnu-gcc-12", "gcc", "-O2", "-Iinclude", "-c", "src/main.c", "-o", "obj/main.o"},
	{"/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "cc1", "-quiet", "-imultiarch", "x86_64-linux-gnu", "src/main.c"},
	{"/usr/bin/git", "git", "rev-parse", "HEAD"},
	{"/usr/bin/curl", "curl", "-fsS", "http://127.0.0.1:8500/v1/health"},
	{"/usr/bin/sed", "sed", "-n", "s/^a//p", "file"},
	{"/usr/bin/python3.11", "python3", "/opt/app/worker.py", "--queue", "mail"},
	{"/usr/sbin/nginx", "nginx: worker process"},
}

// mix returns n events in the proportions of a busy host: a third processes, a third what the processor does, the rest
// connections, files and memory. It is the same each time.
func mix(n int) []minewarden.Event {
	rng := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	step := 20 * time.Microsecond // 50k events a second
	events := make([]minewarden.Event, 0, n+3)
	type live struct{ key minewarden.ProcessKey }
	var running []live
	pid := int32(1000)
	add := func(key minewarden.ProcessKey, d minewarden.Data) {
		events = append(events, minewarden.Event{Time: at, Process: &minewarden.Process{Key: key}, Data: d})
		at = at.Add(step)
	}
	pick := func() minewarden.ProcessKey { return running[rng.IntN(len(running))].key }
	start := func(parent minewarden.ProcessKey) {
		pid++
		key := minewarden.ProcessKey{PID: pid, Start: uint64(pid)}
		p := programs[rng.IntN(len(programs))]
		if parent.PID != 0 {
			add(parent, &minewarden.Fork{Child: key})
		}
		add(key, &minewarden.Exec{Parent: parent, Name: p[1][:min(15, len(p[1]))], Exe: p[0], Args: p[1:], Cwd: "/srv", Package: "dpkg:some", Inode: minewarden.Inode{Dev: 1, Ino: uint64(len(p[0]))}})
		running = append(running, live{key})
	}
	for range 200 {
		start(minewarden.ProcessKey{})
	}
	code := make([]byte, 256)
	for i := range code {
		code[i] = byte(rng.UintN(256))
	}
	for len(events) < n {
		switch r := rng.IntN(100); {
		case r < 14:
			start(pick())
			if len(running) > 400 {
				i := rng.IntN(len(running))
				add(running[i].key, &minewarden.Exit{})
				running[i] = running[len(running)-1]
				running = running[:len(running)-1]
			}
		case r < 34:
			add(pick(), &minewarden.Rounding{TID: 1, Near: 100, CPU: time.Second / 2})
		case r < 48:
			add(pick(), &minewarden.Usage{Interval: time.Second, CPU: time.Second / 3, Tasks: 4, RSS: 100 << 20, Threads: []minewarden.ThreadUsage{{TID: 1, CPU: time.Second / 3}}})
		case r < 50:
			add(pick(), &minewarden.Sample{TID: 1, Arch: "amd64", IP: 0x400000, Code: code})
		case r < 68:
			add(pick(), &minewarden.Connect{Proto: "tcp", Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.UintN(256))}), 443), Result: "ok"})
		case r < 84:
			add(pick(), &minewarden.Write{Path: fmt.Sprintf("/srv/build/obj/%d.o", rng.IntN(1000)), Op: "modify"})
		case r < 92:
			add(pick(), &minewarden.Tune{What: "nice", Value: "10"})
		default:
			add(pick(), &minewarden.Protect{Addr: 0x7f0000000000, Len: 4096, Flips: 2})
		}
	}
	return events[:n]
}

// BenchmarkAllDetectors reports events a second; allocs/op is per event.
func BenchmarkAllDetectors(b *testing.B) {
	const n = 200_000
	events := mix(n)
	last := events[n-1].Time
	cfg := config.Default()
	makers, err := app.NewMakers(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	dets, _, err := makers.Detectors()
	if err != nil {
		b.Fatal(err)
	}
	set := indicators.NewBuilder(0).Set()
	found := map[string]int{}
	p := pipeline.New(pipeline.Options{Boot: "b", Detectors: dets, Match: set.Match, Finding: func(f minewarden.Finding) { found[f.Rule]++ }})
	round := last.Sub(events[0].Time) + time.Second
	shift := time.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ev := events[i%n]
		if i%n == 0 && i > 0 {
			shift += round
		}
		ev.Time = ev.Time.Add(shift)
		p.Observe(ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if len(found) > 0 {
		b.Logf("findings: %v", found)
	}
}
