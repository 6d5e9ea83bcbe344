package source

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/minewarden/minewarden"
)

// product is a server that keeps state and answers in the shapes of the real one. token, when set, is demanded for all.
type product struct {
	mu    sync.Mutex
	token string
	state map[string]any
	lose  string // method whose next answer is lost after it was carried out
}

func (p *product) start(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, body map[string]any)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if got := r.Header.Get("X-Nomad-Token") + r.Header.Get("X-Consul-Token") + strings.TrimPrefix(r.Header.Get("Authorization"), "token "); p.token != "" && got != p.token {
			http.Error(w, "Permission denied", http.StatusForbidden)
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var body map[string]any
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		if p.lose == r.Method {
			p.lose = ""
			handle(httptest.NewRecorder(), r, body)
			panic(http.ErrAbortHandler)
		}
		handle(w, r, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (p *product) copy(t *testing.T) map[string]any {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := json.Marshal(p.state)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func token(t *testing.T, secret string) string {
	t.Helper()
	path := t.TempDir() + "/token"
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"relative root": func(c *Config) { c.Root = "x" }, "no systemctl": func(c *Config) { c.Systemctl = "" },
		"password in a url": func(c *Config) { c.Nomad.URL = "http://u:p@h" }, "scheme": func(c *Config) { c.Docker.URL = "ftp://h" },
		"relative token": func(c *Config) { c.Gitea.TokenFile = "token" }, "certificate without key": func(c *Config) { c.Consul.CertFile = "/x" },
	} {
		_, err := New(minewarden.Env{Decode: func(v any) error { set(v.(*Config)); return nil }})
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the password is shown: %v", name, err)
		}
	}
	if _, err := New(minewarden.Env{}); err != nil {
		t.Error(err)
	}
}
