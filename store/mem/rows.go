package mem

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
)

var _ minewarden.Lister = (*Store)(nil)

// Rows implements minewarden.Lister.
func (s *Store) Rows(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.IncidentRow, error] {
	return func(yield func(minewarden.IncidentRow, error) bool) {
		for inc, err := range s.Incidents(ctx, q) {
			if !yield(inc.Row(), err) || err != nil {
				return
			}
		}
	}
}

// Receipts implements minewarden.Lister.
func (s *Store) Receipts(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.StoredReceipt, error] {
	return func(yield func(minewarden.StoredReceipt, error) bool) {
		after, err := newAfter(q.After)
		if err != nil {
			yield(minewarden.StoredReceipt{}, err)
			return
		}
		var rows []minewarden.StoredReceipt
		for _, inc := range s.all(func(*minewarden.Incident) bool { return true }) {
			for i, r := range inc.Actions {
				r.Action.Incident = inc.ID
				if after.passed(r.Done, inc.ID, i) {
					rows = append(rows, minewarden.StoredReceipt{Seq: i, Receipt: r})
				}
			}
		}
		slices.SortFunc(rows, func(a, b minewarden.StoredReceipt) int {
			if c := b.Done.Compare(a.Done); c != 0 {
				return c
			}
			if c := strings.Compare(a.Action.Incident, b.Action.Incident); c != 0 {
				return c
			}
			return a.Seq - b.Seq
		})
		for i, r := range rows {
			if err := ctx.Err(); err != nil {
				yield(minewarden.StoredReceipt{}, fmt.Errorf("list actions: %w", err))
				return
			}
			if q.Limit > 0 && i == q.Limit || !yield(r, nil) {
				return
			}
		}
	}
}

// Counts implements minewarden.Lister.
func (s *Store) Counts(ctx context.Context) (minewarden.Counts, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("count incidents: %w", err)
	}
	all := minewarden.Counts{}
	for _, inc := range s.all(func(*minewarden.Incident) bool { return true }) {
		if all[inc.State] == nil {
			all[inc.State] = map[minewarden.Severity]int{}
		}
		all[inc.State][inc.Severity]++
	}
	return all, nil
}
