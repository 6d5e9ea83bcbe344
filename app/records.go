package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
)

// A recorder is a Responder that keeps its own records of what it did, because no incident asked for it.
type recorder interface {
	Records(ctx context.Context) ([]minewarden.Receipt, error)
}

// Records returns the receipts that responders keep themselves, the newest first. What could not be read is told beside them.
func (d *Desk) Records(ctx context.Context) ([]minewarden.Receipt, error) {
	var all []minewarden.Receipt
	var errs []error
	for _, r := range d.responders {
		if rec, ok := r.(recorder); ok {
			some, err := rec.Records(ctx)
			all, errs = append(all, some...), append(errs, err)
		}
	}
	slices.SortStableFunc(all, func(a, b minewarden.Receipt) int { return b.Done.Compare(a.Done) })
	return all, errors.Join(errs...)
}

// UndoAction takes one action back, by its id or by a beginning of it that no other has, whether an incident asked for it or
// not.
func (d *Desk) UndoAction(ctx context.Context, id, who, why string) (minewarden.Receipt, error) {
	r, err := d.undoRecord(ctx, id, who, why)
	if !errors.Is(err, minewarden.ErrNotFound) {
		return r, err
	}
	missing := err
	of, ok := d.store.(interface {
		IncidentOf(ctx context.Context, action string) (string, error)
	})
	if !ok {
		return minewarden.Receipt{}, missing
	}
	incident, err := of.IncidentOf(ctx, id)
	if errors.Is(err, minewarden.ErrNotFound) {
		return minewarden.Receipt{}, missing
	} else if err != nil {
		return minewarden.Receipt{}, err
	}
	undone, err := d.Undo(ctx, incident, id, who, why)
	if len(undone) > 0 {
		r = undone[0]
	}
	return r, err
}

func (d *Desk) undoRecord(ctx context.Context, id, who, why string) (minewarden.Receipt, error) {
	all, bad := d.Records(ctx)
	var found []minewarden.Receipt
	for _, r := range all {
		if r.Action.ID == id {
			found = []minewarden.Receipt{r}
			break
		}
		if len(id) >= minPrefix && strings.HasPrefix(r.Action.ID, id) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 0:
		return minewarden.Receipt{}, errors.Join(fmt.Errorf("action %q: %w", id, minewarden.ErrNotFound), bad)
	case len(found) > 1:
		return minewarden.Receipt{}, fmt.Errorf("%q begins more than one action: type more of it", id)
	}
	r := found[0]
	if !r.Undone.IsZero() {
		return r, fmt.Errorf("action %s was taken back already, at %s", r.Action.ID, r.Undone.Format(time.DateTime))
	}
	return d.undo(ctx, r, who, why)
}

// bare is the desk of a data directory that holds no incidents: only what responders keep themselves is there.
type bare struct {
	desk    *Desk
	missing error
}

var _ Work = (*bare)(nil)

// openBare opens what is kept beside the incidents. missing is why these cannot be opened; it is the error where nothing else is
// kept either.
func openBare(ctx context.Context, cfg *config.Config, log *slog.Logger, missing error) (Work, error) {
	d, err := newDesk(cfg, log, nil, nil)
	if err != nil {
		return nil, errors.Join(missing, err)
	}
	d.offline = true
	all, err := d.Records(ctx)
	if err == nil && len(all) == 0 {
		return nil, missing
	}
	return &bare{desk: d, missing: missing}, nil
}

func (b *bare) Records(ctx context.Context) ([]minewarden.Receipt, error) { return b.desk.Records(ctx) }

func (b *bare) UndoAction(ctx context.Context, id, who, why string) (minewarden.Receipt, error) {
	return b.desk.undoRecord(ctx, id, who, why)
}

// Incidents returns none: none were ever kept.
func (b *bare) Incidents(context.Context, minewarden.Query) ([]minewarden.Incident, error) {
	return nil, nil
}

func (b *bare) Incident(context.Context, string) (minewarden.Incident, error) {
	return minewarden.Incident{}, b.missing
}

func (b *bare) Plan(context.Context, string) ([]minewarden.Action, error) { return nil, b.missing }

func (b *bare) Do(context.Context, minewarden.Action, string, string) (minewarden.Receipt, error) {
	return minewarden.Receipt{}, b.missing
}

func (b *bare) Undo(_ context.Context, id, _, _, _ string) ([]minewarden.Receipt, error) {
	return nil, fmt.Errorf("%q is no action that is kept: %w", id, b.missing)
}

func (b *bare) Close(context.Context, string, string, string) (minewarden.Incident, error) {
	return minewarden.Incident{}, b.missing
}

func (b *bare) Judge(context.Context, string, string, string, string) (minewarden.Incident, error) {
	return minewarden.Incident{}, b.missing
}

func (b *bare) PlanBlock(ctx context.Context, targets []string, lasts time.Duration) (minewarden.Action, error) {
	return b.desk.PlanBlock(ctx, targets, lasts)
}

func (b *bare) Block(ctx context.Context, targets []string, lasts time.Duration, who, why string) (minewarden.Receipt, error) {
	return b.desk.Block(ctx, targets, lasts, who, why)
}
