package console_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/console/access"
)

// loopback takes a request's Authorization as a role: for tests alone.
type loopback struct{}

func (loopback) Authenticate(r *http.Request) (access.Identity, error) {
	id := access.Identity{Name: "tester", Via: "token"}
	role, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return id, access.ErrAnonymous
	}
	return id, id.Role.UnmarshalText([]byte(role))
}

// serve serves o over TLS on loopback, with a certificate of its own, and returns how to ask it.
func serve(t *testing.T, o console.Options) (ask func(role, method, path, body string) (*http.Response, []byte), base string, client *http.Client) {
	t.Helper()
	o.Accounts, o.Version = loopback{}, "test"
	if o.Feed == nil {
		o.Feed = console.NewFeed()
	}
	dir := t.TempDir()
	cert, err := console.NewCertificate(dir, console.Config{}, []string{"box"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the certificate is none")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- console.New(o).Serve(ctx, l, cert.Get) }()
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	base = "https://" + l.Addr().String()
	return func(role, method, path, body string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if role != "" {
			req.Header.Set("Authorization", "Bearer "+role)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, got
	}, base, client
}

func TestHeadersAndConsole(t *testing.T) {
	ask, _, _ := serve(t, console.Options{Web: fstest.MapFS{
		"index.html": {Data: []byte("<!doctype html><title>page")}, "assets/a-1.js": {Data: []byte("let a")},
	}})
	for path, want := range map[string]struct {
		status int
		body   string
		cache  string
	}{
		"/": {200, "<title>page", "no-cache"}, "/incidents/1a2b": {200, "<title>page", "no-cache"}, "/assets/a-1.js": {200, "let a", "immutable"},
		"/assets/none.js": {404, "", ""}, "/../../etc/passwd.txt": {404, "", ""}, "/api/v1/nothing": {404, "no such route", "no-store"},
	} {
		resp, body := ask("", http.MethodGet, path, "")
		if resp.StatusCode != want.status || !strings.Contains(string(body), want.body) || !strings.Contains(resp.Header.Get("Cache-Control"), want.cache) {
			t.Errorf("%s: %s, %q, %s", path, resp.Status, body, resp.Header.Get("Cache-Control"))
		}
		for header, part := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Strict-Transport-Security": "max-age", "X-Frame-Options": "DENY",
		} {
			if !strings.Contains(resp.Header.Get(header), part) {
				t.Errorf("%s: %s is %q", path, header, resp.Header.Get(header))
			}
		}
		if csp := resp.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("the policy allows too much: %s", csp)
		}
	}
}

func TestNobodyReadsTheDocument(t *testing.T) {
	ask, _, _ := serve(t, console.Options{})
	for _, path := range []string{"/api/v1/openapi.json", "/api/v1/events"} {
		resp, body := ask("", http.MethodGet, path, "")
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s %s", path, resp.Status, resp.Header.Get("Content-Type"), body)
		}
	}
	resp, body := ask("viewer", http.MethodGet, "/api/v1/openapi.json", "")
	var doc struct{ OpenAPI string }
	if err := json.Unmarshal(body, &doc); err != nil || doc.OpenAPI != "3.1.0" || resp.StatusCode != 200 {
		t.Errorf("%s %v %.200s", resp.Status, err, body)
	}
	for _, path := range []string{"/api/v1/docs", "/docs", "/schemas/Incident.json", "/openapi.yaml"} {
		if resp, body := ask("viewer", http.MethodGet, path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s %.80s", path, resp.Status, body)
		}
	}
}

// TestOtherSites sends what a page of another site could make a browser send.
func TestOtherSites(t *testing.T) {
	ask, base, client := serve(t, console.Options{})
	_ = ask
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/posture/runs", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://evil.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("taken: %s", resp.Status)
	}
}

func TestStream(t *testing.T) {
	feed := console.NewFeed()
	_, base, client := serve(t, console.Options{Feed: feed})
	open := func(last string) *bufio.Scanner {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer viewer")
		req.Header.Set("Last-Event-ID", last)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
			t.Fatalf("%s %s", resp.Status, ct)
		}
		return bufio.NewScanner(resp.Body)
	}
	next := func(s *bufio.Scanner, prefix string) string {
		t.Helper()
		for s.Scan() {
			if rest, ok := strings.CutPrefix(s.Text(), prefix); ok {
				return rest
			}
		}
		t.Fatalf("the stream ended: %v", s.Err())
		return ""
	}
	s := open("")
	next(s, "retry")
	feed.Publish("finding", map[string]string{"title": "a\nb</script>"})
	id := next(s, "id: ")
	if data := next(s, "data: "); !strings.Contains(data, `a\nb\u003c/script`) {
		t.Errorf("data %s", data)
	}
	feed.Publish("finding", 2)
	feed.Publish("finding", 3)
	again := open(id) // it was away for two
	if a, b := next(again, "data: "), next(again, "data: "); a != "2" || b != "3" {
		t.Errorf("missed events: %s %s", a, b)
	}
	if kind := next(open("other-7"), "event: "); kind != "reset" {
		t.Errorf("after another start: %s", kind)
	}
	feed.Close()
	for s.Scan() {
		continue
	}
}

func TestSlowClientIsTold(t *testing.T) {
	feed := console.NewFeed()
	lost := feed.Overrun(1000)
	if lost != 1000-console.FeedQueue {
		t.Errorf("%d lost of 1000, with room for %d", lost, console.FeedQueue)
	}
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	first, err := console.NewCertificate(dir, console.Config{}, []string{"box", "192.0.2.7"}, log)
	if err != nil {
		t.Fatal(err)
	}
	again, err := console.NewCertificate(dir, console.Config{}, nil, log)
	if err != nil || again.Fingerprint() != first.Fingerprint() {
		t.Errorf("made anew at the second start: %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", st.Mode(), err)
	}
	c, err := first.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "box", "192.0.2.7"} {
		if err := c.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if mended, err := console.NewCertificate(dir, console.Config{}, nil, log); err != nil || mended.Fingerprint() == first.Fingerprint() {
		t.Errorf("a torn key is not made anew: %v", err)
	}
	if _, err := console.NewCertificate(dir, console.Config{Certificate: filepath.Join(dir, "cert.pem")}, nil, log); err == nil {
		t.Error("a certificate without key was taken")
	}
	if _, err := console.NewCertificate(dir, console.Config{Certificate: filepath.Join(dir, "none.pem"), Key: filepath.Join(dir, "none.key")}, nil, log); err == nil {
		t.Error("files that are not there were taken, or made")
	}
}

func TestLargeBody(t *testing.T) {
	ask, _, _ := serve(t, console.Options{Drills: noDrills{}})
	resp, _ := ask("admin", http.MethodPost, "/api/v1/drills/x/runs", string(bytes.Repeat([]byte("x"), 2<<20)))
	if resp.StatusCode < 400 {
		t.Errorf("2 MiB were taken: %s", resp.Status)
	}
}

type noDrills struct{}

func (noDrills) List() []console.DrillDoc                  { return nil }
func (noDrills) Run(context.Context, string, string) error { panic(time.Now()) }

func TestPanicIsAnAnswer(t *testing.T) {
	ask, _, _ := serve(t, console.Options{Drills: noDrills{}})
	resp, body := ask("admin", http.MethodPost, "/api/v1/drills/x/runs", "")
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(string(body), "goroutine") {
		t.Errorf("%s %s", resp.Status, body)
	}
}
