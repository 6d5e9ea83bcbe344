package sdn

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var kinds = []string{"generic", "onos", "opendaylight", "opendaylight-restconf", "ryu", "kubernetes"}

func client(t testing.TB, preset string, s *httptest.Server, change func(*Config)) *Client {
	t.Helper()
	if s.URL == "" {
		s.Start()
	}
	conf := Config{
		Name: "fabric", Preset: preset, URL: s.URL, Timeout: 100 * time.Millisecond, Retries: 5,
		Vars: map[string]string{"device": "of:0000000000000001", "node": "openflow:1", "dpid": "1", "namespace": "shop", "label": "app", "value": "web"},
	}
	if change != nil {
		change(&conf)
	}
	c, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	c.delay = 5 * time.Millisecond
	return c
}

var (
	v4 = netip.MustParseAddr("10.0.0.5")
	v6 = netip.MustParseAddr("fd00::5")
)

// each runs f for every preset and both families.
func each(t *testing.T, f func(t *testing.T, k *controller, c *Client, a netip.Addr)) {
	for _, preset := range kinds {
		for _, a := range []netip.Addr{v4, v6} {
			t.Run(preset+" "+a.String(), func(t *testing.T) {
				t.Parallel()
				k, s := serve(t, preset)
				f(t, k, client(t, preset, s, nil), a)
			})
		}
	}
}

func TestInstallAndRelease(t *testing.T) {
	each(t, func(t *testing.T, k *controller, c *Client, a netip.Addr) {
		first, err := c.Install(t.Context(), "isolate-1", a, time.Hour)
		if err != nil || first == "" || len(k.rules) != 1 {
			t.Fatal(first, k.rules, err)
		}
		k.writes = 0
		again, err := c.Install(t.Context(), "isolate-1", a, time.Hour)
		if err != nil || again != first || k.writes != 0 || len(k.rules) != 1 {
			t.Errorf("twice is not the same as once: %q, %q, %d writes, %v", first, again, k.writes, err)
		}
		for range 2 {
			if err := c.Release(t.Context(), "isolate-1", a, first, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if len(k.rules) != 0 {
			t.Errorf("left behind: %v", k.rules)
		}
	})
}

// TestRough: errors, silence and lost answers are tried again, and no rule is made twice.
func TestRough(t *testing.T) {
	each(t, func(t *testing.T, k *controller, c *Client, a netip.Addr) {
		k.errors500, k.hangs, k.hang, k.lost = 1, 1, 200*time.Millisecond, 1
		rule, err := c.Install(t.Context(), "isolate-1", a, time.Hour)
		if err != nil || len(k.rules) != 1 {
			t.Fatal(k.rules, err)
		}
		k.errors500, k.lost = 1, 1
		if err := c.Release(t.Context(), "isolate-1", a, rule, time.Hour); err != nil || len(k.rules) != 0 {
			t.Fatal(k.rules, err)
		}
	})
}

func TestLies(t *testing.T) {
	for name, lie := range map[string]func(*controller){
		"forgets": func(k *controller) { k.forgets = true }, "does something else": func(k *controller) { k.lies = true },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, k *controller, c *Client, a netip.Addr) {
				lie(k)
				if _, err := c.Install(t.Context(), "isolate-1", a, time.Hour); err == nil {
					t.Error("believed")
				}
			})
		})
	}
	t.Run("does not release", func(t *testing.T) {
		each(t, func(t *testing.T, k *controller, c *Client, a netip.Addr) {
			rule, err := c.Install(t.Context(), "isolate-1", a, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			k.keeps = true
			if err := c.Release(t.Context(), "isolate-1", a, rule, time.Hour); err == nil {
				t.Error("believed")
			}
		})
	})
}

// TestUnknownRule: after a crash the rule is found by our name.
func TestUnknownRule(t *testing.T) {
	each(t, func(t *testing.T, k *controller, c *Client, a netip.Addr) {
		if err := c.Release(t.Context(), "isolate-1", a, "", time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Install(t.Context(), "isolate-1", a, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := c.Release(t.Context(), "isolate-1", a, "", time.Hour); err != nil || len(k.rules) != 0 {
			t.Fatal(k.rules, err)
		}
	})
}

func TestDown(t *testing.T) {
	_, s := serve(t, "generic")
	c := client(t, "generic", s, nil)
	s.Close()
	if _, err := c.Install(t.Context(), "isolate-1", v4, time.Hour); err == nil || !strings.Contains(err.Error(), "after 6 tries") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Install(ctx, "isolate-1", v4, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func secret(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSAndSecrets(t *testing.T) {
	const password = `pa"ss<word`
	k, s := serve(t, "generic")
	s.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	strange := client(t, "generic", s, nil)
	if _, err := strange.Install(t.Context(), "isolate-1", v4, time.Hour); err == nil || len(k.rules) > 0 {
		t.Error("a certificate that nobody vouches for was accepted")
	}
	for name, auth := range map[string]struct {
		conf Auth
		want string
	}{
		"basic":  {Auth{User: "karaf", PasswordFile: secret(t, password, 0o600)}, "Basic a2FyYWY6cGEic3M8d29yZA=="},
		"bearer": {Auth{TokenFile: secret(t, password, 0o600)}, "Bearer " + password},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, "generic", s, func(c *Config) { c.CA, c.Auth, c.Timeout = ca, auth.conf, 2*time.Second })
			k.auth = auth.want
			if _, err := c.Install(t.Context(), "isolate-1", v4, time.Hour); err != nil {
				t.Fatal(err)
			}
			k.auth = "something else"
			_, err := c.Install(t.Context(), "isolate-2", v4, time.Hour)
			if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "a2FyYWY6cGEic3M8d29yZA") || strings.Contains(err.Error(), "pa\\\"ss") {
				t.Errorf("the secret is shown, or was not needed: %v", err)
			}
		})
	}
	for name, c := range map[string]Config{
		"open to all": {Name: "x", Preset: "generic", URL: s.URL, CA: ca, Auth: Auth{TokenFile: secret(t, "x", 0o644)}},
		"plain http":  {Name: "x", Preset: "generic", URL: "http://192.0.2.1", Auth: Auth{TokenFile: secret(t, "x", 0o600)}},
		"no file":     {Name: "x", Preset: "generic", URL: s.URL, CA: ca, Auth: Auth{TokenFile: "/nowhere"}},
		"no CA":       {Name: "x", Preset: "generic", URL: s.URL, CA: secret(t, "x", 0o600)},
	} {
		k, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Install(t.Context(), "isolate-1", v4, time.Hour); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestHostile: what a value holds ends neither its string nor its segment.
func TestHostile(t *testing.T) {
	const evil = `x","action":"allow","y":"/../?a=b#` + "\x1b\x00"
	c := Config{Name: "x", Preset: "onos", URL: "http://127.0.0.1:1", Vars: map[string]string{"device": evil}}
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	tg := &target{addr: v4, name: "n", rule: evil, ends: time.Hour}
	path, body, err := k.plan.install.render(tg, k.vars)
	if err != nil {
		t.Fatal(err)
	}
	v, err := decode([]byte(body))
	if err != nil || v.(map[string]any)["deviceId"] != evil || v.(map[string]any)["action"] != nil {
		t.Errorf("%s: %v", body, err)
	}
	if strings.Count(path, "/") != 4 || strings.Count(path, "?") != 1 || strings.ContainsAny(path, "#\x1b\x00\" ") {
		t.Error(path)
	}
	if path, _, _ := k.plan.release.render(&target{addr: v4, rule: ".."}, k.vars); strings.HasSuffix(path, "/..") {
		t.Error(path)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Name: "x", Preset: "generic", URL: "https://c:8443/base"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	custom := Request{Method: "PUT", Path: "/r/{{.Name}}", Body: `{"a":"{{.Address}}"}`}
	for name, change := range map[string]func(*Config){
		"name":        func(c *Config) { c.Name = "../x" },
		"preset":      func(c *Config) { c.Preset = "nox" },
		"no preset":   func(c *Config) { c.Preset = "" },
		"scheme":      func(c *Config) { c.URL = "ftp://c" },
		"password":    func(c *Config) { c.URL = "https://u:p@c" },
		"two auths":   func(c *Config) { c.Auth = Auth{User: "u", PasswordFile: "p", TokenFile: "t"} },
		"half auth":   func(c *Config) { c.Auth = Auth{User: "u"} },
		"timeout":     func(c *Config) { c.Timeout = time.Hour },
		"retries":     func(c *Config) { c.Retries = 99 },
		"missing var": func(c *Config) { c.Preset = "ryu" },
		"no number":   func(c *Config) { c.Preset, c.Vars = "ryu", map[string]string{"dpid": "1}"} },
		"method":      func(c *Config) { r := custom; r.Method = "TRACE"; c.Requests.Install = r },
		"path":        func(c *Config) { r := custom; r.Path = "http://elsewhere/"; c.Requests.Install = r },
		"syntax":      func(c *Config) { r := custom; r.Body = "{{"; c.Requests.Install = r },
		"not JSON":    func(c *Config) { r := custom; r.Body = `{"a":{{.Address}}}`; c.Requests.Install = r },
		"call":        func(c *Config) { r := custom; r.Body = `{{call .Name}}`; c.Requests.Install = r },
		"print":       func(c *Config) { r := custom; r.Body = `"{{printf "%v" .Vars}}"`; c.Requests.Install = r },
		"html":        func(c *Config) { r := custom; r.Body = `"{{html .Name}}"`; c.Requests.Install = r },
		"define": func(c *Config) {
			r := custom
			r.Body = `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`
			c.Requests.Install = r
		},
		"range":         func(c *Config) { r := custom; r.Body = `{{range .Vars}}"x"{{end}}`; c.Requests.Install = r },
		"variable":      func(c *Config) { r := custom; r.Body = `{{$x := .Name}}"{{$x}}"`; c.Requests.Install = r },
		"unknown field": func(c *Config) { r := custom; r.Body = `"{{.Secret}}"`; c.Requests.Install = r },
		"no want":       func(c *Config) { c.Requests.Verify = Request{Method: "GET", Path: "/"} },
		"want":          func(c *Config) { c.Requests.Verify = Request{Method: "GET", Path: "/", Want: "[]"} },
		"long":          func(c *Config) { r := custom; r.Body = strings.Repeat(" ", maxTemplate+1); c.Requests.Install = r },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, tt := range []struct {
		v, want string
		ok      bool
	}{
		{`{"a":1,"b":2}`, `{"a":1}`, true},
		{`{"x":[{"a":1}]}`, `{"a":1}`, true},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, true},
		{`{"a":[1,2]}`, `{"a":[1]}`, false},
		{`{"a":[]}`, `{"a":[]}`, true},
		{`{"a":[1]}`, `{"a":[]}`, false},
		{`{"match":{"a":1,"b":2}}`, `{"match":{"a":1}}`, false},
		{`{"match":{"a":1,"b":null,"c":[]}}`, `{"match":{"a":1}}`, true},
		{`{"a":{}}`, `{"a":null}`, true},
		{`{}`, `{"a":null,"b":1}`, false},
		{`{"a":18446744073709551615}`, `{"a":18446744073709551614}`, false},
		{`{"a":"1"}`, `{"a":1}`, false},
	} {
		v, err := decode([]byte(tt.v))
		if err != nil {
			t.Fatal(err)
		}
		want, err := decode([]byte(tt.want))
		if err != nil {
			t.Fatal(err)
		}
		if got := find(v, want, 0) != nil; got != tt.ok {
			t.Errorf("%s holds %s: %t", tt.v, tt.want, got)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte(`{"flows":[{"id":"1","match":{"a":[1,null]}}]}`), []byte(`{"match":{"a":[null,1]}}`))
	f.Add([]byte(strings.Repeat(`[`, 200)+strings.Repeat(`]`, 200)), []byte(`{"a":{}}`))
	f.Fuzz(func(t *testing.T, b, w []byte) {
		v, err := decode(b)
		want, err2 := decode(w)
		if err != nil || err2 != nil {
			return
		}
		if m := find(v, want, 0); m != nil && !holds(m, want, false, 0) {
			t.Fatal("found what does not hold")
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{"a":"{{.Name}}{{if .V6}}6{{else}}4{{end}}{{.Vars.x}}"}`, `"`)
	f.Fuzz(func(t *testing.T, text, hostile string) {
		tm, err := compileText("x", text)
		if err != nil {
			return
		}
		tg := &target{addr: v4, name: "n", rule: hostile, ends: time.Second}
		k := &compiled{path: tm, body: tm}
		_, _, _ = k.render(tg, map[string]string{"x": hostile}) // an error is as good as an answer
		if p := pathText(hostile); strings.ContainsAny(p, "/?#&\" \n") || p == ".." {
			t.Fatal(p)
		}
	})
}
