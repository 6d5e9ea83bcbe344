package minewarden

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// ErrNotFound is wrapped by Store.Get for an id that is not there.
var ErrNotFound = errors.New("not found")

// A Store keeps incidents with their findings. It is safe for concurrent use. storetest holds every implementation to this
// contract.
type Store interface {
	Put(ctx context.Context, inc Incident) error                           // inserts or replaces by ID; durable when it returns
	Get(ctx context.Context, id string) (Incident, error)                  // may wrap ErrNotFound
	Incidents(ctx context.Context, q Query) iter.Seq2[Incident, error]     // last updated first, then by ID; ends after an error
	Findings(ctx context.Context, q Query) iter.Seq2[StoredFinding, error] // last seen first; ends after an error
}

// A StoredFinding is a finding of the incident with the ID Incident.
type StoredFinding struct {
	Incident string `json:"incident"`
	Seq      int    `json:"seq"` // its index in Incident.Findings
	IncidentFinding
}

// A Query selects incidents, or findings. Zero fields do not select; of several fields, all must hold.
type Query struct {
	States   []State   // of the incident
	Severity Severity  // this or worse
	Host     string    // of the incident
	Subject  string    // Subject.ID of the incident or of one of its findings; of the finding
	Rule     string    // of one of its findings; ending in "/": all rules of that prefix
	Since    time.Time // updated, or last seen, at or after
	Until    time.Time // updated, or last seen, before
	Text     string    // occurs in a name, path, title, rule or id; letter case of ASCII does not matter
	After    string    // Cursor of the last row of the page before
	Limit    int       // rows; 0: all
}

// Cursor is where a page that ends with the incident goes on.
func (inc *Incident) Cursor() string { return cursor(inc.Updated, inc.ID, 0) }

// Cursor is where a page that ends with the finding goes on.
func (f *StoredFinding) Cursor() string { return cursor(f.Last, f.Incident, f.Seq) }

func cursor(t time.Time, id string, seq int) string {
	return strconv.FormatInt(t.UnixNano(), 10) + "," + strconv.Itoa(seq) + "," + id
}

// ParseCursor reads what Cursor writes.
func ParseCursor(s string) (t time.Time, id string, seq int, err error) {
	nano, rest, ok := strings.Cut(s, ",")
	num, id, ok2 := strings.Cut(rest, ",")
	n, err1 := strconv.ParseInt(nano, 10, 64)
	seq, err2 := strconv.Atoi(num)
	if !ok || !ok2 || err1 != nil || err2 != nil {
		return time.Time{}, "", 0, fmt.Errorf("cursor %q is not one that a page ended with", s)
	}
	return time.Unix(0, n).UTC(), id, seq, nil
}
