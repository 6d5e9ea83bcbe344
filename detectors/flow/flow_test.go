package flow

import (
	"net/netip"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func key(i int) minewarden.FlowKey {
	return minewarden.FlowKey{
		Proto: "tcp", Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i)),
		Server: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), uint16(i)),
	}
}

func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	msgs := make([]minewarden.Message, minewarden.MaxMessages)
	for i := range 2 * maxTold {
		now := time.Unix(int64(i), 0)
		d.Observe(&minewarden.Event{Time: now, Data: &minewarden.Flow{Key: key(i), State: minewarden.FlowOpen, Start: now}})
		d.Observe(&minewarden.Event{Time: now, Data: &minewarden.Flow{Key: key(i), State: minewarden.FlowUpdate, Start: now.Add(-time.Hour), Messages: msgs, ClientBytes: 1, ServerBytes: 1}})
		k := key(1)
		k.Server = key(i).Server
		d.Observe(&minewarden.Event{Time: time.Unix(1, 0), Data: &minewarden.Flow{Key: k, State: minewarden.FlowEnd}})
	}
	if len(d.talkers) > maxTalkers || len(d.sessions) > maxSessions || len(d.beats) > maxBeats || len(d.told) > maxTold {
		t.Errorf("%d talkers, %d sessions, %d beats, %d told", len(d.talkers), len(d.sessions), len(d.beats), len(d.told))
	}
	for _, x := range d.talkers {
		if len(x.ports) > maxPorts || len(x.hosts) > maxHosts {
			t.Errorf("%d ports, %d hosts", len(x.ports), len(x.hosts))
		}
	}
}

func FuzzFlow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6}, int64(61))
	f.Fuzz(func(t *testing.T, data []byte, step int64) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(0, 0)
		for i, c := range data {
			now = now.Add(time.Duration(step%100000) * time.Millisecond)
			state := []string{minewarden.FlowOpen, minewarden.FlowUpdate, minewarden.FlowEnd}[c%3]
			for _, found := range det.Observe(&minewarden.Event{Time: now, Data: &minewarden.Flow{Key: key(int(c >> 2)), State: state, Start: time.Unix(0, 0), ServerPackets: uint64(c & 1), Messages: []minewarden.Message{{At: time.Duration(i) * time.Second, Size: uint32(c)}}}}) {
				if found.Confidence <= 0 || found.Confidence > 1 || len(found.Evidence) == 0 {
					t.Errorf("%+v", found)
				}
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var evs []*minewarden.Event
	for i := range 1024 {
		evs = append(evs, &minewarden.Event{Time: time.Unix(int64(i), 0), Data: &minewarden.Flow{Key: key(i), State: minewarden.FlowOpen}})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		det.Observe(evs[i%len(evs)])
	}
}
