package beat

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 0, 0, 123456789, time.UTC)
	for _, every := range []time.Duration{time.Second, 5 * time.Second, time.Minute, 20 * time.Millisecond} {
		first := Next(now, every)
		if first <= 0 || first > every {
			t.Errorf("%v: the next moment is in %v", every, first)
		}
		// From anywhere before it, the same moment; from it, the one after.
		if d := Next(now.Add(first/2), every); d != first-first/2 {
			t.Errorf("%v: from half-way it is %v, want %v", every, d, first-first/2)
		}
		if d := Next(now.Add(first), every); d != every {
			t.Errorf("%v: from the moment itself it is %v", every, d)
		}
		if time.Second%every == 0 {
			continue
		}
		if d := Next(now.Add(first), time.Second); d != time.Second {
			t.Errorf("%v: it misses the moments of every second by %v", every, time.Second-d)
		}
	}
}
