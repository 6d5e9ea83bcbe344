package network

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// Owners of what no action blocks.
const (
	ownerList = "guard list"
	ownerDNS  = "guard dns"
)

// cutPrefix begins the ids of cuts.
const cutPrefix = "cut-"

const (
	maxListed  = 262_144
	minFollow  = 10 * time.Minute // an answer is used longer than its TTL says
	maxFollow  = 24 * time.Hour
	shieldLife = 10 * time.Second // how old what is protected may be for a cut
)

// A Guard is contain mode: it keeps the host from talking to indicators, and cuts pools that are recognised. It is safe for
// concurrent use.
type Guard struct {
	r      *Responder
	set    atomic.Pointer[indicators.Set]
	shield atomic.Pointer[shield]
	at     atomic.Int64 // when shield was made, ns
	shared atomic.Uint64
}

// Guard starts contain mode with these indicators.
func (r *Responder) Guard(set *indicators.Set) (*Guard, error) {
	g := &Guard{r: r}
	return g, g.Replace(set)
}

// Replace puts the addresses, endpoints and networks of set in place of those before. What stays is refused throughout.
func (g *Guard) Replace(set *indicators.Set) error {
	r := g.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.open(); err != nil {
		return err
	}
	g.set.Store(set)
	s, err := g.look(r.now(), true)
	if err != nil {
		return err
	}
	items, more := listed(set, s, r.config.MinConfidence, r.now())
	if more > 0 {
		r.log.Warn("there are more indicators than are refused in the kernel", "left_out", more)
	}
	want := make(map[Item]bool, len(items))
	for _, i := range items {
		want[i] = true
	}
	err = r.drop(func(i Item, h hold) bool { return h.owner == ownerList && !want[i] })
	if err = errors.Join(err, r.enforce(s, items, hold{owner: ownerList})); err != nil {
		return fmt.Errorf("refuse indicators: %w", err)
	}
	if _, err := r.sever(s, items); err != nil {
		return fmt.Errorf("refuse indicators: %w", err)
	}
	return nil
}

// Stop ends contain mode: what only the guard refuses is let go. Cuts stand until they expire or are undone.
func (g *Guard) Stop() error {
	r := g.r
	r.mu.Lock()
	defer r.mu.Unlock()
	g.set.Store(indicators.NewBuilder(0).Set())
	return r.drop(func(_ Item, h hold) bool { return h.owner == ownerList || h.owner == ownerDNS })
}

// Refused returns how many connections were refused since the programs were loaded, by what they met.
func (g *Guard) Refused() (map[string]uint64, error) {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	if g.r.kernel == nil {
		return nil, fmt.Errorf("count refused connections: %w", minewarden.ErrUnsupported)
	}
	return g.r.kernel.refused()
}

// look returns what is protected. The caller holds the responder's mu.
func (g *Guard) look(now time.Time, fresh bool) (*shield, error) {
	if s := g.shield.Load(); s != nil && !fresh && now.UnixNano()-g.at.Load() < int64(shieldLife) {
		return s, nil
	}
	s, err := g.r.newShield()
	if err != nil {
		return nil, err
	}
	if set := g.set.Load(); set != nil {
		for i := range set.Allowances {
			if p, ok := prefixOf(&i); ok {
				s.why[p] = "on the allow-list"
			}
		}
	}
	g.shield.Store(s)
	g.at.Store(now.UnixNano())
	return s, nil
}

func prefixOf(i *minewarden.Indicator) (netip.Prefix, bool) {
	switch i.Type {
	case indicators.IP, indicators.CIDR:
		it, _, err := ParseTarget(i.Value)
		return it.Prefix, err == nil && it.Kind == Address
	}
	return netip.Prefix{}, false
}

// listed returns what of set is refused in the kernel, and how much more there was.
func listed(set *indicators.Set, s *shield, sure float64, now time.Time) (items []Item, more int) {
	for i := range set.All {
		if (i.Type != indicators.IP && i.Type != indicators.CIDR && i.Type != indicators.Endpoint) || i.Confidence < sure ||
			(!i.Expires.IsZero() && !now.Before(i.Expires)) {
			continue
		}
		it, _, err := ParseTarget(i.Value)
		if err != nil || s.refuses(it) != "" {
			continue // too wide, or protected
		}
		if it.Kind != Port {
			if _, ok := set.Addr(it.Prefix.Addr(), it.Port, now); !ok && it.Prefix.IsSingleIP() {
				continue // on the allow-list
			}
		}
		if len(items) == maxListed {
			more++
			continue
		}
		items = append(items, it)
	}
	return items, more
}

// ObserveDNS follows an answer: addrs for name, reached over the names of its aliases. It blocks the addresses of a name that
// an action blocks or that is an indicator, and ends what connected to them meanwhile.
func (g *Guard) ObserveDNS(name string, aliases []string, addrs []netip.Addr, ttl time.Duration) error {
	r := g.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	list := make([]netip.Addr, 0, min(len(addrs), maxAnswered))
	for _, a := range addrs[:min(len(addrs), maxAnswered)] {
		list = append(list, a.Unmap().WithZone(""))
	}
	if len(list) == 0 {
		return nil
	}
	asked := append([]string{plain(name)}, aliases...)
	var holds []hold
	bad := false
	for _, n := range asked {
		n = plain(n)
		r.follow.answered(n, list)
		holds = append(holds, r.follow.holds(n)...)
		if hit, ok := g.set.Load().Name(n, now); ok && hit.Confidence() >= r.config.MinConfidence {
			bad = true
		}
	}
	if !bad && len(holds) == 0 {
		r.follow.harmless(list, now)
		return nil
	}
	s, err := g.look(now, false)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(asked, s.refusesName) {
		return nil
	}
	if bad {
		holds = append(holds, hold{ownerDNS, now.Add(min(max(ttl, minFollow), maxFollow))})
	}
	var items []Item
	for _, a := range list {
		switch {
		case s.covers(a) != "" || private(a):
		case r.follow.shared(a, now):
			g.shared.Add(1)
		default:
			items = append(items, address(a))
		}
	}
	if len(items) == 0 {
		return nil
	}
	var fresh []Item
	for _, h := range holds {
		more, err := r.refuse(items, h)
		if err != nil {
			return fmt.Errorf("block the addresses of %s: %w", plain(name), err)
		}
		fresh = append(fresh, more...)
	}
	if len(fresh) == 0 { // refused already: nothing can have connected
		return nil
	}
	if _, err := r.sever(s, fresh); err != nil {
		return fmt.Errorf("block the addresses of %s: %w", plain(name), err)
	}
	return r.second(fresh)
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Shared returns how many addresses were not blocked because unlisted names lead to them as well.
func (g *Guard) Shared() uint64 { return g.shared.Load() }

// Cut ends a flow in which mining was recognised, and blocks its destination for as long as the configuration says: first the
// block and the flow itself, then every other connection to the destination. The receipt is for the incident; Undo takes the
// block back, and then the destination is not cut again before the block would have ended. Where there is nothing new to do, for the
// destination is cut already, the receipt is empty.
func (g *Guard) Cut(ctx context.Context, incident string, flow minewarden.FlowKey, why string) (minewarden.Receipt, error) {
	r := g.r
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &work{id: cutPrefix + rand.Text(), started: r.now()}
	w.until = w.started.Add(r.config.Expires)
	a := minewarden.Action{
		ID: w.id, Responder: Name, Op: Block, Incident: incident, Target: minewarden.FlowSubject(flow), Reversible: true,
		Summary: "cut " + flow.String(), Params: map[string]string{ParamWho: "policy contain", ParamWhy: why},
	}
	to := scope(endpoint(flow.Server))
	if until, ok := r.pardoned[to]; ok && r.now().Before(until) {
		return minewarden.Receipt{}, nil
	}
	known := slices.ContainsFunc(r.table.items[to], func(h hold) bool { return strings.HasPrefix(h.owner, cutPrefix) })
	if known { // a connection that began before the block, or the next finding about the same one
		_, err := g.endFlow(flow)
		return minewarden.Receipt{}, err
	}
	result, items, refused, err := g.cut(w, flow, to)
	if err == nil && result == "" {
		return minewarden.Receipt{}, nil
	}
	a.Refused = refused
	b, jsonErr := json.Marshal(items)
	a.Params[paramItems] = string(b)
	boot, bootErr := proc.Boot()
	w.boot = boot
	receipt := w.receipt(&a, r.now())
	receipt.OK, receipt.Result = err == nil, result
	if err != nil {
		receipt.Result = err.Error()
		err = errors.Join(err, r.release(w.id))
	}
	// What is not pinned dies with the agent, and Recover removes what is pinned and not written down: it may come after.
	entry, noteErr := r.journal.Begin(w.id, record{Phase: phaseIntent, At: w.started, Boot: boot, Action: &a})
	if noteErr == nil {
		noteErr = errors.Join(entry.Append(record{Phase: phaseBlock, At: receipt.Done, Items: items, Until: w.until}),
			entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}), entry.Close())
	}
	if err = errors.Join(err, jsonErr, bootErr, noteErr, ctx.Err()); err != nil {
		return receipt, fmt.Errorf("cut %s: %w", flow, err)
	}
	return receipt, nil
}

func (g *Guard) cut(w *work, flow minewarden.FlowKey, to Item) (result string, items []Item, refused []string, err error) {
	r := g.r
	if err := r.open(); err != nil {
		return "", nil, nil, err
	}
	s, err := g.look(w.started, false)
	if err != nil {
		return "", nil, nil, err
	}
	if slices.Contains(r.config.Management, flow.Server.Port()) || slices.Contains(r.config.Management, flow.Client.Port()) {
		return "", nil, nil, errors.New("it is a management connection")
	}
	if why := s.refuses(to); why != "" {
		refused = append(refused, to.String()+": "+why)
	} else {
		if r.kernel != nil {
			err = r.kernel.exempt(s.prefixes())
		}
		if err == nil {
			items = []Item{to}
			_, err = r.refuse(items, hold{w.id, w.until})
		}
	}
	if err != nil {
		return "", items, refused, err
	}
	ended, err := g.endFlow(flow)
	if err != nil {
		return "", items, refused, err
	}
	if len(items) > 0 {
		n, err := r.sever(s, items)
		if err == nil {
			ended += n
			if r.firewall != nil {
				err = r.firewall.exempt(s.prefixes())
			}
		}
		if err = errors.Join(err, r.second(items)); err != nil {
			return "", items, refused, err
		}
		return fmt.Sprintf("blocked %s until %s; %d connections ended%s", to, w.until.UTC().Format(time.RFC3339), ended, r.weaker()), items, refused, nil
	}
	if ended == 0 {
		return "", items, refused, nil
	}
	return fmt.Sprintf("%d connections ended; the destination is not blocked", ended), items, refused, nil
}

// endFlow destroys the sockets of one conversation wherever on this host they are: one, or both ends.
func (g *Guard) endFlow(flow minewarden.FlowKey) (int, error) {
	proto := uint8(unix.IPPROTO_TCP)
	if flow.Proto == "udp" {
		proto = unix.IPPROTO_UDP
	}
	client, server := unmapped(flow.Client), unmapped(flow.Server)
	ended := 0
	try := func(d *sockets.Diag) error {
		for _, ends := range [][2]netip.AddrPort{{client, server}, {server, client}} {
			s, ok, err := d.Find(proto, ends[0], ends[1])
			if err == nil && ok {
				ok, err = d.Destroy(&s)
			}
			if err != nil {
				return err
			}
			if ok {
				ended++
			}
		}
		return nil
	}
	if err := sockets.EachNamespace(true, try); err != nil || ended > 0 {
		return ended, err
	}
	return ended, sockets.EachNamespace(!g.r.config.Namespaces, try)
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
