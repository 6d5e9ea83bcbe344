package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// steps bring an older file up to date, one transaction each. The file says in user_version how many it has had. Only ever
// append: a step that was released is never changed.
//
// Incidents are kept whole in doc; the columns beside it and the table finding are what queries select and sort by. Text is
// searched by trigrams, whose index finds any three letters without reading the rows; for one or two letters the column's own index is read through.
var steps = [...]string{
	`CREATE TABLE incident (
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
	CREATE VIRTUAL TABLE finding_text USING fts5 (text, content='finding', content_rowid='n', tokenize='trigram', detail='none');`,
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
	if _, err := tx.ExecContext(ctx, steps[i]); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1)); err != nil {
		return err
	}
	return tx.Commit()
}
