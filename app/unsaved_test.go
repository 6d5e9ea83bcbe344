package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/store/mem"
)

// fullStore takes nothing new after it was filled.
type fullStore struct {
	mem.Store
	full atomic.Bool
}

func (s *fullStore) Put(ctx context.Context, inc minewarden.Incident) error {
	if s.full.Load() {
		return errors.New("no space left on device")
	}
	return s.Store.Put(ctx, inc)
}

// TestFullDiskHidesNothing: lists have what the store could not take, in its place, on whatever page, and once.
func TestFullDiskHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fullStore{}
		rules := func(id string) (minewarden.Rule, bool) {
			return minewarden.Rule{ID: id, Severity: minewarden.High}, true
		}
		k := incidents.NewKeeper(store, incidents.Config{Host: "h", Rule: rules}, nil, nil)
		d := &Desk{store: store, keeper: k}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		var ids []string
		for n := range 6 {
			store.full.Store(n >= 3)
			path := fmt.Sprintf("/f%d", n)
			id := k.Finding(&minewarden.Finding{
				Rule: "file/miner", Confidence: 0.9, Time: time.Now(), Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: path},
			})
			ids = append([]string{id}, ids...)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		var whole, rows, found []string
		for inc, err := range d.Whole(ctx, minewarden.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			whole = append(whole, inc.ID)
		}
		for after := ""; ; {
			page, err := d.Rows(ctx, minewarden.Query{Limit: 2, After: after})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				rows = append(rows, page[i].ID)
			}
			after = page[len(page)-1].Cursor()
		}
		all, err := d.Findings(ctx, minewarden.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			found = append(found, f.Incident)
		}
		for what, got := range map[string][]string{"incidents": whole, "pages": rows, "findings": found} {
			if diff := cmp.Diff(ids, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		counts, err := d.Counts(ctx)
		if n := counts[minewarden.Open][minewarden.High]; err != nil || n != 6 {
			t.Errorf("counts: %d, %v", n, err)
		}
		if full, err := d.complete(ctx, ids[0][:8]); err != nil || full != ids[0] {
			t.Errorf("complete: %s, %v", full, err)
		}
		store.full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if rest, err := d.unsaved(ctx); rest != nil || err != nil {
			t.Errorf("unsaved after room was made: %v, %v", rest, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
