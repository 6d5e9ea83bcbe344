package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/incidents"
)

func badCursor(s string) error {
	return huma.Error422UnprocessableEntity(fmt.Sprintf("after: %q is not what a page ended with", s))
}

// edit changes an incident as a person asked, with an entry in the audit trail before, and returns when it is saved.
func (d *Desk) edit(ctx context.Context, id string, e audittrail.Entry, f func(c *incidents.Correlator, id string, now time.Time) error) (minewarden.Incident, error) {
	inc, err := d.Incident(ctx, id)
	if err != nil {
		return inc, err
	}
	e.Target = inc.ID
	err = d.trail.changing(ctx, e, func() error {
		if err := d.keeper.Bring(ctx, inc.ID); err != nil {
			return err
		}
		return d.keeper.Save(ctx, inc.ID, func(c *incidents.Correlator) error { return f(c, inc.ID, time.Now()) })
	})
	if err != nil {
		return inc, err
	}
	return d.keeper.Get(ctx, inc.ID)
}

// Close says that an incident is over. What was done about it stands, but for the isolation of this host, which ends.
func (d *Desk) Close(ctx context.Context, id, who, why string) (minewarden.Incident, error) {
	inc, err := d.edit(ctx, id, audittrail.Entry{Who: who, What: "incident.close", Why: why}, func(c *incidents.Correlator, id string, now time.Time) error {
		return c.Close(id, who, why, now)
	})
	if err != nil {
		return inc, err
	}
	return inc, d.unisolate(ctx, inc.ID)
}

// Reopen says that an incident is not over after all.
func (d *Desk) Reopen(ctx context.Context, id, who, why string) (minewarden.Incident, error) {
	return d.edit(ctx, id, audittrail.Entry{Who: who, What: "incident.reopen", Why: why}, func(c *incidents.Correlator, id string, now time.Time) error {
		return c.Reopen(id, who, why, now)
	})
}

// Note adds what a person wrote.
func (d *Desk) Note(ctx context.Context, id, who, text string) (minewarden.Incident, error) {
	return d.edit(ctx, id, audittrail.Entry{Who: who, What: "incident.note", Detail: map[string]string{"text": text}}, func(c *incidents.Correlator, id string, now time.Time) error {
		return c.Note(id, minewarden.Note{Time: now, Who: who, Text: text})
	})
}

// Judge keeps what a person found an incident to be.
func (d *Desk) Judge(ctx context.Context, id, verdict, who, why string) (minewarden.Incident, error) {
	e := audittrail.Entry{Who: who, What: "incident.judge", Why: why, Detail: map[string]string{"verdict": verdict}}
	return d.edit(ctx, id, e, func(c *incidents.Correlator, id string, now time.Time) error {
		return c.Judge(id, verdict, who, why, now)
	})
}

// Assign says who works on an incident; an empty name: nobody.
func (d *Desk) Assign(ctx context.Context, id, who, name string) (minewarden.Incident, error) {
	return d.edit(ctx, id, audittrail.Entry{Who: who, What: "incident.assign", Detail: map[string]string{"to": name}}, func(c *incidents.Correlator, id string, now time.Time) error {
		_, err := c.Assign(id, name, now)
		return err
	})
}

// Whole returns whole incidents one after the other, each as it is now: what changed in the last moment may not be saved yet.
func (d *Desk) Whole(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.Incident, error] {
	return func(yield func(minewarden.Incident, error) bool) {
		for inc, err := range d.list(ctx, q) {
			if now, ok := d.keeper.Now(inc.ID); err == nil && ok {
				inc = now
			}
			if !yield(inc, err) {
				return
			}
		}
	}
}

var errNoLists = errors.New("this store lists whole incidents only")

func (d *Desk) lister() (minewarden.Lister, error) {
	if l, ok := d.store.(minewarden.Lister); ok {
		return l, nil
	}
	return nil, errNoLists
}

// Rows returns incidents as lists show them, last updated first, each as it is now.
func (d *Desk) Rows(ctx context.Context, q minewarden.Query) ([]minewarden.IncidentRow, error) {
	l, err := d.lister()
	if err != nil {
		return nil, err
	}
	var all []minewarden.IncidentRow
	for r, err := range d.listRows(ctx, l, q) {
		if err != nil {
			return nil, err
		}
		cursor := r.Updated // pages go on by what the store has
		if now, ok := d.keeper.Now(r.ID); ok {
			r = now.Row()
			r.Updated = cursor
		}
		all = append(all, r)
	}
	return all, nil
}

// Findings returns findings, last seen first.
func (d *Desk) Findings(ctx context.Context, q minewarden.Query) (all []minewarden.StoredFinding, err error) {
	for f, err := range d.listFindings(ctx, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// Receipts returns what was done about incidents, the last first.
func (d *Desk) Receipts(ctx context.Context, q minewarden.Query) (all []minewarden.StoredReceipt, err error) {
	l, err := d.lister()
	if err != nil {
		return nil, err
	}
	for r, err := range l.Receipts(ctx, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Counts returns how many incidents there are.
func (d *Desk) Counts(ctx context.Context) (minewarden.Counts, error) {
	l, err := d.lister()
	if err != nil {
		return nil, err
	}
	all, err := l.Counts(ctx)
	if err != nil {
		return nil, err
	}
	more, err := d.unsaved(ctx)
	if err != nil || more == nil {
		return all, err
	}
	unsaved, err := more.Counts(ctx)
	for state, of := range unsaved {
		if all[state] == nil {
			all[state] = map[minewarden.Severity]int{}
		}
		for severity, n := range of {
			all[state][severity] += n
		}
	}
	return all, err
}
