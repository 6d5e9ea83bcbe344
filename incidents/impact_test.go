package incidents

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

func TestImpact(t *testing.T) {
	co := New(Config{Rules: rules})
	miner := tree{}.chain("systemd", "sh", "xmrig")
	f := finding("pow/randomx", 1, miner)
	id := co.Finding(f)
	at := f.Time
	for range 3 {
		at = at.Add(time.Second)
		co.Event(&minewarden.Event{Time: at, Data: &minewarden.HostUsage{Interval: time.Second, Busy: 2 * time.Second, CPUs: 4, Stalled: time.Second / 4, Joules: 40}})
		co.Event(&minewarden.Event{Time: at, Process: miner, Data: &minewarden.Usage{Interval: time.Second, CPU: time.Second}})
		co.Event(&minewarden.Event{Time: at, Process: miner, Data: &minewarden.Usage{Interval: time.Second, CPU: time.Second / 2}}) // as a second member would
	}
	inc, _ := co.Get(id)
	want := minewarden.Impact{
		Since: f.Time, Until: at, CPU: 4500 * time.Millisecond, Measured: 3 * time.Second, Host: 6 * time.Second, Stalled: 750 * time.Millisecond, CPUs: 4, Joules: 3 * 30,
	}
	if diff := cmp.Diff(want, inc.Impact); diff != "" {
		t.Error(diff)
	}
	// What the store has from before is added, not replaced.
	old := inc
	old.Impact = minewarden.Impact{Since: f.Time.Add(-time.Hour), Until: f.Time.Add(-time.Minute), CPU: time.Hour, CPUs: 4, Joules: 1}
	co.Load(old)
	inc, _ = co.Get(id)
	if inc.Impact.CPU != time.Hour+4500*time.Millisecond || inc.Impact.Joules != 91 || !inc.Impact.Since.Equal(old.Impact.Since) || !inc.Impact.Until.Equal(at) {
		t.Errorf("after the store's part: %+v", inc.Impact)
	}
}

// TestImpactIsSavedRarely counts how often an incident that only goes on burning is written.
func TestImpactIsSavedRarely(t *testing.T) {
	co := New(Config{Rules: rules})
	miner := tree{}.chain("systemd", "sh", "xmrig")
	f := finding("pow/randomx", 1, miner)
	co.Finding(f)
	co.Changed()
	written := 0
	for i := range 300 {
		co.Event(&minewarden.Event{Time: f.Time.Add(time.Duration(i) * time.Second), Process: miner, Data: &minewarden.Usage{Interval: time.Second, CPU: time.Second}})
		written += len(co.Changed())
	}
	if written < 5 || written > 12 {
		t.Errorf("written %d times in five minutes, want about 10", written)
	}
}
