package securitytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/sensors"
	"github.com/minewarden/minewarden/store/sqlite"
)

const (
	good     = "correct horse battery"
	incident = "5ec0000000000001" // the incident that is there
	hostile  = "<script>alert(1)</script>\x1b[2J\u202e=1+1|x\"'&"
)

type m = map[string]any

// agent is a running agent that watches little: what it serves is under attack here.
type agent struct {
	t    *testing.T
	dir  string
	port string
	as   map[string]*browser // who is logged in, by role
}

// start runs an agent with one incident and an account of each role.
func start(t *testing.T) *agent {
	t.Helper()
	a := &agent{t: t, dir: t.TempDir(), as: map[string]*browser{}}
	a.seed()
	cfg := config.Default()
	cfg.Data, cfg.Listen = a.dir, "127.0.0.1:0"
	for _, s := range sensors.All() {
		if s.Name != "procfs" { // without any, an agent ends
			cfg.Disable = append(cfg.Disable, "sensors/"+s.Name)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	page := make(chan string, 1)
	run, err := app.NewAgent(ctx, cfg, slog.New(slog.DiscardHandler), app.Notice{Console: func(p string, _ bool, _ string) { page <- p }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	var link *url.URL
	select {
	case p := <-page:
		link, err = url.Parse(p)
		if err != nil || link.Fragment == "" {
			t.Fatalf("the console is at %q, %v; want a login link", p, err)
		}
	case err := <-ended:
		ended <- err
		t.Fatalf("the agent ended: %v", err)
	}
	a.port = link.Port()
	admin := a.browser()
	admin.must("POST", "/session/link", m{"token": link.Fragment})
	admin.must("PUT", "/me/password", m{"password": good})
	a.as["admin"] = admin
	for _, role := range []string{"viewer", "analyst", "responder"} {
		invite := admin.must("POST", "/accounts", m{"name": role, "role": role})
		b := a.browser()
		b.must("POST", "/session/link", m{"token": invite["token"]})
		a.as[role] = b
	}
	return a
}

// seed keeps an incident whose every text an attacker wrote.
func (a *agent) seed() {
	a.t.Helper()
	st, err := sqlite.Open(a.t.Context(), filepath.Join(a.dir, "incidents.db"), sqlite.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	now := time.Now()
	key := minewarden.ProcessKey{Boot: "00000000-0000-0000-0000-000000000000", PID: 4000000, Start: 1}
	subject := minewarden.Subject{Type: "process", ID: key.String(), Name: hostile, PID: key.PID, Host: "box"}
	inc := minewarden.Incident{
		ID: incident, Subject: subject, State: minewarden.Open, Severity: minewarden.Critical, Score: 0.9, Opened: now, Updated: now, Host: "box",
		Root: "process " + key.String(), Members: []minewarden.Member{{Key: key, Name: hostile, Exe: "/tmp/" + hostile, Args: []string{hostile}}},
		Findings: []minewarden.IncidentFinding{{
			Time: now, Last: now, Count: 1, Rule: "pow/randomx", Title: hostile, Severity: minewarden.Critical, Confidence: 0.9, Subject: subject, Lineage: hostile,
			Evidence: []minewarden.Evidence{{Key: "argv", Value: hostile}}, Advice: "stop it",
		}},
	}
	if err := st.Put(a.t.Context(), inc); err != nil {
		a.t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		a.t.Fatal(err)
	}
}

// browser keeps cookies, and the CSRF token, as the console's page does.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
	csrf   string
}

func (a *agent) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+a.port)
}

func (a *agent) browser() *browser {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // what the certificate is worth is tested elsewhere
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx) },
		ForceAttemptHTTP2: true,
	}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: a.t, base: "https://localhost:" + a.port, client: &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) object(t *testing.T) m {
	t.Helper()
	out := m{}
	if len(r.body) > 0 {
		if err := json.Unmarshal(r.body, &out); err != nil {
			t.Fatalf("%v: %q", err, r.body)
		}
	}
	return out
}

// send sends a request to a path of the whole server. headers are pairs; "Host" sets the name asked for.
func (b *browser) send(method, path string, body io.Reader, headers ...string) *reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, body)
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
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return &reply{resp.StatusCode, resp.Header, text}
}

// ask sends a request to the API.
func (b *browser) ask(method, path string, body any, headers ...string) *reply {
	b.t.Helper()
	if body == nil {
		return b.send(method, "/api/v1"+path, nil, headers...)
	}
	j, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(method, "/api/v1"+path, bytes.NewReader(j), headers...)
}

// must is ask for what is to succeed.
func (b *browser) must(method, path string, body any, headers ...string) m {
	b.t.Helper()
	r := b.ask(method, path, body, headers...)
	if r.status/100 != 2 {
		b.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	out := r.object(b.t)
	if token, ok := out["csrf"].(string); ok {
		b.csrf = token
	}
	return out
}

// session returns the value of the browser's session cookie.
func (b *browser) session() string {
	u, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "__Host-mw" {
			return c.Value
		}
	}
	b.t.Fatal("no session")
	return ""
}

// settled is the state once the agent's own work on what it found at its start is done.
func (a *agent) settled() string {
	a.t.Helper()
	before := a.state()
	for range 50 {
		time.Sleep(200 * time.Millisecond)
		now := a.state()
		if now == before {
			return now
		}
		before = now
	}
	a.t.Fatal("the agent does not come to rest")
	return ""
}

// state is all that a request could have changed: the trail, the incident, accounts. Logins, and what the agent itself wrote down,
// are left out.
func (a *agent) state() string {
	a.t.Helper()
	entries, err := audittrail.List(a.dir, audittrail.Query{})
	if err != nil {
		a.t.Fatal(err)
	}
	var b strings.Builder
	for i := range entries {
		if !strings.HasPrefix(entries[i].What, "session.") && entries[i].Who != "minewarden" {
			b.WriteString(entries[i].What + " " + entries[i].Hash + "\n")
		}
	}
	for _, path := range []string{"/incidents/" + incident, "/accounts", "/actions", "/drills", "/posture", "/playbooks", "/suppressions", "/evidence", "/settings"} {
		r := a.as["admin"].ask("GET", path, nil)
		if r.status != http.StatusNotFound {
			b.WriteString(path + " " + string(r.body) + "\n")
		}
	}
	return b.String()
}
