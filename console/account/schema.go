package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver; pure Go
)

// file is the name of the database in the data directory.
const file = "console.db"

// version is of the schema; a newer one is not touched.
const version = 1

const schema = `
CREATE TABLE account (
	name TEXT PRIMARY KEY, role TEXT NOT NULL, handle BLOB NOT NULL UNIQUE, password TEXT NOT NULL DEFAULT '',
	disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE session (
	hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL REFERENCES account ON DELETE CASCADE,
	by TEXT NOT NULL, address TEXT NOT NULL, created INTEGER NOT NULL, seen INTEGER NOT NULL, ends INTEGER NOT NULL
) STRICT;
CREATE INDEX session_account ON session (account, created);
CREATE TABLE token (
	hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL REFERENCES account ON DELETE CASCADE,
	name TEXT NOT NULL, role TEXT NOT NULL, created INTEGER NOT NULL, ends INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX token_account ON token (account, created);
CREATE TABLE passkey (
	id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES account ON DELETE CASCADE, name TEXT NOT NULL, host TEXT NOT NULL,
	credential BLOB NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX passkey_account ON passkey (account, created);
CREATE TABLE link (
	hash BLOB PRIMARY KEY, account TEXT NOT NULL UNIQUE, makes INTEGER NOT NULL, created INTEGER NOT NULL, ends INTEGER NOT NULL
) STRICT;
CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
`

func (s *Service) open(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path, err := filepath.Abs(filepath.Join(dir, file))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it for all to read
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-512)&_pragma=secure_delete(1)"}
	if s.db, err = sql.Open("sqlite", dsn.String()); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	err = s.prepare(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), s.db.Close())
	}
	return nil
}

func (s *Service) prepare(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := s.prepareIn(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *Service) prepareIn(ctx context.Context, tx *sql.Tx) error {
	var v int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	if v > version {
		return fmt.Errorf("it was written by a newer minewarden (version %d, this one knows %d)", v, version)
	}
	if v == 0 {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA user_version=%d", schema, version)); err != nil {
			return err
		}
	}
	s.secret = make([]byte, 32)
	rand.Read(s.secret) //nolint:errcheck // crypto/rand.Read never fails
	if _, err := tx.ExecContext(ctx, "INSERT INTO secret VALUES ('mac', ?) ON CONFLICT DO NOTHING", s.secret); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT value FROM secret WHERE name='mac'").Scan(&s.secret); err != nil {
		return err
	}
	// What has ended is no longer needed.
	for _, table := range []string{"session", "link"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE ends < ?", millis(s.now())); err != nil {
			return err
		}
	}
	return nil
}
