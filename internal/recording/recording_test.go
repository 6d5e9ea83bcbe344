package recording_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/recording"
)

func TestRoundTripOfEveryKind(t *testing.T) {
	at := time.Date(2026, 11, 21, 20, 0, 0, 5, time.UTC)
	for _, k := range minewarden.AllKinds() {
		line := `{"time":"2026-11-21T20:00:00.000000005Z","kind":"` + k.String() + `","process":{"key":{"pid":7,"start":70},"uid":0},"data":{}}`
		var got minewarden.Event
		for ev, err := range recording.Read(strings.NewReader(line)) {
			if err != nil {
				t.Fatalf("%s: %v", k, err)
			}
			got = ev
		}
		if got.Data.Kind() != k || !got.Time.Equal(at) {
			t.Fatalf("read %s at %s, want %s at %s", got.Data.Kind(), got.Time, k, at)
		}
		var b bytes.Buffer
		if err := recording.NewWriter(&b).Write(&got); err != nil {
			t.Fatal(err)
		}
		for again, err := range recording.Read(&b) {
			if diff := cmp.Diff(got, again, cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})); err != nil || diff != "" {
				t.Errorf("%s does not survive writing and reading: %v\n%s", k, err, diff)
			}
		}
	}
}

func TestBadLinesAreNamedAndReadingGoesOn(t *testing.T) {
	in := "{\"kind\":\"x\"}\n\nnonsense\n{\"time\":\"2026-11-21T20:00:00Z\",\"kind\":\"sensor.lost\",\"data\":{\"n\":3}}\n{\"kind\":\"sensor.lost\"}\n"
	var lines []int
	events := 0
	for _, err := range recording.Read(strings.NewReader(in)) {
		var bad *recording.LineError
		switch {
		case errors.As(err, &bad):
			lines = append(lines, bad.Line)
		case err != nil:
			t.Fatal(err)
		default:
			events++
		}
	}
	if diff := cmp.Diff([]int{1, 3, 5}, lines); diff != "" || events != 1 {
		t.Errorf("bad lines differ (-want +got), %d events:\n%s", events, diff)
	}
}

func TestEndlessLine(t *testing.T) {
	var last error
	for _, err := range recording.Read(strings.NewReader("{" + strings.Repeat(" ", 5<<20))) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "longer than") {
		t.Errorf("error %v, want one that says the line is too long", last)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-21T20:00:00Z","kind":"process.exec","process":{"key":{"pid":1}},"data":{"name":"sh","args":["sh"]}}`))
	f.Add([]byte(`{"time":"2026-11-21T20:00:00Z","kind":"net.connect","data":{"remote":"1.2.3.4:5"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		for ev, err := range recording.Read(bytes.NewReader(in)) {
			if err == nil && ev.Data == nil {
				t.Error("an event without data was read")
			}
		}
	})
}
