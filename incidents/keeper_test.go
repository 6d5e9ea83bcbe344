package incidents

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/mem"
)

// faulty is a store that a full disk stops.
type faulty struct {
	mem.Store
	full atomic.Bool
	puts atomic.Int64
}

func newFaulty() *faulty {
	f := &faulty{}
	f.full.Store(true)
	return f
}

func (f *faulty) Put(ctx context.Context, inc minewarden.Incident) error {
	f.puts.Add(1)
	if f.full.Load() {
		return errors.New("disk full")
	}
	return f.Store.Put(ctx, inc)
}

func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, tr := newFaulty(), tree{}
		var told atomic.Int64
		k := NewKeeper(store, Config{Host: "h", Rules: rules}, nil, func(minewarden.Incident) { told.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		id := k.Finding(finding("pow/randomx", 1, tr.chain("systemd", "xmrig")))
		synctest.Wait()
		if s := k.Stats(); s.Unsaved != 1 || s.Err == nil || told.Load() != 1 {
			t.Errorf("full: %+v, told %d", s, told.Load())
		}
		store.full.Store(false)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if s := k.Stats(); s.Unsaved != 0 || s.Err != nil || s.Saved != 1 {
			t.Errorf("after room was made: %+v", s)
		}
		before := store.puts.Load()
		for i := range 1000 { // within one stretch of coalescing
			k.Finding(finding("pow/randomx", 2+float64(i), tr.chain("systemd", "xmrig")))
		}
		time.Sleep(3 * coalesce)
		synctest.Wait()
		if n := store.puts.Load() - before; n > 2 {
			t.Errorf("%d writes of one incident", n)
		}
		k.Finding(finding("stratum/login", 5000, tr.chain("systemd", "xmrig")))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want, _ := k.c.Get(id)
		got, err := store.Get(t.Context(), id)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || len(got.Findings) != 2 {
			t.Errorf("%v %s", err, diff)
		}
	})
}

// TestRestart sees the same findings again after a start, as a replay or a late crash makes it: no second incident, nothing
// counted twice, nothing lost; also when the store's version was not loaded.
func TestRestart(t *testing.T) {
	for _, load := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := &faulty{}
			var want minewarden.Incident
			for start := range 3 {
				tr := tree{}
				k := NewKeeper(store, Config{Host: "h", Rules: rules}, nil, nil)
				if load {
					if err := k.Load(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- k.Run(ctx) }()
				x := tr.chain("systemd", "nomad", "sh", "xmrig")
				id := k.Finding(finding("pow/randomx", 1, x))
				k.Finding(finding("pow/randomx", 2, x))
				k.Finding(finding("lineage/shell", 3, tr.chain("systemd", "nomad", "sh#2", "wget")))
				cancel()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				got, err := store.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if start == 0 {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("load %t, start %d: %s", load, start, diff)
				}
			}
			n := 0
			for range store.Incidents(t.Context(), minewarden.Query{}) {
				n++
			}
			if n != 1 {
				t.Errorf("%d incidents of one attack", n)
			}
		})
	}
}

// TestSave: what a person was told to be done is in the store, and what is not saved is told.
func TestSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, tr := newFaulty(), tree{}
		store.full.Store(false)
		k := NewKeeper(store, Config{Host: "h", Rules: rules}, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		id := k.Finding(finding("pow/randomx", 1, tr.chain("systemd", "xmrig")))
		note := func(text string) error {
			return k.Save(t.Context(), id, func(c *Correlator) error {
				return c.Note(id, minewarden.Note{Time: time.Now(), Who: "a", Text: text})
			})
		}
		for n := 1; n <= 3; n++ { // also within one stretch of coalescing
			if err := note("seen"); err != nil {
				t.Fatal(err)
			}
			if inc, err := store.Get(t.Context(), id); err != nil || len(inc.Notes) != n {
				t.Errorf("note %d is not in the store: %d notes, %v", n, len(inc.Notes), err)
			}
		}
		store.full.Store(true)
		if err := note("on a full disk"); err == nil {
			t.Error("a note that is not saved is called saved")
		}
		store.full.Store(false)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if inc, err := store.Get(t.Context(), id); err != nil || len(inc.Notes) != 4 {
			t.Errorf("what was tried again: %d notes, %v", len(inc.Notes), err)
		}
		unknown := errors.New("unknown")
		if err := k.Save(t.Context(), id, func(*Correlator) error { return unknown }); !errors.Is(err, unknown) {
			t.Errorf("%v, want what the change said", err)
		}
		if err := k.Save(t.Context(), id, func(*Correlator) error { return nil }); err != nil {
			t.Errorf("no change: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := note("too late"); err == nil {
			t.Error("a note after the end is called saved")
		}
	})
}

// TestUnsaved: what the disk did not take is told until it is taken.
func TestUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, tr := newFaulty(), tree{}
		k := NewKeeper(store, Config{Host: "h", Rules: rules}, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		one := k.Finding(finding("pow/randomx", 1, tr.chain("systemd", "xmrig")))
		two := k.Finding(finding("pow/randomx", 2, tr.chain("cron", "other")))
		synctest.Wait()
		got := map[string]bool{}
		for _, inc := range k.Unsaved() {
			got[inc.ID] = true
		}
		if want := map[string]bool{one: true, two: true}; !cmp.Equal(got, want) {
			t.Errorf("unsaved %v, want %v", got, want)
		}
		store.full.Store(false)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if left := k.Unsaved(); len(left) != 0 {
			t.Errorf("unsaved after room was made: %v", left)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
