package shape

import (
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// A session of 5 shares and 3 jobs, as regular as pools are, then the same with what no pool does.
func messages(share, reply, push uint32) []minewarden.Message {
	msgs := []minewarden.Message{{At: time.Millisecond, FromClient: true, Size: 600}, {At: 20 * time.Millisecond, Size: 470}}
	for i, at := range []int{9, 14, 40, 47, 95, 99, 160, 171, 190, 233} {
		t := time.Duration(at) * time.Second
		msgs = append(msgs, minewarden.Message{At: t, FromClient: true, Size: share}, minewarden.Message{At: t + 40*time.Millisecond, Size: reply})
		if i%2 == 0 {
			msgs = append(msgs, minewarden.Message{At: t + 3*time.Second, Size: push})
		}
	}
	return msgs
}

func TestScore(t *testing.T) {
	for name, tt := range map[string]struct {
		share, reply, push uint32
		want               bool
	}{
		"cryptonote":         {225, 80, 374, true},
		"pings":              {36, 29, 374, false},
		"acknowledgements":   {225, 21, 374, false},
		"work below answers": {225, 300, 60, false},
	} {
		f, ok := Extract(messages(tt.share, tt.reply, tt.push))
		if !ok {
			t.Errorf("%s: too little", name)
			continue
		}
		if got := Score(&f); (got >= Threshold) != tt.want {
			t.Errorf("%s: %.3f", name, got)
		}
	}
}

// TestKeep holds on to how a session began, and to its latest messages.
func TestKeep(t *testing.T) {
	var kept []minewarden.Message
	for i := range 3000 {
		kept = Keep(kept, []minewarden.Message{{At: time.Duration(i) * 700 * time.Millisecond, Size: uint32(i)}})
	}
	if n := len(kept); n != MaxMessages || kept[2].Size != 2 || kept[3].Size != 3000-MaxMessages+3 || kept[n-1].Size != 2999 {
		t.Errorf("%d messages, %v, %v", n, kept[:4], kept[n-1])
	}
	if kept = Keep(nil, make([]minewarden.Message, 5*MaxMessages)); len(kept) != MaxMessages {
		t.Errorf("%d messages of one report", len(kept))
	}
}

// TestExact tells what is counted from what is written out.
func TestExact(t *testing.T) {
	for name, tt := range map[string]struct {
		v    []float64
		want float32
	}{
		"alike": {[]float64{9, 9, 10, 9}, 1}, "two lengths": {[]float64{9, 50, 9, 50, 9}, 0.6}, "each another": {[]float64{9, 11, 13, 15}, 0.25},
	} {
		if got := exact(tt.v); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestTooLittle(t *testing.T) {
	if _, ok := Extract(messages(225, 80, 374)[:6]); ok {
		t.Error("two shares are judged")
	}
	if _, ok := Extract(nil); ok {
		t.Error("nothing is judged")
	}
}

func BenchmarkExtract(b *testing.B) {
	msgs := messages(225, 80, 374)
	b.ReportAllocs()
	for b.Loop() {
		f, _ := Extract(msgs)
		Score(&f)
	}
}
