package account

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// A Passkey is a key that somebody's device keeps, as they see it.
type Passkey struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Host    string     `json:"host" doc:"the name of the console that it was made for; it works there alone"`
	Created time.Time  `json:"created"`
	Used    *time.Time `json:"used,omitempty"`
}

const (
	ceremonyLife  = 5 * time.Minute
	maxCeremonies = 1000
)

// A ceremony is what was asked of a browser. It is found again by its challenge, which the device signs.
type ceremony struct {
	webauthn.SessionData
	host, origin string
	account      string // who registers; "" for a login
	session      string // by which session
	label        string
	ends         time.Time
}

// ceremonies are those begun, in memory; each is taken once.
type ceremonies struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]ceremony
}

func (c *ceremonies) put(x ceremony) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	x.ends = now.Add(ceremonyLife)
	if c.all == nil {
		c.all = map[string]ceremony{}
	}
	for k, old := range c.all {
		if len(c.all) < maxCeremonies {
			break
		}
		if old.account == "" || now.After(old.ends) { // logins can be begun by anybody, and begun again
			delete(c.all, k)
		}
	}
	if len(c.all) < maxCeremonies {
		c.all[x.Challenge] = x
	}
}

func (c *ceremonies) take(challenge string) (ceremony, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.all[challenge]
	delete(c.all, challenge)
	return x, ok && c.now().Before(x.ends)
}

// user is an account as the library wants it.
type user struct {
	name   string
	handle []byte
	keys   []webauthn.Credential
}

func (u *user) WebAuthnID() []byte                         { return u.handle }
func (u *user) WebAuthnName() string                       { return u.name }
func (u *user) WebAuthnDisplayName() string                { return u.name }
func (u *user) WebAuthnCredentials() []webauthn.Credential { return u.keys }

// party is this console under the name that the browser knows it by. WebAuthn takes names only, no addresses.
func party(host string) (w *webauthn.WebAuthn, name string, err error) {
	name = hostName(host)
	if isAddress(name) {
		return nil, "", fmt.Errorf("a passkey belongs to a name, and %s is an address: open the console as https://localhost or by its name: %w", name, ErrInvalid)
	}
	w, err = webauthn.New(&webauthn.Config{RPID: name, RPDisplayName: "minewarden on " + name, RPOrigins: []string{origin(host)}})
	if err != nil {
		return nil, "", fmt.Errorf("passkeys for %q: %w", name, errors.Join(err, ErrInvalid))
	}
	return w, name, nil
}

func origin(host string) string { return "https://" + host }

// load returns an account with those of its passkeys that are for host.
func (s *Service) load(ctx context.Context, host, where string, arg any) (u *user, err error) {
	u = &user{}
	err = s.db.QueryRowContext(ctx, "SELECT name, handle FROM account WHERE NOT disabled AND "+where, arg).Scan(&u.name, &u.handle)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrWrong
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, "SELECT credential FROM passkey WHERE account = ? AND host = ?", u.name, host)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b []byte
		var c webauthn.Credential
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &c); err != nil {
			return nil, fmt.Errorf("a passkey of %s: %w", u.name, err)
		}
		u.keys = append(u.keys, c)
	}
	return u, rows.Err()
}

// BeginRegister returns what a browser needs to make a passkey for an account.
func (s *Service) BeginRegister(ctx context.Context, host, account, session, name string) (*protocol.CredentialCreation, error) {
	name, err := label(name)
	if err != nil {
		return nil, err
	}
	w, rp, err := party(host)
	if err != nil {
		return nil, err
	}
	u, err := s.load(ctx, rp, "name = ?", account)
	if err != nil {
		return nil, err
	}
	var known []protocol.CredentialDescriptor
	for i := range u.keys {
		known = append(known, u.keys[i].Descriptor())
	}
	made, data, err := w.BeginRegistration(u, webauthn.WithExclusions(known), webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired,
	}), webauthn.WithConveyancePreference(protocol.PreferNoAttestation))
	if err != nil {
		return nil, fmt.Errorf("begin to register a passkey: %w", err)
	}
	s.pending.put(ceremony{SessionData: *data, host: rp, origin: origin(host), account: account, session: session, label: name})
	return made, nil
}

// errCeremony is for a browser's answer that does not fit what it was asked.
func errCeremony(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) {
		err = fmt.Errorf("%s %s", p.Details, p.DevInfo)
	}
	return fmt.Errorf("the passkey's answer is not accepted: %w", errors.Join(err, ErrInvalid))
}

var errSpent = errors.New("it was asked for too long ago, or answered already: begin again")

// FinishRegister keeps the passkey that a browser made.
func (s *Service) FinishRegister(ctx context.Context, by By, account, session string, body []byte) (Passkey, error) {
	answer, err := protocol.ParseCredentialCreationResponseBytes(body)
	if err != nil {
		return Passkey{}, errCeremony(err)
	}
	c, ok := s.pending.take(answer.Response.CollectedClientData.Challenge)
	if !ok || c.account != account || c.session != session {
		return Passkey{}, errCeremony(errSpent)
	}
	w, err := webauthn.New(&webauthn.Config{RPID: c.host, RPDisplayName: "minewarden", RPOrigins: []string{c.origin}})
	if err != nil {
		return Passkey{}, err
	}
	u, err := s.load(ctx, c.host, "name = ?", account)
	if err != nil {
		return Passkey{}, err
	}
	key, err := w.CreateCredential(u, s.steadied(c.SessionData), answer)
	if err != nil {
		return Passkey{}, errCeremony(err)
	}
	kept, err := json.Marshal(key)
	if err != nil {
		return Passkey{}, err
	}
	p := Passkey{ID: base64.RawURLEncoding.EncodeToString(key.ID), Name: c.label, Host: c.host, Created: s.now().UTC()}
	return p, s.change(ctx, by.entry("passkey.add", p.ID, "account", account, "name", p.Name, "host", p.Host), func(tx *sql.Tx) error {
		var n, same int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE account = ?), count(*) FILTER (WHERE id = ?) FROM passkey", account, p.ID).Scan(&n, &same)
		switch {
		case err != nil:
			return err
		case same > 0:
			return fmt.Errorf("this passkey is there already: %w", ErrConflict)
		case n >= maxPasskeys:
			return fmt.Errorf("there are %d passkeys already: %w", n, ErrConflict)
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO passkey (id, account, name, host, credential, created) VALUES (?, ?, ?, ?, ?, ?)",
			p.ID, account, p.Name, p.Host, kept, millis(p.Created))
		return err
	})
}

// steadied leaves the end of a ceremony to take, which has the steady clock.
func (s *Service) steadied(d webauthn.SessionData) webauthn.SessionData {
	d.Expires = time.Time{}
	return d
}

// BeginPasskey returns what a browser needs to log in with any of its passkeys for this console. It says nothing of who has one.
func (s *Service) BeginPasskey(_ context.Context, v Visit, host string) (*protocol.CredentialAssertion, error) {
	if err := s.rates.allow("passkey "+v.Address, addressRate, addressBurst); err != nil {
		return nil, err
	}
	w, rp, err := party(host)
	if err != nil {
		return nil, err
	}
	asked, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("begin a login by passkey: %w", err)
	}
	s.pending.put(ceremony{SessionData: *data, host: rp, origin: origin(host)})
	return asked, nil
}

// FinishPasskey logs in with a browser's answer.
func (s *Service) FinishPasskey(ctx context.Context, v Visit, body []byte) (Login, error) {
	if err := s.rates.allow("passkey "+v.Address, addressRate, addressBurst); err != nil {
		return Login{}, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(body)
	if err != nil {
		return Login{}, errCeremony(err)
	}
	c, ok := s.pending.take(answer.Response.CollectedClientData.Challenge)
	if !ok || c.account != "" {
		return Login{}, errCeremony(errSpent)
	}
	w, err := webauthn.New(&webauthn.Config{RPID: c.host, RPDisplayName: "minewarden", RPOrigins: []string{c.origin}})
	if err != nil {
		return Login{}, err
	}
	var u *user
	_, key, err := w.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		var err error
		u, err = s.load(ctx, c.host, "handle = ?", handle)
		return u, err
	}, s.steadied(c.SessionData), answer)
	if err != nil || u == nil {
		s.log.Info("a login by passkey is refused", "address", v.Address, "error", err)
		return Login{}, fmt.Errorf("this passkey is not known here: %w", ErrWrong)
	}
	if key.Authenticator.CloneWarning {
		s.log.Warn("a passkey counts backwards: it may have been copied, and is refused", "account", u.name, "address", v.Address)
		return Login{}, fmt.Errorf("this passkey is not known here: %w", ErrWrong)
	}
	kept, err := json.Marshal(key)
	if err != nil {
		return Login{}, err
	}
	var l Login
	id := base64.RawURLEncoding.EncodeToString(key.ID)
	return l, s.begin(ctx, v, u.name, "passkey", 0, &l, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE passkey SET credential = ?, used = ? WHERE id = ? AND account = ?", kept, millis(s.now()), id, u.name)
		return one(r, err, "passkey", id)
	})
}

// Passkeys returns those of an account, the newest first.
func (s *Service) Passkeys(ctx context.Context, account string) (out []Passkey, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, name, host, created, used FROM passkey WHERE account = ? ORDER BY created DESC, id", account)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p Passkey
		var created, used int64
		if err := rows.Scan(&p.ID, &p.Name, &p.Host, &created, &used); err != nil {
			return nil, err
		}
		p.Created, p.Used = time.UnixMilli(created).UTC(), moment(used)
		out = append(out, p)
	}
	return out, rows.Err()
}

// RemovePasskey takes a passkey of an account away.
func (s *Service) RemovePasskey(ctx context.Context, by By, account, id string) error {
	return s.change(ctx, by.entry("passkey.remove", id, "account", account), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM passkey WHERE account = ? AND id = ?", account, id)
		return one(r, err, "passkey", id)
	})
}
