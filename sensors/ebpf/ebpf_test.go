package ebpf

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// patience is how long a test waits for what must come; it is not a measure of anything.
const patience = 30 * time.Second

// watch is a running sensor.
type watch struct {
	t    *testing.T
	mu   sync.Mutex
	all  []minewarden.Event
	more chan struct{} // holds one when something came
	done chan error
}

// start runs the sensor until the end of the test and returns once it sees what happens from then on.
func start(t *testing.T, change func(*Config)) *watch {
	t.Helper()
	s, err := New(minewarden.Env{
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Now: time.Now,
		Decode: func(c any) error {
			if change != nil {
				change(c.(*Config))
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{t: t, more: make(chan struct{}, 1), done: make(chan error, 1)}
	go func() { w.done <- s.Run(ctx, w.add) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	me := liveKey(int32(os.Getpid()))
	w.wait("the test itself", func(ev minewarden.Event) bool {
		e, ok := ev.Data.(*minewarden.Exec)
		return ok && e.Existing && ev.Process.Key == me
	})
	return w
}

func (w *watch) add(ev minewarden.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, ev)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// wait returns the first event for which match is true, of those that came and of those to come.
func (w *watch) wait(what string, match func(minewarden.Event) bool) minewarden.Event {
	w.t.Helper()
	timeout := time.After(patience)
	for seen := 0; ; {
		w.mu.Lock()
		all := w.all
		w.mu.Unlock()
		for ; seen < len(all); seen++ {
			if match(all[seen]) {
				return all[seen]
			}
		}
		select {
		case <-w.more:
		case err := <-w.done:
			w.done <- nil
			sensortest.Need(w.t, err)
			w.t.Fatalf("the sensor ended before it saw %s", what)
		case <-timeout:
			w.t.Fatalf("not seen: %s", what)
		}
	}
}

// waitData is wait for data of one type.
func waitData[D minewarden.Data](w *watch, what string, match func(*minewarden.Process, D) bool) (minewarden.Event, D) {
	w.t.Helper()
	ev := w.wait(what, func(ev minewarden.Event) bool {
		d, ok := ev.Data.(D)
		return ok && match(ev.Process, d)
	})
	return ev, ev.Data.(D)
}

// of returns the data of one type that came so far from the process.
func of[D minewarden.Data](w *watch, pid int) (found []D) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range w.all {
		if d, ok := ev.Data.(D); ok && (pid == 0 || ev.Process != nil && ev.Process.Key.PID == int32(pid)) {
			found = append(found, d)
		}
	}
	return found
}

func TestExisting(t *testing.T) {
	w := start(t, nil)
	seen := map[minewarden.ProcessKey]bool{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range w.all {
		if _, err := json.Marshal(ev); err != nil {
			t.Error(err)
		}
		e, ok := ev.Data.(*minewarden.Exec)
		if !ok || !e.Existing {
			continue
		}
		if e.Parent.PID != 0 && !seen[e.Parent] {
			t.Errorf("%s %q comes before its parent %s", ev.Process.Key, e.Name, e.Parent)
		}
		seen[ev.Process.Key] = true
	}
	if !seen[liveKey(1)] || !seen[liveKey(2)] {
		t.Errorf("init or kthreadd is missing among %d processes", len(seen))
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"defaults", func(*Config) {}, true},
		{"no samples", func(c *Config) { c.SampleHz = 0 }, true},
		{"ring not a power of two", func(c *Config) { c.RingKiB = 5000 }, false},
		{"ring too small", func(c *Config) { c.RingKiB = 2 }, false},
		{"ring too large", func(c *Config) { c.RingKiB = 1 << 20 }, false},
		{"too many samples", func(c *Config) { c.SampleHz = 10000 }, false},
		{"negative", func(c *Config) { c.Hidden = -1 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := DefaultConfig()
			tt.change(&c)
			if err := c.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	sensortest.Root(t)
	for _, c := range Capabilities() {
		if !c.OK || c.Reason != "" {
			t.Errorf("%s: %s", c.Name, c.Reason)
		}
	}
}
