// Package stratum has a pool and clients on loopback, in a network namespace of their own, speak the dialects of mining. Nothing
// is hashed: work and shares are random text.
package stratum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/drills/drill"
)

const (
	name  = "stratum"
	lasts = 15 * time.Second
)

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "clients and a pool on loopback that speak mining, without hashing", Technique: []string{"T1496.001", "T1071"},
		Rules: []string{"stratum/login", "stratum/job", "stratum/submit", "stratum/session", "stratum/getwork", "stratum/getblocktemplate"},
		Run:   run, Child: child,
	}
}

// Config says what is spoken. It is bounded by Validate.
type Config struct {
	Dialects []string      `json:"dialects"` // see Dialects; empty: all
	Carriers []string      `json:"carriers"` // see Carriers; empty: all
	Sessions int           `json:"sessions"` // of each dialect over each carrier
	Lasts    time.Duration `json:"lasts"`
	Share    time.Duration `json:"share"` // mean time between two shares of a session
	Job      time.Duration `json:"job"`   // mean time between two jobs
	Seed     uint64        `json:"seed"`
	// Capture is a file into which all packets are written, as pcap; empty: none. It needs a network namespace.
	Capture string `json:"capture,omitempty"`
}

// Validate does no I/O.
func (c *Config) Validate() error {
	for _, d := range c.Dialects {
		if !slices.Contains(Dialects(), d) {
			return fmt.Errorf("unknown dialect %q: use one of %v", d, Dialects())
		}
	}
	for _, v := range c.Carriers {
		if !slices.Contains(Carriers(), v) {
			return fmt.Errorf("unknown carrier %q: use one of %v", v, Carriers())
		}
	}
	if c.Sessions < 1 || c.Sessions > 64 {
		return fmt.Errorf("%d sessions of each: use 1 to 64", c.Sessions)
	}
	if c.Lasts <= 0 || c.Lasts > time.Hour || c.Share < 100*time.Millisecond || c.Job < 100*time.Millisecond {
		return errors.New("let it last at most an hour, with at least 100ms between shares and between jobs")
	}
	return nil
}

// run leaves what was said on its wire in the drill's directory: the host's sensors do not see a network namespace of another.
func run(ctx context.Context, env drill.Env) error {
	err := Run(ctx, Config{Sessions: 1, Lasts: lasts, Share: time.Second, Job: 3 * time.Second, Seed: 1, Capture: filepath.Join(env.Dir, "stratum.pcap")})
	if err != nil {
		return fmt.Errorf("stratum: %w", err)
	}
	return nil
}

// Run speaks as c says in a process of its own, and returns when that is over. Where no network namespace can be had, and nothing is
// to be captured, it speaks on this one's loopback.
func Run(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	command := func() *exec.Cmd {
		cmd := drill.Command(ctx, name, drill.Self, "drill-stratum", string(text))
		cmd.Stderr = os.Stderr
		return cmd
	}
	cmd := command()
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	cmd.Env = append(cmd.Env, ownNetwork+"=1")
	err = drill.Wait(ctx, cmd)
	if errors.Is(err, syscall.EPERM) && cmd.Process == nil {
		if c.Capture != "" {
			return fmt.Errorf("capture packets: needs a network namespace, so root: %w: %w", err, minewarden.ErrUnsupported)
		}
		err = drill.Wait(ctx, command())
	}
	return err
}

// ownNetwork tells the child that it has a network namespace of its own.
const ownNetwork = "MINEWARDEN_DRILL_NETWORK"

func child(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments, want 1", len(args))
	}
	var c Config
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	if os.Getenv(ownNetwork) != "" {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("bring loopback up: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Lasts)
	defer cancel()
	if c.Capture == "" {
		return speak(ctx, c)
	}
	stop, err := capture(c.Capture)
	if err != nil {
		return err
	}
	return errors.Join(speak(ctx, c), stop())
}

// speak has every session speak until ctx is done.
func speak(ctx context.Context, c Config) error {
	if len(c.Dialects) == 0 {
		c.Dialects = Dialects()
	}
	if len(c.Carriers) == 0 {
		c.Carriers = Carriers()
	}
	t, err := newTLS()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make(chan error, 1)
	tell := func(err error) {
		if err == nil || ctx.Err() != nil {
			return // the end of the drill cuts all sessions
		}
		select {
		case errs <- err:
		default:
		}
	}
	seed := c.Seed
	for _, carrier := range c.Carriers {
		for _, d := range c.Dialects {
			if carrier == "websocket" && d == "template" {
				continue // HTTP does not go in frames
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("listen on loopback: %w", err)
			}
			stop := context.AfterFunc(ctx, func() { listener.Close() })
			defer stop()
			p := &party{config: c, dialect: d, carrier: carrier, tls: t}
			all.Go(func() { p.serve(ctx, listener, &all, tell) })
			for range c.Sessions {
				seed++
				r := rand.New(rand.NewPCG(seed, 1))
				all.Go(func() { tell(p.mine(ctx, listener.Addr().String(), r)) })
			}
		}
	}
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// A party is the pool and the clients of one dialect over one carrier.
type party struct {
	config  Config
	dialect string
	carrier string
	tls     *identity
}

func (p *party) serve(ctx context.Context, l net.Listener, all *sync.WaitGroup, tell func(error)) {
	for n := uint64(0); ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(p.config.Seed+n, 2))
		all.Go(func() { tell(p.pool(ctx, c, r)) })
	}
}

// pool answers one client, and sends jobs.
func (p *party) pool(ctx context.Context, raw net.Conn, r *rand.Rand) error {
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	c, err := p.accept(raw)
	if err != nil {
		return err
	}
	talk := dialects()[p.dialect](r)
	var mu sync.Mutex
	begun := make(chan struct{})
	var sender sync.WaitGroup
	defer sender.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if talk.job != nil {
		clock := rand.New(rand.NewPCG(r.Uint64(), 3)) // r is for who holds mu
		sender.Go(func() {
			select {
			case <-begun:
			case <-ctx.Done():
				return
			}
			for wait(ctx, jitter(clock, p.config.Job)) {
				mu.Lock()
				err := c.send(talk.job())
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	for first := true; ; first = false {
		line, err := c.receive()
		if err != nil {
			return end(err)
		}
		mu.Lock()
		for _, answer := range talk.answer(line) {
			if err = c.send(answer); err != nil {
				break
			}
		}
		mu.Unlock()
		if err != nil {
			return end(err)
		}
		if first {
			close(begun)
		}
	}
}

// mine is one client: it logs in and hands in shares.
func (p *party) mine(ctx context.Context, addr string, r *rand.Rand) error {
	if !wait(ctx, time.Duration(r.Int64N(int64(min(p.config.Share, p.config.Lasts/4))))) {
		return nil
	}
	raw, err := p.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	c, err := p.open(raw, addr)
	if err != nil {
		return err
	}
	talk := dialects()[p.dialect](r)
	for _, line := range talk.login() {
		if err := c.send(line); err != nil {
			return end(err)
		}
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	defer raw.Close()
	reader.Go(func() {
		for {
			if _, err := c.receive(); err != nil {
				return
			}
		}
	})
	for wait(ctx, jitter(r, p.config.Share)) {
		if err := c.send(talk.share()); err != nil {
			return end(err)
		}
	}
	return nil
}

// end makes nothing of a connection that is over.
func end(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// jitter is a time as the next of a Poisson process comes, at most eight times the mean: blocks and shares are found so.
func jitter(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(min(r.ExpFloat64(), 8) * float64(mean))
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
