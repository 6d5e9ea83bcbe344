package playbooks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDecisionWaitsForNews: a run that waits for a person is at work for a moment when its news are told.
func TestDecisionWaitsForNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), newDesk(), three)
		defer b.stop()
		r := b.run(t)
		busy := func(is bool) {
			b.Engine.mu.Lock()
			defer b.Engine.mu.Unlock()
			if is {
				b.Engine.busy[r.ID] = true
			} else {
				delete(b.Engine.busy, r.ID)
			}
		}
		busy(true)
		if _, err := b.Decide(t.Context(), r.ID, "b", Refuse, "user ann", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("busy for ever: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Decide(gone, r.ID, "b", Refuse, "user ann", ""); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody waits for the answer: %v", err)
		}
		go func() {
			time.Sleep(takeWait / 2)
			busy(false)
		}()
		if _, err := b.Decide(t.Context(), r.ID, "b", Approve, "user ann", ""); err != nil {
			t.Error(err)
		}
	})
}
