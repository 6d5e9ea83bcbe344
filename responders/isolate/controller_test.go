package isolate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/isolate/sdn"
)

// fabric is a controller with a plain list of rules. It listens on loopback, which isolation keeps.
type fabric struct {
	mu    sync.Mutex
	rules map[string]map[string]any
	next  int
	down  bool
}

func (f *fabric) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/flow-rules":
		var o map[string]any
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.next++
		o["id"] = strconv.Itoa(f.next)
		f.rules[strconv.Itoa(f.next)] = o
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet:
		list := []map[string]any{}
		for _, o := range f.rules {
			list = append(list, o)
		}
		_ = json.NewEncoder(w).Encode(list)
	case r.Method == http.MethodDelete:
		delete(f.rules, strings.TrimPrefix(r.URL.Path, "/api/v1/flow-rules/"))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *fabric) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fabric) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rules)
}

func withFabric(t *testing.T, data string) (*Responder, *fabric) {
	t.Helper()
	f := &fabric{rules: map[string]map[string]any{}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return atFabric(t, data, s.URL), f
}

func atFabric(t *testing.T, data, url string) *Responder {
	r := responder(t, func(c *Config) {
		c.Controllers = []sdn.Config{{Name: "fabric", Preset: "generic", URL: url, Address: []string{"10.0.0.5", "fd00::5"}, Retries: 1, Timeout: time.Second}}
	})
	r.journal.Dir = data
	r.outside.again = 20 * time.Millisecond
	return r
}

func outsidePlan(t *testing.T, r *Responder) minewarden.Action {
	t.Helper()
	inc := incident()
	actions, err := r.outside.plan(&inc)
	if err != nil || len(actions) != 1 {
		t.Fatal(actions, err)
	}
	return actions[0]
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not within 5s: ", what)
}

func TestController(t *testing.T) {
	r, f := withFabric(t, t.TempDir())
	a := outsidePlan(t, r)
	if blast := strings.Join(a.Blast, "\n"); f.count() != 0 || !strings.Contains(blast, `"ipv4_src":"10.0.0.5/32"`) || !strings.Contains(blast, `"ipv6_src":"fd00::5/128"`) {
		t.Errorf("plan %s, %d rules", blast, f.count())
	}
	receipt, err := r.Do(t.Context(), a)
	if err != nil || !receipt.OK || f.count() != 2 {
		t.Fatal(receipt, f.count(), err)
	}
	if again, err := r.Do(t.Context(), a); err != nil || again.Result != receipt.Result || f.count() != 2 {
		t.Errorf("twice is not the same as once: %v, %v", again, err)
	}
	for range 2 {
		if err := r.Undo(t.Context(), receipt); err != nil || f.count() != 0 {
			t.Fatal(f.count(), err)
		}
	}
}

// TestControllerDown: what failed and may stand, and what cannot be released, is shown and tried again, also by the next start.
func TestControllerDown(t *testing.T) {
	r, f := withFabric(t, t.TempDir())
	receipt, err := r.Do(t.Context(), outsidePlan(t, r))
	if err != nil {
		t.Fatal(err)
	}
	f.set(true)
	if err := r.Undo(t.Context(), receipt); err == nil || !strings.Contains(err.Error(), "tried again") {
		t.Errorf("released at a controller that is down: %v", err)
	}
	if s, err := r.State(); err != nil || len(s.Controllers) != 1 || !strings.Contains(s.Controllers[0], "to be released") || !strings.Contains(s.Controllers[0], "503") {
		t.Errorf("%+v, %v", s, err)
	}
	failed, err := r.Do(t.Context(), outsidePlan(t, r))
	if err == nil || failed.OK || !strings.Contains(failed.Result, "503") {
		t.Errorf("%+v, %v", failed, err)
	}
	f.set(false)
	wait(t, "the rules are released", func() bool { return f.count() == 0 && len(r.outside.state()) == 0 })
}

func TestControllerExpiresAndRecovers(t *testing.T) {
	data := t.TempDir()
	f := &fabric{rules: map[string]map[string]any{}}
	s := httptest.NewServer(f)
	defer s.Close()
	first := atFabric(t, data, s.URL)
	stands := outsidePlan(t, first)
	if _, err := first.Do(t.Context(), stands); err != nil {
		t.Fatal(err)
	}
	// Killed between the rules and the receipt.
	half := outsidePlan(t, first)
	if _, err := first.outside.clients["fabric"].Install(t.Context(), half.ID, netip.MustParseAddr("10.0.0.5"), time.Hour); err != nil {
		t.Fatal(err)
	}
	entry, err := first.journal.Begin(half.ID, record{Phase: phaseIntent, At: time.Now(), Action: &half, Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	entry.Close()
	if err := first.Close(); err != nil || f.count() != 3 {
		t.Fatal(f.count(), err)
	}
	c := &clock{wall: time.Now(), boot: sinceBoot()}
	second := atFabric(t, data, s.URL)
	second.now, second.mono = c.now, c.mono
	told := make(chan minewarden.Receipt, 4)
	second.OnRelease(func(r minewarden.Receipt) { told <- r })
	receipts, err := second.Recover(t.Context())
	if err != nil || len(receipts) != 2 {
		t.Fatal(receipts, err)
	}
	wait(t, "the half-done rule is gone", func() bool { return f.count() == 2 })
	c.move(-1000*time.Hour, 5*time.Hour)
	wait(t, "the rest has expired", func() bool { return f.count() == 0 })
	if r := <-told; r.Action.ID != stands.ID || r.UndoneBy != byExpiry {
		t.Errorf("%+v", r)
	}
}

func TestControllerOfAClosedIncident(t *testing.T) {
	r, f := withFabric(t, t.TempDir())
	if _, err := r.Do(t.Context(), outsidePlan(t, r)); err != nil {
		t.Fatal(err)
	}
	over, err := r.Closed(t.Context(), "inc-1")
	if err != nil || len(over) != 1 || over[0].UndoneBy != byClosed || f.count() != 0 {
		t.Fatal(over, f.count(), err)
	}
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"expires":    func(c *Config) { c.Expires = 0 },
		"confirm":    func(c *Config) { c.Confirm = time.Second },
		"dns":        func(c *Config) { c.DNS = "some" },
		"port":       func(c *Config) { c.Management.Ports = []uint16{0} },
		"peer":       func(c *Config) { c.Management.Peers = []string{"everybody"} },
		"wide peer":  func(c *Config) { c.Management.Peers = []string{"0.0.0.0/0"} },
		"probe":      func(c *Config) { c.Management.Probe = []string{"10.0.0.1"} },
		"allow":      func(c *Config) { c.Allow = []string{"tcp/10.0.0.1"} },
		"allow port": func(c *Config) { c.Allow = []string{"udp/10.0.0.1:0"} },
		"bracket":    func(c *Config) { c.Allow = []string{"udp/[fd00::1:5"} },
		"controller": func(c *Config) { c.Controllers = []sdn.Config{{Name: "x"}} },
		"twins": func(c *Config) {
			k := sdn.Config{Name: "x", Preset: "generic", URL: "https://c"}
			c.Controllers = []sdn.Config{k, k}
		},
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func FuzzAllow(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "tcp/10.0.0.1:443", "udp/[fd00::/16]:514", "::ffff:10.0.0.1", "tcp/::1:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAllow(s)
		if err != nil {
			return
		}
		if b, err := parseAllow(a.String()); err != nil || a != b {
			t.Fatalf("%q is written %q, and read as %v, %v", s, a, b, err)
		}
	})
}
