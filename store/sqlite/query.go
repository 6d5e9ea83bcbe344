package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"github.com/minewarden/minewarden"
)

// where collects conditions.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

func (w *where) sql(q minewarden.Query, order string) string {
	s := ""
	if len(w.conds) > 0 {
		s = " WHERE " + strings.Join(w.conds, " AND ")
	}
	s += " ORDER BY " + order
	if q.Limit > 0 {
		s += " LIMIT ?"
		w.args = append(w.args, q.Limit)
	}
	return s
}

func (w *where) state(q minewarden.Query) {
	if len(q.States) > 0 {
		marks := make([]string, len(q.States))
		args := make([]any, len(q.States))
		for i, s := range q.States {
			marks[i], args[i] = "?", string(s)
		}
		w.add("state IN ("+strings.Join(marks, ", ")+")", args...)
	}
	if q.Host != "" {
		w.add("host = ?", q.Host)
	}
}

func (w *where) within(column string, q minewarden.Query) {
	if !q.Since.IsZero() {
		w.add(column+" >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		w.add(column+" < ?", q.Until.UnixNano())
	}
}

func ruleCond(rule string) (string, []any) {
	if strings.HasSuffix(rule, "/") {
		return "rule >= ? AND rule < ?", []any{rule, rule[:len(rule)-1] + "0"} // "0" comes right after "/"
	}
	return "rule = ?", []any{rule}
}

func incidentQuery(ctx context.Context, db *sql.DB, q minewarden.Query) (string, []any, error) {
	return incidentsWith(ctx, db, q, "doc")
}

func rowQuery(ctx context.Context, db *sql.DB, q minewarden.Query) (string, []any, error) {
	return incidentsWith(ctx, db, q, "row")
}

func receiptQuery(_ context.Context, _ *sql.DB, q minewarden.Query) (string, []any, error) {
	var w where
	if q.After != "" {
		t, id, seq, err := minewarden.ParseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		w.add("done <= ? AND (done < ? OR (incident, seq) > (?, ?))", t.UnixNano(), t.UnixNano(), id, seq)
	}
	return "SELECT incident, seq, doc FROM receipt" + w.sql(q, "done DESC, incident, seq"), w.args, nil
}

func incidentsWith(ctx context.Context, db *sql.DB, q minewarden.Query, column string) (string, []any, error) {
	var w where
	w.state(q)
	if q.Severity > 0 {
		w.add("severity >= ?", int(q.Severity))
	}
	w.within("updated", q)
	if q.Subject != "" {
		w.add("(subject = ? OR id IN (SELECT incident FROM finding WHERE subject = ?))", q.Subject, q.Subject)
	}
	if q.Rule != "" {
		cond, args := ruleCond(q.Rule)
		n, err := atMost(ctx, db, "SELECT 1 FROM finding WHERE "+cond, args)
		if err != nil {
			return "", nil, err
		}
		w.add(ofFindings(cond, n < few), args...)
	}
	if q.Text != "" {
		own, ownArgs, err := textCond(ctx, db, "incident", q.Text)
		if err != nil {
			return "", nil, err
		}
		its, itsArgs, err := textCond(ctx, db, "finding", q.Text)
		if err != nil {
			return "", nil, err
		}
		cond := ofFindings(its, strings.HasPrefix(its, "finding.n IN"))
		w.add("("+own+" OR "+cond+")", append(ownArgs, itsArgs...)...)
	}
	if q.After != "" {
		t, id, _, err := minewarden.ParseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		w.add("updated <= ? AND (updated < ? OR id > ?)", t.UnixNano(), t.UnixNano(), id)
	}
	s := "SELECT " + column + " FROM incident INDEXED BY incident_updated" + w.sql(q, "updated DESC, id")
	return s, w.args, nil
}

func findingQuery(ctx context.Context, db *sql.DB, q minewarden.Query) (string, []any, error) {
	var w where
	if len(q.States) > 0 || q.Host != "" {
		var of where
		of.state(q)
		w.add("EXISTS (SELECT 1 FROM incident WHERE incident.id = finding.incident AND "+strings.Join(of.conds, " AND ")+")", of.args...)
	}
	if q.Severity > 0 {
		w.add("severity >= ?", int(q.Severity))
	}
	w.within("last", q)
	if q.Subject != "" {
		w.add("finding.subject = ?", q.Subject)
	}
	if q.Rule != "" {
		cond, args := ruleCond(q.Rule)
		w.add(cond, args...)
	}
	if q.Text != "" {
		cond, args, err := textCond(ctx, db, "finding", q.Text)
		if err != nil {
			return "", nil, err
		}
		w.add(cond, args...)
	}
	if q.After != "" {
		t, id, seq, err := minewarden.ParseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		w.add("last <= ? AND (last < ? OR (incident, seq) > (?, ?))", t.UnixNano(), t.UnixNano(), id, seq)
	}
	return "SELECT incident, seq, doc FROM finding" + w.sql(q, "last DESC, incident, seq"), w.args, nil
}

// ofFindings selects incidents with a finding that meets cond. Few do: the index says which incidents. Many do: it is cheaper to
// ask each incident in order until the page is full.
func ofFindings(cond string, rare bool) string {
	if rare {
		return "id IN (SELECT incident FROM finding WHERE " + cond + ")"
	}
	return "EXISTS (SELECT 1 FROM finding WHERE finding.incident = incident.id AND " + cond + ")"
}

// few is how many rows an index may name before it is cheaper to look at rows in order until the page is full.
const few = 2000

// atMost counts rows, but no further than few.
func atMost(ctx context.Context, db *sql.DB, query string, args []any) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM ("+query+" LIMIT ?)", append(args[:len(args):len(args)], few)...).Scan(&n)
	return n, err
}

// textCond returns a condition for rows of table whose text, which is kept in lower case, holds text.
func textCond(ctx context.Context, db *sql.DB, table, text string) (string, []any, error) {
	text = lower(strings.ReplaceAll(text, "\x00", "\x01"))
	direct := "instr(" + table + ".text, ?) > 0"
	args := []any{text}
	rows := "SELECT n FROM " + table + " INDEXED BY " + table + "_by_text WHERE instr(text, ?) > 0" // smaller than the table
	if longest(text) >= 3 {
		args = []any{"%" + strings.ReplaceAll(text, "%", "_") + "%", text}
		rows = "SELECT rowid FROM " + table + "_text WHERE text LIKE ? AND instr(text, ?) > 0"
	}
	n, err := atMost(ctx, db, rows, args)
	if err != nil || n >= few {
		return direct, []any{text}, err
	}
	return table + ".n IN (" + rows + ")", args, nil
}

// longest returns the length of the longest run without a wildcard: below three the index is no help.
func longest(text string) int {
	best := 0
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == '%' || r == '_' }) {
		best = max(best, len([]rune(part)))
	}
	return best
}

// lower folds ASCII only, as LIKE does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
