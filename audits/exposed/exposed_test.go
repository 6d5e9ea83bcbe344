package exposed

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
)

func ask(t *testing.T, product, url string) minewarden.Status {
	t.Helper()
	a, err := New(minewarden.Env{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Audit(context.Background(), minewarden.Target{
		Kind: minewarden.TargetService, Product: product, URL: url,
		Access: minewarden.ServiceAccess{Token: "secret", Timeout: 5 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Checks) != 1 {
		t.Fatalf("%+v", v)
	}
	return v.Checks[0].Status
}

func TestHTTP(t *testing.T) {
	const fail, pass, unknown = minewarden.StatusFail, minewarden.StatusPass, minewarden.StatusUnknown
	for _, tc := range []struct {
		product, body string
		status        int
		want          minewarden.Status
	}{
		{"kubelet", `{"kind":"PodList","items":[]}`, 200, fail},
		{"kubelet", "Unauthorized", 401, pass},
		{"kubelet", "<html>hello</html>", 200, unknown},
		{"ray", `{"version": "4", "ray_version": "2.9", "ray_commit": "x"}`, 200, fail},
		{"registry", `{"repositories":[]}`, 200, fail},
		{"registry", `{"errors":[]}`, 401, pass},
		{"jupyter", `{"type": "directory", "writable": true}`, 200, fail},
		{"jenkins", "<h1>Script Console</h1> Groovy", 200, fail},
		{"jenkins", "no", 403, pass},
		{"etcd", "404", 404, unknown},
		{"selenium", `{"value": {"ready": true, "message": ""}}`, 200, fail},
		{"selenium", `{"ready": "value"}`, 200, unknown},
		{"kubernetes", `{"kind": "NamespaceList", "apiVersion": "v1"}`, 200, fail},
		{"kubernetes", `{"kind":"Status","apiVersion":"v1","code":403}`, 403, pass},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" {
				t.Errorf("%s %s with %q", r.Method, r.URL, r.Header)
			}
			w.WriteHeader(tc.status)
			if _, err := io.WriteString(w, tc.body); err != nil {
				t.Error(err)
			}
		}))
		if got := ask(t, tc.product, srv.URL); got != tc.want {
			t.Errorf("%s %d %q: %s, want %s", tc.product, tc.status, tc.body, got, tc.want)
		}
		srv.Close()
	}
}

func TestRaw(t *testing.T) {
	for _, tc := range []struct {
		product, answer string
		want            minewarden.Status
	}{
		{"redis", "+PONG\r\n", minewarden.StatusFail},
		{"redis", "-NOAUTH Authentication required.\r\n", minewarden.StatusPass},
		{"redis", "HTTP/1.1 400 Bad Request\r\n\r\n", minewarden.StatusUnknown},
		{"postgres", "R\x00\x00\x00\x08\x00\x00\x00\x00", minewarden.StatusFail},
		{"postgres", "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", minewarden.StatusPass},
		{"postgres", "SSH-2.0-x\r\n", minewarden.StatusUnknown},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := c.Read(make([]byte, 64)); err != nil {
				t.Error(err)
			}
			if _, err := io.WriteString(c, tc.answer); err != nil {
				t.Error(err)
			}
		}()
		if got := ask(t, tc.product, tc.product+"://"+l.Addr().String()); got != tc.want {
			t.Errorf("%s %q: %s, want %s", tc.product, tc.answer, got, tc.want)
		}
		<-done
		l.Close()
	}
}

func TestEtcd(t *testing.T) {
	for name, tc := range map[string]struct {
		v3, v2 int
		body   string
		want   minewarden.Status
	}{
		"open":           {200, 404, `{"header":{"cluster_id":"1"}}`, minewarden.StatusFail},
		"asks":           {400, 404, `{"error":"etcdserver: user name is empty","code":3}`, minewarden.StatusPass},
		"refuses":        {401, 404, "", minewarden.StatusPass},
		"neither speaks": {404, 404, "", minewarden.StatusUnknown},
		"old and open":   {404, 200, `{"action":"get","node":{}}`, minewarden.StatusFail},
		"other mistake":  {400, 404, "bad", minewarden.StatusUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			answer := func(status int, body string) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					if _, err := io.WriteString(w, body); err != nil {
						t.Error(err)
					}
				}
			}
			mux.HandleFunc("GET /version", answer(200, `{"etcdserver":"3.5.9","etcdcluster":"3.5.0"}`))
			mux.HandleFunc("POST /v3/kv/range", answer(tc.v3, tc.body))
			mux.HandleFunc("GET /v2/keys/", answer(tc.v2, tc.body))
			srv := httptest.NewServer(mux)
			defer srv.Close()
			if got := ask(t, "etcd", srv.URL); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// FuzzAnswers holds that no answer of a plain protocol stops the audit, and that nothing is open that is not known.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"+PONG\r\n", "-NOAUTH x\r\n", "R\x00\x00\x00\x08\x00\x00\x00\x00", "E\x00\x00\x00\x10SFATAL\x00C28000\x00", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range Services() {
			if s.answer == nil {
				continue
			}
			if open, known, says := s.answer(b); open && (!known || says == "") {
				t.Errorf("%s: open, and not known, by %q", s.Name, b)
			}
		}
	})
}

// FuzzMatch holds the same for HTTP.
func FuzzMatch(f *testing.F) {
	f.Add(200, `{"kind": "PodList"}`)
	f.Add(200, `{"type":"directory","writable":true}`)
	f.Add(401, `{"kind":"Status","apiVersion":"v1"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		r := &probe.Response{Status: status, Header: http.Header{}, Body: []byte(body)}
		for _, s := range Services() {
			if s.Match == nil {
				continue
			}
			if open, known := s.Match(r); open && (!known || status != 200) {
				t.Errorf("%s: open by %d %q", s.Name, status, body)
			}
		}
	})
}
