package stratum

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestNesting(t *testing.T) {
	var m message
	deep := strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
	if !m.parse([]byte(`{"a":`+deep+`,"method":"mining.subscribe"}`)) || string(m.field(0, "method")) != "mining.subscribe" {
		t.Error("a deep value hides the field after it")
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"login","params":{"login":"\ud83d\ude00","pass":"x","agent":"a"}}`))
	f.Add([]byte(`{"result":[[["mining.notify","a"]],"00",4],"error":null,"id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		m.parse(data)
		for i := range m.nodes {
			m.get(i, "x")
			m.item(i, 1)
			m.size(i)
			m.num(i)
		}
	})
}

// TestBounded holds the memory to its caps under many flows that each leave an object open.
func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	open := []byte(`{"method":"x","params":["` + strings.Repeat("a", 20<<10))
	for i := range 3 * maxSessions {
		d.Observe(&minewarden.Event{Data: &minewarden.Stream{Key: key(i), FromClient: true, Data: open}})
		if d.held > maxHeld+maxObject || d.count > maxSessions || len(d.sessions) > maxSessions {
			t.Fatalf("after %d flows: %d bytes held in %d sessions", i, d.held, len(d.sessions))
		}
	}
	held := 0
	for _, s := range d.sessions {
		for ; s != nil; s = s.next {
			held += cap(s.up.buf) + cap(s.down.buf)
		}
	}
	if held != d.held {
		t.Errorf("%d bytes are held, %d are counted", held, d.held)
	}
}

func key(i int) minewarden.FlowKey {
	return minewarden.FlowKey{Proto: "tcp", Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), uint16(i)), Server: netip.MustParseAddrPort("10.9.9.9:80")}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"method":"mining.notify","params":["a",[1,2,3,4],1]}`+"\n{"), uint8(3), true)
	f.Fuzz(func(t *testing.T, data []byte, cut uint8, up bool) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(data); i += int(cut) + 1 {
			for _, found := range det.Observe(&minewarden.Event{Data: &minewarden.Stream{Key: key(1), FromClient: up, Offset: uint64(i), Data: data[i:min(len(data), i+int(cut)+1)]}}) {
				if len(found.Evidence) == 0 {
					t.Error("a finding without evidence")
				}
			}
		}
	})
}

func BenchmarkHonestJSON(b *testing.B) {
	d, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(fmt.Sprintf(`{"took":3,"hits":{"total":1,"hits":[%s{"_id":"1"}]}}`, strings.Repeat(`{"_index":"logs","_source":{"message":"GET /index.html 200","host":"web-1"}},`, 12)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if d.Observe(&minewarden.Event{Data: &minewarden.Stream{Key: key(i % 4096), Carrier: minewarden.CarrierHTTPBody, Begin: true, Data: body}}) != nil {
			b.Fatal("found something")
		}
	}
}

func BenchmarkBinary(b *testing.B) {
	d, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ev := &minewarden.Event{Data: &minewarden.Stream{Key: key(1), FromClient: true, Data: []byte(strings.Repeat("\x01\xfeabc", 280))}}
	b.ReportAllocs()
	for b.Loop() {
		if d.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
}

// TestReconnects holds the number of findings when a pool hangs up on each login.
func TestReconnects(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for i := range 1000 {
		k := key(1)
		k.Client = netip.AddrPortFrom(k.Client.Addr(), uint16(i+1000))
		told += len(det.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: &minewarden.Stream{Key: k, FromClient: true, Data: []byte(`{"method":"mining.subscribe","params":[]}`)}}))
	}
	if told == 0 || told > maxPerPair {
		t.Errorf("%d findings, want 1 to %d", told, maxPerPair)
	}
}
