// Package audittest serves recorded answers of real services, exactly as recorded, and keeps every request, so that tests
// prove what an audit finds and that it changes nothing.
//
// A recording begins with "# request: METHOD URL", then "# request-header:" and "# request-body:" lines, then the status
// line, headers, an empty line and the body. Its name tells who asked: mgmt_, admin_ and user_ recordings answer requests
// that carry a credential, all others those that carry none.
package audittest

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Recording is one answer.
type Recording struct {
	Name   string // of the file, without .http
	Method string
	URL    *url.URL
	Status int
	Header http.Header
	Body   []byte
}

// owner tells whether the one who asked carried a credential.
func (r *Recording) owner() bool {
	for _, p := range []string{"mgmt_", "admin_", "user_", "-_admin"} {
		if strings.HasPrefix(r.Name, p) && r.Name != "user_sign_up" && r.Name != "user_login" {
			return true
		}
	}
	return strings.HasSuffix(r.Name, "_with_cert")
}

// Parse reads a recording.
func Parse(name string, b []byte) (*Recording, error) {
	rec := &Recording{Name: name, Header: http.Header{}}
	br := bufio.NewReader(bytes.NewReader(b))
	line := func() (string, error) {
		s, err := br.ReadString('\n')
		if err != nil && s == "" {
			return "", err
		}
		return strings.TrimRight(s, "\r\n"), nil
	}
	var status string
	for {
		s, err := line()
		if err != nil {
			return nil, fmt.Errorf("%s: no status line: %w", name, err)
		}
		if req, ok := strings.CutPrefix(s, "# request: "); ok {
			m, u, _ := strings.Cut(req, " ")
			if rec.URL, err = url.Parse(u); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			rec.Method = m
		}
		if !strings.HasPrefix(s, "#") {
			status = s
			break
		}
	}
	f := strings.Fields(status)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/") || rec.URL == nil {
		return nil, fmt.Errorf("%s: no answer was recorded (%q)", name, status)
	}
	var err error
	if rec.Status, err = strconv.Atoi(f[1]); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for {
		s, err := line()
		if err != nil || s == "" {
			break
		}
		k, v, _ := strings.Cut(s, ":")
		rec.Header.Add(k, strings.TrimSpace(v))
	}
	rec.Body, err = io.ReadAll(br)
	return rec, err
}

// A Request is one that the server was asked.
type Request struct {
	Method, Path string // with query
	Body         string
	Credential   bool
}

// A Server answers as recorded.
type Server struct {
	*httptest.Server
	Prefix string // sub-path that a proxy in front would serve it under; not recorded

	mu       sync.Mutex
	requests []Request
	by       map[string]*Recording
	name     map[string]*Recording
}

// New serves the recordings of dir (a folder of *.http files). Of several answers to one request the one whose name sorts
// first is given, names in prefer before all others. Those whose URL says https are served over TLS, when all are.
func New(tb testing.TB, dir string, prefer ...string) *Server {
	tb.Helper()
	s := Load(tb, dir, prefer...)
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

// NewTLS is New over TLS with a self-signed certificate.
func NewTLS(tb testing.TB, dir string, prefer ...string) *Server {
	tb.Helper()
	s := Load(tb, dir, prefer...)
	s.Server = httptest.NewTLSServer(s)
	tb.Cleanup(s.Close)
	return s
}

// Load reads the recordings without listening: the result is a handler.
func Load(tb testing.TB, dir string, prefer ...string) *Server {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.http"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("no recordings in %s (%v)", dir, err)
	}
	rank := func(n string) int {
		for i, p := range prefer {
			if strings.HasPrefix(n, p) {
				return i
			}
		}
		return len(prefer)
	}
	base := func(n string) string { return strings.TrimSuffix(filepath.Base(n), ".http") }
	sort.SliceStable(names, func(i, j int) bool {
		a, b := base(names[i]), base(names[j])
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		return a < b
	})
	s := &Server{by: map[string]*Recording{}, name: map[string]*Recording{}}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			tb.Fatal(err)
		}
		rec, err := Parse(base(n), b)
		if err != nil {
			continue // a refused connection, kept as a note
		}
		s.Add(rec)
	}
	return s
}

// Add serves rec, unless its request has an answer already.
func (s *Server) Add(rec *Recording) {
	s.name[rec.Name] = rec
	for _, k := range []string{key(rec.Method, rec.URL.RequestURI(), rec.owner()), key(rec.Method, rec.URL.Path+" *", rec.owner())} {
		if s.by[k] == nil {
			s.by[k] = rec
		}
	}
}

// Set answers one request, replacing what was recorded. owner: when it carries a credential.
func (s *Server) Set(method, uri string, owner bool, status int, contentType, body string) {
	u, err := url.Parse(uri)
	if err != nil {
		panic(err)
	}
	rec := &Recording{Name: "set", Method: method, URL: u, Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[key(method, u.RequestURI(), owner)] = rec
	s.by[key(method, u.Path+" *", owner)] = rec
}

// SetHeader is Set with headers of the test's own.
func (s *Server) SetHeader(method, uri string, owner bool, status int, header map[string]string, body string) {
	s.Set(method, uri, owner, status, "text/plain", body)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range header {
		s.by[key(method, uri, owner)].Header.Set(k, v)
	}
}

func key(method, uri string, owner bool) string { return fmt.Sprint(method, " ", uri, " ", owner) }

// Credential tells whether r carries a token or a client certificate.
func Credential(r *http.Request) bool {
	for _, h := range []string{"X-Nomad-Token", "X-Consul-Token", "Authorization"} {
		if r.Header.Get(h) != "" {
			return true
		}
	}
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// ServeHTTP answers as recorded; what was never recorded is 404. Any Nomad job may be planned, as on a real server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cred := Credential(r)
	s.mu.Lock()
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.RequestURI(), Body: string(body), Credential: cred})
	rec := s.find(r, string(body), cred)
	s.mu.Unlock()
	if rec == nil {
		http.NotFound(w, r)
		return
	}
	for k, vs := range rec.Header {
		if k == "Transfer-Encoding" || k == "Content-Length" || k == "Connection" {
			continue
		}
		for _, v := range vs {
			w.Header().Add(k, v)
		}
	}
	w.WriteHeader(rec.Status)
	if _, err := w.Write(rec.Body); err != nil {
		return
	}
}

func (s *Server) find(r *http.Request, body string, cred bool) *Recording {
	uri := r.URL.RequestURI()
	if s.Prefix != "" {
		var ok bool
		if uri, ok = strings.CutPrefix(uri, s.Prefix); !ok {
			return nil
		}
	}
	p, _, query := strings.Cut(uri, "?")
	if ok, err := path.Match("/v1/job/*/plan", p); err == nil && ok {
		id := "audit-probe-00000000"
		for _, d := range []string{"exec", "docker"} {
			if strings.Contains(body, `"Driver":"`+d+`"`) {
				id = "audit-probe-" + d
			}
		}
		p = "/v1/job/" + id + "/plan"
		uri, query = p, false
	}
	tries := []string{uri}
	if query {
		tries = append(tries, p+" *")
	}
	for _, t := range tries {
		if rec := s.by[key(r.Method, t, cred)]; rec != nil {
			return rec
		}
	}
	if cred {
		for _, t := range tries {
			if rec := s.by[key(r.Method, t, false)]; rec != nil {
				return rec
			}
		}
	}
	return nil
}

// Requests returns what was asked so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// OnlyAllowed fails the test for every request that no pattern of allowed names. A pattern is "METHOD /path" with * for
// one path element, without the query; these are the requests listed in the audit's README.
func (s *Server) OnlyAllowed(tb testing.TB, allowed []string) {
	tb.Helper()
	for _, r := range s.Requests() {
		if !Allowed(r.Method, strings.TrimPrefix(r.Path, s.Prefix), allowed) {
			tb.Errorf("request outside the allowed set: %s %s", r.Method, r.Path)
		}
	}
}

// Allowed tells whether a pattern of allowed names the request.
func Allowed(method, uri string, allowed []string) bool {
	p, _, _ := strings.Cut(uri, "?")
	for _, a := range allowed {
		m, pat, _ := strings.Cut(a, " ")
		if m != method {
			continue
		}
		if ok, err := path.Match(pat, p); err == nil && ok {
			return true
		}
	}
	return false
}

// AllowedInREADME returns the requests that a README lists, one in backquotes at the start of a list item or table row:
// "- `GET /v1/jobs`: why".
func AllowedInREADME(readme string) []string {
	var out []string
	for _, l := range strings.Split(readme, "\n") {
		l, ok := strings.CutPrefix(strings.TrimSpace(l), "- `")
		if !ok {
			continue
		}
		req, _, _ := strings.Cut(l, "`")
		if m, p, ok := strings.Cut(req, " "); ok && strings.ToUpper(m) == m && strings.HasPrefix(p, "/") {
			out = append(out, req)
		}
	}
	return out
}

// Fixtures returns the folder of shared recordings of real servers for product/state, or skips the test where it is
// absent; with CI=true its absence is a failure.
func Fixtures(tb testing.TB, elem ...string) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("no go.mod above the test")
		}
		dir = up
	}
	p := filepath.Join(append([]string{dir, "..", "shared", "fixtures"}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("recordings: %v", err)
		}
		tb.Skipf("recordings: %v", err)
	}
	return p
}

// CA returns the server's certificate, PEM, for a client to trust.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// Body returns the body of the recording called name.
func (s *Server) Body(name string) []byte {
	if r := s.name[name]; r != nil {
		return r.Body
	}
	return nil
}
