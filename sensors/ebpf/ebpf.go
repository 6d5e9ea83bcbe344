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
	"github.com/minewarden/minewarden/internal/beat"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	RingKiB  int  `yaml:"ring_kib"`  // the buffer between kernel and agent, a power of two
	SampleHz int  `yaml:"sample_hz"` // how often each CPU is looked at; 0: never, and then nothing is probed either
	Probe    bool `yaml:"probe"`     // wake a thread on a CPU whose burning thread is switched in too seldom to be judged
	Hidden   int  `yaml:"hidden"`    // seconds between looks for hidden processes; 0: never

	entries uint32 // of each table; 0: as bpf/ has it. Tests fill small ones
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
	// While something happens the ring is read by the clock: at 100 ms it holds 400,000 connections a second. Busy machines are
	// read more often, which spares memory that the processor has to fetch again. When nothing came, the next event wakes.
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
	lost    [numLosses]uint64
	probes  chan int // CPUs to wake on; nil: no probing
	record  ringbuf.Record
}

func (r *run) loop(ctx context.Context, reader *ringbuf.Reader) error {
	stop := context.AfterFunc(ctx, func() {
		if err := reader.Flush(); err != nil { // wakes the loop below
			r.env.Log.Error("wake the reader", "error", err)
		}
	})
	defer stop()
	poll := time.NewTimer(pollIdle)
	defer poll.Stop()
	last := time.Now()
	next := last.Add(beat.Next(last, tickEvery))
	var n int // records read
	for armed := false; ctx.Err() == nil; {
		now := time.Now()
		if !now.Before(next) {
			r.tick(now.Sub(last))
			last, next = now, now.Add(beat.Next(now, tickEvery))
		}
		var err error
		switch {
		case n > 0:
			pause := pollIdle
			if n >= busy {
				pause = pollBusy
			}
			poll.Reset(pause)
			select {
			case <-ctx.Done():
			case <-poll.C:
			}
			armed = false
			n, err = r.drain(reader)
		case !armed:
			// An event that is just being sent may not have seen the flag, so the first sleep is short.
			if err := r.kernel.asleep.Put(uint32(0), uint32(1)); err != nil {
				return fmt.Errorf("ask to be woken: %w", err)
			}
			armed = true
			n, err = r.await(reader, now.Add(pollIdle))
		default:
			n, err = r.await(reader, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await sleeps until there is a record, or the deadline, or it is woken, and emits what lies in the ring then.
func (r *run) await(reader *ringbuf.Reader, deadline time.Time) (int, error) {
	reader.SetDeadline(deadline.Add(time.Millisecond)) // the rest of a millisecond would not be slept
	if got, err := r.read(reader); err != nil || !got {
		return 0, err
	}
	n, err := r.drain(reader)
	return n + 1, err
}

// drain emits what lies in the ring and returns how many records that were.
func (r *run) drain(reader *ringbuf.Reader) (n int, err error) {
	if reader.AvailableBytes() == 0 {
		return 0, nil
	}
	reader.SetDeadline(time.Unix(1, 0)) // long past: never wait
	for ; n < maxBatch; n++ {
		if got, err := r.read(reader); err != nil || !got {
			return n, err
		}
	}
	return n, nil
}

// read emits a record. It returns false where none came before the deadline.
func (r *run) read(reader *ringbuf.Reader) (bool, error) {
	err := reader.ReadInto(&r.record)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the ring buffer: %w", err)
	}
	ev, err := decode(r.record.RawSample, r.clock)
	if err != nil {
		r.env.Log.Error("record not understood", "error", err)
		r.emit(minewarden.Event{Time: time.Now(), Data: &minewarden.Lost{N: 1, Where: "record"}})
		return true, nil
	}
	if exec, ok := ev.Data.(*minewarden.Exec); ok {
		complete(ev.Process.Key, exec)
	}
	r.emit(ev)
	return true, nil
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
	for what, n := range counts {
		if d := n - r.lost[what]; d > 0 {
			r.lost[what] = n
			r.emit(minewarden.Event{Time: time.Now(), Data: &minewarden.Lost{N: d, Where: lossNames[what]}})
		}
	}
}
