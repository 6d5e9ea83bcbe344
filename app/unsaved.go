package app

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/mem"
)

// unsaved are the incidents that the store has never had, because its disk is full or cannot be written: lists show them all the
// same, or a full disk would hide an attack. It is nil while everything is saved.
func (d *Desk) unsaved(ctx context.Context) (*mem.Store, error) {
	var out *mem.Store
	for _, inc := range d.keeper.Unsaved() {
		switch _, err := d.store.Get(ctx, inc.ID); {
		case err == nil:
			continue // the list has it, and what it is now
		case !errors.Is(err, minewarden.ErrNotFound):
			return nil, err
		}
		if out == nil {
			out = &mem.Store{}
		}
		if err := out.Put(ctx, inc); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// list is what the store lists, with what could not be saved in its place.
func (d *Desk) list(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.Incident, error] {
	more, err := d.unsaved(ctx)
	if err != nil || more == nil {
		return failing(d.store.Incidents(ctx, q), err)
	}
	return merged(d.store.Incidents(ctx, q), more.Incidents(ctx, q), q.Limit, func(a, b *minewarden.Incident) int {
		return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.ID, b.ID))
	})
}

func (d *Desk) listRows(ctx context.Context, l minewarden.Lister, q minewarden.Query) iter.Seq2[minewarden.IncidentRow, error] {
	more, err := d.unsaved(ctx)
	if err != nil || more == nil {
		return failing(l.Rows(ctx, q), err)
	}
	return merged(l.Rows(ctx, q), more.Rows(ctx, q), q.Limit, func(a, b *minewarden.IncidentRow) int {
		return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.ID, b.ID))
	})
}

func (d *Desk) listFindings(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.StoredFinding, error] {
	more, err := d.unsaved(ctx)
	if err != nil || more == nil {
		return failing(d.store.Findings(ctx, q), err)
	}
	return merged(d.store.Findings(ctx, q), more.Findings(ctx, q), q.Limit, func(a, b *minewarden.StoredFinding) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Incident, b.Incident), cmp.Compare(a.Seq, b.Seq))
	})
}

// failing is seq, or nothing but err.
func failing[T any](seq iter.Seq2[T, error], err error) iter.Seq2[T, error] {
	if err == nil {
		return seq
	}
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}

// merged are two lists of one order, at most limit of both; 0: all.
func merged[T any](a, b iter.Seq2[T, error], limit int, order func(a, b *T) int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		y, err, more := next()
		n := 0
		give := func(x T, err error) bool {
			n++
			return (limit == 0 || n <= limit) && yield(x, err) && err == nil
		}
		for x, errX := range a {
			for ; more && errX == nil && (err != nil || order(&y, &x) < 0); y, err, more = next() {
				if !give(y, err) {
					return
				}
			}
			if !give(x, errX) {
				return
			}
		}
		for ; more; y, err, more = next() {
			if !give(y, err) {
				return
			}
		}
	}
}
