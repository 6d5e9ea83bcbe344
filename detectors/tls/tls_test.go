package tls

import (
	"net/netip"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestMadeUp(t *testing.T) {
	for label, want := range map[string]bool{
		"4f7148dfbfb7": true, "a8x3k9q2w7z1": true, "localhost": false, "mail": false, "facade": false, "deadbeef": false, "printer-2": false, "": false, "proxmox12": false, "20260101": false,
	} {
		if got := madeUp(label); got != want {
			t.Errorf("madeUp(%q) = %v", label, got)
		}
	}
}

func key(i int) minewarden.FlowKey {
	return minewarden.FlowKey{Proto: "tcp", Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), uint16(i)), Server: netip.MustParseAddrPort("203.0.113.9:443")}
}

func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	many := make([]minewarden.Message, minewarden.MaxMessages)
	for i := range 2 * maxFlows {
		for range 3 {
			d.Observe(&minewarden.Event{Data: &minewarden.Flow{Key: key(i), App: "tls", State: minewarden.FlowUpdate, Messages: many}})
		}
		d.Observe(&minewarden.Event{Data: &minewarden.TLS{Key: key(i)}})
	}
	if len(d.flows) > maxFlows || len(d.order) > maxFlows || len(d.told) > maxTold {
		t.Errorf("%d flows, %d in order, %d told", len(d.flows), len(d.order), len(d.told))
	}
}

func FuzzFlow(f *testing.F) {
	f.Add([]byte{1, 200, 0, 30, 1, 200, 0, 30, 3, 90, 1, 200, 0, 30})
	f.Fuzz(func(t *testing.T, data []byte) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		var msgs []minewarden.Message
		at := time.Duration(0)
		for i := 0; i+1 < len(data); i += 2 {
			at += time.Duration(data[i]>>1) * time.Second
			msgs = append(msgs, minewarden.Message{At: at, FromClient: data[i]&1 == 1, Size: uint32(data[i+1]) * 3})
		}
		for _, found := range det.Observe(&minewarden.Event{Time: time.Unix(1000, 0), Data: &minewarden.Flow{Key: key(1), App: "tls", State: minewarden.FlowEnd, Start: time.Unix(1, 0), Messages: msgs}}) {
			if found.Confidence <= 0 || found.Confidence > 1 {
				t.Errorf("confidence %v", found.Confidence)
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var msgs []minewarden.Message
	for i := range 60 {
		msgs = append(msgs, minewarden.Message{At: time.Duration(i) * time.Second, FromClient: i%2 == 0, Size: uint32(100 + i%7*40)})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		det.Observe(&minewarden.Event{Time: time.Unix(int64(200), 0), Data: &minewarden.Flow{Key: key(i), App: "tls", State: minewarden.FlowEnd, Messages: msgs, Start: time.Unix(0, 0)}})
	}
}
