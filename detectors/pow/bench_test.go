package pow

import (
	"bytes"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/recording"
)

// samples returns the code samples of a recording.
func samples(b *testing.B, file string) []minewarden.Event {
	b.Helper()
	ar, err := txtar.ParseFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var events []minewarden.Event
	for ev, err := range recording.Read(bytes.NewReader(ar.Files[0].Data)) {
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := ev.Data.(*minewarden.Sample); ok {
			ev.Process = process(1)
			events = append(events, ev)
		}
	}
	return events
}

func BenchmarkObserve(b *testing.B) {
	for _, bench := range []struct {
		name string
		data minewarden.Data
	}{
		{"rounding-near", &minewarden.Rounding{Near: 50}},
		{"rounding-plain", plain},
		{"rounding-flushed", &minewarden.Rounding{Near: 20, Zero: 20, FTZ: 40}},
		{"usage", &minewarden.Usage{Interval: time.Second, CPU: time.Second}},
		{"memory", dataset},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := newDetector(b)
			d.Observe(&minewarden.Event{Time: start, Process: process(1), Data: plain})
			ev := &minewarden.Event{Time: start, Process: process(1), Data: bench.data}
			b.ReportAllocs()
			for b.Loop() {
				d.Observe(ev)
				ev.Time = ev.Time.Add(time.Millisecond)
			}
		})
	}
	for _, name := range []string{"attack-randomx-jit", "attack-cryptonight", "benign-programs", "benign-crypto"} {
		b.Run("sample-"+name, func(b *testing.B) {
			events := samples(b, "testdata/"+name+".txtar")
			d := newDetector(b)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				ev := events[i%len(events)]
				ev.Time = start.Add(time.Duration(i) * 20 * time.Millisecond)
				i++
				d.Observe(&ev)
			}
		})
	}
}
