package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden/console/access"
)

// How long sessions live.
const (
	sessionIdle = time.Hour
	sessionMost = 12 * time.Hour
	seenEvery   = time.Minute // so rarely is it written down that a session is used
	skew        = 5 * time.Minute
	deviceLife  = 180 * 24 * time.Hour
)

// A Visit is how somebody comes in.
type Visit struct {
	Address string // of the client, as lanes and the audit trail name it
	Device  string // the cookie of a browser that logged in before; "" or anything
	Old     string // the session that the browser has: it ends, so that nobody who planted it shares the new one
}

// A Login is a session that was begun.
type Login struct {
	Secret string // for the cookie
	Device string // for the cookie of the browser
	access.Identity
}

// Password logs in with a password.
func (s *Service) Password(ctx context.Context, v Visit, name, password string) (Login, error) {
	if len(name) > 4*maxName || len(password) > 4*maxPassword {
		return Login{}, ErrWrong
	}
	n, err := NormalName(name)
	if err != nil {
		n = "?" // no account has it; it takes as long, and is counted, as any other
	}
	attempts := []attempt{{byName, n}, {byAddress, v.Address}}
	if device := s.knows(v.Device, n); device != "" {
		attempts = []attempt{{byDevice, device}}
	}
	failed, err := s.tries.begin(attempts...)
	if err != nil {
		return Login{}, err
	}
	var kept string
	err = s.db.QueryRowContext(ctx, "SELECT password FROM account WHERE name = ? AND NOT disabled", n).Scan(&kept)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Login{}, err
	}
	ok, old, err := s.hash.check(ctx, kept, password)
	switch {
	case err != nil:
		s.tries.undo(attempts...)
		return Login{}, err
	case !ok:
		if failed+1 == attempts[0].lane.free {
			s.log.Warn("logins with wrong passwords: the next must wait", "address", v.Address)
		}
		return Login{}, ErrWrong
	}
	s.tries.succeeded(attempts...)
	if old {
		if next, err := s.hash.make(ctx, password); err != nil {
			s.log.Warn("a password is to be kept at today's cost, later", "error", err)
		} else if _, err := s.db.ExecContext(ctx, "UPDATE account SET password = ? WHERE name = ? AND password = ?", next, n, kept); err != nil {
			s.log.Warn("a password is to be kept at today's cost, later", "error", err)
		}
	}
	var l Login
	err = s.begin(ctx, v, n, "password", failed, &l, nil)
	return l, err
}

// begin begins a session of an account that proved itself, in the same transaction as what first, if any, does.
func (s *Service) begin(ctx context.Context, v Visit, name, how string, failed int, l *Login, first func(*sql.Tx) error) error {
	now := s.now()
	l.Secret, l.Device = random(32), s.device(name)
	l.Identity = access.Identity{Name: name, Via: "session", ID: random(9), Ends: now.Add(sessionMost).UTC()}
	e := By{Who: name, Via: "console"}.entry("session.begin", l.ID, "by", how, "address", v.Address)
	if failed > 0 {
		e.Detail["failed_before"] = strconv.Itoa(failed)
	}
	return s.change(ctx, e, func(tx *sql.Tx) error {
		if first != nil {
			if err := first(tx); err != nil {
				return err
			}
		}
		var role string
		err := tx.QueryRowContext(ctx, "UPDATE account SET seen = ? WHERE name = ? AND NOT disabled RETURNING role", millis(now), name).Scan(&role)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrWrong
		}
		if err == nil {
			err = l.Role.UnmarshalText([]byte(role))
		}
		if err != nil {
			return err
		}
		for _, x := range []struct {
			query string
			args  []any
		}{
			{"DELETE FROM session WHERE hash = ?", []any{digest(v.Old)}},
			{"DELETE FROM session WHERE ends < ? OR seen < ?", []any{millis(now), millis(now.Add(-sessionIdle))}},
			{"DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE account = ? ORDER BY created DESC, id LIMIT -1 OFFSET ?)", []any{name, maxSessions - 1}},
			{"INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)", []any{digest(l.Secret), l.ID, name, how, v.Address, millis(now), millis(now), millis(l.Ends)}},
		} {
			if _, err := tx.ExecContext(ctx, x.query, x.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// session finds who has a cookie. A session from the future is refused: the clock was put back across a restart, and it would live
// too long.
func (s *Service) session(ctx context.Context, secret string) (id access.Identity, err error) {
	var role string
	var created, seen, ends int64
	err = s.db.QueryRowContext(ctx, `SELECT s.id, a.name, a.role, s.created, s.seen, s.ends FROM session s JOIN account a ON a.name = s.account
		WHERE s.hash = ? AND NOT a.disabled`, digest(secret)).Scan(&id.ID, &id.Name, &role, &created, &seen, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return id, access.ErrAnonymous
	}
	if err == nil {
		err = id.Role.UnmarshalText([]byte(role))
	}
	if err != nil {
		return id, fmt.Errorf("session: %w", err)
	}
	now := s.now()
	from, used := time.UnixMilli(created), time.UnixMilli(seen)
	id.Via, id.Ends = "session", time.UnixMilli(ends).UTC()
	if !now.Before(id.Ends) || now.Sub(used) >= sessionIdle || from.After(now.Add(skew)) || used.After(now.Add(skew)) {
		return access.Identity{}, access.ErrAnonymous
	}
	if now.Sub(used) >= seenEvery {
		if _, err := s.db.ExecContext(ctx, "UPDATE session SET seen = ? WHERE id = ?", millis(now), id.ID); err != nil {
			// It ends when it is idle by what is kept: early, not late.
			s.log.Warn("cannot keep that a session is used", "error", err)
		}
	}
	return id, nil
}

// End ends a session of an account.
func (s *Service) End(ctx context.Context, by By, account, id string) error {
	return s.change(ctx, by.entry("session.end", id), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM session WHERE account = ? AND id = ?", account, id)
		return one(r, err, "session", id)
	})
}

// mac signs what only this service may say.
func (s *Service) mac(parts ...string) string {
	m := hmac.New(sha256.New, s.secret)
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// csrf is the token that goes with a session's cookie: who can read it has the cookie's answers, and so is of the same origin.
func (s *Service) csrf(secret string) string { return s.mac("csrf", secret) }

// device is the cookie of a browser that logged in to an account. It lets nobody in; its passwords are counted by themselves.
func (s *Service) device(name string) string {
	id, ends := random(9), strconv.FormatInt(s.now().Add(deviceLife).Unix(), 36)
	return id + "." + ends + "." + s.mac("device", name, id, ends)
}

// knows returns the id of a device that logged in to an account before, or "".
func (s *Service) knows(cookie, name string) string {
	part := strings.Split(cookie, ".")
	if len(part) != 3 || !hmac.Equal([]byte(part[2]), []byte(s.mac("device", name, part[0], part[1]))) {
		return ""
	}
	ends, err := strconv.ParseInt(part[1], 36, 64)
	if err != nil || s.now().Unix() > ends {
		return ""
	}
	return part[0]
}
