package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console/access"
)

const accountColumns = `SELECT name, role, disabled, password <> '', created, seen,
	(SELECT count(*) FROM passkey WHERE account = a.name), (SELECT count(*) FROM token WHERE account = a.name),
	(SELECT count(*) FROM session WHERE account = a.name AND ends > ?) FROM account a `

func (s *Service) scan(row interface{ Scan(...any) error }) (a Account, err error) {
	var role string
	var created, seen int64
	if err := row.Scan(&a.Name, &role, &a.Disabled, &a.Password, &created, &seen, &a.Passkeys, &a.Tokens, &a.Sessions); err != nil {
		return a, err
	}
	a.Created, a.Seen, a.Locked = *moment(max(created, 1)), moment(seen), s.tries.until(a.Name)
	return a, a.Role.UnmarshalText([]byte(role))
}

// Accounts returns all, by name.
func (s *Service) Accounts(ctx context.Context) (out []Account, err error) {
	rows, err := s.db.QueryContext(ctx, accountColumns+"ORDER BY name", millis(s.now()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		a, err := s.scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Account returns one.
func (s *Service) Account(ctx context.Context, name string) (Account, error) {
	a, err := s.scan(s.db.QueryRowContext(ctx, accountColumns+"WHERE name = ?", millis(s.now()), name))
	if errors.Is(err, sql.ErrNoRows) {
		return a, notFound("account", name)
	}
	return a, err
}

// By is who makes a change, as the audit trail names them.
type By struct{ Who, Via string }

func (b By) entry(what, target string, detail ...string) *audittrail.Entry {
	e := &audittrail.Entry{Who: b.Who, Via: b.Via, What: what, Target: target}
	for i := 0; i+1 < len(detail); i += 2 {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[detail[i]] = detail[i+1]
	}
	return e
}

// Add makes an account that nobody can enter yet: Link lets its owner in, or a password.
func (s *Service) Add(ctx context.Context, by By, name string, role access.Role, password string) error {
	name, err := NormalName(name)
	if err != nil {
		return err
	}
	kept := ""
	if password != "" {
		if err := acceptable(name, password); err != nil {
			return err
		}
		if kept, err = s.hash.make(ctx, password); err != nil {
			return err
		}
	}
	return s.change(ctx, by.entry("account.add", name, "role", role.String()), func(tx *sql.Tx) error {
		return s.insert(ctx, tx, name, role, kept)
	})
}

func (s *Service) insert(ctx context.Context, tx *sql.Tx, name string, role access.Role, kept string) error {
	if role < access.Viewer || role > access.Admin {
		return fmt.Errorf("the role: use viewer, analyst, responder or admin: %w", ErrInvalid)
	}
	var n, same int
	if err := tx.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE name = ?) FROM account", name).Scan(&n, &same); err != nil {
		return err
	}
	if same > 0 {
		return fmt.Errorf("there is an account %q already: %w", name, ErrConflict)
	}
	if n >= maxAccounts {
		return fmt.Errorf("there are %d accounts already: %w", n, ErrConflict)
	}
	handle := make([]byte, 32)
	rand.Read(handle) //nolint:errcheck // crypto/rand.Read never fails
	_, err := tx.ExecContext(ctx, "INSERT INTO account (name, role, handle, password, created) VALUES (?, ?, ?, ?, ?)",
		name, role.String(), handle, kept, millis(s.now()))
	return err
}

// SetRole gives an account another role, and ends its sessions: they were begun with the old one.
func (s *Service) SetRole(ctx context.Context, by By, name string, role access.Role) error {
	if role < access.Viewer || role > access.Admin {
		return fmt.Errorf("the role: use viewer, analyst, responder or admin: %w", ErrInvalid)
	}
	e := by.entry("account.role", name, "to", role.String())
	return s.change(ctx, e, func(tx *sql.Tx) error {
		var from string
		if err := tx.QueryRowContext(ctx, "SELECT role FROM account WHERE name = ?", name).Scan(&from); errors.Is(err, sql.ErrNoRows) {
			return notFound("account", name)
		} else if err != nil {
			return err
		}
		e.Detail["from"] = from
		if _, err := tx.ExecContext(ctx, "UPDATE account SET role = ? WHERE name = ?", role.String(), name); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, name, ""); err != nil {
			return err
		}
		return anAdminIsLeft(ctx, tx)
	})
}

// SetDisabled keeps an account out, or lets it in again. Its tokens are void while it is disabled.
func (s *Service) SetDisabled(ctx context.Context, by By, name string, disabled bool) error {
	what := "account.enable"
	if disabled {
		what = "account.disable"
	}
	return s.change(ctx, by.entry(what, name), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE account SET disabled = ? WHERE name = ?", disabled, name)
		if err := one(r, err, "account", name); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, name, ""); err != nil {
			return err
		}
		return anAdminIsLeft(ctx, tx)
	})
}

// Unlock lets passwords be tried again at once.
func (s *Service) Unlock(ctx context.Context, by By, name string) error {
	return s.change(ctx, by.entry("account.unlock", name), func(tx *sql.Tx) error {
		if err := exists(ctx, tx, name); err != nil {
			return err
		}
		s.tries.forget(name)
		return nil
	})
}

// Remove takes an account away, with its sessions, tokens, passkeys and links.
func (s *Service) Remove(ctx context.Context, by By, name string) error {
	return s.change(ctx, by.entry("account.remove", name), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM account WHERE name = ?", name)
		if err := one(r, err, "account", name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM link WHERE account = ?", name); err != nil {
			return err
		}
		return anAdminIsLeft(ctx, tx)
	})
}

// Reset takes away all by which an account can be entered: password, passkeys, tokens, sessions. A link lets its owner in again.
func (s *Service) Reset(ctx context.Context, by By, name string) error {
	return s.change(ctx, by.entry("account.reset", name), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE account SET password = '' WHERE name = ?", name)
		if err := one(r, err, "account", name); err != nil {
			return err
		}
		for _, table := range []string{"passkey", "token", "session", "link"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE account = ?", name); err != nil {
				return err
			}
		}
		s.tries.forget(name)
		return nil
	})
}

// SetPassword sets the password of who asks. current is what it was, where there was one; keep is the id of the session that asks,
// which alone goes on.
func (s *Service) SetPassword(ctx context.Context, by By, name, current, password, keep string) error {
	if err := acceptable(name, password); err != nil {
		return err
	}
	var kept string
	err := s.db.QueryRowContext(ctx, "SELECT password FROM account WHERE name = ?", name).Scan(&kept)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("account", name)
	}
	if err != nil {
		return err
	}
	if kept != "" {
		// A stolen session must not find out the password: the tries count as logins do.
		a := attempt{byDevice, "change/" + name}
		if _, err := s.tries.begin(a); err != nil {
			return err
		}
		ok, _, err := s.hash.check(ctx, kept, current)
		if err != nil {
			s.tries.undo(a)
			return err
		}
		if !ok {
			return fmt.Errorf("the current password is not that: %w", ErrInvalid)
		}
		s.tries.succeeded(a)
	}
	next, err := s.hash.make(ctx, password)
	if err != nil {
		return err
	}
	return s.change(ctx, by.entry("account.password", name), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE account SET password = ? WHERE name = ? AND password = ?", next, name, kept)
		if err := one(r, err, "account, with that password,", name); err != nil {
			return err
		}
		return endSessions(ctx, tx, name, keep)
	})
}

func exists(ctx context.Context, tx *sql.Tx, name string) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM account WHERE name = ?", name).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return notFound("account", name)
	}
	return nil
}

func endSessions(ctx context.Context, tx *sql.Tx, name, but string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE account = ? AND id <> ?", name, but)
	return err
}

func anAdminIsLeft(ctx context.Context, tx *sql.Tx) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM account WHERE role = 'admin' AND NOT disabled").Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("the last admin stays one: %w", ErrConflict)
	}
	return nil
}
