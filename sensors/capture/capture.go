// Package capture reports what the network carries: conversations, the bytes of those that may be mining, and what the
// handshakes of other protocols show. It reads capture files and, live, every interface.
package capture

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	// Interfaces are the names of those to listen on; empty: all but loopback, also those that appear later.
	Interfaces []string `yaml:"interfaces"`
	// Loopback adds the loopback interface where Interfaces is empty.
	Loopback bool `yaml:"loopback"`
	// Namespaces also listens inside the network namespaces of containers. What leaves these through the host is seen without it.
	Namespaces bool `yaml:"namespaces"`
	// Snaplen is how much of a packet is taken, in bytes.
	Snaplen int `yaml:"snaplen"`
	// BufferMiB is the memory that the kernel keeps packets in until they are read; a namespace gets an eighth of it.
	BufferMiB int `yaml:"buffer_mib"`
	// Flows is how many conversations are known at once.
	Flows int `yaml:"flows"`
	// Keep is which packets are kept for evidence: mining, begin or off.
	Keep string `yaml:"keep"`
	// KeepMiB is how much of them is kept on disk.
	KeepMiB int `yaml:"keep_mib"`
}

// Default returns the configuration that New starts from.
func Default() Config {
	return Config{Snaplen: 16 << 10, BufferMiB: 12, Flows: 1 << 18, Keep: keepMining, KeepMiB: 64}
}

func (c *Config) validate() error {
	switch {
	case c.Snaplen < 128 || c.Snaplen > 65535:
		return fmt.Errorf("capture: snaplen is %d: use 128 to 65535", c.Snaplen)
	case c.BufferMiB < 1 || c.BufferMiB > 1024:
		return fmt.Errorf("capture: buffer_mib is %d: use 1 to 1024", c.BufferMiB)
	case c.Flows < 1024 || c.Flows > 1<<24:
		return fmt.Errorf("capture: flows is %d: use 1024 to %d", c.Flows, 1<<24)
	case len(c.Interfaces) > maxWanted:
		return fmt.Errorf("capture: %d interfaces are named: at most %d can be", len(c.Interfaces), maxWanted)
	}
	return checkKeep(c)
}

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
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &sensor{env: env, cfg: cfg}, nil
}

// Info implements minewarden.Sensor.
func (*sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "capture", Title: "what the network carries", Doc: doc}
}

const (
	upkeepEvery   = time.Second
	namespacesGap = 10 // upkeeps between looks for namespaces
)

// live is a running sensor.
type live struct {
	cfg    Config
	env    minewarden.Env
	engine *engine
	ended  *os.File // readable when the run has ended
	rings  []*ring  // the first is the host's
	fds    []unix.PollFd
	told   stats
	skips  map[uint64]bool // namespaces that could not be entered
}

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) (err error) {
	first, err := openRing(s.cfg, s.cfg.BufferMiB, 0)
	if err != nil {
		return err
	}
	ended, end, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("wait for packets: %w", err), first.close())
	}
	defer ended.Close()
	defer end.Close()
	defer context.AfterFunc(ctx, func() { end.Close() })() //nolint:errcheck // a pipe
	limits := defaultLimits()
	limits.flows, limits.own = s.cfg.Flows, true
	l := &live{cfg: s.cfg, env: s.env, ended: ended, engine: newEngine(emit, limits), rings: []*ring{first}, skips: map[uint64]bool{}}
	defer func() {
		for _, r := range l.rings {
			err = errors.Join(err, r.close())
		}
	}()
	if k := s.newKeeper(); k != nil {
		l.engine.keeper = k
		defer func() { err = errors.Join(err, k.out.Close()) }()
	}
	next := s.env.Now()
	for upkeeps := 0; ctx.Err() == nil; {
		if now := s.env.Now(); !now.Before(next) {
			next = now.Add(beat.Next(now, upkeepEvery))
			if err := l.upkeep(now, upkeeps%namespacesGap == 0); err != nil {
				return err
			}
			upkeeps++
		}
		if err := l.wait(next.Sub(s.env.Now())); err != nil {
			return err
		}
		for _, r := range l.rings {
			r.drain(l.engine)
		}
		if k := l.engine.keeper; k != nil {
			k.out.Flush()
		}
	}
	l.engine.finish()
	return nil
}

// wait returns when a ring has packets, when the run has ended, or after that time.
func (l *live) wait(at time.Duration) error {
	l.fds = append(l.fds[:0], unix.PollFd{Fd: int32(l.ended.Fd()), Events: unix.POLLIN})
	for _, r := range l.rings {
		l.fds = append(l.fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR})
	}
	if _, err := unix.Poll(l.fds, max(int(at/time.Millisecond)+1, 0)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// upkeep tells what was lost, and follows interfaces and namespaces as they come and go.
func (l *live) upkeep(now time.Time, namespaces bool) error {
	e := l.engine
	for _, r := range l.rings {
		lost, err := r.lost()
		if err != nil {
			return err
		}
		if lost > 0 {
			e.emitTo(minewarden.Event{Time: now, Data: &minewarden.Lost{N: lost, Where: "packet ring"}})
		}
		if err := r.refilter(); err != nil {
			return err
		}
	}
	if n := e.stats.evicted - l.told.evicted; n > 0 {
		e.emitTo(minewarden.Event{Time: now, Data: &minewarden.Lost{N: n, Where: "flow table"}})
	}
	if e.keeper != nil {
		if n := e.keeper.out.Lost(); n > 0 {
			e.emitTo(minewarden.Event{Time: now, Data: &minewarden.Lost{N: n, Where: "kept packets"}})
		}
	}
	if n := e.stats.unheld - l.told.unheld; n > 0 {
		l.env.Log.Warn("bytes of unfinished messages had to be forgotten", "bytes", n)
	}
	l.told = e.stats
	if l.cfg.Namespaces && namespaces {
		l.followNamespaces()
	}
	e.now = now.UnixNano()
	e.sweep()
	return nil
}
