package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/minewarden/minewarden"
)

// put writes inc, and returns the trigrams that are to be learned once tx is committed.
func put(ctx context.Context, tx *sql.Tx, inc *minewarden.Incident, t *terms) (map[[3]rune]struct{}, error) {
	fresh := map[[3]rune]struct{}{}
	t.fresh(incidentText(inc), fresh)
	for i := range inc.Findings {
		t.fresh(findingText(&inc.Findings[i]), fresh)
	}
	if err := t.put(ctx, tx, fresh); err != nil {
		return nil, err
	}
	return fresh, putIncident(ctx, tx, inc)
}

func putIncident(ctx context.Context, tx *sql.Tx, inc *minewarden.Incident) error {
	doc, err := json.Marshal(inc)
	if err != nil {
		return err
	}
	listed, err := json.Marshal(inc.Row())
	if err != nil {
		return err
	}
	text := incidentText(inc)
	var n int64
	var old string
	err = tx.QueryRowContext(ctx, "SELECT n, text FROM incident WHERE id = ?", inc.ID).Scan(&n, &old)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return err
	}
	if fresh {
		res, err := tx.ExecContext(ctx, `INSERT INTO incident (id, state, severity, host, subject, updated, text, doc, row)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			inc.ID, string(inc.State), int(inc.Severity), inc.Host, inc.Subject.ID, inc.Updated.UnixNano(), text, doc, listed)
		if err != nil {
			return err
		}
		if n, err = res.LastInsertId(); err != nil {
			return err
		}
	} else if _, err := tx.ExecContext(ctx, `UPDATE incident SET state = ?, severity = ?, host = ?, subject = ?, updated = ?,
			text = ?, doc = ?, row = ? WHERE n = ?`,
		string(inc.State), int(inc.Severity), inc.Host, inc.Subject.ID, inc.Updated.UnixNano(), text, doc, listed, n); err != nil {
		return err
	}
	if err := index(ctx, tx, "incident_text", n, old, text, fresh); err != nil {
		return err
	}
	if err := putReceipts(ctx, tx, inc); err != nil {
		return err
	}
	if err := putFindings(ctx, tx, inc); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE finding SET state = ?, host = ? WHERE incident = ? AND (state <> ? OR host <> ?)",
		string(inc.State), inc.Host, inc.ID, string(inc.State), inc.Host)
	return err
}

// putReceipts replaces the incident's: there are few, and they seldom change.
func putReceipts(ctx context.Context, tx *sql.Tx, inc *minewarden.Incident) error {
	have := map[int][]byte{}
	rows, err := tx.QueryContext(ctx, "SELECT seq, doc FROM receipt WHERE incident = ?", inc.ID)
	if err != nil {
		return err
	}
	for rows.Next() {
		var seq int
		var doc []byte
		if err := rows.Scan(&seq, &doc); err != nil {
			return errors.Join(err, rows.Close())
		}
		have[seq] = doc
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for seq := range inc.Actions {
		r := &inc.Actions[seq]
		doc, err := json.Marshal(r)
		if err != nil {
			return err
		}
		old, ok := have[seq]
		delete(have, seq)
		if ok && bytes.Equal(old, doc) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO receipt (incident, seq, id, done, doc) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (incident, seq) DO UPDATE SET id = excluded.id, done = excluded.done, doc = excluded.doc`,
			inc.ID, seq, r.Action.ID, r.Done.UnixNano(), doc); err != nil {
			return err
		}
	}
	for seq := range have {
		if _, err := tx.ExecContext(ctx, "DELETE FROM receipt WHERE incident = ? AND seq = ?", inc.ID, seq); err != nil {
			return err
		}
	}
	return nil
}

type row struct {
	n    int64
	text string
	doc  []byte
}

func putFindings(ctx context.Context, tx *sql.Tx, inc *minewarden.Incident) error {
	have, err := findingRows(ctx, tx, inc.ID)
	if err != nil {
		return err
	}
	for seq := range inc.Findings {
		f := &inc.Findings[seq]
		doc, err := json.Marshal(f)
		if err != nil {
			return err
		}
		old, ok := have[seq]
		delete(have, seq)
		if ok && bytes.Equal(old.doc, doc) {
			continue
		}
		text := findingText(f)
		if !ok {
			res, err := tx.ExecContext(ctx, `INSERT INTO finding (incident, seq, last, severity, rule, subject, text, doc)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				inc.ID, seq, f.Last.UnixNano(), int(f.Severity), f.Rule, f.Subject.ID, text, doc)
			if err != nil {
				return err
			}
			if old.n, err = res.LastInsertId(); err != nil {
				return err
			}
		} else if _, err := tx.ExecContext(ctx, `UPDATE finding SET last = ?, severity = ?, rule = ?, subject = ?, text = ?, doc = ?
				WHERE n = ?`, f.Last.UnixNano(), int(f.Severity), f.Rule, f.Subject.ID, text, doc, old.n); err != nil {
			return err
		}
		if err := index(ctx, tx, "finding_text", old.n, old.text, text, !ok); err != nil {
			return err
		}
	}
	for _, old := range have { // of an incident that has fewer findings than before
		if _, err := tx.ExecContext(ctx, "INSERT INTO finding_text (finding_text, rowid, text) VALUES ('delete', ?, ?)", old.n, old.text); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM finding WHERE n = ?", old.n); err != nil {
			return err
		}
	}
	return nil
}

func findingRows(ctx context.Context, tx *sql.Tx, id string) (map[int]row, error) {
	rows, err := tx.QueryContext(ctx, "SELECT seq, n, text, doc FROM finding WHERE incident = ?", id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // an error shows in rows.Err
	have := map[int]row{}
	for rows.Next() {
		var seq int
		var r row
		if err := rows.Scan(&seq, &r.n, &r.text, &r.doc); err != nil {
			return nil, err
		}
		have[seq] = r
	}
	return have, rows.Err()
}

// index brings the trigrams of row n of table up to date; it must be told what it had been given before.
func index(ctx context.Context, tx *sql.Tx, table string, n int64, old, text string, fresh bool) error {
	if !fresh {
		if old == text {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" ("+table+", rowid, text) VALUES ('delete', ?, ?)", n, old); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (rowid, text) VALUES (?, ?)", n, text)
	return err
}

// sep cannot be typed into a search, so no match spans two values.
const sep = "\x1f"

// incidentText leaves out what its findings say: a search asks both.
func incidentText(inc *minewarden.Incident) string {
	words := []string{inc.ID, inc.Subject.ID, inc.Subject.Name}
	seen := map[string]bool{}
	for i := range inc.Members {
		for _, w := range []string{inc.Members[i].Name, inc.Members[i].Exe} {
			if w != "" && !seen[w] {
				seen[w] = true
				words = append(words, w)
			}
		}
	}
	return clean(words)
}

func findingText(f *minewarden.IncidentFinding) string {
	return clean([]string{f.Rule, f.Title, f.Subject.ID, f.Subject.Name, f.Lineage})
}

// clean puts words in lower case, for searches, and another byte for NUL: to SQLite a text ends there.
func clean(words []string) string {
	return lower(strings.ReplaceAll(strings.Join(words, sep), "\x00", "\x01"))
}
