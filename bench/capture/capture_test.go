package capture

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors/capture"
)

// BenchmarkSensor reads the capture named by CAPTURE and drops its events.
func BenchmarkSensor(b *testing.B) {
	run(b, func() minewarden.Emit { return func(minewarden.Event) {} })
}

// BenchmarkDetectors reads it with every detector on.
func BenchmarkDetectors(b *testing.B) {
	run(b, func() minewarden.Emit {
		var dets []minewarden.Detector
		for _, m := range detectors.All() {
			d, err := m.New(minewarden.Env{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			dets = append(dets, d)
		}
		return pipeline.New(pipeline.Options{Host: recording.Host{}, Detectors: dets}).Observe
	})
}

func run(b *testing.B, emit func() minewarden.Emit) {
	path := os.Getenv("CAPTURE")
	if path == "" {
		b.Skip("CAPTURE names no file: make one with merge.sh")
	}
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(st.Size())
	for b.Loop() {
		if err := capture.Read(context.Background(), path, func(error) {}, emit()); err != nil {
			b.Fatal(err)
		}
	}
}
