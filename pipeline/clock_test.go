package pipeline_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/pipeline"
)

// watched is a spy that may be looked at while the pipeline runs.
type watched struct {
	spy
	mu  sync.Mutex
	off []time.Duration // of what taps are told, against the clock
}

func (w *watched) Observe(ev *minewarden.Event) []minewarden.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spy.Observe(ev)
}

func (w *watched) told() ([]minewarden.Event, []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen), slices.Clone(w.off)
}

// TestClockIsSet: detectors' time goes on whatever is done to the clock, and what is told has the clock's time.
func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		src := source{func(ctx context.Context, emit minewarden.Emit) error {
			for pid := int32(10); ; pid++ {
				emit(exec(now(), pid, 0, "x"))
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(500 * time.Millisecond):
				}
			}
		}}
		s := &watched{}
		p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{s}, Tap: []func(*minewarden.Event){
			func(ev *minewarden.Event) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.off = append(s.off, now().Sub(ev.Time))
			},
		}})
		r := pipeline.NewRunner(p, slog.New(slog.DiscardHandler), now, []minewarden.Sensor{src})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		for _, jump := range []time.Duration{0, -72 * time.Hour, -72 * time.Hour, 200 * time.Hour, -time.Hour} {
			offset.Add(int64(jump))
			time.Sleep(3 * time.Second) // it is noticed within a second
			synctest.Wait()
			before, _ := s.told()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			seen, told := s.told()
			seen, told = seen[len(before):], told[len(before):]
			if d := seen[len(seen)-1].Time.Sub(seen[0].Time); d < 15*time.Second || d > 25*time.Second {
				t.Errorf("%v: in 20 s the time of detectors went on by %v", jump, d)
			}
			for _, d := range told {
				if d < 0 || d > 2*time.Second {
					t.Errorf("%v: an event is told %v off the clock", jump, d)
					break
				}
			}
		}
		cancel()
		<-done
		for i := range s.seen[1:] {
			if s.seen[i+1].Time.Before(s.seen[i].Time) {
				t.Fatalf("the time of detectors went back at event %d", i+1)
			}
		}
	})
}
