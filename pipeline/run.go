package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
)

const (
	// queueLen is how many events may wait: at 50k events a second it covers a pause of 0.6 s.
	queueLen = 32768
	// A sensor that failed is started again after firstDelay, doubled up to lastDelay; a minute without error resets it.
	firstDelay = time.Second
	lastDelay  = time.Minute
)

// A Runner drives a pipeline from live sensors.
type Runner struct {
	pipe    *Pipeline
	log     *slog.Logger
	now     func() time.Time
	ticked  time.Time // the wall at the last second
	queue   chan item
	sensors []*sensorState
	once    []minewarden.Sensor
	onceEnd chan struct{} // closed when all of once have ended
	early   *early
	health  atomic.Pointer[Health]
}

type item struct {
	ev   minewarden.Event
	from *sensorState // nil: a call to run on the pipeline's goroutine
	call func()
}

type sensorState struct {
	sensor  minewarden.Sensor
	name    string
	events  atomic.Uint64
	dropped atomic.Uint64 // at the queue, ever
	told    uint64        // of dropped, already emitted as Lost
	mu      sync.Mutex
	state   string
	reason  string
}

// Health is what the operator sees of the road: who runs, who does not and why, and what was lost.
type Health struct {
	Time      time.Time        `json:"time"`
	Stats     Stats            `json:"stats"`
	Sensors   []SensorHealth   `json:"sensors"`
	Detectors []DetectorHealth `json:"detectors"`
}

// SensorHealth is one sensor's part of Health.
type SensorHealth struct {
	Name    string `json:"name"`
	State   string `json:"state"` // running, waiting, unsupported
	Reason  string `json:"reason,omitempty"`
	Events  uint64 `json:"events"`
	Dropped uint64 `json:"dropped"`
}

// DetectorHealth is one detector's part of Health.
type DetectorHealth struct {
	Name     string `json:"name"`
	Findings uint64 `json:"findings"`
	Off      string `json:"off,omitempty"`
}

// NewRunner returns a Runner for pipe.
func NewRunner(pipe *Pipeline, log *slog.Logger, now func() time.Time, sensors []minewarden.Sensor) *Runner {
	r := &Runner{pipe: pipe, log: log, now: now, queue: make(chan item, queueLen), onceEnd: make(chan struct{}), early: newEarly()}
	for _, s := range sensors {
		r.sensors = append(r.sensors, &sensorState{sensor: s, name: s.Info().Name, state: "waiting"})
	}
	r.health.Store(&Health{})
	return r
}

// Once adds a sensor that looks once and ends. Its events wait for room in the queue, so none is dropped. Call it before Run.
func (r *Runner) Once(s minewarden.Sensor) { r.once = append(r.once, s) }

// OnceEnded is closed when every sensor added by Once has ended.
func (r *Runner) OnceEnded() <-chan struct{} { return r.onceEnd }

// Health returns the state as of the last second. It may be called from any goroutine.
func (r *Runner) Health() Health { return *r.health.Load() }

// Call runs f on the pipeline's goroutine after all events that are queued now. It blocks until f is queued or ctx is done.
func (r *Runner) Call(ctx context.Context, f func()) error {
	select {
	case r.queue <- item{call: f}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Emit queues an event that no sensor of the catalogue saw, as the hash of an executable. It never blocks; false: dropped.
func (r *Runner) Emit(ev minewarden.Event) bool {
	select {
	case r.queue <- item{ev: ev}:
		return true
	default:
		return false
	}
}

// Run runs the sensors until ctx is done, then what is still queued, and returns.
func (r *Runner) Run(ctx context.Context) {
	var sensors sync.WaitGroup
	for _, s := range r.sensors {
		sensors.Go(func() { r.supervise(ctx, s) })
	}
	sensors.Go(func() { r.runOnce(ctx) })
	done := make(chan struct{})
	go func() { sensors.Wait(); close(done) }()
	tick := time.NewTimer(beat.Next(time.Now(), time.Second))
	defer tick.Stop()
	for {
		select {
		case it := <-r.queue:
			r.one(it)
		case <-tick.C:
			tick.Reset(beat.Next(time.Now(), time.Second))
			r.second()
		case <-done:
			for {
				select {
				case it := <-r.queue:
					r.one(it)
				default:
					r.release(r.now(), true)
					r.second()
					return
				}
			}
		}
	}
}

func (r *Runner) one(it item) {
	if it.call != nil {
		it.call()
		return
	}
	if it.from != nil {
		it.ev.Sensor = it.from.name
	}
	if waits := len(r.early.items) > 0; r.pipe.early(&it.ev) || waits && written(&it.ev) {
		if first, full := r.early.hold(it, r.now()); full {
			r.pipe.Observe(first.ev)
		}
		return
	}
	r.pipe.Observe(it.ev)
	if len(r.early.items) > 0 && it.ev.Data != nil && it.ev.Data.Kind() == minewarden.KindExec {
		r.release(r.now(), false)
	}
}

// second tells the pipeline that time passed and what was dropped, and publishes the health.
func (r *Runner) second() {
	now := r.now().Round(0) // of the wall alone
	if gap := now.Sub(r.ticked); !r.ticked.IsZero() && (gap < -setBack || gap > setBack && r.pipe.shift > 0) {
		r.log.Warn("the clock was set", "by", gap.Round(time.Second))
		r.pipe.clockSet(now)
	}
	r.ticked = now
	r.pipe.Advance(now.Add(r.pipe.shift))
	h := &Health{Time: now}
	for _, s := range r.sensors {
		dropped := s.dropped.Load()
		if n := dropped - s.told; n > 0 {
			s.told = dropped
			r.log.Warn("events dropped: the pipeline is behind", "sensor", s.name, "events", n)
			r.pipe.Observe(minewarden.Event{Time: now, Sensor: s.name, Data: &minewarden.Lost{N: n, Where: "queue"}})
		}
		s.mu.Lock()
		h.Sensors = append(h.Sensors, SensorHealth{s.name, s.state, s.reason, s.events.Load(), dropped})
		s.mu.Unlock()
	}
	for _, m := range r.pipe.mods {
		h.Detectors = append(h.Detectors, DetectorHealth{m.name, m.findings, m.off})
	}
	h.Stats = r.pipe.stats
	r.health.Store(h)
}

func (s *sensorState) set(state, reason string) {
	s.mu.Lock()
	s.state, s.reason = state, reason
	s.mu.Unlock()
}

// supervise keeps one sensor running: a passing error starts it again after a delay, ErrUnsupported switches it off.
func (r *Runner) supervise(ctx context.Context, s *sensorState) {
	emit := func(ev minewarden.Event) {
		select {
		case r.queue <- item{ev: ev, from: s}:
			s.events.Add(1)
		default:
			s.dropped.Add(1)
		}
	}
	if p, ok := s.sensor.(minewarden.Patient); ok && p.Patient() {
		emit = r.patient(ctx, s, emit)
	}
	delay := firstDelay
	for ctx.Err() == nil {
		s.set("running", "")
		start := r.now()
		err := runOne(ctx, s.sensor, emit)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, minewarden.ErrUnsupported) {
			r.log.Warn("sensor is off", "sensor", s.name, "reason", err)
			s.set("unsupported", err.Error())
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		if r.now().Sub(start) > lastDelay {
			delay = firstDelay
		}
		r.log.Error("sensor failed; starting it again", "sensor", s.name, "error", err, "delay", delay)
		s.set("waiting", err.Error())
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
		delay = min(2*delay, lastDelay)
	}
}

// patient returns an emit that waits while the queue is half full: the other half is for sensors that cannot wait.
func (r *Runner) patient(ctx context.Context, s *sensorState, emit minewarden.Emit) minewarden.Emit {
	return func(ev minewarden.Event) {
		for len(r.queue) > queueLen/2 && ctx.Err() == nil {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
		if ctx.Err() == nil {
			emit(ev)
			return
		}
		// At the end the queue is still emptied: what was read must not be lost then either.
		r.queue <- item{ev: ev, from: s}
		s.events.Add(1)
	}
}

func runOne(ctx context.Context, s minewarden.Sensor, emit minewarden.Emit) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.Run(ctx, emit)
}

// runOnce runs the sensors that look once, together, and tells of those that failed.
func (r *Runner) runOnce(ctx context.Context) {
	defer close(r.onceEnd)
	var all sync.WaitGroup
	for _, s := range r.once {
		all.Go(func() {
			from := &sensorState{name: s.Info().Name}
			err := runOne(ctx, s, func(ev minewarden.Event) {
				select {
				case r.queue <- item{ev: ev, from: from}:
				case <-ctx.Done():
				}
			})
			if err != nil && ctx.Err() == nil {
				r.log.Error("could not look", "sensor", from.name, "error", err)
			}
		})
	}
	all.Wait()
}
