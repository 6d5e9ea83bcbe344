// Package account knows who may use the console: accounts with roles, passwords, passkeys, API tokens, sessions and login links.
package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console/access"
)

// Bounds of what is kept.
const (
	maxAccounts = 1000
	maxSessions = 20 // of one account; the oldest ends
	maxTokens   = 50
	maxPasskeys = 20
	maxName     = 64
	maxLabel    = 100 // bytes of what somebody calls a token or a passkey
)

// First is the account that the first login link makes.
const First = "first"

// What callers tell apart. Errors for people wrap one of these.
var (
	ErrWrong    = errors.New("the name or the password is wrong") // also: no such account, disabled, a spent link
	ErrBusy     = errors.New("too many log in at once: try again in a few seconds")
	ErrInvalid  = errors.New("not possible")
	ErrConflict = errors.New("in conflict with what is")
)

// A Trail takes what is changed; a change that it cannot take is not made.
type Trail interface {
	Append(e audittrail.Entry) error
}

// Options are what a Service needs.
type Options struct {
	Trail Trail            // nil: changes are not written down, for tests alone
	Log   *slog.Logger     // nil: nowhere
	Now   func() time.Time // nil: a clock that does not run backwards while the process lives
}

// A Service is the accounts of one data directory. It is safe for concurrent use, also beside another process with the same
// directory. The zero Service registers its routes, for the document, and serves none.
type Service struct {
	db      *sql.DB
	trail   Trail
	log     *slog.Logger
	now     func() time.Time
	secret  []byte
	hash    *hasher
	tries   *lockouts
	rates   *limiter
	pending *ceremonies
}

var _ access.Authenticator = (*Service)(nil)

// An Account is one person, or one program.
type Account struct {
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	Disabled bool        `json:"disabled,omitempty"`
	Password bool        `json:"password" doc:"has a password"`
	Passkeys int         `json:"passkeys"`
	Tokens   int         `json:"tokens"`
	Sessions int         `json:"sessions"`
	Locked   *time.Time  `json:"locked,omitempty" doc:"passwords from devices that never logged in are refused until then"`
	Created  time.Time   `json:"created"`
	Seen     *time.Time  `json:"seen,omitempty" doc:"last login"`
}

// Open opens or makes the accounts of the data directory dir.
func Open(ctx context.Context, dir string, o Options) (*Service, error) {
	s := &Service{trail: o.Trail, log: o.Log, now: o.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = steady()
	}
	s.hash = newHasher()
	s.tries = &lockouts{now: s.now}
	s.rates = &limiter{now: s.now}
	s.pending = &ceremonies{now: s.now}
	if err := s.open(ctx, dir); err != nil {
		return nil, fmt.Errorf("accounts of the console: %w", err)
	}
	return s, nil
}

// Close gives the files back.
func (s *Service) Close() error { return s.db.Close() }

// steady returns a clock that follows the wall when it is put forward and goes on when it is put back: a session ends early,
// never late.
func steady() func() time.Time {
	start := time.Now()
	return func() time.Time {
		now := time.Now()
		mono, wall := start.Round(0).Add(now.Sub(start)), now.Round(0)
		if wall.After(mono) {
			return wall
		}
		return mono
	}
}

// NormalName returns the form of a name in which accounts are kept: letters, digits and . _ @ -, small. Nothing else, so that
// no two names look alike, and none looks like "user root" of this machine.
func NormalName(name string) (string, error) {
	n := strings.ToLower(strings.TrimSpace(name))
	bad := strings.ContainsFunc(n, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._@-", r)
	})
	switch {
	case n == "" || len(n) > maxName || bad || strings.ContainsRune("._@-", rune(n[0])):
		return "", fmt.Errorf("the name: want up to %d letters a to z, digits and . _ @ -, a letter or digit first: %w", maxName, ErrInvalid)
	case n == "minewarden" || n == "policy" || n == "nobody":
		return "", fmt.Errorf("the name %q is taken by minewarden itself: %w", n, ErrInvalid)
	}
	return n, nil
}

// label checks what somebody calls a thing of theirs.
func label(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxLabel {
		return "", fmt.Errorf("its name: want 1 to %d bytes: %w", maxLabel, ErrInvalid)
	}
	return s, nil
}

// random returns n random bytes as text that fits a URL, a header and a cookie.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is how secrets of 256 random bits are kept: there is nothing to guess, so one round is enough.
func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// change makes a change and writes it down, both or neither: the entry is on the disk before the change is.
func (s *Service) change(ctx context.Context, e *audittrail.Entry, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("accounts of the console: %w", err)
	}
	err = f(tx)
	if err == nil && s.trail != nil {
		err = s.trail.Append(*e)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		err = fmt.Errorf("accounts of the console: %w", err)
		if s.trail != nil {
			failed := *e
			failed.What += ".failed"
			failed.Why = err.Error()
			err = errors.Join(err, s.trail.Append(failed))
		}
		return err
	}
	return nil
}

func notFound(what, name string) error {
	return fmt.Errorf("%s %q: %w", what, name, minewarden.ErrNotFound)
}

// one makes sure that a statement found what it was about.
func one(r sql.Result, err error, what, name string) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return notFound(what, name)
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
