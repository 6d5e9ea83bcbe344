package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/responders/network"
)

// guard is the network side of the policies contain and kill: connections to indicators are refused in the kernel, and a flow
// in which mining is recognised is cut.
type guard struct {
	log     *slog.Logger
	desk    *Desk
	kernel  *network.Guard
	queue   chan func(context.Context)
	dropped atomic.Uint64
}

// guardQueue bounds what waits for the kernel: each item takes less than a millisecond.
const guardQueue = 4096

// newGuard returns nil, and says why in the log, where the policy or the host does not allow one.
func newGuard(cfg *config.Config, desk *Desk, set *indicators.Set, log *slog.Logger) *guard {
	if cfg.Respond == config.Observe {
		return nil
	}
	for _, r := range desk.responders {
		n, ok := r.(*network.Responder)
		if !ok {
			continue
		}
		k, err := n.Guard(set)
		if err != nil {
			log.Error("connections to indicators are not refused", "reason", err)
			return nil
		}
		return &guard{log: log, desk: desk, kernel: k, queue: make(chan func(context.Context), guardQueue)}
	}
	return nil
}

// observe follows DNS answers. It runs on the pipeline's goroutine and does not block.
func (g *guard) observe(ev *minewarden.Event) {
	d, ok := ev.Data.(*minewarden.DNS)
	if !ok || !d.Response || len(d.Addrs) == 0 {
		return
	}
	name, aliases, addrs, ttl := d.Name, d.Names, d.Addrs, time.Duration(d.TTL)*time.Second
	g.enqueue(func(context.Context) {
		if err := g.kernel.ObserveDNS(name, aliases, addrs, ttl); err != nil {
			g.log.Error("a DNS answer is not followed", "name", name, "error", err)
		}
	})
}

// replace refuses what a changed list says. A nil guard refuses nothing.
func (g *guard) replace(set *indicators.Set) {
	if g == nil {
		return
	}
	g.enqueue(func(context.Context) {
		if err := g.kernel.Replace(set); err != nil {
			g.log.Error("changed indicators are not refused", "error", err)
		}
	})
}

// finding cuts the flow of a grave finding of a mining protocol. It does not block.
func (g *guard) finding(f *minewarden.Finding, r minewarden.Rule, incident string) {
	if r.Severity < minewarden.High || f.Subject.Type != minewarden.SubjectFlow || !strings.HasPrefix(f.Rule, "stratum/") {
		return
	}
	flow, err := flowOf(f.Subject)
	if err != nil {
		g.log.Error("cannot cut", "error", err)
		return
	}
	why := fmt.Sprintf("%s, %d%% sure", f.Rule, int(f.Confidence*100))
	g.enqueue(func(ctx context.Context) {
		receipt, err := g.kernel.Cut(ctx, incident, flow, why)
		if err != nil {
			g.log.Error("cannot cut", "flow", flow.String(), "error", err)
		}
		if receipt.Action.ID == "" {
			return
		}
		g.desk.trail.AppendLate(entryOf("action.done", receipt, "agent"))
		if err := g.desk.note(ctx, receipt); err != nil {
			g.log.Error("a cut is not recorded with its incident", "flow", flow.String(), "error", err)
		}
		g.desk.told(ctx, receipt)
	})
}

func flowOf(s minewarden.Subject) (minewarden.FlowKey, error) {
	proto, _, _ := strings.Cut(s.ID, " ")
	client, err1 := netip.ParseAddrPort(s.Client)
	server, err2 := netip.ParseAddrPort(s.Server)
	if err := errors.Join(err1, err2); err != nil {
		return minewarden.FlowKey{}, fmt.Errorf("flow %s: %w", s.ID, err)
	}
	return minewarden.FlowKey{Proto: proto, Client: client, Server: server}, nil
}

func (g *guard) enqueue(f func(context.Context)) {
	select {
	case g.queue <- f:
	default:
		g.dropped.Add(1)
	}
}

// run works until ctx is done and then lets go of what it refuses. Cuts stand until they expire or are undone.
func (g *guard) run(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var told uint64
	for {
		select {
		case <-ctx.Done():
			if err := g.kernel.Stop(); err != nil {
				g.log.Error("refused connections are not let go", "error", err)
			}
			return
		case f := <-g.queue:
			f(ctx)
		case <-tick.C:
			if n := g.dropped.Load(); n > told {
				g.log.Error("the network guard is behind", "not_done", n-told)
				told = n
			}
		}
	}
}
