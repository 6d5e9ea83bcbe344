package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/minewarden/minewarden"
)

// steps bring an older file up to date, one transaction each. The file says in user_version how many it has had. Only ever
// append: a step that was released is never changed.
//
// Incidents are kept whole in doc; the columns beside it and the table finding are what queries select and sort by. Text is
// searched by trigrams, whose index finds any three letters without reading the rows.
var steps = [...]migration{
	{sql: `CREATE TABLE incident (
		n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, severity INTEGER NOT NULL, host TEXT NOT NULL,
		subject TEXT NOT NULL, updated INTEGER NOT NULL, text TEXT NOT NULL, doc BLOB NOT NULL);
	CREATE INDEX incident_updated ON incident (updated DESC, id);
	CREATE INDEX incident_state ON incident (state, updated DESC, id);
	CREATE INDEX incident_severity ON incident (severity, updated DESC, id);
	CREATE INDEX incident_subject ON incident (subject);
	CREATE INDEX incident_by_text ON incident (text);
	CREATE TABLE finding (
		n INTEGER PRIMARY KEY, incident TEXT NOT NULL, seq INTEGER NOT NULL, last INTEGER NOT NULL, severity INTEGER NOT NULL,
		rule TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL, doc BLOB NOT NULL, UNIQUE (incident, seq));
	CREATE INDEX finding_last ON finding (last DESC, incident, seq);
	CREATE INDEX finding_severity ON finding (severity, last DESC, incident, seq);
	CREATE INDEX finding_rule ON finding (rule, last DESC, incident, seq);
	CREATE INDEX finding_subject ON finding (subject, last DESC, incident, seq);
	CREATE INDEX finding_by_text ON finding (text);
	CREATE VIRTUAL TABLE incident_text USING fts5 (text, content='incident', content_rowid='n', tokenize='trigram', detail='none');
	CREATE VIRTUAL TABLE finding_text USING fts5 (text, content='finding', content_rowid='n', tokenize='trigram', detail='none');`},
	// Lists read what they show from row, and actions from a table of their own. Findings repeat what they are filtered by of their
	// incident. The trigrams that occur are listed, for
	// searches of one or two letters.
	{sql: `ALTER TABLE incident ADD COLUMN row BLOB NOT NULL DEFAULT x'';
	ALTER TABLE finding ADD COLUMN state TEXT NOT NULL DEFAULT '';
	ALTER TABLE finding ADD COLUMN host TEXT NOT NULL DEFAULT '';
	CREATE TABLE term (term TEXT PRIMARY KEY) WITHOUT ROWID;
	DROP INDEX incident_by_text;
	DROP INDEX finding_by_text;
	DROP INDEX finding_last;
	CREATE INDEX finding_last ON finding (last DESC, incident, seq, severity, state, host);
	CREATE INDEX finding_host ON finding (host, state, last DESC, incident, seq, severity);
	DROP INDEX incident_updated;
	CREATE INDEX incident_updated ON incident (updated DESC, id, severity, state, host);
	CREATE INDEX incident_count ON incident (state, severity);
	CREATE TABLE receipt (
		n INTEGER PRIMARY KEY, incident TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, done INTEGER NOT NULL, doc BLOB NOT NULL,
		UNIQUE (incident, seq));
	CREATE INDEX receipt_done ON receipt (done DESC, incident, seq);
	CREATE INDEX receipt_id ON receipt (id);`, fill: again},
}

// A migration is one step: tables and columns, then what has to be computed for the rows that are there.
type migration struct {
	sql  string
	fill func(ctx context.Context, tx *sql.Tx) error
}

// again puts every incident once more, for columns that were not there when it was put.
func again(ctx context.Context, tx *sql.Tx) error {
	t := &terms{}
	for last := int64(0); ; {
		var doc []byte
		err := tx.QueryRowContext(ctx, "SELECT n, doc FROM incident WHERE n > ? ORDER BY n LIMIT 1", last).Scan(&last, &doc)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		var inc minewarden.Incident
		if err == nil {
			err = json.Unmarshal(doc, &inc)
		}
		var fresh map[[3]rune]struct{}
		if err == nil {
			fresh, err = put(ctx, tx, &inc, t)
		}
		if err != nil {
			return err
		}
		t.learn(fresh) // of this transaction
	}
}

// migrate runs the steps that the file has not had.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("read the version of store %s: %w", path, err)
	}
	if have > len(steps) {
		return fmt.Errorf("store %s was written by a newer minewarden (version %d, this one knows %d): use that one, or another --data",
			path, have, len(steps))
	}
	for i := have; i < len(steps); i++ {
		if err := step(ctx, db, i); err != nil {
			return fmt.Errorf("bring store %s to version %d: %w", path, i+1, err)
		}
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, i int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer rollback(tx)
	if _, err := tx.ExecContext(ctx, steps[i].sql); err != nil {
		return err
	}
	if steps[i].fill != nil {
		if err := steps[i].fill(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1)); err != nil {
		return err
	}
	return tx.Commit()
}
