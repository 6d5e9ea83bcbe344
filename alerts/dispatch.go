package alerts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

// errRefused is wrapped by an output for what will never be taken: trying again would hold up what comes after.
var errRefused = errors.New("the receiver refuses it")

// An output sends one alert; nil: it was taken.
type output interface {
	send(ctx context.Context, a *Alert) error
}

// Bounds of delivery.
const (
	sendWait   = 15 * time.Second
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
	maxRefused = 3 // tries of what a receiver refuses: some mean only "not now"
	offers     = 4096
)

// A Dispatcher tells the outputs. Offer never waits for a disk or a network. It is safe for concurrent use.
type Dispatcher struct {
	cfg    Config
	log    *slog.Logger
	queue  *queue
	routes []*route
	now    func() time.Time
	offers chan offer

	mu      sync.Mutex
	dropped uint64 // offers beyond the queue: what is in the store is told at the next start
	keepErr error
}

type offer struct {
	inc    *minewarden.Incident
	notice *Alert
}

type route struct {
	Output
	out  output
	wake chan struct{}

	mu   sync.Mutex
	last error
	when time.Time
}

// Status is how an output does.
type Status struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"`
	Waiting int       `json:"waiting"`
	Sent    int       `json:"sent"`
	Refused int       `json:"refused"`
	Expired int       `json:"expired"`
	Lost    int       `json:"lost"` // waited when too many did
	Error   string    `json:"error,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of Error
}

// New opens what is kept in dir. Secrets are read when something is sent, so that they can change.
func New(ctx context.Context, cfg Config, dir, version string, log *slog.Logger) (*Dispatcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep alerts: %w", err)
	}
	q, err := openQueue(ctx, filepath.Join(dir, "alerts.db"), cfg.Max)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg, log: log, queue: q, now: time.Now, offers: make(chan offer, offers)}
	for _, o := range cfg.Outputs {
		out, err := newOutput(o, version)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("alerts: output %q: %w", o.Name, err), q.Close())
		}
		d.routes = append(d.routes, &route{Output: o, out: out, wake: make(chan struct{}, 1)})
	}
	return d, nil
}

// newOutput makes the sender of an output's type.
func newOutput(o Output, version string) (output, error) {
	text, err := newText(o.Template)
	if err != nil {
		return nil, err
	}
	switch o.Type {
	case "smtp":
		return &smtp{o, text}, nil
	case "syslog", "cef":
		return &syslog{o, text, version}, nil
	case "snmp":
		return &snmp{o, text}, nil
	case "file":
		return &file{o, version}, nil
	}
	return newWebhook(o, text, version)
}

// Offer tells of an incident as it is now: what is new about it since it was told last is worked out. It never blocks.
func (d *Dispatcher) Offer(inc minewarden.Incident) { d.push(offer{inc: &inc}) }

// Tell sends an alert that is about no incident's state.
func (d *Dispatcher) Tell(a Alert) { d.push(offer{notice: &a}) }

func (d *Dispatcher) push(o offer) {
	if len(d.routes) == 0 {
		return
	}
	select {
	case d.offers <- o:
	default:
		d.mu.Lock()
		d.dropped++
		d.mu.Unlock()
	}
}

// Run works until ctx is done, then keeps what was offered and returns.
func (d *Dispatcher) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, r := range d.routes {
		all.Go(func() { d.deliver(ctx, r) })
	}
	for {
		select {
		case o := <-d.offers:
			d.keep(ctx, o)
			continue
		case <-ctx.Done():
		}
		break
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for len(d.offers) > 0 {
		d.keep(end, <-d.offers)
	}
	all.Wait()
}

// Close ends what Run left.
func (d *Dispatcher) Close() error { return d.queue.Close() }

// keep writes what is new to disk. What could not be written is offered again with the incident's next change, and at the next start.
func (d *Dispatcher) keep(ctx context.Context, o offer) {
	err := d.queue.change(ctx, func(tx *sql.Tx) error {
		var list []Alert
		if o.notice != nil {
			list = []Alert{*o.notice}
		} else {
			before, known, err := d.queue.last(ctx, tx, o.inc.ID)
			if err != nil {
				return err
			}
			var after told
			if list, after = news(o.inc, before, known, d.now()); len(list) == 0 {
				return nil
			}
			if err := d.queue.remember(ctx, tx, o.inc.ID, after, d.now()); err != nil {
				return err
			}
		}
		for i := range list {
			if list[i].Incident != nil && d.cfg.Console != "" {
				list[i].Link = d.cfg.Console + "/incidents/" + list[i].Incident.ID
			}
			for _, r := range d.routes {
				if list[i].Severity < r.least() || !wants(r.Kinds, list[i].Kind) {
					continue
				}
				if err := d.queue.add(ctx, tx, r.Name, &list[i], d.now()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	d.mu.Lock()
	d.keepErr = err
	d.mu.Unlock()
	if err != nil {
		d.log.Error("an alert is not kept; it is offered again with the next change", "error", err)
		return
	}
	for _, r := range d.routes {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// deliver sends what waits for one output, in order.
func (d *Dispatcher) deliver(ctx context.Context, r *route) {
	backoff, refused := minBackoff, 0
	for ctx.Err() == nil {
		n, a, created, ok, err := d.queue.first(ctx, r.Name)
		if err != nil && ctx.Err() == nil {
			d.log.Error("alerts cannot be read", "output", r.Name, "error", err)
			sleep(ctx, maxBackoff)
			continue
		}
		if !ok {
			select {
			case <-ctx.Done():
			case <-r.wake:
			}
			continue
		}
		if age := d.now().Sub(created); age > d.cfg.Keep {
			d.log.Error("an alert was not told in time and is given up", "output", r.Name, "alert", a.Text, "age", age.Round(time.Second))
			d.finish(ctx, r, n, "expired")
			continue
		}
		err = r.try(ctx, &a)
		switch {
		case err == nil:
			d.finish(ctx, r, n, "sent")
			backoff, refused = minBackoff, 0
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, errRefused):
			if refused++; refused >= maxRefused {
				d.log.Error("a receiver refuses an alert; it is given up", "output", r.Name, "alert", a.Text, "error", err)
				d.finish(ctx, r, n, "refused")
				refused = 0
				continue
			}
		}
		d.log.Warn("an alert is not told yet", "output", r.Name, "again_in", backoff, "error", err)
		sleep(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

func (d *Dispatcher) finish(ctx context.Context, r *route, n int64, what string) {
	if err := d.queue.done(context.WithoutCancel(ctx), r.Name, n, what); err != nil {
		d.log.Error("an alert will be told twice", "output", r.Name, "error", err)
		sleep(ctx, minBackoff)
	}
}

func (r *route) try(ctx context.Context, a *Alert) error {
	ctx, cancel := context.WithTimeout(ctx, sendWait)
	defer cancel()
	err := r.out.send(ctx, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.last == nil {
		r.when = time.Now()
	}
	r.last = err
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Status says how each output does.
func (d *Dispatcher) Status(ctx context.Context) ([]Status, error) {
	counts, err := d.queue.counts(ctx)
	if err != nil {
		return nil, err
	}
	out := []Status{}
	for _, r := range d.routes {
		c := counts[r.Name]
		s := Status{Name: r.Name, Type: r.Type, Waiting: c["waiting"], Sent: c["sent"], Refused: c["refused"], Expired: c["expired"], Lost: c["overflow"]}
		r.mu.Lock()
		if r.last != nil {
			s.Error, s.Since = r.last.Error(), r.when
		}
		r.mu.Unlock()
		out = append(out, s)
	}
	return out, nil
}

// Dropped is how many offers found no room. Err is why the last one could not be kept, nil when it could.
func (d *Dispatcher) Dropped() (n uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dropped, d.keepErr
}

// Try sends one test alert to an output at once, past the queue.
func (d *Dispatcher) Try(ctx context.Context, name, host string) error {
	for _, r := range d.routes {
		if r.Name == name {
			a := Notice(Test, d.now().String(), host, "this is a test of minewarden's alerts", minewarden.Informational, d.now())
			return r.try(ctx, &a)
		}
	}
	return fmt.Errorf("there is no output %q: %w", name, minewarden.ErrNotFound)
}

// news compares an incident with what was told of it.
func news(inc *minewarden.Incident, before told, known bool, now time.Time) ([]Alert, told) {
	after := told{Severity: inc.Severity, State: inc.State, Actions: map[string]string{}}
	var list []Alert
	switch {
	case !known:
		list = append(list, ofIncident(Opened, inc, now))
	case before.State != inc.State:
		kind := map[minewarden.State]string{minewarden.Open: Reopened, minewarden.Contained: Contained, minewarden.Closed: Closed}[inc.State]
		list = append(list, ofIncident(kind, inc, now))
	case inc.Severity > before.Severity:
		list = append(list, ofIncident(Worse, inc, now))
	default:
		after.Severity = max(before.Severity, inc.Severity)
	}
	for i := range inc.Actions {
		r := &inc.Actions[i]
		kind := Done
		switch {
		case !r.Undone.IsZero():
			kind = Undone
		case !r.OK:
			kind = Failed
		}
		after.Actions[r.Action.ID] = kind
		if before.Actions[r.Action.ID] != kind {
			list = append(list, ofAction(kind, inc, r))
		}
	}
	return list, after
}
