package network

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// maxBlast bounds the lines about one destination in a plan.
const maxBlast = 64

// told are the prefixes of rules whose findings say what a miner talks to.
var told = []string{"stratum/", "tls/", "intel/", "flow/", "dns/pool"}

// Plan implements minewarden.Responder. It offers to block the destinations that findings of medium or more are about, and to
// take the network from the incident's processes.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	boot, err := proc.Boot()
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	all, err := proc.All()
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	var actions []minewarden.Action
	items, names := destinations(&inc)
	if len(items)+len(names) > 0 {
		a, err := r.plan(&inc, Block, items, names, 0, all)
		if err != nil {
			return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
		}
		actions = append(actions, a)
	}
	items = nil
	for _, s := range below(roots(&inc, boot, all), all) {
		items = append(items, Item{Kind: Tree, PID: s.PID, Start: s.Start})
	}
	if len(items) > 0 {
		a, err := r.plan(&inc, Offline, items, nil, 0, all)
		if err != nil {
			return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
		}
		actions = append(actions, a)
	}
	for i := range actions {
		actions[i].Params["boot"] = boot
	}
	return actions, ctx.Err()
}

// PlanBlock plans a block of what a person names: addresses, CIDRs, ADDRESS:PORT, :PORT, names; for as long as lasts, 0: as configured.
func (r *Responder) PlanBlock(targets []string, lasts time.Duration) (minewarden.Action, error) {
	var items []Item
	var names []string
	for _, t := range targets {
		i, name, err := ParseTarget(t)
		switch {
		case err != nil:
			return minewarden.Action{}, fmt.Errorf("plan a block: %w", err)
		case name != "":
			names = append(names, name)
		default:
			items = append(items, i)
		}
	}
	all, err := proc.All()
	if err != nil {
		return minewarden.Action{}, fmt.Errorf("plan a block: %w", err)
	}
	inc := minewarden.Incident{Subject: minewarden.Subject{Type: minewarden.SubjectHost, ID: strings.Join(targets, " ")}}
	return r.plan(&inc, Block, items, names, lasts, all)
}

func (r *Responder) plan(inc *minewarden.Incident, op string, items []Item, names []string, lasts time.Duration, all map[int32]proc.Stat) (minewarden.Action, error) {
	a := minewarden.Action{
		ID: op + "-" + rand.Text(), Responder: Name, Op: op, Incident: inc.ID, Target: inc.Subject, Reversible: true, Params: map[string]string{},
	}
	s, err := r.newShield()
	if err != nil {
		return a, err
	}
	take, refused, err := allowed(s, items)
	if err != nil {
		return a, err
	}
	a.Refused = refused
	r.mu.Lock()
	known := map[string][]netip.Addr{}
	for _, n := range names {
		known[n] = r.follow.addrs(n)
	}
	r.mu.Unlock()
	probe := slices.Clone(take)
	var blast []string
	for _, n := range names {
		if s.refusesName(n) {
			a.Refused = append(a.Refused, n+": protected by the configuration")
			continue
		}
		blast = append(blast, fmt.Sprintf("%s: its present addresses, and those in later answers", n))
		for _, addr := range known[n] {
			probe = append(probe, address(addr))
		}
	}
	now, err := r.talking(s, probe, all)
	if err != nil {
		return a, err
	}
	for _, i := range probe {
		line := i.String()
		if i.Kind == Tree {
			line = fmt.Sprintf("pid %d %s", i.PID, printable(all[i.PID].Comm))
		}
		if len(now[i]) > 0 {
			line += ": ends " + strings.Join(now[i], ", ")
		}
		blast = append(blast, line)
	}
	a.Blast = blast
	for key, v := range map[string]any{paramItems: take, paramNames: names} {
		b, err := json.Marshal(v)
		if err != nil {
			return a, err
		}
		a.Params[key] = string(b)
	}
	what := counted(take, names)
	if op == Offline {
		what = fmt.Sprintf("the network of %d processes", len(take))
	}
	ends := r.config.Expires.String()
	if lasts != 0 {
		ends = lasts.String()
		a.Params[ParamExpires] = ends
	}
	if !r.config.Persist {
		ends += ", while the agent runs"
	}
	a.Summary = fmt.Sprintf("block %s for %s", what, ends)
	return a, nil
}

// talking returns for each item the connections that it would end, as a person would name them.
func (r *Responder) talking(s *shield, items []Item, all map[int32]proc.Stat) (map[Item][]string, error) {
	pids := make([]int32, 0, len(all))
	for pid := range all {
		pids = append(pids, pid)
	}
	owner := sockets.Holders(pids)
	out := map[Item][]string{}
	sel, err := r.selector(s, items)
	if err != nil {
		return nil, err
	}
	err = sockets.EachNamespace(!r.config.Namespaces, func(d *sockets.Diag) error {
		return d.List(sockets.Talking, true, func(k sockets.Socket) {
			i, ok := sel(&k)
			if !ok || len(out[i]) >= maxBlast {
				return
			}
			who := "somebody"
			if pid, ok := owner[k.Inode]; ok {
				who = fmt.Sprintf("pid %d %s", pid, printable(all[pid].Comm))
			}
			out[i] = append(out[i], fmt.Sprintf("%s > %s of %s", k.Local, k.Remote, who))
		})
	})
	return out, err
}

// destinations are what findings of an incident say that its processes talk to.
func destinations(inc *minewarden.Incident) (items []Item, names []string) {
	seen := map[string]bool{}
	add := func(text string) {
		if text == "" || seen[text] || len(seen) >= maxPerBlock {
			return
		}
		seen[text] = true
		i, name, err := ParseTarget(text)
		switch {
		case err != nil: // evidence is for people: not every value is a destination
		case name != "":
			names = append(names, name)
		default:
			items = append(items, scope(i))
		}
	}
	for k := range inc.Findings {
		f := &inc.Findings[k]
		if f.Severity < minewarden.Medium || !slices.ContainsFunc(told, func(p string) bool { return strings.HasPrefix(f.Rule, p) }) {
			continue
		}
		add(f.Subject.Server)
		for _, e := range f.Evidence {
			if e.Key == "pool" || e.Key == "indicator" {
				add(e.Value)
			}
		}
	}
	return items, names
}

// scope widens an endpoint to its address: a pool listens on many ports. On a private address other services live beside it.
func scope(i Item) Item {
	if i.Kind == Endpoint && !private(i.Prefix.Addr()) {
		return address(i.Prefix.Addr())
	}
	return i
}

// carriers is a range beside the private ones that whoever runs the network gives out (RFC 6598).
var carriers = netip.MustParsePrefix("100.64.0.0/10")

func private(a netip.Addr) bool { return a.IsPrivate() || carriers.Contains(a) }
