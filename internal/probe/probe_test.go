package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

const secret = "5ecre7-token-value"

func client(t *testing.T, base string, a minewarden.ServiceAccess) *Client {
	t.Helper()
	if a.Timeout == 0 {
		a.Timeout = 2 * time.Second
	}
	c, err := New(base, a, Options{Token: func(h http.Header, s string) { h.Set("X-Token", s) }, MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestHostileBodies(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "too large"},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, "too large"},
		{"never ends", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "no whole answer"},
		{"never begins", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no whole answer"},
		{"odd encoding", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("x"))
		}, "was not asked for"},
		{"huge header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("a", 1<<20)) }, "header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, tc.h)
			_, err := client(t, s.URL, minewarden.ServiceAccess{Timeout: 500 * time.Millisecond}).Get(context.Background(), "/")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNotJSON(t *testing.T) {
	for body, want := range map[string]string{"<html>login</html>": "HTML page", "": "empty body", "{": "not the JSON"} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
		r, err := client(t, s.URL, minewarden.ServiceAccess{}).Get(context.Background(), "/")
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := r.JSON(&v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func TestRedirectsKeepCredentialsHome(t *testing.T) {
	asked := make(chan *http.Request, 10)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Clone(context.Background()) })
	otherHost := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	for name, to := range map[string]string{"another host": otherHost, "another port": other.URL} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to+"/x", http.StatusFound) })
		r, err := client(t, s.URL, minewarden.ServiceAccess{Token: secret}).Do(context.Background(), Request{Path: "/", Owner: true})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-asked:
			if name == "another host" || got.Header.Get("X-Token") != "" {
				t.Errorf("%s: asked with %v", name, got.Header)
			}
		default:
			if name == "another host" && r.Redirect != otherHost+"/x" {
				t.Errorf("%s: redirect %q", name, r.Redirect)
			}
		}
	}
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	if r, err := client(t, loop.URL, minewarden.ServiceAccess{}).Get(context.Background(), "/"); err != nil || r.Status != http.StatusFound {
		t.Errorf("loop: %v, %v", r, err)
	}
}

func TestNoProxyFromEnvironment(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	c := client(t, "http://192.0.2.1:1", minewarden.ServiceAccess{Timeout: 50 * time.Millisecond})
	if _, err := c.Get(context.Background(), "/"); err == nil {
		t.Error("an address for documentation answered")
	}
}

// TestTokenNeedsAProvenServer: the owner's token does not go to a server whose certificate does not verify.
func TestTokenNeedsAProvenServer(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "" {
			t.Error("the token was sent")
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer s.Close()
	c := client(t, s.URL, minewarden.ServiceAccess{Token: secret})
	_, err := c.Do(context.Background(), Request{Path: "/", Owner: true})
	if !errors.Is(err, ErrCredentials) || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Get(context.Background(), "/"); err != nil {
		t.Errorf("a stranger: %v", err)
	}
	if f := c.TLS(); !f.Used || !f.SelfSigned || f.Untrusted == "" || f.Expired {
		t.Errorf("facts %+v", f)
	}
}

func TestCertificateFacts(t *testing.T) {
	a := audittest.NewAuthority(t)
	for _, tc := range []struct {
		name, host       string
		end              time.Time
		expired, misname bool
	}{{"good", "127.0.0.1", time.Now().Add(time.Hour), false, false}, {"expired", "127.0.0.1", time.Now().Add(-time.Hour), true, false}, {"wrong name", "other.example", time.Now().Add(time.Hour), false, true}} {
		t.Run(tc.name, func(t *testing.T) {
			cert, key := a.Issue(tc.host, tc.end)
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			defer s.Close()
			c := client(t, s.URL, minewarden.ServiceAccess{CA: a.PEM, Token: secret})
			if _, err := c.Get(context.Background(), "/"); err != nil {
				t.Fatal(err)
			}
			f := c.TLS()
			if f.Expired != tc.expired || f.WrongName != tc.misname || (f.Untrusted == "") != (tc.name == "good") {
				t.Errorf("facts %+v", f)
			}
			_, err = c.Do(context.Background(), Request{Path: "/", Owner: true})
			if (err == nil) != (tc.name == "good") {
				t.Errorf("owner: %v", err)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	t.Run("plain HTTP to a TLS port", func(t *testing.T) {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		defer s.Close()
		c := client(t, "http"+strings.TrimPrefix(s.URL, "https"), minewarden.ServiceAccess{})
		r, err := c.Settle(context.Background(), "/x")
		if err != nil || r.Status != 200 || c.Base() != s.URL {
			t.Errorf("%v, %v, base %s", r, err, c.Base())
		}
	})
	t.Run("sub-path", func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
		r, err := client(t, s.URL+"/nomad/", minewarden.ServiceAccess{}).Settle(context.Background(), "/v1/x")
		if err != nil || string(r.Body) != "/nomad/v1/x" {
			t.Errorf("%v, %v", r, err)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "six") })}
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		if r, err := client(t, "http://"+l.Addr().String(), minewarden.ServiceAccess{}).Get(context.Background(), "/"); err != nil || string(r.Body) != "six" {
			t.Errorf("%v, %v", r, err)
		}
	})
}

func TestRefusesURLs(t *testing.T) {
	for _, u := range []string{"http://user:pass@h/", "ftp://h", "http://", "http://h/?q=1", "http://h/#f", "http://%zz", "unix://"} {
		_, err := New(u, minewarden.ServiceAccess{}, Options{})
		if err == nil {
			t.Errorf("%s: no error", u)
		} else if strings.Contains(err.Error(), "pass@") {
			t.Errorf("the password shows: %v", err)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	a := minewarden.ServiceAccess{Token: secret, Key: secret}
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if out := fmt.Sprintf(f, a); strings.Contains(out, secret) {
			t.Errorf("%s: %s", f, out)
		}
	}
}
