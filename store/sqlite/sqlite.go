// Package sqlite keeps incidents in one SQLite file.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/minewarden/minewarden"
	_ "modernc.org/sqlite" // the driver; pure Go
)

// ErrLocked is wrapped by Open for a store that another process holds.
var ErrLocked = errors.New("another minewarden is using it")

// Options tune Open. Zero is what the agent uses.
type Options struct {
	ReadOnly bool // takes no lock and changes nothing: for looking beside a running agent
	Log      *slog.Logger
}

// Store is a minewarden.Store in a file. Every Put is synced to the disk before it returns (WAL with synchronous=FULL), so
// neither kill -9 nor a power cut takes back what was acknowledged.
type Store struct {
	path  string
	aside string
	lock  *os.File
	write *sql.DB // one connection: SQLite has one writer
	read  *sql.DB
	terms terms
}

var _ minewarden.Store = (*Store)(nil)

// Open opens or makes the store at path. A damaged file is not a reason to leave the machine unwatched: it is moved aside
// (Aside says where), and a new one is begun.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if o.ReadOnly {
		return openReadOnly(ctx, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &Store{path: path, lock: lock}
	err = s.open(ctx)
	if err != nil && damaged(err) {
		cause := err
		if s.aside, err = moveAside(path); err == nil {
			if o.Log != nil {
				o.Log.Error("the store is damaged: kept aside, a new one begun", "file", path, "aside", s.aside, "err", cause)
			}
			err = s.open(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Aside returns where Open moved a damaged file, or "".
func (s *Store) Aside() string { return s.aside }

// Close gives the file back to others.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	s.read, s.write, s.lock = nil, nil, nil
	return errors.Join(errs...)
}

func dsn(path string, query ...string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(query, "&")}
	return u.String()
}

func (s *Store) open(ctx context.Context) error {
	made, err := create(s.path)
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.path, err)
	}
	s.write, err = sql.Open("sqlite", dsn(s.path, "_txlock=immediate", "_pragma=busy_timeout(5000)", "_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)"))
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.path, err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.check(ctx, made); err != nil {
		err = errors.Join(err, s.write.Close())
		s.write = nil
		return err
	}
	s.read, err = sql.Open("sqlite", dsn(s.path, "_pragma=busy_timeout(5000)", "_pragma=query_only(1)"))
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.path, err)
	}
	s.read.SetMaxOpenConns(readers)
	return nil
}

// readers is how many may look at once: each costs a page cache.
const readers = 4

func (s *Store) check(ctx context.Context, made bool) error {
	if !made {
		var verdict string
		if err := s.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
			return fmt.Errorf("check store %s: %w", s.path, err)
		}
		if verdict != "ok" {
			return fmt.Errorf("check store %s: %w: %s", s.path, errDamaged, verdict)
		}
	}
	return migrate(ctx, s.write, s.path)
}

func openReadOnly(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path, "mode=ro", "_pragma=busy_timeout(5000)", "_pragma=query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db.SetMaxOpenConns(readers)
	var have int
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have)
	if err == nil && have != len(steps) {
		err = fmt.Errorf("it has version %d, this minewarden reads %d: run \"minewarden up\" of this version once", have, len(steps))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), db.Close())
	}
	return &Store{path: path, read: db}, nil
}

// Put implements minewarden.Store. Findings that did not change are not written again.
func (s *Store) Put(ctx context.Context, inc minewarden.Incident) error {
	if inc.ID == "" {
		return fmt.Errorf("put incident: it has no id")
	}
	if s.write == nil {
		return fmt.Errorf("put incident %s: store %s is open for reading only", inc.ID, s.path)
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err == nil {
		defer rollback(tx)
		var fresh map[[3]rune]struct{}
		if fresh, err = put(ctx, tx, &inc, &s.terms); err == nil {
			err = tx.Commit()
		}
		if err == nil {
			s.terms.learn(fresh)
		}
	}
	if err != nil {
		return fmt.Errorf("put incident %s in store %s: %w", inc.ID, s.path, explain(err))
	}
	return nil
}

// Get implements minewarden.Store.
func (s *Store) Get(ctx context.Context, id string) (minewarden.Incident, error) {
	var doc []byte
	err := s.read.QueryRowContext(ctx, "SELECT doc FROM incident WHERE id = ?", id).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return minewarden.Incident{}, fmt.Errorf("incident %s: %w", id, minewarden.ErrNotFound)
	}
	var inc minewarden.Incident
	if err == nil {
		err = json.Unmarshal(doc, &inc)
	}
	if err != nil {
		return minewarden.Incident{}, fmt.Errorf("get incident %s from store %s: %w", id, s.path, err)
	}
	return inc, nil
}

// Incidents implements minewarden.Store. It shows the store as it was when the iteration began.
func (s *Store) Incidents(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.Incident, error] {
	return list(ctx, s, q, incidentQuery, func(rows *sql.Rows) (inc minewarden.Incident, err error) {
		var doc []byte
		if err = rows.Scan(&doc); err == nil {
			err = json.Unmarshal(doc, &inc)
		}
		return inc, err
	})
}

// Findings implements minewarden.Store. It shows the store as it was when the iteration began.
func (s *Store) Findings(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.StoredFinding, error] {
	return list(ctx, s, q, findingQuery, func(rows *sql.Rows) (f minewarden.StoredFinding, err error) {
		var doc []byte
		if err = rows.Scan(&f.Incident, &f.Seq, &doc); err == nil {
			err = json.Unmarshal(doc, &f.IncidentFinding)
		}
		return f, err
	})
}

type builder func(ctx context.Context, db *sql.DB, q minewarden.Query) (string, []any, error)

func list[T any](ctx context.Context, s *Store, q minewarden.Query, build builder, scan func(*sql.Rows) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		fail := func(err error) { yield(zero, fmt.Errorf("read store %s: %w", s.path, err)) }
		query, args, err := build(ctx, s.read, q)
		if err != nil {
			fail(err)
			return
		}
		rows, err := s.read.QueryContext(ctx, query, args...)
		if err != nil {
			fail(err)
			return
		}
		defer func() { _ = rows.Close() }() // an error shows in rows.Err
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				fail(err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}
