package isolate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
	"github.com/minewarden/minewarden/responders/isolate/sdn"
)

const (
	paramController = "controller"
	paramAddresses  = "addresses" // JSON: []string
	outsidePrefix   = "isolate-sdn-"
	maxAddresses    = 32
)

// Delays between attempts to release at a controller that is down. There are attempts until one succeeds.
const (
	firstAgain = 2 * time.Second
	lastAgain  = time.Minute
)

// outside is the isolation by controllers. It has its own lock: a controller may take long to answer, and this host's rules must
// be looked after meanwhile.
type outside struct {
	r       *Responder
	clients map[string]*sdn.Client
	names   []string
	again   time.Duration

	mu    sync.Mutex
	holds map[string]*outer // by action
	stop  chan struct{}
	done  chan struct{}
}

// outer is what stands, or may stand, at a controller.
type outer struct {
	mu       sync.Mutex // held while the controller is asked
	client   *sdn.Client
	incident string
	rules    map[string]string // by address; empty: not known, looked for by our name
	until    time.Time
	end      time.Duration // since boot
	receipt  minewarden.Receipt

	// Under outside.mu.
	by    string // why it is being released; empty: it is not
	next  time.Duration
	delay time.Duration
	err   error // of the last attempt
}

func newOutside(r *Responder) *outside {
	o := &outside{r: r, clients: map[string]*sdn.Client{}, holds: map[string]*outer{}, again: firstAgain}
	for _, c := range r.config.Controllers {
		k, err := sdn.New(c)
		if err != nil {
			continue // Validate has refused such a configuration
		}
		o.clients[c.Name] = k
		o.names = append(o.names, c.Name)
	}
	return o
}

// reach are the controllers that stay in reach of an isolated host, and remarks about those that do not.
func (o *outside) reach() (allow []Allowed, remarks []string) {
	for _, name := range o.names {
		a, err := netip.ParseAddrPort(o.clients[name].Host())
		switch {
		case err != nil:
			remarks = append(remarks, fmt.Sprintf("the controller %s is known by a name: put its address into allow, or it is cut", name))
		case !a.Addr().IsLoopback():
			allow = append(allow, Allowed{Prefix: single(a.Addr().Unmap().WithZone("")), Proto: "tcp", Port: a.Port()})
		}
	}
	return allow, remarks
}

func (o *outside) owns(id string) bool { return strings.HasPrefix(id, outsidePrefix) }

func (o *outside) held(incident string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for id, h := range o.holds {
		if h.by == "" && (incident == "" || h.incident == incident) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (o *outside) do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	r := o.r
	h, err := o.read(&a)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	if !o.owns(a.ID) {
		return minewarden.Receipt{}, fmt.Errorf("action %s: its id does not begin with %s", a.ID, outsidePrefix)
	}
	lasts, err := r.lasts(&a)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	boot, err := proc.Boot()
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	started := r.now()
	h.until, h.end = started.Add(lasts), r.mono()+lasts
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: started, Boot: boot, Action: &a, Until: h.until, End: h.end})
	if errors.Is(err, journal.ErrExists) {
		return r.again(ctx, a)
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	h.receipt = minewarden.Receipt{
		Action: a, Started: started, Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		State: map[string]string{"until": h.until.Format(time.RFC3339Nano), "controller": h.client.Name()},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err = o.install(ctx, a.ID, h, lasts, entry)
	h.receipt.Done, h.receipt.OK = r.now(), err == nil
	h.receipt.Result = fmt.Sprintf("%s drops what comes from %s until %s", h.client.Name(), strings.Join(slices.Sorted(maps.Keys(h.rules)), ", "), h.until.UTC().Format(time.RFC3339))
	clean := true
	if err != nil {
		// Whether a request that failed was obeyed nobody knows: it is taken back, later if need be.
		h.receipt.Result = err.Error()
		if back := o.release(context.WithoutCancel(ctx), a.ID, h); back != nil {
			clean = false
			h.by, h.err, h.next = "it failed", back, r.mono()+h.delay
			h.receipt.Result += "; what may stand there is taken back when the controller answers"
		}
	}
	receipt := h.receipt
	errs := []error{err, entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt})}
	if err != nil && clean {
		errs = append(errs, entry.Append(record{Phase: phaseUndone, At: receipt.Done}))
	} else {
		o.mu.Lock()
		o.holds[a.ID] = h
		o.watch()
		o.mu.Unlock()
	}
	if err := errors.Join(append(errs, entry.Close())...); err != nil {
		return receipt, fmt.Errorf("action %s: %w", a.ID, err)
	}
	return receipt, nil
}

// install makes a rule for each address. Each is written down before the next.
func (o *outside) install(ctx context.Context, id string, h *outer, lasts time.Duration, entry *journal.Entry[record]) error {
	for _, text := range slices.Sorted(maps.Keys(h.rules)) {
		rule, err := h.client.Install(ctx, id, netip.MustParseAddr(text), lasts)
		if err != nil {
			return err
		}
		h.rules[text] = rule
		if err := entry.Append(record{Phase: phaseRules, At: o.r.now(), Rules: h.rules}); err != nil {
			return err
		}
	}
	return nil
}

// release takes back all of the rules. The caller holds h.mu.
func (o *outside) release(ctx context.Context, id string, h *outer) error {
	var errs []error
	for _, text := range slices.Sorted(maps.Keys(h.rules)) {
		err := h.client.Release(ctx, id, netip.MustParseAddr(text), h.rules[text], time.Hour)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// end releases now; what fails is tried again until it succeeds.
func (o *outside) end(ctx context.Context, id, by string) (*minewarden.Receipt, error) {
	o.mu.Lock()
	h := o.holds[id]
	if h == nil {
		o.mu.Unlock()
		return nil, nil
	}
	if h.by == "" {
		h.by = cmp.Or(by, "undo")
	}
	o.mu.Unlock()
	return o.try(ctx, id, h)
}

// try releases what is to be released, and returns its receipt if that ended it.
func (o *outside) try(ctx context.Context, id string, h *outer) (*minewarden.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.mu.Lock()
	gone, by := o.holds[id] != h, h.by
	o.mu.Unlock()
	if gone {
		return nil, nil
	}
	err := o.release(ctx, id, h)
	if err == nil {
		err = o.r.note(id, record{Phase: phaseUndone, At: o.r.now(), By: by})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		h.err, h.next = err, o.r.mono()+h.delay
		h.delay = min(2*h.delay, lastAgain)
		return nil, fmt.Errorf("%w; it is tried again until it succeeds", err)
	}
	delete(o.holds, id)
	receipt := h.receipt
	receipt.Undone, receipt.UndoneBy = o.r.now(), by
	return &receipt, nil
}

// closed releases what an incident had isolated.
func (o *outside) closed(ctx context.Context, incident string) ([]minewarden.Receipt, error) {
	var over []minewarden.Receipt
	var errs []error
	for _, id := range o.held(incident) {
		o.mu.Lock()
		h := o.holds[id]
		if h != nil {
			h.by = byClosed
		}
		o.mu.Unlock()
		if h == nil {
			continue
		}
		receipt, err := o.try(ctx, id, h)
		if receipt != nil {
			over = append(over, *receipt)
		}
		errs = append(errs, err)
	}
	return over, errors.Join(errs...)
}

// watch has holds end by themselves, and releases that failed tried again. The caller holds mu.
func (o *outside) watch() {
	if o.stop != nil {
		return
	}
	stop, done := make(chan struct{}), make(chan struct{})
	o.stop, o.done = stop, done
	go func() {
		defer close(done)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		t := time.NewTicker(min(o.again/2, time.Second))
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				o.due(ctx)
			}
		}
	}()
}

func (o *outside) due(ctx context.Context) {
	now := o.r.mono()
	o.mu.Lock()
	var ready []string
	for id, h := range o.holds {
		if h.by == "" && now >= h.end {
			h.by = byExpiry
		}
		if h.by != "" && now >= h.next {
			ready = append(ready, id)
		}
	}
	o.mu.Unlock()
	for _, id := range ready {
		o.mu.Lock()
		h := o.holds[id]
		o.mu.Unlock()
		if h == nil || ctx.Err() != nil {
			continue
		}
		receipt, err := o.try(ctx, id, h)
		if err != nil {
			o.r.log.Warn("an isolation outside could not be released", "action", id, "error", err)
		}
		if receipt != nil && receipt.OK && o.r.onRelease != nil {
			o.r.onRelease(*receipt)
		}
	}
}

// state is each hold as a line.
func (o *outside) state() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for id, h := range o.holds {
		line := fmt.Sprintf("%s: %s drops %s until %s", id, h.client.Name(), strings.Join(slices.Sorted(maps.Keys(h.rules)), ", "), h.until.UTC().Format(time.RFC3339))
		if h.by != "" {
			line = fmt.Sprintf("%s: to be released at %s (%s)", id, h.client.Name(), h.by)
		}
		if h.err != nil {
			line += ": " + h.err.Error()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// close ends the watching. The rules stay at the controllers: they are the next start's.
func (o *outside) close() {
	o.mu.Lock()
	stop, done := o.stop, o.done
	o.stop = nil
	o.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// recover takes up what an agent left: what stands, and what is still to be released.
func (o *outside) recover(ctx context.Context) ([]minewarden.Receipt, error) {
	return o.r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		if !o.owns(id) {
			return nil, nil
		}
		receipt, err := o.mend(id, lines)
		if err != nil {
			err = fmt.Errorf("action %s: %w", id, err)
		}
		return receipt, err
	})
}

func (o *outside) mend(id string, lines []record) (*minewarden.Receipt, error) {
	s := summarize(lines)
	switch {
	case s.action == nil:
		return nil, o.r.journal.Remove(id)
	case s.undone:
		if o.r.now().Sub(s.last) > keepJournal {
			return s.receipt, o.r.journal.Remove(id)
		}
		return s.receipt, nil
	}
	h, err := o.read(s.action)
	if err != nil {
		return s.receipt, err
	}
	maps.Copy(h.rules, s.rules)
	boot, err := proc.Boot()
	if err != nil {
		return s.receipt, err
	}
	left := o.r.left(&s, boot)
	h.until, h.end = s.until, o.r.mono()+left
	if s.receipt == nil {
		s.receipt = s.interrupted(o.r.now(), "interrupted: what may stand at the controller is taken back")
		if err := o.r.note(id, record{Phase: phaseDone, At: s.receipt.Done, Receipt: s.receipt}); err != nil {
			return s.receipt, err
		}
	}
	h.receipt = *s.receipt
	if !s.receipt.OK {
		h.by = "it failed"
	}
	o.mu.Lock()
	o.holds[id] = h
	o.watch()
	o.mu.Unlock()
	return s.receipt, nil
}
