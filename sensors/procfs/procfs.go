// Package procfs reports what processes use and, where eBPF is absent, what they do, by reading /proc.
package procfs

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	// Proc is where the proc file system is.
	Proc string `yaml:"proc"`
	// Processes makes the sensor report programs, connections and hidden processes too, which sensors/ebpf does better.
	Processes bool `yaml:"processes"`
	// Interval is the time between two looks at who used the processor.
	Interval time.Duration `yaml:"interval"`
	// Poll is the time between two looks for new processes.
	Poll time.Duration `yaml:"poll"`
}

// Default returns the configuration that New starts from.
func Default() Config {
	return Config{Proc: "/proc", Interval: time.Second, Poll: 150 * time.Millisecond}
}

const (
	fullEvery   = 10 * time.Second // a look at every process, however idle the host
	reportEvery = time.Minute      // a Usage of every process, for baselines
	minShare    = 0.03             // of one core: less is not reported at once; throttled miners were measured at 10 % and more
	minGrowth   = 32 << 20         // bytes of resident memory that are reported at once
	minPause    = 20 * time.Millisecond
)

type sensor struct {
	env minewarden.Env
	cfg Config
}

var _ minewarden.Sensor = (*sensor)(nil)

// New returns the sensor.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	cfg := Default()
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	if cfg.Interval < minPause || cfg.Poll < minPause {
		return nil, fmt.Errorf("procfs: interval %v and poll %v must be at least %v", cfg.Interval, cfg.Poll, minPause)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	return &sensor{env: env, cfg: cfg}, nil
}

// Info implements minewarden.Sensor.
func (s *sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "procfs", Title: "processor time, memory and programs from /proc", Doc: doc}
}

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) (err error) {
	w, err := s.watch(emit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.tree.close()) }()
	if err := w.look(); err != nil {
		return err
	}
	usage := time.NewTimer(beat.Next(time.Now(), s.cfg.Interval))
	defer usage.Stop()
	var poll <-chan time.Time
	if s.cfg.Processes {
		t := time.NewTicker(s.cfg.Poll)
		defer t.Stop()
		poll = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-usage.C:
			err = w.look()
			usage.Reset(beat.Next(time.Now(), s.cfg.Interval))
		case <-poll:
			err = w.poll()
		}
		if err != nil {
			return err
		}
	}
}

func (s *sensor) watch(emit minewarden.Emit) (*watch, error) {
	t, err := openTree(s.cfg.Proc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", minewarden.ErrUnsupported, err)
	}
	w := &watch{
		tree: t, emit: emit, now: s.env.Now, log: s.env.Log, programs: s.cfg.Processes,
		known: map[int32]*process{}, maps: make([]byte, 64<<10),
		gpus: hasGPU(s.env.Root), energy: newRapl(powercap),
	}
	if s.cfg.Processes {
		w.sockets = newSockets()
		w.hidden = newHidden(s.cfg.Proc)
	}
	return w, nil
}
