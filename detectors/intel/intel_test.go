package intel

import (
	"fmt"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	for i := range 3 * maxTold {
		d.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: &minewarden.File{Path: fmt.Sprint(i)}, Matches: []minewarden.Match{{Field: "sha256", Indicator: minewarden.Indicator{Value: "x", Confidence: 1}}}})
	}
	if len(d.told) > maxTold {
		t.Errorf("%d values are kept", len(d.told))
	}
}

func BenchmarkNoMatch(b *testing.B) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ev := &minewarden.Event{Data: &minewarden.Connect{}}
	b.ReportAllocs()
	for b.Loop() {
		det.Observe(ev)
	}
}
