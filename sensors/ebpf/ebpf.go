// Package ebpf is the sensor that looks from inside the kernel: programs started, forked and ended, connections with their
// result, memory made executable, what threads ask of the kernel, the rounding mode they compute in and the code they run.
//
// The programs in bpf/ are under Apache-2.0 or GPL-2.0 as their user chooses, because the kernel gives some of its functions
// only to programs under a licence compatible with its own; docs/decisions/0003-bpf-licence.md. They are compiled into the
// binary, and nothing is pinned: when the process ends, in whatever way, the kernel takes everything down.
package ebpf

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	RingKiB  int  `yaml:"ring_kib"`  // the buffer between kernel and agent, a power of two
	SampleHz int  `yaml:"sample_hz"` // how often each CPU is looked at; 0: never, and then nothing is probed either
	Probe    bool `yaml:"probe"`     // wake a thread on a CPU whose burning thread is switched in too seldom to be judged
	Hidden   int  `yaml:"hidden"`    // seconds between looks for hidden processes; 0: never
}

// DefaultConfig is what the sensor does when nothing is configured.
func DefaultConfig() Config {
	return Config{RingKiB: 4096, SampleHz: 97, Probe: true, Hidden: 20}
}

// Validate says what is wrong, without looking at the host.
func (c Config) Validate() error {
	switch {
	case c.RingKiB < 4 || c.RingKiB > 65536 || c.RingKiB&(c.RingKiB-1) != 0:
		return fmt.Errorf("ring_kib is %d: it must be a power of two from 4 to 65536", c.RingKiB)
	case c.SampleHz < 0 || c.SampleHz > 1000:
		return fmt.Errorf("sample_hz is %d: it must be from 0 to 1000", c.SampleHz)
	case c.Hidden < 0:
		return fmt.Errorf("hidden is %d: it must not be negative", c.Hidden)
	}
	return nil
}

var _ minewarden.Sensor = (*sensor)(nil)

type sensor struct {
	env    minewarden.Env
	config Config
}

// New makes the sensor. Whether this host supports it shows when it runs.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	s := &sensor{env: env, config: DefaultConfig()}
	if err := env.Config(&s.config); err != nil {
		return nil, err
	}
	if err := s.config.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "ebpf", Title: "processes, connections and computation, seen by programs in the kernel", Doc: doc}
}

const (
	// The ring is read by the clock. At 100 ms it holds 400,000 connections a second; busy machines are read more often, which
	// spares memory that the processor has to fetch again.
	pollIdle  = 100 * time.Millisecond
	pollBusy  = 25 * time.Millisecond
	busy      = 500 // records in one read
	tickEvery = time.Second
	// maxBatch bounds the records that are read before the clock is looked at again.
	maxBatch = 1 << 16
)

// Run implements minewarden.Sensor. It wraps ErrUnsupported, with the reason, when the kernel takes none of the programs.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) error {
	k, err := load(s.config)
	if err != nil {
		return err
	}
	defer k.Close()
	for _, c := range k.capabilities {
		if !c.OK {
			s.env.Log.Warn("not seen", "what", c.Name, "reason", c.Reason)
		}
	}

	attached := bootNow()
	if err := k.attach(s.config); err != nil {
		return err
	}
	reader, err := ringbuf.NewReader(k.events)
	if err != nil {
		return fmt.Errorf("read the ring buffer: %w", err)
	}
	defer reader.Close()

	r := &run{sensor: s, kernel: k, emit: emit, clock: newClock()}
	r.threads = newThreads(s.config)
	r.calls = newCalls()
	if k.list != nil && s.config.Hidden > 0 {
		r.hidden = newHidden(time.Duration(s.config.Hidden) * time.Second)
	}
	if s.config.Probe && s.config.SampleHz > 0 && k.threads != nil {
		stop := r.startProbe()
		defer stop()
	}
	r.existing(attached)
	return r.loop(ctx, reader)
}

// run is the state of one Run. One goroutine uses it.
type run struct {
	*sensor
	kernel  *kernel
	emit    minewarden.Emit
	clock   clock
	threads *threads
	calls   *calls
	hidden  *hidden // nil: not looked for
	lost    [numKinds]uint64
	probes  chan int // CPUs to wake on; nil: no probing
}

func (r *run) loop(ctx context.Context, reader *ringbuf.Reader) error {
	poll := time.NewTimer(pollIdle)
	defer poll.Stop()
	var rec ringbuf.Record
	last := time.Now()
	for {
		n, err := r.drain(reader, &rec)
		if err != nil {
			return err
		}
		if now := time.Now(); now.Sub(last) >= tickEvery {
			r.tick(now.Sub(last))
			last = now
		}
		if n >= busy {
			poll.Reset(pollBusy)
		} else {
			poll.Reset(pollIdle)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
	}
}

// drain emits what lies in the ring and returns how many records that were.
func (r *run) drain(reader *ringbuf.Reader, rec *ringbuf.Record) (n int, err error) {
	if reader.AvailableBytes() == 0 {
		return 0, nil
	}
	reader.SetDeadline(time.Unix(1, 0)) // long past: never wait
	for ; n < maxBatch; n++ {
		err := reader.ReadInto(rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read the ring buffer: %w", err)
		}
		ev, err := decode(rec.RawSample, r.clock)
		if err != nil {
			r.env.Log.Error("record not understood", "error", err)
			r.emit(minewarden.Event{Time: time.Now(), Data: &minewarden.Lost{N: 1, Where: "record"}})
			continue
		}
		if exec, ok := ev.Data.(*minewarden.Exec); ok {
			complete(ev.Process.Key, exec)
		}
		r.emit(ev)
	}
	return n, nil
}

// tick does what is done about once a second.
func (r *run) tick(since time.Duration) {
	r.clock = newClock()
	r.reportLost()
	r.reportThreads(since)
	r.reportProtects()
	r.reportPending()
	r.reportHidden()
}

func (r *run) reportLost() {
	counts, err := r.kernel.lostCounts()
	if err != nil {
		r.env.Log.Error("read loss counters", "error", err)
		return
	}
	for kind, n := range counts {
		if d := n - r.lost[kind]; d > 0 {
			r.lost[kind] = n
			r.emit(minewarden.Event{Time: time.Now(), Data: &minewarden.Lost{N: d, Where: "ring buffer, " + kindNames[kind]}})
		}
	}
}
