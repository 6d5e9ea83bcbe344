package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/minewarden/minewarden"
)

// writer makes a journal by hand.
type writer struct {
	t       testing.TB
	b       []byte
	compact bool
	pack    byte
	values  map[string]uint64
	entries uint64
	tail    uint64
}

func newWriter(t testing.TB, id byte, compact bool, pack byte) *writer {
	w := &writer{t: t, b: make([]byte, 256), compact: compact, pack: pack, values: map[string]uint64{}}
	copy(w.b, magic)
	flags := uint32(4 | 2 | 8)
	if compact {
		flags |= flagCompact
	}
	binary.LittleEndian.PutUint32(w.b[12:], flags)
	w.b[16], w.b[24] = 1, id
	binary.LittleEndian.PutUint64(w.b[88:], 256)
	w.finish()
	return w
}

func (w *writer) finish() {
	binary.LittleEndian.PutUint64(w.b[96:], uint64(len(w.b)-256))
	binary.LittleEndian.PutUint64(w.b[136:], w.tail)
	binary.LittleEndian.PutUint64(w.b[152:], w.entries)
}

func (w *writer) object(typ, flags byte, body []byte) uint64 {
	w.tail = uint64(len(w.b))
	w.b = append(w.b, typ, flags, 0, 0, 0, 0, 0, 0)
	w.b = binary.LittleEndian.AppendUint64(w.b, uint64(16+len(body)))
	w.b = append(w.b, body...)
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
	return w.tail
}

func (w *writer) add(values ...string) {
	var at []uint64
	for _, v := range values {
		if w.values[v] == 0 {
			payload, flags := []byte(v), byte(0)
			switch {
			case len(v) < 100:
			case w.pack == packedZSTD:
				enc, err := zstd.NewWriter(nil)
				if err != nil {
					w.t.Fatal(err)
				}
				payload, flags = enc.EncodeAll(payload, nil), packedZSTD
			case w.pack == packedLZ4:
				out := make([]byte, lz4.CompressBlockBound(len(v)))
				n, err := lz4.CompressBlock(payload, out, nil)
				if err != nil {
					w.t.Fatal(err)
				}
				payload, flags = append(binary.LittleEndian.AppendUint64(nil, uint64(len(v))), out[:n]...), packedLZ4
			case w.pack == packedXZ:
				flags = packedXZ
			}
			head := 48
			if w.compact {
				head = 56
			}
			w.values[v] = w.object(objectData, flags, append(make([]byte, head), payload...))
		}
		at = append(at, w.values[v])
	}
	w.entries++
	body := binary.LittleEndian.AppendUint64(nil, w.entries)
	body = binary.LittleEndian.AppendUint64(body, 1_700_000_000_000_000+w.entries)
	body = append(body, make([]byte, 32)...)
	for _, a := range at {
		if w.compact {
			body = binary.LittleEndian.AppendUint32(body, uint32(a))
		} else {
			body = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(body, a), 0)
		}
	}
	w.object(objectEntry, 0, body)
	w.object(6, 0, make([]byte, 40)) // an array of entries, which the reader passes over
	w.finish()
}

func sample(t testing.TB, compact bool, pack byte) *writer {
	w := newWriter(t, 1, compact, pack)
	w.add("MESSAGE=Failed password for root", "SYSLOG_IDENTIFIER=sshd", "_PID=7", "SYSLOG_FACILITY=10", "_HOSTNAME=web-1")
	w.add("MESSAGE="+strings.Repeat("long ", 400), "_COMM=big", "_HOSTNAME=web-1", "_SYSTEMD_UNIT=big.service")
	w.add("MESSAGE=a\nb\xff=c", "_SOURCE_REALTIME_TIMESTAMP=1600000000000001")
	return w
}

func read(t testing.TB, b []byte) (out []string, faults []error, err error) {
	t.Helper()
	bad := func(err error) { faults = append(faults, err) }
	f, err := open(bytes.NewReader(b), bad)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	err = f.next(func() bool { return false }, func(at time.Time, r *minewarden.Record) {
		line := at.Format(time.RFC3339Nano) + " " + r.Channel + "|" + r.Host + "|" + r.Message
		for _, v := range r.Fields {
			line += "|" + v.Name + "=" + v.Value
		}
		out = append(out, line)
	})
	return out, faults, err
}

func TestLayoutsAndPacking(t *testing.T) {
	want := []string{
		"2023-11-14T22:13:20.000001Z authpriv|web-1|Failed password for root|SYSLOG_IDENTIFIER=sshd|_PID=7|SYSLOG_FACILITY=10|_HOSTNAME=web-1|ident=sshd|pid=7",
		"2023-11-14T22:13:20.000002Z big.service|web-1|" + strings.Repeat("long ", 400) + "|_COMM=big|_HOSTNAME=web-1|_SYSTEMD_UNIT=big.service|ident=big",
		"2020-09-13T12:26:40.000001Z ||a\nb\uFFFD=c|_SOURCE_REALTIME_TIMESTAMP=1600000000000001",
	}
	for _, compact := range []bool{false, true} {
		for _, pack := range []byte{0, packedLZ4, packedZSTD} {
			got, faults, err := read(t, sample(t, compact, pack).b)
			if diff := cmp.Diff(want, got); diff != "" || err != nil || len(faults) > 0 {
				t.Errorf("compact %v, packed %d: %v %v (-want +got):\n%s", compact, pack, faults, err, diff)
			}
		}
	}
	got, faults, err := read(t, sample(t, true, packedXZ).b)
	if len(got) != 3 || len(faults) != 1 || err != nil {
		t.Errorf("xz: %d entries, %v, %v", len(got), faults, err)
	}
}

func TestDamage(t *testing.T) {
	w := newWriter(t, 1, false, packedZSTD)
	for i := range 200 {
		w.add(fmt.Sprintf("MESSAGE=%d %s", i, strings.Repeat("x", i)), "_HOSTNAME=h")
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		n := 256 + rnd.IntN(len(w.b)-256)
		if got, faults, err := read(t, w.b[:n]); len(got) >= 200 && n < len(w.b)-100 || err == nil && len(faults) == 0 && len(got) < 200 {
			t.Errorf("cut at %d: %d entries, %v", n, len(got), err)
		}
		b := bytes.Clone(w.b)
		b[256+rnd.IntN(len(b)-256)] ^= 1 << rnd.IntN(8)
		if got, faults, err := read(t, b); len(got) > 201 || len(got) < 190 && len(faults) == 0 && err == nil {
			t.Errorf("%d entries, %v, %v", len(got), faults, err)
		}
	}
}

func TestFollow(t *testing.T) {
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "state")
	put := func(name string, w *writer) {
		t.Helper()
		// As journald does: the same file, longer, never cut. What is new comes first, then what points to it, last the header.
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		old, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			t.Fatal(err)
		}
		old = max(old, 256)
		for _, part := range [][2]int64{{old, int64(len(w.b))}, {256, old}, {0, 256}} {
			if _, err := f.WriteAt(w.b[part[0]:part[1]], part[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	events := make(chan minewarden.Event, 1000)
	var cancel context.CancelFunc
	var done chan error
	run := func() {
		s, err := New(minewarden.Env{Log: slog.New(slog.DiscardHandler), Now: time.Now, Data: data, Decode: func(into any) error {
			into.(*Config).Dirs = []string{dir}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		done = make(chan error, 1)
		go func() { done <- s.Run(ctx, func(ev minewarden.Event) { events <- ev }) }()
	}
	stop := func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		for _, m := range want {
			select {
			case ev := <-events:
				if r, ok := ev.Data.(*minewarden.Record); !ok || r.Message != m {
					t.Fatalf("got %+v, want %s", ev.Data, m)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s did not come", m)
			}
		}
	}
	w := newWriter(t, 1, true, 0)
	w.add("MESSAGE=history")
	put("system.journal", w)
	run()
	for {
		if _, err := os.Stat(filepath.Join(data, "state.json")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.add("MESSAGE=1")
	w.add("MESSAGE=2")
	put("system.journal", w)
	expect("1", "2")
	stop()
	w.add("MESSAGE=3")
	w.b[16] = 2 // rotated
	put("system.journal", w)
	if err := os.Rename(filepath.Join(dir, "system.journal"), filepath.Join(dir, "system@1.journal")); err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(data, "state.json.new") // as a full disk: what cannot be written down is seen all the same
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	run()
	expect("3")
	next := newWriter(t, 2, true, 0)
	next.add("MESSAGE=4")
	put("system.journal", next)
	expect("4")
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := os.WriteFile(filepath.Join(data, "state.json"), nil, 0o600); err != nil { // cut off with the power
		t.Fatal(err)
	}
	run()
	late := newWriter(t, 3, true, 0)
	late.add("MESSAGE=5")
	for at := time.Now(); len(events) == 0 && time.Since(at) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		put("user-1000.journal", late) // what was there when it began is skipped
		late.add("MESSAGE=5")
	}
	stop()
	for len(events) > 0 {
		if ev := <-events; ev.Data.(*minewarden.Record).Message != "5" {
			t.Errorf("got %+v after the state was lost", ev.Data)
		}
	}
	if len(events) > 0 {
		t.Errorf("more came: %+v", <-events)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f, true, packedZSTD).b)
	f.Add(sample(f, false, packedLZ4).b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		got, _, err := read(t, b)
		if err == nil && len(got) > len(b)/64 {
			t.Errorf("%d entries from %d bytes", len(got), len(b))
		}
	})
}
