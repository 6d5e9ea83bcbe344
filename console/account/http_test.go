package account_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/fxamacker/cbor/v2"

	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/console/account"
)

const good = "correct horse battery"

// place is a console that is served, and its parts.
type place struct {
	t        *testing.T
	dir      string
	accounts *account.Service
	port     string
}

// serve serves accounts alone, as the agent does.
func serve(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	trail, err := audittrail.Open(dir, audittrail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := account.Open(t.Context(), dir, account.Options{Trail: trail, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := console.NewCertificate(dir, console.Config{}, []string{"localhost"}, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := console.New(console.Options{Log: log, Version: "test", Accounts: s, Feed: console.NewFeed(), Routes: []func(huma.API){s.Routes}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, l, cert.Get) }()
	t.Cleanup(func() {
		stop()
		for _, err := range []error{<-ended, s.Close(), trail.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &place{t: t, dir: dir, accounts: s, port: port}
}

// browser keeps cookies, and the CSRF token, as the console's page does.
type browser struct {
	t      *testing.T
	base   string
	port   string
	client *http.Client
	csrf   string
}

func (p *place) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // what the certificate is worth is tested elsewhere
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+p.port)
		},
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: p.t, base: "https://localhost:" + p.port, port: p.port, client: &http.Client{Jar: jar, Transport: transport}}
}

// ask sends a request and returns status, headers and the answer.
func (b *browser) ask(method, path string, body any, headers ...string) (int, http.Header, map[string]any) {
	b.t.Helper()
	var in io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+"/api/v1"+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.csrf != "" {
		req.Header.Set("X-CSRF-Token", b.csrf)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			b.t.Fatalf("%s %s: %s, %q", method, path, resp.Status, text)
		}
	}
	return resp.StatusCode, resp.Header, out
}

// must is ask for what is to succeed.
func (b *browser) must(method, path string, body any, headers ...string) map[string]any {
	b.t.Helper()
	status, _, out := b.ask(method, path, body, headers...)
	if status/100 != 2 {
		b.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	if token, ok := out["csrf"].(string); ok {
		b.csrf = token
	}
	return out
}

// refused is ask for what is not to succeed.
func (b *browser) refused(want int, method, path string, body any, headers ...string) {
	b.t.Helper()
	if status, _, out := b.ask(method, path, body, headers...); status != want {
		b.t.Errorf("%s %s: %d %v, want %d", method, path, status, out, want)
	}
}

// first lets the first admin in.
func (p *place) first() *browser {
	p.t.Helper()
	l, ok, err := p.accounts.FirstLink(p.t.Context(), account.By{Who: "minewarden"})
	if err != nil || !ok {
		p.t.Fatal(ok, err)
	}
	b := p.browser()
	b.must(http.MethodPost, "/session/link", map[string]any{"token": l.Token})
	return b
}

type m = map[string]any

func TestFromTheFirstLinkToAToken(t *testing.T) {
	p := serve(t)
	b := p.first()
	if s := b.must("GET", "/session", nil); s["user"] != "first" || s["role"] != "admin" || len(s["means"].([]any)) != 0 {
		t.Errorf("session %v", s)
	}
	b.must("PUT", "/me/password", m{"password": good})
	b.refused(422, "PUT", "/me/password", m{"password": "another " + good}) // without the current
	b.refused(422, "PUT", "/me/password", m{"current": "wrong", "password": "another " + good})
	b.refused(422, "PUT", "/me/password", m{"current": good, "password": "short"})

	invite := b.must("POST", "/accounts", m{"name": "Ada", "role": "analyst"})
	if invite["account"] != "ada" {
		t.Errorf("invitation %v", invite)
	}
	b.refused(409, "POST", "/accounts", m{"name": "ada", "role": "analyst"})
	b.refused(422, "POST", "/accounts", m{"name": "eve", "role": "root"})
	b.refused(422, "POST", "/accounts", m{"name": "eve", "role": "viewer", "disabled": false}) // a field that is not there
	b.refused(422, "POST", "/accounts", m{"name": "<b>", "role": "viewer"})

	ada := p.browser()
	ada.must("POST", "/session/link", m{"token": invite["token"]})
	p.browser().refused(401, "POST", "/session/link", m{"token": invite["token"]})
	ada.must("PUT", "/me/password", m{"password": good})
	ada.refused(403, "GET", "/accounts", nil)
	ada.refused(403, "PATCH", "/accounts/ada", m{"role": "admin"})
	ada.refused(422, "POST", "/me/tokens", m{"name": "ci", "role": "admin"})
	tok := ada.must("POST", "/me/tokens", m{"name": "ci", "role": "viewer", "expires": time.Now().Add(time.Hour)})
	if all := ada.must("GET", "/me/tokens", nil)["items"].([]any); len(all) != 1 || all[0].(m)["secret"] != nil {
		t.Errorf("tokens %v", all)
	}

	ci := p.browser()
	bearer := "Bearer " + tok["secret"].(string)
	if s := ci.must("GET", "/session", nil, "Authorization", bearer); s["user"] != "ada" || s["role"] != "viewer" || s["csrf"] != nil {
		t.Errorf("token's session %v", s)
	}
	for _, x := range [][2]string{{"GET", "/me/tokens"}, {"POST", "/me/tokens"}, {"PUT", "/me/password"}, {"POST", "/me/passkeys/begin"}, {"DELETE", "/session"}} {
		status, _, _ := ci.ask(x[0], x[1], map[string]m{"POST/me/tokens": {"name": "x", "role": "viewer"}, "PUT/me/password": {"password": good}, "POST/me/passkeys/begin": {"name": "x"}}[x[0]+x[1]], "Authorization", bearer)
		if status != 403 {
			t.Errorf("%s %s with a token: %d, want 403", x[0], x[1], status)
		}
	}
	ci.refused(401, "GET", "/session", nil, "Authorization", "Bearer mwt_x")
	ci.refused(401, "GET", "/session", nil, "Authorization", "Basic YWRhOng=")
	for _, q := range []string{"token", "access_token", "csrf"} {
		if status, _, _ := ci.ask("GET", "/session?"+q+"="+tok["secret"].(string), nil); status != 401 && status != 422 {
			t.Errorf("a token in the URL: %d", status)
		}
	}

	// BOLA: what is somebody else's is not there.
	id := tok["id"].(string)
	b.refused(404, "DELETE", "/me/tokens/"+id, nil)
	ada.must("DELETE", "/me/tokens/"+id, nil)
	ci.refused(401, "GET", "/session", nil, "Authorization", bearer)

	b.must("PATCH", "/accounts/ada", m{"role": "responder"})
	ada.refused(401, "GET", "/session", nil) // begun with the old role
	b.refused(409, "PATCH", "/accounts/first", m{"role": "viewer"})
	b.refused(409, "DELETE", "/accounts/first", nil)
	b.refused(422, "PATCH", "/accounts/ada", m{"role": "viewer", "unlock": true})
	b.must("POST", "/accounts/ada/reset", nil)
	ada.refused(401, "POST", "/session", m{"name": "ada", "password": good})
	b.must("DELETE", "/accounts/ada", nil)
	b.refused(404, "PATCH", "/accounts/ada", m{"unlock": true})
	b.must("DELETE", "/session", nil)
	b.refused(401, "GET", "/session", nil)

	r, err := audittrail.Verify(p.dir, audittrail.Check{})
	if err != nil || r.Broken != nil {
		t.Errorf("trail: %v %v", r.Broken, err)
	}
	all, err := audittrail.List(p.dir, audittrail.Query{What: "account.", Who: "first"})
	if err != nil || len(all) != 7 { // password, add, link, role, reset, link, remove
		t.Errorf("trail: %d entries, %v: %v", len(all), err, all)
	}
}

func TestCookiesAndCSRF(t *testing.T) {
	p := serve(t)
	b := p.first()
	b.must("PUT", "/me/password", m{"password": good})
	status, h, _ := b.ask("POST", "/session", m{"name": "first", "password": good})
	if status != 200 || len(h.Values("Set-Cookie")) != 2 {
		t.Fatal(status, h)
	}
	for _, c := range h.Values("Set-Cookie") {
		for _, want := range []string{"__Host-mw", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
			if !strings.Contains(c, want) {
				t.Errorf("%s lacks %s", c, want)
			}
		}
		if strings.Contains(c, "Domain") {
			t.Errorf("%s has a domain", c)
		}
	}
	old := b.csrf
	b.must("GET", "/session", nil)
	if old == b.csrf {
		t.Error("the CSRF token of another session is the same")
	}
	mine := b.csrf
	body := m{"name": "ci", "role": "viewer"}
	for name, headers := range map[string][]string{
		"none":           {"X-CSRF-Token", ""},
		"old":            {"X-CSRF-Token", old},
		"another site":   {"X-CSRF-Token", mine, "Sec-Fetch-Site", "cross-site"},
		"a sibling":      {"X-CSRF-Token", mine, "Sec-Fetch-Site", "same-site"},
		"another origin": {"X-CSRF-Token", mine, "Origin", "https://evil.example"},
		"another port":   {"X-CSRF-Token", mine, "Origin", "https://localhost:1"},
		"without TLS":    {"X-CSRF-Token", mine, "Origin", "http://localhost:" + p.port},
		"null":           {"X-CSRF-Token", mine, "Origin", "null"},
	} {
		if status, _, out := b.ask("POST", "/me/tokens", body, headers...); status != 403 {
			t.Errorf("%s: %d %v, want 403", name, status, out)
		}
	}
	b.must("POST", "/me/tokens", body, "Origin", b.base, "Sec-Fetch-Site", "same-origin")
	// A login from another site is refused too: it would put its own account under the victim's hands.
	b.refused(403, "POST", "/session", m{"name": "first", "password": good}, "Sec-Fetch-Site", "cross-site")
	// As is one in a form that a page of another site can send without asking.
	if status, _, _ := b.ask("POST", "/session", m{"name": "first", "password": good}, "Content-Type", "text/plain"); status/100 == 2 {
		t.Error("a login as text/plain")
	}
}

// TestSessionFixation plants a session before somebody logs in.
func TestSessionFixation(t *testing.T) {
	p := serve(t)
	attacker := p.first()
	attacker.must("PUT", "/me/password", m{"password": good})
	u, err := url.Parse(attacker.base)
	if err != nil {
		t.Fatal(err)
	}
	victim := p.browser()
	planted := attacker.client.Jar.Cookies(u)
	victim.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-mw", Value: planted[0].Value, Path: "/", Secure: true}})
	victim.must("POST", "/session", m{"name": "first", "password": good})
	for _, c := range victim.client.Jar.Cookies(u) {
		if c.Value == planted[0].Value {
			t.Errorf("%s is still the planted one", c.Name)
		}
	}
	attacker.refused(401, "GET", "/session", nil)
	// Two cookies of the name: one is planted, so neither counts.
	victim.refused(401, "GET", "/session", nil, "Cookie", "__Host-mw=planted")
}

// TestNothingTellsWhoHasAnAccount compares what a wrong password is answered, and how long that takes.
func TestNothingTellsWhoHasAnAccount(t *testing.T) {
	p := serve(t)
	b := p.first()
	b.must("PUT", "/me/password", m{"password": good})
	b.must("POST", "/accounts", m{"name": "invited", "role": "viewer"}) // has no password yet
	took := map[string]time.Duration{}
	names := []string{"first", "invited", "nobody-has-this", "not a name"}
	for range 3 {
		for _, name := range names {
			from := time.Now()
			status, _, out := p.browser().ask("POST", "/session", m{"name": name, "password": "this is wrong"})
			if d := time.Since(from); took[name] == 0 || d < took[name] {
				took[name] = d
			}
			if status != 401 || out["detail"] != "the name or the password is wrong" {
				t.Errorf("%q: %d %v", name, status, out)
			}
		}
	}
	// Hashing is tens of milliseconds of a login; one that leaves it out is an order of magnitude faster.
	for _, name := range names {
		if took[name] < took["first"]/4 {
			t.Errorf("%q is answered in %v, an account in %v", name, took[name], took["first"])
		}
	}
	for _, name := range []string{"first", "nobody-has-this"} {
		status, after := 0, ""
		for range 9 { // eight failures are free
			var h http.Header
			status, h, _ = p.browser().ask("POST", "/session", m{"name": name, "password": "this is wrong"})
			after = h.Get("Retry-After")
		}
		if status != 429 || after == "" {
			t.Errorf("%q after many failures: %d, retry after %q", name, status, after)
		}
	}
}

// device is an authenticator in software: one key, on one console.
type device struct {
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	count  uint32
	flags  byte
}

const userPresent, userVerified, attested = 1, 4, 64

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	rand.Read(id)
	return &device{key: key, id: id, flags: userPresent | userVerified}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func clientData(kind string, options m, origin string) []byte {
	b, _ := json.Marshal(m{"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": false})
	return b
}

func (d *device) data(rp string, flags byte, more ...byte) []byte {
	d.count++
	hash := sha256.Sum256([]byte(rp))
	return append(binary.BigEndian.AppendUint32(append(hash[:], flags), d.count), more...)
}

// register answers what the console asks for to make a passkey.
func (d *device) register(t *testing.T, options m, rp, origin string) m {
	t.Helper()
	user := options["user"].(m)
	handle, err := base64.RawURLEncoding.DecodeString(user["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	d.handle = handle
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		t.Fatal(err)
	}
	cred := append(make([]byte, 16), byte(len(d.id)>>8), byte(len(d.id)))
	object, err := cbor.Marshal(m{"fmt": "none", "attStmt": m{}, "authData": d.data(rp, d.flags|attested, append(append(cred, d.id...), cose...)...)})
	if err != nil {
		t.Fatal(err)
	}
	return m{
		"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "clientExtensionResults": m{}, "authenticatorAttachment": "platform",
		"response": m{"clientDataJSON": b64(clientData("webauthn.create", options, origin)), "attestationObject": b64(object), "transports": []string{"internal"}},
	}
}

// sign answers what the console asks for to log in.
func (d *device) sign(t *testing.T, options m, rp, origin string) m {
	t.Helper()
	client, data := clientData("webauthn.get", options, origin), d.data(rp, d.flags)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return m{
		"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "clientExtensionResults": m{},
		"response": m{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(sig), "userHandle": b64(d.handle)},
	}
}

func TestPasskeys(t *testing.T) {
	p := serve(t)
	b := p.first()
	key := newDevice(t)
	begin := func(b *browser) m {
		return b.must("POST", "/me/passkeys/begin", m{"name": "laptop"})["publicKey"].(m)
	}
	options := begin(b)
	if rp := options["rp"].(m); rp["id"] != "localhost" || options["user"].(m)["name"] != "first" {
		t.Fatalf("options %v", options)
	}
	// An answer that another site's page got, or for a device without its user, is worth nothing; and each is asked for once.
	b.refused(422, "POST", "/me/passkeys/finish", key.register(t, options, "localhost", "https://evil.example"))
	b.refused(422, "POST", "/me/passkeys/finish", key.register(t, options, "localhost", b.base))
	b.refused(422, "POST", "/me/passkeys/finish", key.register(t, begin(b), "evil.example", b.base))
	key.flags = userPresent
	b.refused(422, "POST", "/me/passkeys/finish", key.register(t, begin(b), "localhost", b.base))
	key.flags = userPresent | userVerified
	// Begun in one session it cannot be finished in another.
	invite := b.must("POST", "/accounts", m{"name": "ada", "role": "viewer"})
	ada := p.browser()
	ada.must("POST", "/session/link", m{"token": invite["token"]})
	ada.refused(422, "POST", "/me/passkeys/finish", key.register(t, begin(b), "localhost", b.base))

	b.must("POST", "/me/passkeys/finish", key.register(t, begin(b), "localhost", b.base))
	ada.refused(409, "POST", "/me/passkeys/finish", key.register(t, begin(ada), "localhost", b.base)) // the same key for another account
	all := b.must("GET", "/me/passkeys", nil)["items"].([]any)
	if len(all) != 1 || all[0].(m)["name"] != "laptop" || all[0].(m)["host"] != "localhost" {
		t.Errorf("passkeys %v", all)
	}
	id := all[0].(m)["id"].(string)

	login := func(c *browser) m { return c.must("POST", "/session/passkey/begin", m{})["publicKey"].(m) }
	c := p.browser()
	key.handle = bytes.Clone(key.handle)
	options = login(c)
	answer := key.sign(t, options, "localhost", c.base)
	// The first registration was of b: ada's failed one gave the device ada's handle.
	c.refused(401, "POST", "/session/passkey/finish", answer)
	key.handle = mustHandle(t, begin(b))
	c.must("POST", "/session/passkey/finish", key.sign(t, login(c), "localhost", c.base))
	if s := c.must("GET", "/session", nil); s["user"] != "first" || s["means"].([]any)[0] != "passkey" {
		t.Errorf("session %v", s)
	}
	options = login(c)
	answer = key.sign(t, options, "localhost", c.base)
	p.browser().must("POST", "/session/passkey/finish", answer)
	for name, bad := range map[string]func() m{
		"replayed":        func() m { return answer },
		"of another site": func() m { return key.sign(t, login(c), "localhost", "https://localhost.evil.example") },
		"of another name": func() m { return key.sign(t, login(c), "evil.example", c.base) },
		"unsigned": func() m {
			a := key.sign(t, login(c), "localhost", c.base)
			a["response"].(m)["signature"] = b64(make([]byte, 70))
			return a
		},
		"of a key that is not known": func() m {
			other := newDevice(t)
			other.handle = key.handle
			return other.sign(t, login(c), "localhost", c.base)
		},
		"without its user": func() m {
			key.flags = userPresent
			defer func() { key.flags = userPresent | userVerified }()
			return key.sign(t, login(c), "localhost", c.base)
		},
		"of a challenge of its own": func() m { return key.sign(t, m{"challenge": b64(make([]byte, 32))}, "localhost", c.base) },
		"for a registration":        func() m { return key.sign(t, begin(b), "localhost", c.base) },
		"copied": func() m { // the copy has counted less
			key.count = 1
			return key.sign(t, login(c), "localhost", c.base)
		},
	} {
		if status, _, out := p.browser().ask("POST", "/session/passkey/finish", bad()); status != 401 && status != 422 {
			t.Errorf("an answer %s: %d %v", name, status, out)
		}
	}
	// By an address there are no passkeys, and why is said.
	at := p.browser()
	at.base = "https://127.0.0.1:" + p.port
	if status, _, out := at.ask("POST", "/session/passkey/begin", m{}); status != 422 || !strings.Contains(out["detail"].(string), "https://localhost") {
		t.Errorf("by address: %d %v", status, out)
	}
	ada.refused(404, "DELETE", "/me/passkeys/"+id, nil)
	b.must("DELETE", "/me/passkeys/"+id, nil)
	key.count = 1000
	c.refused(401, "POST", "/session/passkey/finish", key.sign(t, login(c), "localhost", c.base))
}

func mustHandle(t *testing.T, options m) []byte {
	t.Helper()
	h, err := base64.RawURLEncoding.DecodeString(options["user"].(m)["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestACrowdAtTheDoorCostsLittleMemory has many log in at once: one hash at a time is what they cost.
func TestACrowdAtTheDoorCostsLittleMemory(t *testing.T) {
	p := serve(t)
	b := p.first()
	b.must("PUT", "/me/password", m{"password": good})
	before := peak(t)
	const crowd = 60
	results := make(chan int, crowd)
	for range crowd {
		c := p.browser()
		go func() {
			status, _, _ := c.ask("POST", "/session", m{"name": "first", "password": good})
			results <- status
		}()
	}
	count := map[int]int{}
	for range crowd {
		count[<-results]++
	}
	if count[200] == 0 || count[200]+count[429]+count[503] != crowd {
		t.Errorf("answers by status: %v", count)
	}
	// One hash is 19 MiB, its garbage as much again until it is collected; sixty would be 1140.
	if grown := peak(t) - before; grown > 100<<10 {
		t.Errorf("%d KiB more memory for %d logins at once", grown, crowd)
	} else {
		t.Logf("%d KiB more at most; answers %v", grown, count)
	}
}

// peak is the most memory that this process had, in KiB.
func peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHosts has names that are not the console's, as in DNS rebinding.
func TestHosts(t *testing.T) {
	h := account.Hosts([]string{"Mine.example:7443"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	for host, want := range map[string]int{
		"localhost": 204, "localhost:7443": 204, "LOCALHOST.": 204, "127.0.0.1:7443": 204, "[::1]:7443": 204, "[::1]": 204, "192.0.2.1": 204, "mine.example": 204, "MINE.example:1": 204,
		"evil.example": 421, "": 421, "localhost.evil.example": 421, "evil.localhost": 421, "xmine.example": 421, "127.0.0.1.evil.example": 421, "0x7f.1": 421, "mine.example@evil.example": 421,
	} {
		w := &recorder{header: http.Header{}}
		h.ServeHTTP(w, &http.Request{Host: host, URL: &url.URL{Path: "/"}, Header: http.Header{}})
		if w.status != want {
			t.Errorf("%q: %d, want %d", host, w.status, want)
		}
	}
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(s int)           { r.status = s }

func TestRoutesNeedNoService(t *testing.T) {
	srv := console.New(console.Options{Routes: []func(huma.API){(&account.Service{}).Routes}})
	if srv == nil {
		t.Fatal("no server")
	}
	_ = access.Public
}
