package discover

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/minewarden/minewarden/internal/audittest"
)

func port(t testing.TB, raw string) uint16 {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(p)
}

func TestKnowsByAnswer(t *testing.T) {
	for _, tc := range []struct {
		product, state string
		tls, open      bool
	}{
		{"nomad", "insecure", false, true},
		{"nomad", "hardened", true, false},
		{"consul", "insecure", false, true},
		{"consul", "hardened", true, false},
		{"docker", "insecure", false, true},
		{"docker", "insecure", true, true},
		{"gitea", "insecure", false, false},
		{"gitea", "hardened", false, false},
	} {
		t.Run(tc.product+" "+tc.state, func(t *testing.T) {
			dir := audittest.Fixtures(t, tc.product, tc.state)
			var s *audittest.Server
			if tc.tls {
				s = audittest.NewTLS(t, dir, "v1_")
			} else {
				s = audittest.New(t, dir, "v1_")
			}
			res, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{port(t, s.URL)}, HTTP: Products()})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Services) != 1 || res.Services[0].Product != tc.product || res.Services[0].Open != tc.open {
				t.Errorf("got %+v", res)
			}
			for _, r := range s.Requests() {
				if r.Method != "GET" || r.Credential {
					t.Errorf("asked %+v", r)
				}
			}
		})
	}
}

func TestExposedServices(t *testing.T) {
	etcd := http.NewServeMux()
	etcd.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"etcdserver":"3.5.9"}`)) })
	etcd.HandleFunc("POST /v3/kv/range", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"header":{"cluster_id":"7"}}`)) })
	registry := http.NewServeMux()
	registry.HandleFunc("/v2/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.WriteHeader(http.StatusUnauthorized)
	})
	for product, tc := range map[string]struct {
		h    http.Handler
		open bool
	}{"etcd": {etcd, true}, "registry": {registry, false}} {
		s := httptest.NewServer(tc.h)
		res, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{port(t, s.URL)}, HTTP: Products()})
		s.Close()
		if err != nil || len(res.Services) != 1 || res.Services[0].Product != product || res.Services[0].Open != tc.open {
			t.Errorf("%s: got %+v, %v", product, res, err)
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 64))
			_, _ = c.Write([]byte("+PONG\r\n"))
			c.Close()
		}
	}()
	p := uint16(l.Addr().(*net.TCPAddr).Port)
	talks := Talks()
	for i := range talks {
		if talks[i].Product == "redis" {
			talks[i].Ports = []uint16{p}
		}
	}
	res, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{p}, HTTP: Products(), Talks: talks})
	if err != nil || len(res.Services) != 1 || res.Services[0].Product != "redis" || !res.Services[0].Open {
		t.Errorf("redis: got %+v, %v", res, err)
	}
}

func TestOtherServersAreNotTaken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"version":"1.0"}`))
	}))
	defer s.Close()
	res, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{port(t, s.URL)}, HTTP: Products()})
	if err != nil || len(res.Services) != 1 || res.Services[0].Product != "" {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestRefusesPublic(t *testing.T) {
	for _, r := range []string{"8.8.8.0/24", "0.0.0.0/0", "172.0.0.0/8", "2001:db8::/120"} {
		if _, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix(r)}, Ports: []uint16{1}}); !errors.Is(err, ErrPublic) {
			t.Errorf("%s: %v", r, err)
		}
	}
	if _, err := Run(context.Background(), Options{Ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Ports: []uint16{1}}); err == nil {
		t.Error("16 million addresses: no error")
	}
}

// thousand serves 1,000 loopback addresses on one port; every 50th never answers.
func thousand(tb testing.TB, latency time.Duration) (netip.Prefix, uint16) {
	tb.Helper()
	h := audittest.Load(tb, audittest.Fixtures(tb, "nomad", "insecure"), "v1_")
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		tb.Fatal(err)
	}
	stop := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait := latency
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && a.IP.To4()[3]%50 == 7 {
			wait = time.Hour
		}
		select {
		case <-time.After(wait):
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		case <-stop:
		}
	})}
	go func() { _ = srv.Serve(l) }()
	tb.Cleanup(func() { close(stop); srv.Close() })
	return netip.MustParsePrefix("127.9.0.0/22"), uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestThousandTargets(t *testing.T) {
	prefix, p := thousand(t, 20*time.Millisecond)
	start := time.Now()
	res, err := Run(context.Background(), Options{Ranges: []netip.Prefix{prefix}, Ports: []uint16{p}, HTTP: Products()})
	if err != nil {
		t.Fatal(err)
	}
	known, open := res.Known()
	slow := res.Failed
	if res.Tried != 1024 || known+slow != 1024 || open != known || slow < 16 {
		t.Errorf("tried %d, known %d, open %d, failed %d", res.Tried, known, open, slow)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d targets, %d silent, in %v; %d MiB from the system", res.Tried, slow, time.Since(start).Round(time.Millisecond), m.Sys>>20)
}
