package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
)

// setVersion makes the file at path look as if another version had written it.
func setVersion(t *testing.T, path string, version int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// older makes the file at path one that the first version wrote.
func older(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`DROP TABLE receipt; DROP INDEX incident_count; ALTER TABLE incident DROP COLUMN row;
 DROP TABLE term;
		DROP INDEX finding_host; DROP INDEX finding_last; CREATE INDEX finding_last ON finding (last DESC, incident, seq);
		DROP INDEX incident_updated; CREATE INDEX incident_updated ON incident (updated DESC, id); ALTER TABLE finding DROP COLUMN state; ALTER TABLE finding DROP COLUMN host; CREATE INDEX incident_by_text ON incident (text);
		CREATE INDEX finding_by_text ON finding (text); PRAGMA user_version = 1`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
