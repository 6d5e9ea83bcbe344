package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
)

// maxTerms bounds the table of trigrams. Texts of a host have some ten thousand; more than this is not the text of programs, and a
// search for one or two letters looks at the rows then.
const maxTerms = 100_000

// full is the row that says that a trigram was left out.
const full = ""

// terms is the table of all trigrams that any text holds: FTS5 has them too, but takes long to list them. A search for one or two
// letters asks for the trigrams that hold these. It is safe for concurrent use.
type terms struct {
	mu    sync.Mutex
	known map[[3]rune]struct{} // in the table for certain
}

// fresh returns the trigrams of text that are not known to be in the table, each once.
func (t *terms) fresh(text string, into map[[3]rune]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last [3]rune
	n := 0
	for _, r := range text {
		last[0], last[1], last[2] = last[1], last[2], r
		if n++; n < 3 {
			continue
		}
		if _, ok := t.known[last]; !ok {
			into[last] = struct{}{}
		}
	}
}

// put adds trigrams to the table. They are known once the transaction is committed: learn is for then.
func (t *terms) put(ctx context.Context, tx *sql.Tx, fresh map[[3]rune]struct{}) error {
	t.mu.Lock()
	room := maxTerms - len(t.known)
	t.mu.Unlock()
	for term := range fresh {
		word := string(term[:])
		if room--; room < 0 {
			word = full
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO term VALUES (?)", word); err != nil {
			return err
		}
		if word == full {
			return nil
		}
	}
	return nil
}

func (t *terms) learn(fresh map[[3]rune]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[[3]rune]struct{}{}
	}
	for term := range fresh {
		if len(t.known) < maxTerms {
			t.known[term] = struct{}{}
		}
	}
}

// maxShort is how many trigrams may hold one or two letters before it is cheaper to look at rows.
const maxShort = 400

// termsWith returns the trigrams that hold a text of one or two letters, quoted for a search: every row with text has one of them. Not
// ok: there are too many, or they are not all in the table.
func termsWith(ctx context.Context, db *sql.DB, text string) (found []string, ok bool, err error) {
	var one int
	err = db.QueryRowContext(ctx, "SELECT 1 FROM term WHERE term = ?", full).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, false, err
	}
	rows, err := db.QueryContext(ctx, "SELECT term FROM term WHERE instr(term, ?) > 0 LIMIT ?", text, maxShort+1)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }() // an error shows in rows.Err
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, false, err
		}
		found = append(found, quote(t))
	}
	return found, len(found) <= maxShort, rows.Err()
}

// maxTrigrams is how many of a long text are looked up: a few find the rows, and each is compared whole after that.
const maxTrigrams = 24

// trigrams returns those of a text, quoted for a search; nil when it is too short to have any.
func trigrams(text string) []string {
	all := map[[3]rune]struct{}{}
	r := []rune(text)
	var out []string
	for i := 0; i+3 <= len(r) && len(out) < maxTrigrams; i++ {
		t := [3]rune(r[i : i+3])
		if _, ok := all[t]; !ok {
			all[t] = struct{}{}
			out = append(out, quote(string(t[:])))
		}
	}
	return out
}

func quote(term string) string { return `"` + strings.ReplaceAll(term, `"`, `""`) + `"` }
