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
	rare := false // some condition names few rows: they are taken from there, not looked for in order
	if q.Subject != "" {
		w.add("id IN (SELECT id FROM incident WHERE subject = ? UNION SELECT incident FROM finding WHERE subject = ?)", q.Subject, q.Subject)
		rare = true
	}
	if q.Rule != "" {
		cond, args := ruleCond(q.Rule)
		n, err := atMost(ctx, db, "SELECT 1 FROM finding WHERE "+cond, args)
		if err != nil {
			return "", nil, err
		}
		if n < few {
			rare = true
			w.add("id IN (SELECT incident FROM finding WHERE "+cond+")", args...)
		} else {
			w.add(hasFinding(cond), args...)
		}
	}
	if q.Text != "" {
		own, err := textIn(ctx, db, "incident", q.Text)
		if err != nil {
			return "", nil, err
		}
		its, err := textIn(ctx, db, "finding", q.Text)
		if err != nil {
			return "", nil, err
		}
		if own.rows != "" && its.rows != "" {
			rare = true
			w.add("id IN (SELECT id FROM incident WHERE n IN ("+own.rows+") UNION SELECT incident FROM finding WHERE n IN ("+its.rows+"))", append(own.args, its.args...)...)
		} else {
			w.add("("+own.direct+" OR "+hasFinding(its.direct)+")", own.text, its.text)
		}
	}
	if q.After != "" {
		t, id, _, err := minewarden.ParseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		w.add("updated <= ? AND (updated < ? OR id > ?)", t.UnixNano(), t.UnixNano(), id)
	}
	from := " FROM incident INDEXED BY incident_updated"
	if rare {
		from = " FROM incident INDEXED BY sqlite_autoindex_incident_1" // of id
	}
	return "SELECT " + column + from + w.sql(q, "updated DESC, id"), w.args, nil
}

func findingQuery(ctx context.Context, db *sql.DB, q minewarden.Query) (string, []any, error) {
	var w where
	from := " FROM finding INDEXED BY finding_last"
	if q.Host != "" && len(q.States) == 1 {
		from = " FROM finding INDEXED BY finding_host" // in the same order
	}
	w.state(q)
	if q.Severity > 0 {
		w.add("severity >= ?", int(q.Severity))
	}
	w.within("last", q)
	if q.Subject != "" {
		from = " FROM finding INDEXED BY finding_subject"
		w.add("finding.subject = ?", q.Subject)
	}
	if q.Rule != "" {
		cond, args := ruleCond(q.Rule)
		w.add(cond, args...)
		n, err := atMost(ctx, db, "SELECT 1 FROM finding WHERE "+cond, args)
		if err != nil {
			return "", nil, err
		}
		if n < few && q.Subject == "" {
			from = " FROM finding INDEXED BY finding_rule"
		}
	}
	if q.Text != "" {
		in, err := textIn(ctx, db, "finding", q.Text)
		if err != nil {
			return "", nil, err
		}
		if in.rows != "" {
			from = " FROM finding"
			w.add("n IN ("+in.rows+")", in.args...)
		} else {
			w.add(in.direct, in.text)
		}
	}
	if q.After != "" {
		t, id, seq, err := minewarden.ParseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		w.add("last <= ? AND (last < ? OR (incident, seq) > (?, ?))", t.UnixNano(), t.UnixNano(), id, seq)
	}
	return "SELECT incident, seq, doc" + from + w.sql(q, "last DESC, incident, seq"), w.args, nil
}

// hasFinding selects incidents with a finding that meets cond, of which there are many: each incident is asked, in order, until the
// page is full.
func hasFinding(cond string) string {
	return "EXISTS (SELECT 1 FROM finding WHERE finding.incident = incident.id AND " + cond + ")"
}

// few is how many rows an index may name before it is cheaper to look at rows in order until the page is full.
const few = 2000

// atMost counts rows, but no further than few.
func atMost(ctx context.Context, db *sql.DB, query string, args []any) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM ("+query+" LIMIT ?)", append(args[:len(args):len(args)], few)...).Scan(&n)
	return n, err
}

// A textSearch selects the rows of a table whose text, which is kept in lower case, holds a text.
type textSearch struct {
	rows   string // selects their n; empty where there are many
	args   []any  // of rows
	direct string // a condition on one row, with text as its argument
	text   string
}

func textIn(ctx context.Context, db *sql.DB, table, text string) (textSearch, error) {
	text = lower(strings.ReplaceAll(text, "\x00", "\x01"))
	s := textSearch{direct: "instr(" + table + ".text, ?) > 0", text: text}
	words, glue := trigrams(text), " AND "
	if words == nil {
		short, ok, err := termsWith(ctx, db, text)
		if err != nil || !ok {
			return s, err
		}
		words, glue = short, " OR "
	}
	rows, args := "SELECT n FROM "+table+" WHERE 0", []any(nil) // no trigram holds it
	if len(words) > 0 {
		index := table + "_text"
		rows, args = "SELECT rowid FROM "+index+" WHERE "+index+" MATCH ? AND instr(text, ?) > 0", []any{strings.Join(words, glue), text}
	}
	n, err := atMost(ctx, db, rows, args)
	if err == nil && n < few {
		s.rows, s.args = rows, args
	}
	return s, err
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
