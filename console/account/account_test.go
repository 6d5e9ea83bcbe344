package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/argon2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console/access"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// book is a trail in memory that can be full.
type book struct {
	mu   sync.Mutex
	all  []audittrail.Entry
	full error
}

func (b *book) Append(e audittrail.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil {
		b.all = append(b.all, e)
	}
	return b.full
}

func (b *book) whats() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.all {
		out = append(out, strings.TrimSpace(e.Who+" "+e.What))
	}
	return out
}

const good = "correct horse battery"

var (
	root = By{Who: "user root", Via: "cli"}
	here = Visit{Address: "127.0.0.1"}
)

func service(t *testing.T) (*Service, *clock, *book) {
	t.Helper()
	c, b := &clock{t: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}, &book{}
	s, err := Open(t.Context(), t.TempDir(), Options{Trail: b, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c, b
}

// with is a service with an admin, and an analyst, each with the good password.
func with(t *testing.T) (*Service, *clock, *book) {
	t.Helper()
	s, c, b := service(t)
	for name, role := range map[string]access.Role{"root-admin": access.Admin, "ada": access.Analyst} {
		if err := s.Add(t.Context(), root, name, role, good); err != nil {
			t.Fatal(err)
		}
	}
	b.all = nil
	return s, c, b
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestTheFirstLinkMakesAnAdminOnce(t *testing.T) {
	s, c, b := service(t)
	l, is, err := s.FirstLink(t.Context(), root)
	if err != nil || !is {
		t.Fatal(is, err)
	}
	if all := must(s.Accounts(t.Context()))(t); len(all) != 0 {
		t.Fatalf("accounts %v before anybody came", all)
	}
	again := must2(t)(s.FirstLink(t.Context(), root)) // a start later: the earlier one is void
	_, err = s.Link(t.Context(), here, l.Token)
	wants(t, err, ErrWrong)
	in := must(s.Link(t.Context(), here, again.Token))(t)
	if in.Name != First || in.Role != access.Admin {
		t.Errorf("entered as %s, %s", in.Name, in.Role)
	}
	_, err = s.Link(t.Context(), here, again.Token)
	wants(t, err, ErrWrong)
	late := must2(t)(s.FirstLink(t.Context(), root)) // no password yet: there is no other way in
	c.add(linkLife)
	_, err = s.Link(t.Context(), here, late.Token)
	wants(t, err, ErrWrong)
	if err := s.SetPassword(t.Context(), By{Who: First}, First, "", good, in.ID); err != nil {
		t.Fatal(err)
	}
	if _, is, err := s.FirstLink(t.Context(), root); is || err != nil {
		t.Errorf("a first link where an admin has a password: %v %v", is, err)
	}
	want := []string{"user root account.link", "user root account.link", "first session.begin", "user root account.link", "first account.password"}
	if diff := cmp.Diff(want, b.whats()); diff != "" {
		t.Errorf("trail (-want +got):\n%s", diff)
	}
}

func must2(t *testing.T) func(Link, bool, error) Link {
	return func(l Link, ok bool, err error) Link {
		t.Helper()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return l
	}
}

func TestSessions(t *testing.T) {
	s, c, _ := with(t)
	in := must(s.Password(t.Context(), here, " ADA ", good))(t)
	id := must(s.session(t.Context(), in.Secret))(t)
	if id.Name != "ada" || id.Role != access.Analyst || id.Via != "session" || id.ID != in.ID {
		t.Errorf("session of %+v", id)
	}
	// A login in the same browser ends the session that it had.
	next := must(s.Password(t.Context(), Visit{Address: "127.0.0.1", Old: in.Secret, Device: in.Device}, "ada", good))(t)
	_, err := s.session(t.Context(), in.Secret)
	wants(t, err, access.ErrAnonymous)
	// Used it lives, up to its end; unused for an hour it ends.
	for range 20 {
		c.add(50 * time.Minute)
		if _, err := s.session(t.Context(), next.Secret); err != nil {
			break
		}
	}
	if got := c.now().Sub(time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)); got < sessionMost || got > sessionMost+time.Hour {
		t.Errorf("a session in use ended after %v, want %v", got, sessionMost)
	}
	in = must(s.Password(t.Context(), here, "ada", good))(t)
	c.add(sessionIdle)
	_, err = s.session(t.Context(), in.Secret)
	wants(t, err, access.ErrAnonymous)
	// A clock put back by more than a little ends it.
	in = must(s.Password(t.Context(), here, "ada", good))(t)
	c.add(-2 * skew)
	_, err = s.session(t.Context(), in.Secret)
	wants(t, err, access.ErrAnonymous)
	c.add(2 * skew)
	if err := s.End(t.Context(), root, "ada", in.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.session(t.Context(), in.Secret)
	wants(t, err, access.ErrAnonymous)
	// Only so many of one account.
	var all []Login
	for range maxSessions + 3 {
		c.add(time.Second)
		all = append(all, must(s.Password(t.Context(), here, "ada", good))(t))
	}
	if a := must(s.Account(t.Context(), "ada"))(t); a.Sessions != maxSessions {
		t.Errorf("%d sessions, want %d", a.Sessions, maxSessions)
	}
	_, err = s.session(t.Context(), all[0].Secret)
	wants(t, err, access.ErrAnonymous)
}

func TestWhatEndsSessions(t *testing.T) {
	for name, do := range map[string]func(*Service, Login) error{
		"another role": func(s *Service, _ Login) error { return s.SetRole(t.Context(), root, "ada", access.Viewer) },
		"disabled":     func(s *Service, _ Login) error { return s.SetDisabled(t.Context(), root, "ada", true) },
		"removed":      func(s *Service, _ Login) error { return s.Remove(t.Context(), root, "ada") },
		"reset":        func(s *Service, _ Login) error { return s.Reset(t.Context(), root, "ada") },
		"password": func(s *Service, _ Login) error {
			return s.SetPassword(t.Context(), root, "ada", good, "another "+good, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := with(t)
			in := must(s.Password(t.Context(), here, "ada", good))(t)
			if err := do(s, in); err != nil {
				t.Fatal(err)
			}
			_, err := s.session(t.Context(), in.Secret)
			wants(t, err, access.ErrAnonymous)
		})
	}
}

func TestTheLastAdminStays(t *testing.T) {
	s, _, b := with(t)
	for name, err := range map[string]error{
		"role":    s.SetRole(t.Context(), root, "root-admin", access.Responder),
		"disable": s.SetDisabled(t.Context(), root, "root-admin", true),
		"remove":  s.Remove(t.Context(), root, "root-admin"),
	} {
		if !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v, want %v", name, err, ErrConflict)
		}
	}
	if a := must(s.Account(t.Context(), "root-admin"))(t); a.Role != access.Admin || a.Disabled {
		t.Errorf("%+v", a)
	}
	if len(b.all) != 0 {
		t.Errorf("the trail says %v, and nothing was changed", b.whats())
	}
	if err := s.SetRole(t.Context(), root, "ada", access.Admin); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), root, "root-admin"); err != nil {
		t.Errorf("with another admin: %v", err)
	}
}

func TestNothingChangesThatTheTrailCannotTake(t *testing.T) {
	s, _, b := with(t)
	b.full = errors.New("no space left on device")
	ctx := t.Context()
	_, password := s.Password(ctx, here, "ada", good)
	_, link := s.Invite(ctx, root, "ada")
	_, token := s.MakeToken(ctx, root, "ada", "x", access.Viewer, time.Time{})
	for name, err := range map[string]error{
		"login": password, "link": link, "token": token,
		"add":      s.Add(ctx, root, "eve", access.Viewer, ""),
		"role":     s.SetRole(ctx, root, "ada", access.Admin),
		"disable":  s.SetDisabled(ctx, root, "ada", true),
		"remove":   s.Remove(ctx, root, "ada"),
		"reset":    s.Reset(ctx, root, "ada"),
		"password": s.SetPassword(ctx, root, "ada", good, "another "+good, ""),
	} {
		if !errors.Is(err, b.full) {
			t.Errorf("%s: %v, want %v", name, err, b.full)
		}
	}
	b.full = nil
	all := must(s.Accounts(ctx))(t)
	if len(all) != 2 || all[0].Role != access.Analyst || all[0].Disabled || !all[0].Password || all[0].Sessions+all[0].Tokens != 0 {
		t.Errorf("%+v", all)
	}
	if _, err := s.Password(ctx, here, "ada", good); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"Ada": "ada", " ada ": "ada", "ada.l@example.org": "ada.l@example.org", "": "", "a b": "", "user root": "", "аda": "", "-x": "", "..": "",
		"a\x00": "", "a\n": "a", "<b>": "", "policy": "", "Minewarden": "", strings.Repeat("a", 65): "", strings.Repeat("a", 64): strings.Repeat("a", 64),
	} {
		if got, err := NormalName(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzNormalName(f *testing.F) {
	f.Add("Ada")
	f.Fuzz(func(t *testing.T, in string) {
		if n, err := NormalName(in); err == nil {
			if again, err := NormalName(n); err != nil || again != n {
				t.Fatalf("%q: %q, then %q, %v", in, n, again, err)
			}
		}
	})
}

func TestPasswordsThatWouldBeGuessed(t *testing.T) {
	for p, fine := range map[string]bool{
		good: true, "的一是不了人我在有他这为": true, "short": false, "aaaaaaaaaaaaaaaa": false, "password1234": false, "Password12345678": false,
		"ada-ada-ada-ada": false, "root-admin-1": false, "minewarden2026": false, "x7#kQp2!vLm9": true, "\xff" + good: false, strings.Repeat("abcde", 60): false,
	} {
		if err := acceptable("root-admin", p); (err == nil) != fine {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestPasswordsAreKeptAtTodaysCost(t *testing.T) {
	s, _, _ := with(t)
	salt := []byte("0123456789abcdef")
	weak := encode(params{64, 1, 1}, salt, argon2.IDKey(normal(good), salt, 1, 64, 1, keySize))
	if _, err := s.db.Exec("UPDATE account SET password = ? WHERE name = 'ada'", weak); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Password(t.Context(), here, "ada", good); err != nil {
			t.Fatal(err)
		}
	}
	var kept string
	if err := s.db.QueryRow("SELECT password FROM account WHERE name = 'ada'").Scan(&kept); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kept, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("kept as %s", kept)
	}
	// The same characters, however a keyboard composes them.
	if err := s.SetPassword(t.Context(), root, "ada", good, "e\u0301tude en ré majeur", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Password(t.Context(), here, "ada", "\u00e9tude en ré majeur"); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(newHasher().nobody)
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, key, err := decode(s)
		if err == nil && (p.memory > 1<<20 || p.time > 64 || len(salt) < 8 || len(key) > 64) {
			t.Fatalf("%q is taken as %+v", s, p)
		}
	})
}

func TestTokens(t *testing.T) {
	s, c, _ := with(t)
	ctx := t.Context()
	_, err := s.MakeToken(ctx, root, "ada", "ci", access.Responder, time.Time{})
	wants(t, err, ErrInvalid) // more than its owner
	_, err = s.MakeToken(ctx, root, "ada", "ci", access.Viewer, c.now().Add(400*24*time.Hour))
	wants(t, err, ErrInvalid)
	_, err = s.MakeToken(ctx, root, "ada", " ", access.Viewer, time.Time{})
	wants(t, err, ErrInvalid)
	tok := must(s.MakeToken(ctx, root, "ada", "ci", access.Analyst, c.now().Add(time.Hour)))(t)
	if !strings.HasPrefix(tok.Secret, "mwt_") || len(tok.Secret) != 4+43 {
		t.Errorf("secret %q", tok.Secret)
	}
	if id := must(s.bearer(ctx, tok.Secret))(t); id.Name != "ada" || id.Role != access.Analyst || id.Via != "token" {
		t.Errorf("%+v", id)
	}
	// Its owner's role bounds it, then and now.
	if err := s.SetRole(ctx, root, "ada", access.Viewer); err != nil {
		t.Fatal(err)
	}
	if id := must(s.bearer(ctx, tok.Secret))(t); id.Role != access.Viewer {
		t.Errorf("%+v after its owner became viewer", id)
	}
	if err := s.SetDisabled(ctx, root, "ada", true); err != nil {
		t.Fatal(err)
	}
	_, err = s.bearer(ctx, tok.Secret)
	wants(t, err, access.ErrAnonymous)
	if err := s.SetDisabled(ctx, root, "ada", false); err != nil {
		t.Fatal(err)
	}
	if a := must(s.Account(ctx, "ada"))(t); a.Tokens != 1 {
		t.Errorf("%+v, want one token", a)
	}
	if all := must(s.Tokens(ctx, "ada"))(t); len(all) != 1 || all[0].Used == nil {
		t.Errorf("%+v", all)
	}
	for range maxTokens - 1 {
		must(s.MakeToken(ctx, root, "ada", "ci", access.Viewer, time.Time{}))(t)
	}
	_, err = s.MakeToken(ctx, root, "ada", "ci", access.Viewer, time.Time{})
	wants(t, err, ErrConflict)
	wants(t, s.RemoveToken(ctx, root, "root-admin", tok.ID), minewarden.ErrNotFound) // of somebody else
	c.add(time.Hour)
	_, err = s.bearer(ctx, tok.Secret)
	wants(t, err, access.ErrAnonymous)
	if err := s.RemoveToken(ctx, root, "ada", tok.ID); err != nil {
		t.Error(err)
	}
}

// TestSecretsAreNotKept reads the files as a thief would.
func TestSecretsAreNotKept(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), root, "ada", access.Admin, good); err != nil {
		t.Fatal(err)
	}
	in := must(s.Password(t.Context(), here, "ada", good))(t)
	tok := must(s.MakeToken(t.Context(), root, "ada", "ci", access.Viewer, time.Time{}))(t)
	link := must(s.Invite(t.Context(), root, "ada"))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string]string{"password": good, "session": in.Secret, "token": tok.Secret, "link": link.Token, "csrf": s.csrf(in.Secret)} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds the %s", f, what)
			}
		}
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 600", f, st.Mode(), err)
		}
	}
}

func TestAnotherProcessMayChangeAccounts(t *testing.T) {
	dir := t.TempDir()
	var both [2]*Service
	for i := range both {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		both[i] = s
	}
	if err := both[0].Add(t.Context(), root, "ada", access.Admin, ""); err != nil {
		t.Fatal(err)
	}
	l := must(both[1].Enter(t.Context(), root, "ada"))(t)
	in := must(both[0].Link(t.Context(), here, l.Token))(t)
	if err := both[1].Reset(t.Context(), root, "ada"); err != nil {
		t.Fatal(err)
	}
	_, err := both[0].session(t.Context(), in.Secret)
	wants(t, err, access.ErrAnonymous)
}

func TestOneHashAtATime(t *testing.T) {
	h := newHasher()
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() { first <- h.do(context.Background(), func() { close(started); <-release }) }()
	<-started
	results := make(chan error, maxWaiting+5)
	for range maxWaiting + 5 {
		go func() { results <- h.do(context.Background(), func() {}) }()
	}
	// Those that find no place in the queue are refused at once, while the first still runs.
	for range 6 {
		wants(t, <-results, ErrBusy)
	}
	close(release)
	for range maxWaiting - 1 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	hold := make(chan struct{})
	go func() { first <- h.do(context.Background(), func() { <-hold }) }()
	for h.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	wants(t, h.do(gone, func() { t.Error("for a client that is gone") }), context.Canceled)
	close(hold)
	<-first
}

func ExampleNormalName() {
	n, err := NormalName("Ada@Example.org")
	fmt.Println(n, err)
	// Output: ada@example.org <nil>
}
