// Package mem keeps incidents in memory: for tests, replays and runs that must leave nothing behind.
package mem

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/minewarden/minewarden"
)

// Store is a minewarden.Store without a disk. Its zero value is empty and ready. It keeps what it is given until it is
// dropped: the caller bounds it.
type Store struct {
	mu   sync.RWMutex
	rows map[string]minewarden.Incident
}

var _ minewarden.Store = (*Store)(nil)

// Put implements minewarden.Store.
func (s *Store) Put(ctx context.Context, inc minewarden.Incident) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put incident %s: %w", inc.ID, err)
	}
	if inc.ID == "" {
		return fmt.Errorf("put incident: it has no id")
	}
	c, err := clone(inc)
	if err != nil {
		return fmt.Errorf("put incident %s: %w", inc.ID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]minewarden.Incident{}
	}
	s.rows[inc.ID] = c
	return nil
}

// Get implements minewarden.Store.
func (s *Store) Get(ctx context.Context, id string) (minewarden.Incident, error) {
	if err := ctx.Err(); err != nil {
		return minewarden.Incident{}, fmt.Errorf("get incident %s: %w", id, err)
	}
	s.mu.RLock()
	inc, ok := s.rows[id]
	s.mu.RUnlock()
	if !ok {
		return minewarden.Incident{}, fmt.Errorf("incident %s: %w", id, minewarden.ErrNotFound)
	}
	return clone(inc)
}

// Incidents implements minewarden.Store. It shows the store as it was when the iteration began.
func (s *Store) Incidents(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.Incident, error] {
	return func(yield func(minewarden.Incident, error) bool) {
		rows := s.all(func(inc *minewarden.Incident) bool { return matchIncident(inc, &q) })
		slices.SortFunc(rows, func(a, b minewarden.Incident) int {
			if c := b.Updated.Compare(a.Updated); c != 0 {
				return c
			}
			return strings.Compare(a.ID, b.ID)
		})
		after, err := newAfter(q.After)
		if err != nil {
			yield(minewarden.Incident{}, err)
			return
		}
		n := 0
		for _, inc := range rows {
			if err := ctx.Err(); err != nil {
				yield(minewarden.Incident{}, fmt.Errorf("list incidents: %w", err))
				return
			}
			if !after.passed(inc.Updated, inc.ID, 0) {
				continue
			}
			if n++; q.Limit > 0 && n > q.Limit {
				return
			}
			if !yield(clone(inc)) {
				return
			}
		}
	}
}

// Findings implements minewarden.Store. It shows the store as it was when the iteration began.
func (s *Store) Findings(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.StoredFinding, error] {
	return func(yield func(minewarden.StoredFinding, error) bool) {
		var rows []minewarden.StoredFinding
		for _, inc := range s.all(func(inc *minewarden.Incident) bool { return matchState(inc, &q) }) {
			for i, f := range inc.Findings {
				if matchFinding(&f, &q) {
					rows = append(rows, minewarden.StoredFinding{Incident: inc.ID, Seq: i, IncidentFinding: f})
				}
			}
		}
		slices.SortFunc(rows, func(a, b minewarden.StoredFinding) int {
			if c := b.Last.Compare(a.Last); c != 0 {
				return c
			}
			if c := strings.Compare(a.Incident, b.Incident); c != 0 {
				return c
			}
			return a.Seq - b.Seq
		})
		after, err := newAfter(q.After)
		if err != nil {
			yield(minewarden.StoredFinding{}, err)
			return
		}
		n := 0
		for _, f := range rows {
			if err := ctx.Err(); err != nil {
				yield(minewarden.StoredFinding{}, fmt.Errorf("list findings: %w", err))
				return
			}
			if !after.passed(f.Last, f.Incident, f.Seq) {
				continue
			}
			if n++; q.Limit > 0 && n > q.Limit {
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (s *Store) all(match func(*minewarden.Incident) bool) []minewarden.Incident {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var rows []minewarden.Incident
	for _, inc := range s.rows {
		if match(&inc) {
			rows = append(rows, inc)
		}
	}
	return rows
}

// clone goes through JSON, so that what this store gives back is what a store on disk gives back.
func clone(inc minewarden.Incident) (minewarden.Incident, error) {
	b, err := json.Marshal(inc)
	if err != nil {
		return minewarden.Incident{}, err
	}
	var c minewarden.Incident
	err = json.Unmarshal(b, &c)
	return c, err
}
