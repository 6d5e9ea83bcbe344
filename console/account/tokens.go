package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minewarden/minewarden/console/access"
)

// tokenPrefix lets scanners of leaked secrets know one.
const tokenPrefix = "mwt_"

const (
	tokenLife    = 90 * 24 * time.Hour
	tokenMost    = 366 * 24 * time.Hour
	minTokenLife = time.Minute
)

// A Token is what a program authenticates with, as its owner sees it.
type Token struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires"`
	Used    *time.Time  `json:"used,omitempty" doc:"to the minute"`
}

// A NewToken is a token with its secret.
type NewToken struct {
	Token
	Secret string `json:"secret" doc:"shown once; send it as Authorization: Bearer SECRET"`
}

// Tokens returns those of an account, the newest first.
func (s *Service) Tokens(ctx context.Context, account string) (out []Token, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, name, role, created, ends, used FROM token WHERE account = ? ORDER BY created DESC, id", account)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t Token
		var role string
		var created, ends, used int64
		if err := rows.Scan(&t.ID, &t.Name, &role, &created, &ends, &used); err != nil {
			return nil, err
		}
		if err := t.Role.UnmarshalText([]byte(role)); err != nil {
			return nil, err
		}
		t.Created, t.Expires, t.Used = time.UnixMilli(created).UTC(), time.UnixMilli(ends).UTC(), moment(used)
		out = append(out, t)
	}
	return out, rows.Err()
}

// MakeToken makes a token of an account, with at most its role. expires zero: in 90 days.
func (s *Service) MakeToken(ctx context.Context, by By, account, name string, role access.Role, expires time.Time) (t NewToken, err error) {
	if name, err = label(name); err != nil {
		return t, err
	}
	now := s.now()
	if expires.IsZero() {
		expires = now.Add(tokenLife)
	}
	if expires.Before(now.Add(minTokenLife)) || expires.After(now.Add(tokenMost)) {
		return t, fmt.Errorf("its end: want a moment within %d days: %w", int(tokenMost.Hours()/24), ErrInvalid)
	}
	t = NewToken{Token: Token{ID: random(9), Name: name, Role: role, Created: now.UTC(), Expires: expires.UTC()}, Secret: tokenPrefix + random(32)}
	e := by.entry("token.make", t.ID, "account", account, "name", name, "role", role.String(), "expires", t.Expires.Format(time.RFC3339))
	return t, s.change(ctx, e, func(tx *sql.Tx) error {
		var own string
		var n int
		err := tx.QueryRowContext(ctx, "SELECT role, (SELECT count(*) FROM token WHERE account = a.name AND ends > ?) FROM account a WHERE name = ?",
			millis(now), account).Scan(&own, &n)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("account", account)
		}
		var most access.Role
		if err == nil {
			err = most.UnmarshalText([]byte(own))
		}
		switch {
		case err != nil:
			return err
		case role < access.Viewer || role > most:
			return fmt.Errorf("its role: want viewer to %s, your own: %w", most, ErrInvalid)
		case n >= maxTokens:
			return fmt.Errorf("there are %d tokens already: %w", n, ErrConflict)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM token WHERE account = ? AND ends < ?", account, millis(now.Add(-tokenLife))); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO token (hash, id, account, name, role, created, ends) VALUES (?, ?, ?, ?, ?, ?, ?)",
			digest(t.Secret), t.ID, account, name, role.String(), millis(now), millis(expires))
		return err
	})
}

// RemoveToken voids a token of an account.
func (s *Service) RemoveToken(ctx context.Context, by By, account, id string) error {
	return s.change(ctx, by.entry("token.remove", id, "account", account), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM token WHERE account = ? AND id = ?", account, id)
		return one(r, err, "token", id)
	})
}

// bearer finds who has a token.
func (s *Service) bearer(ctx context.Context, secret string) (id access.Identity, err error) {
	if !strings.HasPrefix(secret, tokenPrefix) || len(secret) > 100 {
		return id, access.ErrAnonymous
	}
	var name, owns, has string
	var created, ends, used int64
	err = s.db.QueryRowContext(ctx, `SELECT t.id, t.name, a.name, a.role, t.role, t.created, t.ends, t.used FROM token t JOIN account a ON a.name = t.account
		WHERE t.hash = ? AND NOT a.disabled`, digest(secret)).Scan(&id.ID, &name, &id.Name, &owns, &has, &created, &ends, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return id, access.ErrAnonymous
	}
	var most access.Role
	if err == nil {
		err = errors.Join(id.Role.UnmarshalText([]byte(has)), most.UnmarshalText([]byte(owns)))
	}
	if err != nil {
		return access.Identity{}, fmt.Errorf("token: %w", err)
	}
	now := s.now()
	id.Role, id.Via, id.Ends = min(id.Role, most), "token", time.UnixMilli(ends).UTC()
	if !now.Before(id.Ends) || time.UnixMilli(created).After(now.Add(skew)) {
		return access.Identity{}, access.ErrAnonymous
	}
	if now.Sub(time.UnixMilli(used)) >= seenEvery {
		if _, err := s.db.ExecContext(ctx, "UPDATE token SET used = ? WHERE id = ?", millis(now), id.ID); err != nil {
			s.log.Warn("cannot keep that a token is used", "error", err)
		}
	}
	return id, nil
}
