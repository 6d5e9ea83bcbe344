package minewarden

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
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

// A Lister is a Store that lists incidents without reading them whole.
type Lister interface {
	Rows(ctx context.Context, q Query) iter.Seq2[IncidentRow, error]       // as Store.Incidents
	Counts(ctx context.Context) (Counts, error)                            // of all incidents
	Receipts(ctx context.Context, q Query) iter.Seq2[StoredReceipt, error] // last done first; q selects by After and Limit alone
}

// An IncidentRow is an incident as a list shows it.
type IncidentRow struct {
	ID       string    `json:"id"`
	Subject  Subject   `json:"subject"`
	State    State     `json:"state"`
	Severity Severity  `json:"severity"`
	Score    float64   `json:"score"`
	Opened   time.Time `json:"opened"`
	Updated  time.Time `json:"updated"`
	Host     string    `json:"host,omitempty"`
	Title    string    `json:"title"`    // of its worst finding
	Findings int       `json:"findings"` // with those that were counted only
	Rules    []string  `json:"rules"`    // of its findings, the worst first, at most MaxRowRules
	Assignee string    `json:"assignee,omitempty"`
	Actions  int       `json:"actions"` // that stand
}

// MaxRowRules bounds IncidentRow.Rules.
const MaxRowRules = 8

// Row returns the incident as a list shows it.
func (inc *Incident) Row() IncidentRow {
	r := IncidentRow{
		ID: inc.ID, Subject: inc.Subject, State: inc.State, Severity: inc.Severity, Score: inc.Score, Opened: inc.Opened, Updated: inc.Updated,
		Host: inc.Host, Findings: len(inc.Findings) + inc.More, Rules: []string{}, Assignee: inc.Assignee,
	}
	worst := make([]*IncidentFinding, len(inc.Findings))
	for i := range inc.Findings {
		worst[i] = &inc.Findings[i]
	}
	slices.SortStableFunc(worst, func(a, b *IncidentFinding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Confidence, a.Confidence))
	})
	for _, f := range worst {
		if r.Title == "" {
			r.Title = f.Title
		}
		if len(r.Rules) < MaxRowRules && !slices.Contains(r.Rules, f.Rule) {
			r.Rules = append(r.Rules, f.Rule)
		}
	}
	for i := range inc.Actions {
		if inc.Actions[i].OK && inc.Actions[i].Undone.IsZero() {
			r.Actions++
		}
	}
	return r
}

// Cursor is where a page that ends with the row goes on.
func (r *IncidentRow) Cursor() string { return cursor(r.Updated, r.ID, 0) }

// Counts are how many incidents there are, by state and severity.
type Counts map[State]map[Severity]int

// A StoredReceipt is a receipt of the incident that its Action names.
type StoredReceipt struct {
	Seq int // its index in Incident.Actions
	Receipt
}

// Cursor is where a page that ends with the receipt goes on.
func (r *StoredReceipt) Cursor() string { return cursor(r.Done, r.Action.Incident, r.Seq) }

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
