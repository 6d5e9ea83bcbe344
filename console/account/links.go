package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/minewarden/minewarden/console/access"
)

// How long a login link can be used, once.
const (
	linkLife   = 15 * time.Minute
	inviteLife = 24 * time.Hour // for somebody else
)

// A Link lets somebody in once: the page /login#TOKEN.
type Link struct {
	Account string    `json:"account"`
	Token   string    `json:"token" doc:"open /login#TOKEN; it is shown once"`
	Expires time.Time `json:"expires"`
}

// FirstLink returns the link by which the first admin comes in, and false where an admin has a password or a passkey already.
func (s *Service) FirstLink(ctx context.Context, by By) (Link, bool, error) {
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM account a WHERE role = 'admin' AND NOT disabled AND
		(password <> '' OR EXISTS (SELECT 1 FROM passkey WHERE account = a.name))`).Scan(&n)
	if err != nil || n > 0 {
		return Link{}, false, err
	}
	l, err := s.link(ctx, by, First, true, linkLife)
	return l, err == nil, err
}

// Invite returns a link for the owner of an account. One that was made for it before is void.
func (s *Service) Invite(ctx context.Context, by By, name string) (Link, error) {
	return s.link(ctx, by, name, false, inviteLife)
}

// Enter returns a link for whoever stands at this machine, who is to use it at once.
// Whoever it is may also be the first, while nobody has come in.
func (s *Service) Enter(ctx context.Context, by By, name string) (Link, error) {
	if name == First {
		if l, first, err := s.FirstLink(ctx, by); err != nil || first {
			return l, err
		}
	}
	return s.link(ctx, by, name, false, linkLife)
}

func (s *Service) link(ctx context.Context, by By, name string, makes bool, life time.Duration) (Link, error) {
	l := Link{Account: name, Token: random(32), Expires: s.now().Add(life).UTC()}
	return l, s.change(ctx, by.entry("account.link", name, "expires", l.Expires.Format(time.RFC3339)), func(tx *sql.Tx) error {
		if !makes {
			if err := exists(ctx, tx, name); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?, ?)", digest(l.Token), name, makes, millis(s.now()), millis(l.Expires))
		return err
	})
}

// Link logs in with the token of a link, once. The link of the first admin makes that account.
func (s *Service) Link(ctx context.Context, v Visit, token string) (Login, error) {
	var name string
	var makes bool
	var created, ends int64
	err := s.db.QueryRowContext(ctx, "SELECT account, makes, created, ends FROM link WHERE hash = ?", digest(token)).Scan(&name, &makes, &created, &ends)
	now := s.now()
	if errors.Is(err, sql.ErrNoRows) || (err == nil && (now.UnixMilli() >= ends || time.UnixMilli(created).After(now.Add(skew)))) {
		// Only those that are wrong are counted: a right one is let in whatever others tried from the same address.
		if _, err := s.tries.begin(attempt{byAddress, v.Address}); err != nil {
			return Login{}, err
		}
		return Login{}, ErrWrong
	}
	if err != nil {
		return Login{}, err
	}
	var l Login
	return l, s.begin(ctx, v, name, "link", 0, &l, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM link WHERE hash = ?", digest(token))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrWrong, err) // somebody was faster
		}
		if !makes {
			return nil
		}
		if err := exists(ctx, tx, name); err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE account SET role = 'admin', disabled = 0 WHERE name = ?", name)
			return err
		}
		return s.insert(ctx, tx, name, access.Admin, "")
	})
}
