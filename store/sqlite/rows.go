package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/minewarden/minewarden"
)

var _ minewarden.Lister = (*Store)(nil)

// Rows implements minewarden.Lister.
func (s *Store) Rows(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.IncidentRow, error] {
	return list(ctx, s, q, rowQuery, func(rows *sql.Rows) (r minewarden.IncidentRow, err error) {
		var doc []byte
		if err = rows.Scan(&doc); err == nil {
			err = json.Unmarshal(doc, &r)
		}
		return r, err
	})
}

// Receipts implements minewarden.Lister.
func (s *Store) Receipts(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.StoredReceipt, error] {
	return list(ctx, s, q, receiptQuery, func(rows *sql.Rows) (r minewarden.StoredReceipt, err error) {
		var doc []byte
		var incident string
		if err = rows.Scan(&incident, &r.Seq, &doc); err == nil {
			err = json.Unmarshal(doc, &r.Receipt)
			r.Action.Incident = incident
		}
		return r, err
	})
}

// IncidentOf returns the id of the incident that an action was done for.
func (s *Store) IncidentOf(ctx context.Context, action string) (string, error) {
	var id string
	err := s.read.QueryRowContext(ctx, "SELECT incident FROM receipt WHERE id = ? LIMIT 1", action).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("action %s: %w", action, minewarden.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("read store %s: %w", s.path, err)
	}
	return id, nil
}

// Counts implements minewarden.Lister.
func (s *Store) Counts(ctx context.Context) (minewarden.Counts, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT state, severity, count(*) FROM incident GROUP BY state, severity")
	if err != nil {
		return nil, fmt.Errorf("read store %s: %w", s.path, err)
	}
	defer func() { _ = rows.Close() }() // an error shows in rows.Err
	all := minewarden.Counts{}
	for rows.Next() {
		var state minewarden.State
		var sev uint8
		var n int
		if err := rows.Scan(&state, &sev, &n); err != nil {
			return nil, fmt.Errorf("read store %s: %w", s.path, err)
		}
		if all[state] == nil {
			all[state] = map[minewarden.Severity]int{}
		}
		all[state][minewarden.Severity(sev)] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read store %s: %w", s.path, err)
	}
	return all, nil
}
