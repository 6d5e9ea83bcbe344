package playbooks

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minewarden/minewarden"
)

func escalations(b *bench) string {
	var out []string
	for _, e := range b.escalated() {
		out = append(out, fmt.Sprintf("%s %d", e.What, e.Percent))
	}
	return strings.Join(out, ", ")
}

func due(t *testing.T, b *bench, what string) Due {
	t.Helper()
	for _, d := range b.Deadlines("i1") {
		if d.What == what {
			return d
		}
	}
	t.Fatalf("no deadline %s in %+v", what, b.Deadlines("i1"))
	return Due{}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), newDesk()
		b := start(t, dir, d, three)
		b.Offer("i1")
		for range 4 * 60 { // in steps, so that the fake clock's ticks are all heard
			time.Sleep(30 * time.Second)
		}
		synctest.Wait()
		if got := escalations(b); got != "isolated 50, isolated 80, isolated 100" {
			t.Error(got)
		}
		if d := due(t, b, Isolated); d.State != "missed" || d.Due.Sub(d.From) != IsolatedWithin {
			t.Errorf("%+v", d)
		}
		b.stop()

		// Not told again after a restart; late is late.
		b = start(t, dir, d, three)
		defer b.stop()
		synctest.Wait()
		if got := escalations(b); got != "" {
			t.Errorf("told again: %s", got)
		}
		d.mu.Lock()
		d.inc.State, d.inc.Changed = minewarden.Contained, time.Now()
		d.mu.Unlock()
		b.Offer("i1")
		synctest.Wait()
		if d := due(t, b, Isolated); d.State != "late" {
			t.Errorf("%+v", d)
		}
		if err := b.Met("i1", Report, "user ann"); err != nil {
			t.Fatal(err)
		}
		if d := due(t, b, Report); d.State != "met" || d.By != "user ann" {
			t.Errorf("%+v", d)
		}
		time.Sleep(80 * time.Hour)
		synctest.Wait()
		if got := escalations(b); got != "review 50, review 80, review 100" && got != "review 100" {
			t.Error(got)
		}
	})
}

// TestAStepIsNotLateForWhatIsMet: whoever makes the report spares the step that would have, though that still waits for its person.
func TestAStepIsNotLateForWhatIsMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), newDesk(), head+`steps:
  - {id: c, title: c, kind: manual, deadline: 20h, meets: report}
`)
		defer b.stop()
		b.Offer("i1")
		b.run(t)
		synctest.Wait()
		steps := func() (n int) {
			for _, d := range b.Deadlines("i1") {
				if strings.HasPrefix(d.What, "step ") {
					n++
				}
			}
			return n
		}
		if steps() != 1 {
			t.Fatalf("before: %+v", b.Deadlines("i1"))
		}
		if err := b.Met("i1", Report, "user ann"); err != nil {
			t.Fatal(err)
		}
		if steps() != 0 {
			t.Errorf("after: %+v", b.Deadlines("i1"))
		}
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if got := escalations(b); strings.Contains(got, "step") {
			t.Errorf("told of a step whose deadline is met: %s", got)
		}
	})
}

func TestDeadlinesOfAFalsePositiveAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := start(t, t.TempDir(), d, three)
		defer b.stop()
		b.Offer("i1")
		synctest.Wait()
		d.mu.Lock()
		d.inc.State, d.inc.Changed = minewarden.Closed, time.Now()
		d.inc.Notes = []minewarden.Note{{Time: d.inc.Changed, Text: "False positive: our render farm"}}
		d.mu.Unlock()
		b.Offer("i1")
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if got := escalations(b); got != "" {
			t.Error(got)
		}
		if d := due(t, b, Report); d.State != "dropped" {
			t.Errorf("%+v", d)
		}
	})
}

func TestStepDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), newDesk(), head+"steps:\n  - {id: call, title: call, kind: manual, deadline: 10m}\n")
		defer b.stop()
		r := b.run(t)
		for range 24 {
			time.Sleep(30 * time.Second)
		}
		synctest.Wait()
		w := "step " + r.ID + "/call"
		if got := escalations(b); got != w+" 50, "+w+" 80, "+w+" 100" {
			t.Error(got)
		}
		if d := due(t, b, w); d.State != "missed" {
			t.Errorf("%+v", d)
		}
		b.decide(t, r, "call", IsDone)
	})
}

func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), newDesk()
		var set atomic.Int64
		clock := func(c *Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(set.Load())) } }
		b := start(t, dir, d, three, clock)
		b.Offer("i1")
		r := b.run(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		if r, _ = b.Get(r.ID); len(r.Jumps) != 0 {
			t.Errorf("jumps where there were none: %v", r.Jumps)
		}
		set.Store(int64(time.Hour))
		time.Sleep(time.Minute)
		synctest.Wait()
		r, _ = b.Get(r.ID)
		if len(r.Jumps) != 1 || r.Jumps[0].By != "+1h" {
			t.Errorf("jumps: %v", r.Jumps)
		}
		if esc := b.escalated(); len(esc) != 1 || esc[0].Percent != 100 || esc[0].Jump != "+1h" || !strings.Contains(esc[0].Message, "+1h") {
			t.Errorf("%+v", esc)
		}
		found := false
		for _, e := range b.told() {
			found = found || e.What == "playbook.clock"
		}
		if !found {
			t.Error("the jump is not in the audit trail")
		}
		b.stop()

		// Back while nobody runs: seen at the next start, for the steady clock went on; what was told stays told.
		set.Store(-2 * int64(time.Hour))
		b = start(t, dir, d, three, clock)
		defer b.stop()
		synctest.Wait()
		r, _ = b.Get(r.ID)
		if len(r.Jumps) != 2 || r.Jumps[1].By != "-3h" {
			t.Errorf("jumps: %v", r.Jumps)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := escalations(b); got != "" {
			t.Errorf("told again after the clock went back: %s", got)
		}
	})
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{30 * time.Minute: "30m", 24 * time.Hour: "24h", 90 * time.Second: "1m30s", 2 * time.Second: "2s", 90 * time.Minute: "1h30m"} {
		var back Duration
		if got := Duration(d).String(); got != want || back.UnmarshalText([]byte(got)) != nil || back != Duration(d) {
			t.Errorf("%v is written %s, want %s; read again %v", d, got, want, back)
		}
	}
}
