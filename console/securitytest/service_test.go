package securitytest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestResourceConsumption sends what is too much (API4): it is refused, and others are served all the while.
func TestResourceConsumption(t *testing.T) {
	a := start(t)
	all, _ := a.operations()
	large := bytes.Repeat([]byte(" "), 2<<20)
	deep := []byte(`{"text":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}")
	n := 0
	for _, op := range all {
		if op.method == http.MethodGet {
			continue
		}
		path := "/api/v1" + fill(op.path, false)
		if op.body == nil {
			continue // a body is not read
		}
		n++
		for what, body := range map[string][]byte{"large": large, "deep": deep} {
			r := a.as["admin"].send(op.method, path, bytes.NewReader(body))
			if r.status < 400 || r.status >= 500 {
				t.Errorf("%s %s with a %s body: %d %.100s", op.method, path, what, r.status, r.body)
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d operations take a body", n)
	}
	// Pages are bounded, whatever is asked for.
	for _, limit := range []string{"0", "-1", "501", "1000000", "x"} {
		if r := a.as["viewer"].ask("GET", "/incidents?limit="+limit, nil); r.status != http.StatusUnprocessableEntity {
			t.Errorf("limit=%s: %d", limit, r.status)
		}
	}
	if r := a.as["viewer"].ask("GET", "/incidents?text="+strings.Repeat("a", 12000), nil); r.status < 400 || r.status >= 500 {
		t.Errorf("a long filter: %d", r.status)
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+a.port, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // tested elsewhere
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { // the server may close before all is written
		fmt.Fprintf(c, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", strings.Repeat("a", 64<<10)) //nolint:errcheck // as said
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of headers: %s", resp.Status)
	}
}

// TestOneClientCannotAskWithoutEnd asks faster than anybody reads.
func TestOneClientCannotAskWithoutEnd(t *testing.T) {
	a := start(t)
	limited := false
	for range 2000 {
		if r := a.as["viewer"].ask("GET", "/session", nil); r.status == http.StatusTooManyRequests {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("2000 requests in a row were answered")
	}
	if r := a.as["analyst"].ask("GET", "/session", nil); r.status != 200 {
		t.Errorf("another client: %d", r.status)
	}
	limited = false
	for range 200 {
		if r := a.browser().ask("GET", "/session", nil, "Cookie", "__Host-mw=guess"); r.status == http.StatusTooManyRequests {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("200 guesses of a session were answered")
	}
	// Guesses from an address do not keep those out who are logged in from it.
	if r := a.as["analyst"].ask("GET", "/session", nil); r.status != 200 {
		t.Errorf("somebody logged in from the address of a guesser: %d", r.status)
	}
}

// TestStreamsAreBoundedAndEnd opens many streams, and takes their reader's account away.
func TestStreamsAreBoundedAndEnd(t *testing.T) {
	a := start(t)
	opened, refused := 0, 0
	var ends []func()
	for range 80 {
		ctx, stop := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.as["viewer"].base+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := a.as["viewer"].client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, func() {
			stop()
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		})
		switch resp.StatusCode {
		case 200:
			opened++
			if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("a stream of %s", got)
			}
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			refused++
		default:
			t.Errorf("stream: %s", resp.Status)
		}
	}
	if opened == 0 || refused == 0 {
		t.Errorf("%d streams of one client were opened, %d refused", opened, refused)
	}
	if r := a.as["analyst"].ask("GET", "/incidents", nil); r.status != 200 {
		t.Errorf("others, meanwhile: %d", r.status)
	}
	if status := a.as["analyst"].stream(t); status != 200 {
		t.Errorf("a stream of somebody else, meanwhile: %d", status)
	}
	for _, end := range ends {
		end()
	}
}

// stream opens a stream, and returns what the server says.
func (b *browser) stream(t *testing.T) int {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	return resp.StatusCode
}

// TestSlowClients opens connections that say nothing, or little at a time; others are served all the same.
func TestSlowClients(t *testing.T) {
	a := start(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range 300 {
		c, err := a.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i%2 == 0 {
			if _, err := c.Write([]byte{0x16, 3, 1}); err != nil { // the begin of a handshake
				t.Fatal(err)
			}
		}
	}
	b := a.browser()
	b.client.Timeout = 20 * time.Second // those before are dropped after a few
	if r := b.ask("GET", "/session", nil); r.status != http.StatusUnauthorized {
		t.Errorf("behind 300 clients that say nothing: %d", r.status)
	}
	// A request whose headers never end is ended.
	slow, err := tls.Dial("tcp", "127.0.0.1:"+a.port, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // tested elsewhere
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nX-A: "); err != nil {
		t.Fatal(err)
	}
	if err := slow.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(slow); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("headers that never end are waited for")
	}
}

// TestMisconfiguration looks at what every answer says, and at what is not to be there (API8, API9).
func TestMisconfiguration(t *testing.T) {
	a := start(t)
	all, _ := a.operations()
	who := a.as["admin"]
	var paths []string
	for _, op := range all {
		if op.method == http.MethodGet && op.path != "/events" {
			paths = append(paths, "/api/v1"+fill(op.path, true))
		}
	}
	paths = append(paths, "/", "/login", "/api/v1/nothing", "/assets/nothing.js", "/api/v1/incidents?nothing=1")
	for _, path := range paths {
		r := who.send("GET", path, nil, "Origin", "https://evil.example")
		for header, part := range map[string]string{
			"Content-Security-Policy": "default-src '", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Permissions-Policy": "camera=()",
		} {
			if !strings.Contains(r.header.Get(header), part) {
				t.Errorf("%s: %s is %q", path, header, r.header.Get(header))
			}
		}
		if csp := r.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe-eval") || scripts(csp) || strings.Contains(csp, "http:") || strings.Contains(csp, "*") {
			t.Errorf("%s: %s", path, csp)
		}
		for _, header := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Server", "X-Powered-By"} {
			if r.header.Get(header) != "" {
				t.Errorf("%s: %s is %q", path, header, r.header.Get(header))
			}
		}
		if strings.HasPrefix(path, "/api/") {
			if !strings.Contains(r.header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s may be kept: %q", path, r.header.Get("Cache-Control"))
			}
			if r.status >= 400 && r.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d as %s", path, r.status, r.header.Get("Content-Type"))
			}
			if strings.Contains(string(r.body), "goroutine") || strings.Contains(string(r.body), ".go:") {
				t.Errorf("%s tells its insides: %.200s", path, r.body)
			}
		}
		if pre := who.send("OPTIONS", path, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "DELETE"); pre.header.Get("Access-Control-Allow-Origin") != "" || pre.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s answers a preflight: %v", path, pre.header)
		}
	}
	// What is not in the document is not there.
	known := map[string]bool{}
	for _, op := range all {
		known[op.method+" "+op.path] = true
	}
	for _, op := range all {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT2"} {
			if known[method+" "+op.path] {
				continue
			}
			if r := who.ask(method, fill(op.path, false), nil); r.status/100 == 2 || r.status >= 500 {
				// What has a parameter may be another operation's path.
				t.Errorf("%s %s is not in the document: %d %.100s", method, op.path, r.status, r.body)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/openapi.json", "/openapi.yaml", "/docs", "/metrics", "/.git/config", "/.env", "/console.db", "/audit-trail.jsonl", "/server-status"} {
		if r := a.browser().send("GET", path, nil); r.status == 200 && (!strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !bytes.Contains(r.body, []byte("<!"))) {
			t.Errorf("%s: %d %s %.60s", path, r.status, r.header.Get("Content-Type"), r.body)
		}
	}
	for _, path := range []string{"/api/v2/incidents", "/api/incidents", "/api/v1/docs", "/api/v1/schemas/Incident.json", "/api/v1/debug/pprof/", "/api/v1/../../etc/passwd"} {
		if r := who.send("GET", path, nil); r.status/100 == 2 && strings.Contains(r.header.Get("Content-Type"), "json") {
			t.Errorf("%s: %d %.60s", path, r.status, r.body)
		}
	}
}

// scripts reports whether a policy lets scripts in a page run. Styles in a page may: a report carries its own.
func scripts(csp string) bool {
	for part := range strings.SplitSeq(csp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		if (name == "default-src" || strings.HasPrefix(name, "script-src")) && strings.Contains(value, "unsafe-") {
			return true
		}
	}
	return false
}

func TestTLS(t *testing.T) {
	a := start(t)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", "127.0.0.1:"+a.port, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version}) //nolint:gosec // on purpose
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	// Without TLS nothing is served, and no cookie either.
	plain, err := a.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := fmt.Fprintf(plain, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nCookie: __Host-mw=%s\r\n\r\n", a.as["admin"].session()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(plain), nil)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %s", resp.Status)
		}
	}
}

// TestDNSRebinding asks by a name that an attacker made point here.
func TestDNSRebinding(t *testing.T) {
	a := start(t)
	for _, path := range []string{"/", "/login", "/api/v1/session", "/api/v1/openapi.json"} {
		for _, host := range []string{"evil.example", "evil.example:" + a.port, "localhost.evil.example:" + a.port, "127.0.0.1.evil.example"} {
			if r := a.as["admin"].send("GET", path, nil, "Host", host); r.status != http.StatusMisdirectedRequest {
				t.Errorf("%s of %s: %d", path, host, r.status)
			}
		}
	}
	for _, host := range []string{"localhost:" + a.port, "127.0.0.1:" + a.port, "[::1]:" + a.port} {
		// The cookie is localhost's: by an address nobody is logged in.
		if r := a.as["admin"].send("GET", "/api/v1/session", nil, "Host", host); r.status != 200 && r.status != http.StatusUnauthorized {
			t.Errorf("of %s: %d", host, r.status)
		}
	}
}

// TestHostileStringsActNowhere reads what an attacker wrote, through every operation: it comes back as data, with a type that no
// browser runs (API10: what the machine tells is not believed).
func TestHostileStringsActNowhere(t *testing.T) {
	a := start(t)
	all, _ := a.operations()
	a.as["analyst"].must("POST", "/incidents/"+incident+"/notes", m{"text": hostile})
	seen := 0
	for _, op := range all {
		if op.method != http.MethodGet || op.path == "/events" {
			continue
		}
		r := a.as["admin"].ask("GET", fill(op.path, true), nil)
		kind, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
		if (strings.HasPrefix(kind, "text/html") || strings.Contains(kind, "svg")) && bytes.Contains(r.body, []byte("<script>alert")) {
			t.Errorf("GET %s has the script, as %s", op.path, kind)
		}
		if kind == "" || r.status == 200 && !strings.Contains(kind, "json") && !strings.HasPrefix(kind, "text/") && kind != "application/pdf" {
			t.Errorf("GET %s is %q, which is no type of this API", op.path, kind)
		}
		if bytes.ContainsRune(r.body, 0x1b) {
			t.Errorf("GET %s has a raw escape character, as %s", op.path, kind)
		}
		if bytes.Contains(r.body, []byte("alert(1)")) {
			seen++
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s may be sniffed", op.path)
		}
	}
	if seen < 3 {
		t.Errorf("what the attacker wrote was seen in %d answers", seen)
	}
	// And in what was asked, which errors repeat.
	for _, path := range []string{"/incidents/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/incidents?severity=%3Cscript%3E", "/%3Cscript%3E", "/incidents?%3Cscript%3E=1", "/accounts/%3Cscript%3E%1b%5b2J"} {
		r := a.as["admin"].ask("GET", path, nil)
		if kind := r.header.Get("Content-Type"); kind != "application/problem+json" || bytes.ContainsRune(r.body, 0x1b) {
			t.Errorf("%s: %d as %s: %.200s", path, r.status, kind, r.body)
		}
	}
}

// TestWhoIsLockedOutStaysOut guesses a password until it must wait, and tries every other door (API2).
func TestWhoIsLockedOutStaysOut(t *testing.T) {
	a := start(t)
	guess := a.browser()
	last := 0
	for range 12 {
		last = guess.ask("POST", "/session", m{"name": "admin", "password": "this is wrong"}).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after twelve wrong passwords: %d", last)
	}
	for name, r := range map[string]*reply{
		"a link":       guess.ask("POST", "/session/link", m{"token": "this is wrong"}),
		"a token":      guess.ask("GET", "/session", nil, "Authorization", "Bearer mwt_wrong"),
		"a cookie":     guess.ask("GET", "/session", nil, "Cookie", "__Host-mw=wrong"),
		"basic":        guess.ask("GET", "/session", nil, "Authorization", "Basic YWRtaW46YWRtaW4="),
		"a proxy's":    guess.ask("GET", "/session", nil, "X-Forwarded-User", "admin", "X-Forwarded-For", "127.0.0.1", "X-Remote-User", "admin"),
		"the socket's": guess.ask("GET", "/session", nil, "X-Minewarden-Who", "user root"),
	} {
		if r.status != http.StatusUnauthorized && r.status != http.StatusTooManyRequests {
			t.Errorf("by %s: %d %.100s", name, r.status, r.body)
		}
	}
	// The one who is logged in works on; and another account logs in from the same address, after its turn.
	if r := a.as["admin"].ask("GET", "/accounts", nil); r.status != 200 {
		t.Errorf("the admin: %d", r.status)
	}
}
