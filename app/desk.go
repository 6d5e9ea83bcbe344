package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/store/sqlite"
)

// storeFile is the name of the incident store in the data directory.
const storeFile = "incidents.db"

// A Desk is where people and the policy work on incidents: look, plan, act, take back, close. It is safe for concurrent use.
type Desk struct {
	log        *slog.Logger
	store      minewarden.Store
	keeper     *incidents.Keeper
	responders []minewarden.Responder
	trail      *trail                                        // of every change
	offline    bool                                          // no agent runs: what dies with this process does not last
	acted      func(minewarden.Incident, minewarden.Receipt) // told of every action; may be nil
}

// A recoverer is a Responder that mends what a killed agent left half done.
type recoverer interface {
	Recover(ctx context.Context) ([]minewarden.Receipt, error)
}

func newDesk(cfg *config.Config, log *slog.Logger, store minewarden.Store, keeper *incidents.Keeper) (*Desk, error) {
	d := &Desk{log: log, store: store, keeper: keeper, trail: &trail{dir: cfg.Data, log: log}}
	for _, m := range responders.All() {
		if cfg.Disabled("responders/" + m.Name) {
			continue
		}
		e := env(cfg, log, "responders", m.Name)
		e.Data = filepath.Join(cfg.Data, "responders", m.Name)
		e.Decode = withConsole(cfg, e.Decode)
		r, err := m.New(e)
		if err != nil {
			return nil, fmt.Errorf("responders/%s: %w", m.Name, err)
		}
		d.responders = append(d.responders, r)
	}
	d.followIsolation()
	return d, nil
}

// OpenDesk opens the desk of an agent that is not running, and returns how to close it.
func OpenDesk(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Desk, func() error, error) {
	path := filepath.Join(cfg.Data, storeFile)
	if _, err := os.Stat(path); err != nil {
		return nil, nil, fmt.Errorf("no incidents are kept in %s: 'minewarden up' keeps them there, or say where with --data: %w", cfg.Data, err)
	}
	st, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	keeper := incidents.NewKeeper(st, incidents.Config{Host: HostName()}, log, nil)
	d, err := newDesk(cfg, log, st, keeper)
	if err == nil {
		d.offline = true
		err = d.recover(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() { kept <- keeper.Run(keep) }()
	return d, func() error {
		stop()
		return errors.Join(<-kept, d.release(), st.Close())
	}, nil
}

// release gives back what responders hold in the kernel.
func (d *Desk) release() error {
	var errs []error
	for _, r := range d.responders {
		if c, ok := r.(interface{ Close() error }); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, d.trail.Close())...)
}

// recover lets the responders mend what was left half done, and gives the incidents the receipts that they lack.
func (d *Desk) recover(ctx context.Context) error {
	for _, r := range d.responders {
		rec, ok := r.(recoverer)
		if !ok {
			continue
		}
		receipts, err := rec.Recover(ctx)
		if err != nil { // the agent must start all the same
			d.log.Error("not everything that was left half done could be mended", "responder", r.Info().Name, "error", err)
		}
		for _, receipt := range receipts {
			d.trail.AppendLate(entryOf("action.recovered", receipt, "agent"))
			if err := d.note(ctx, receipt); err != nil {
				d.log.Warn("a receipt has no incident", "action", receipt.Action.ID, "error", err)
			}
		}
	}
	return nil
}

// note adds a receipt to its incident, if it has one.
func (d *Desk) note(ctx context.Context, r minewarden.Receipt) error {
	if r.Action.Incident == "" {
		return nil // the responder keeps it itself
	}
	if err := d.keeper.Bring(ctx, r.Action.Incident); err != nil {
		return err
	}
	return d.keeper.Change(func(c *incidents.Correlator) error { return c.AddReceipt(r.Action.Incident, r) })
}

// Incidents returns those that q selects as the store has them, last updated first, each as it is now: what changed in the last
// moment may not be saved yet.
func (d *Desk) Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error) {
	var all []minewarden.Incident
	for inc, err := range d.Whole(ctx, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, inc)
	}
	return all, nil
}

// Incident returns one, by its id or by a beginning of it that no other has.
func (d *Desk) Incident(ctx context.Context, id string) (minewarden.Incident, error) {
	inc, err := d.keeper.Get(ctx, id)
	if !errors.Is(err, minewarden.ErrNotFound) {
		return inc, err
	}
	full, err := d.complete(ctx, id)
	if err != nil {
		return minewarden.Incident{}, err
	}
	return d.keeper.Get(ctx, full)
}

// minPrefix is how much of an id a person must type.
const minPrefix = 4

func (d *Desk) complete(ctx context.Context, id string) (string, error) {
	missing := fmt.Errorf("incident %q: %w", id, minewarden.ErrNotFound)
	if len(id) < minPrefix {
		return "", missing
	}
	found := ""
	for inc, err := range d.list(ctx, minewarden.Query{Text: id}) {
		if err != nil {
			return "", err
		}
		if len(inc.ID) < len(id) || inc.ID[:len(id)] != id {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%q begins more than one incident: type more of it", id)
		}
		found = inc.ID
	}
	if found == "" {
		return "", missing
	}
	return found, nil
}

// Plan returns all that responders would do about an incident. It changes nothing.
func (d *Desk) Plan(ctx context.Context, id string) ([]minewarden.Action, error) {
	inc, err := d.Incident(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []minewarden.Action
	for _, r := range d.responders {
		actions, err := r.Plan(ctx, inc)
		if err != nil {
			return nil, fmt.Errorf("responders/%s: %w", r.Info().Name, err)
		}
		all = append(all, actions...)
	}
	return all, nil
}

// Do does an action that was planned, and records it.
func (d *Desk) Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error) {
	r, err := d.responder(a.Responder)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	params := map[string]string{"who": who, "why": why}
	for k, v := range a.Params {
		if params[k] == "" {
			params[k] = v
		}
	}
	a.Params = params
	intent := entryOf("action.begin", minewarden.Receipt{Action: a, Who: who, Why: why}, via(ctx))
	d.trail.AppendLate(intent)
	receipt, err := r.Do(ctx, a)
	outcome := intent
	outcome.What, outcome.Detail = "action.done", maps.Clone(intent.Detail)
	outcome.Detail["result"] = receipt.Result
	if err != nil || !receipt.OK {
		outcome.What = "action.failed"
	}
	if err != nil {
		outcome.Detail["error"] = err.Error()
	}
	d.trail.AppendLate(outcome)
	if receipt.Action.ID != "" {
		receipt.Who, receipt.Why = who, why
		if noteErr := d.note(ctx, receipt); noteErr != nil {
			err = errors.Join(err, noteErr)
		}
		d.told(ctx, receipt)
	}
	return receipt, err
}

func (d *Desk) told(ctx context.Context, r minewarden.Receipt) {
	if d.acted == nil {
		return
	}
	inc, err := d.keeper.Get(ctx, r.Action.Incident)
	if err != nil {
		inc = minewarden.Incident{ID: r.Action.Incident}
	}
	d.acted(inc, r)
}

func (d *Desk) responder(name string) (minewarden.Responder, error) {
	for _, r := range d.responders {
		if r.Info().Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no responder %q, or it is disabled", name)
}

// Undo takes back what stands of an incident's actions, the newest first; with an action id, that one alone. It returns the
// receipts of what it took back.
func (d *Desk) Undo(ctx context.Context, id, action, who, why string) ([]minewarden.Receipt, error) {
	inc, err := d.Incident(ctx, id)
	if err != nil {
		return nil, err
	}
	var undone []minewarden.Receipt
	var errs []error
	for _, receipt := range slices.Backward(inc.Actions) {
		if !receipt.OK || !receipt.Undone.IsZero() || !receipt.Action.Reversible || (action != "" && receipt.Action.ID != action) {
			continue
		}
		receipt, err := d.undo(ctx, receipt, who, why)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, d.note(ctx, receipt))
		d.told(ctx, receipt)
		undone = append(undone, receipt)
	}
	if err := errors.Join(errs...); err != nil {
		return undone, err
	}
	if len(undone) == 0 {
		return nil, fmt.Errorf("incident %s has nothing that could be taken back", inc.ID)
	}
	return undone, nil
}

// undo takes one action back, with an entry in the audit trail before and after.
func (d *Desk) undo(ctx context.Context, r minewarden.Receipt, who, why string) (minewarden.Receipt, error) {
	resp, err := d.responder(r.Action.Responder)
	if err != nil {
		return r, err
	}
	u, ok := resp.(minewarden.Undoer)
	if !ok {
		return r, fmt.Errorf("responders/%s takes nothing back", r.Action.Responder)
	}
	e := entryOf("action.undo", minewarden.Receipt{Action: r.Action, Who: who, Why: why}, via(ctx))
	d.trail.AppendLate(e)
	r.UndoneBy = who
	err = u.Undo(ctx, r)
	e.What, e.Detail = "action.undone", maps.Clone(e.Detail)
	if err != nil {
		e.What = "action.undo-failed"
		e.Detail["error"] = err.Error()
	}
	d.trail.AppendLate(e)
	if err == nil {
		r.Undone = time.Now()
	}
	return r, err
}

// entryOf tells the audit trail of an action.
func entryOf(what string, r minewarden.Receipt, via string) audittrail.Entry {
	return audittrail.Entry{Who: cmp.Or(r.Who, "minewarden"), Via: via, What: what, Target: r.Action.ID, Why: r.Why, Detail: map[string]string{
		"responder": r.Action.Responder, "op": r.Action.Op, "incident": r.Action.Incident, "on": r.Action.Target.ID, "summary": r.Action.Summary,
	}}
}

// Me names who runs this command, for receipts and notes.
func Me() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		} else {
			name = fmt.Sprint("uid ", os.Getuid())
		}
	}
	return "user " + name
}
