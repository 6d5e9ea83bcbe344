package alerts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"

	_ "modernc.org/sqlite" // the driver
)

// queue keeps what is to be told, and what was told of each incident, in one file: both change together or not at all.
type queue struct {
	db  *sql.DB
	max int
}

// told is what was told of an incident last.
type told struct {
	Severity minewarden.Severity `json:"severity"`
	State    minewarden.State    `json:"state"`
	Actions  map[string]string   `json:"actions,omitempty"` // action id → kind that was told last
}

const schema = `
CREATE TABLE IF NOT EXISTS waiting (
	n INTEGER PRIMARY KEY AUTOINCREMENT, output TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (output, id)
);
CREATE INDEX IF NOT EXISTS waiting_output ON waiting (output, n);
CREATE TABLE IF NOT EXISTS told (incident TEXT PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counts (output TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (output, what));
`

// maxTold is how many incidents are remembered: the oldest are forgotten, and would be told anew if they changed.
const maxTold = 50_000

func openQueue(ctx context.Context, path string, limit int) (*queue, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open alerts %s: %w", path, err), db.Close())
	}
	return &queue{db: db, max: limit}, nil
}

func (q *queue) Close() error { return q.db.Close() }

// change runs f in one transaction.
func (q *queue) change(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("keep alerts: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(fmt.Errorf("keep alerts: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("keep alerts: %w", err)
	}
	return nil
}

// last returns what was told of an incident; ok is false where nothing was.
func (q *queue) last(ctx context.Context, tx *sql.Tx, incident string) (t told, ok bool, err error) {
	var body []byte
	err = tx.QueryRowContext(ctx, `SELECT body FROM told WHERE incident = ?`, incident).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return t, false, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	return t, err == nil, err
}

func (q *queue) remember(ctx context.Context, tx *sql.Tx, incident string, t told, now time.Time) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO told VALUES (?, ?, ?)`, incident, now.UnixNano(), body); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM told WHERE incident IN (SELECT incident FROM told ORDER BY at DESC LIMIT -1 OFFSET ?)`, maxTold)
	return err
}

// add lets a wait for an output. The same alert waits once. Where too many wait, the oldest of the least grave goes, and is counted.
func (q *queue) add(ctx context.Context, tx *sql.Tx, output string, a *Alert, now time.Time) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO waiting (output, id, created, body) VALUES (?, ?, ?, ?)`, output, a.ID, now.UnixNano(), body); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM waiting WHERE output = ?`, output).Scan(&n); err != nil {
		return err
	}
	if n <= q.max {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM waiting WHERE n IN (SELECT n FROM waiting WHERE output = ? ORDER BY n LIMIT ?)`, output, n-q.max); err != nil {
		return err
	}
	return count(ctx, tx, output, "overflow", n-q.max)
}

func count(ctx context.Context, tx *sql.Tx, output, what string, n int) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n`, output, what, n)
	return err
}

// waiting is the first of an output; ok is false where none is.
func (q *queue) first(ctx context.Context, output string) (n int64, a Alert, created time.Time, ok bool, err error) {
	var body []byte
	var at int64
	err = q.db.QueryRowContext(ctx, `SELECT n, created, body FROM waiting WHERE output = ? ORDER BY n LIMIT 1`, output).Scan(&n, &at, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, a, created, false, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	return n, a, time.Unix(0, at), err == nil, err
}

// done takes one out; what says how it went: sent, refused, expired.
func (q *queue) done(ctx context.Context, output string, n int64, what string) error {
	return q.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM waiting WHERE n = ?`, n); err != nil {
			return err
		}
		return count(ctx, tx, output, what, 1)
	})
}

// counts returns how many wait for each output, and what became of the others.
func (q *queue) counts(ctx context.Context) (map[string]map[string]int, error) {
	out := map[string]map[string]int{}
	rows, err := q.db.QueryContext(ctx, `SELECT output, 'waiting', count(*) FROM waiting GROUP BY output UNION ALL SELECT output, what, n FROM counts`)
	if err != nil {
		return nil, fmt.Errorf("count alerts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var output, what string
		var n int
		if err := rows.Scan(&output, &what, &n); err != nil {
			return nil, fmt.Errorf("count alerts: %w", err)
		}
		if out[output] == nil {
			out[output] = map[string]int{}
		}
		out[output][what] = n
	}
	return out, rows.Err()
}
