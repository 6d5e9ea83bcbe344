// Package network refuses connections to destinations and from processes, in the kernel, and ends those that exist.
package network

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

//go:embed README.md
var doc string

// Name is the name of the responder; the operations are what Action.Op says.
const (
	Name    = "network"
	Block   = "block"   // destinations
	Offline = "offline" // the processes of an incident
)

// Params of an action that the caller may set before Do: they go into the receipt.
const (
	ParamWho     = "who"
	ParamWhy     = "why"
	ParamExpires = "expires" // how long, as "2h"; empty: as configured
)

const (
	paramItems = "items" // JSON: []Item
	paramNames = "names" // JSON: []string
)

// Bounds of what is remembered.
const (
	maxItems    = 300_000
	maxPerBlock = 65_536
	lookupWait  = 2 * time.Second
)

// Responder refuses connections. It is safe for concurrent use.
type Responder struct {
	log     *slog.Logger
	now     func() time.Time
	root    fs.FS
	config  Config
	journal journal.Journal[record]
	resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	foreign func(netip.Addr) bool // tests say which of this host's own addresses stand for others; nil: none

	mu       sync.Mutex
	kernel   *kernel
	firewall *firewall
	opened   bool
	table    table
	follow   follow
	pardoned map[Item]time.Time // what a person took back after a cut, and until when it is not cut again
	timer    *time.Timer
	next     time.Time // when timer fires
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{
		log: env.Log, now: env.Now, root: env.Root, config: DefaultConfig(), journal: journal.Journal[record]{Dir: env.Data},
		resolve: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.root == nil {
		r.root = os.DirFS("/")
	}
	if err := env.Config(&r.config); err != nil {
		return nil, err
	}
	if err := r.config.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "refuses and ends connections to destinations or from processes", Doc: doc}
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	if a.Responder != Name || (a.Op != Block && a.Op != Offline) {
		return minewarden.Receipt{}, fmt.Errorf("action %s: network cannot do %q of %q", a.ID, a.Op, a.Responder)
	}
	w, err := r.read(&a)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: w.started, Boot: w.boot, Action: &a})
	if errors.Is(err, journal.ErrExists) {
		return r.again(ctx, a)
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	defer func() {
		if err := entry.Close(); err != nil {
			r.log.Warn("close after an action", "action", a.ID, "err", err)
		}
	}()
	w.lookUp(ctx, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	result, refused, err := r.block(w, entry)
	receipt := w.receipt(&a, r.now())
	receipt.OK, receipt.Result, receipt.Action.Refused = err == nil, result, refused
	if err != nil {
		receipt.Result = err.Error()
		err = errors.Join(err, r.release(a.ID))
	}
	if noteErr := entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}); noteErr != nil {
		return receipt, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), noteErr)
	}
	if err != nil {
		return receipt, fmt.Errorf("action %s: %w", a.ID, err)
	}
	return receipt, nil
}

// work is an action that was read.
type work struct {
	id      string
	boot    string
	started time.Time
	until   time.Time
	items   []Item
	names   []string
}

func (r *Responder) read(a *minewarden.Action) (*work, error) {
	w := &work{id: a.ID, started: r.now()}
	if text := a.Params[paramItems]; text != "" {
		if err := json.Unmarshal([]byte(text), &w.items); err != nil {
			return nil, fmt.Errorf("read what to block: %w", err)
		}
	}
	if text := a.Params[paramNames]; text != "" {
		if err := json.Unmarshal([]byte(text), &w.names); err != nil {
			return nil, fmt.Errorf("read what to block: %w", err)
		}
	}
	if len(w.items)+len(w.names) == 0 || len(w.items)+len(w.names) > maxPerBlock {
		return nil, fmt.Errorf("%d destinations; between 1 and %d can be blocked at once", len(w.items)+len(w.names), maxPerBlock)
	}
	for i := range w.items {
		if err := w.items[i].check(); err != nil {
			return nil, err
		}
	}
	lasts := r.config.Expires
	if text := a.Params[ParamExpires]; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second {
			return nil, fmt.Errorf("expires %q: use a duration of a second or more, as 2h", text)
		}
		lasts = d
	}
	w.until = w.started.Add(lasts)
	boot, err := proc.Boot()
	if err != nil {
		return nil, err
	}
	w.boot = boot
	if planned := a.Params["boot"]; planned != "" && planned != boot {
		return nil, errors.New("it was planned before this machine was restarted: plan again")
	}
	return w, nil
}

// lookUp adds the addresses that names have now. A name without any is still followed.
func (w *work) lookUp(ctx context.Context, r *Responder) {
	for _, name := range w.names {
		look, cancel := context.WithTimeout(ctx, lookupWait)
		addrs, err := r.resolve(look, name)
		cancel()
		if err != nil {
			r.log.Info("a blocked name has no address now", "name", name, "error", err)
		}
		for _, a := range addrs {
			w.items = append(w.items, address(a))
		}
	}
}

func (w *work) receipt(a *minewarden.Action, now time.Time) minewarden.Receipt {
	return minewarden.Receipt{
		Action: *a, Started: w.started, Done: now, Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		State: map[string]string{"boot": w.boot, "until": w.until.Format(time.RFC3339Nano)},
	}
}

// block does the work, and returns its result and what it refused. Everything is written down before it is enforced.
func (r *Responder) block(w *work, entry *journal.Entry[record]) (string, []string, error) {
	s, err := r.newShield()
	if err != nil {
		return "", nil, err
	}
	for _, name := range w.names {
		for _, a := range r.follow.addrs(name) {
			w.items = append(w.items, address(a))
		}
	}
	take, refused, err := allowed(s, w.items)
	if err != nil {
		return "", refused, err
	}
	var names []string
	for _, n := range w.names {
		if s.refusesName(n) {
			refused = append(refused, n+": protected by the configuration")
			continue
		}
		names = append(names, n)
	}
	if len(take)+len(names) == 0 {
		return "", refused, fmt.Errorf("nothing to block: %v", refused)
	}
	if err := r.open(); err != nil {
		return "", refused, err
	}
	if err := entry.Append(record{Phase: phaseBlock, At: r.now(), Items: take, Names: names, Until: w.until}); err != nil {
		return "", refused, err
	}
	r.follow.hold(names, hold{w.id, w.until})
	if err := r.enforce(s, take, hold{w.id, w.until}); err != nil {
		return "", refused, err
	}
	ended, err := r.sever(s, take)
	if err != nil {
		return "", refused, err
	}
	return fmt.Sprintf("blocked %s until %s; %d connections ended%s", counted(take, names), w.until.UTC().Format(time.RFC3339), ended, r.weaker()), refused, nil
}

// weaker says which line is missing.
func (r *Responder) weaker() string {
	switch {
	case r.kernel == nil:
		return "; by nftables alone: this kernel takes no programs on cgroups"
	case r.firewall == nil && r.config.Firewall:
		return "; without nftables"
	}
	return ""
}

func counted(items []Item, names []string) string {
	n := len(items)
	if n+len(names) == 1 {
		if n == 1 {
			return items[0].String()
		}
		return names[0]
	}
	text := fmt.Sprintf("%d destinations", n)
	if len(names) > 0 {
		text += fmt.Sprintf(" and %d names", len(names))
	}
	return text
}

// allowed splits items by what the shield says.
func allowed(s *shield, items []Item) (take []Item, refused []string, err error) {
	all, err := proc.All()
	if err != nil {
		return nil, nil, err
	}
	seen := map[Item]bool{}
	for _, i := range items {
		if seen[i] {
			continue
		}
		seen[i] = true
		why := s.refuses(i)
		if i.Kind == Tree {
			if st, ok := all[i.PID]; !ok || st.Start != i.Start {
				continue // ended since it was planned
			}
			why = vital(i.PID, all)
		}
		if why != "" {
			refused = append(refused, fmt.Sprintf("%s: %s", i, why))
			continue
		}
		take = append(take, i)
	}
	return take, refused, nil
}

// check refuses an item that no map can hold.
func (i Item) check() error {
	switch i.Kind {
	case Address, Endpoint:
		if !i.Prefix.IsValid() || i.Prefix.Addr().Is4In6() || i.Prefix != i.Prefix.Masked() || (i.Kind == Endpoint && (i.Port == 0 || !i.Prefix.IsSingleIP())) {
			return fmt.Errorf("%s %s is not valid", i.Kind, i.Prefix)
		}
		return nil
	case Port:
		if i.Port == 0 {
			return errors.New("port 0 cannot be blocked")
		}
		return nil
	case Tree:
		if i.PID <= 1 {
			return fmt.Errorf("the tree of process %d cannot be blocked", i.PID)
		}
		return nil
	case Cgroup:
		if i.ID <= 1 {
			return errors.New("the root cgroup cannot be blocked")
		}
		return nil
	}
	return fmt.Errorf("unknown kind %q of block", i.Kind)
}

// again answers an action that was begun before: with its receipt, if it has one.
func (r *Responder) again(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	lines, err := r.journal.Load(a.ID)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	if s := summarize(lines); s.receipt != nil {
		return *s.receipt, ctx.Err()
	}
	return minewarden.Receipt{}, fmt.Errorf("action %s was interrupted: it is mended at the next start", a.ID)
}

// Undo implements minewarden.Undoer. What another action blocks as well stays blocked. Ended connections stay ended.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := receipt.Action.ID
	r.pardon(&receipt)
	if err := r.release(id); err != nil {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	if err := r.note(id, record{Phase: phaseUndone, At: r.now()}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	return ctx.Err()
}

// pardon remembers that a person took a cut back, for as long as it would have stood: who did meant it.
func (r *Responder) pardon(receipt *minewarden.Receipt) {
	if !strings.HasPrefix(receipt.Action.ID, cutPrefix) {
		return
	}
	var items []Item
	until, err := time.Parse(time.RFC3339Nano, receipt.State["until"])
	if err != nil || json.Unmarshal([]byte(receipt.Action.Params[paramItems]), &items) != nil {
		return // a receipt that somebody else wrote
	}
	if r.pardoned == nil || len(r.pardoned) >= maxNames {
		r.pardoned = map[Item]time.Time{}
	}
	for _, i := range items {
		r.pardoned[i] = until
	}
}

// note adds a line to the journal of an action that was done before.
func (r *Responder) note(id string, line record) error {
	entry, err := r.journal.Resume(id)
	if err != nil {
		return err
	}
	return errors.Join(entry.Append(line), entry.Close())
}
