package packets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/internal/sensortest"
)

var quiet = slog.New(slog.DiscardHandler)

const noon = int64(1_800_000_000) * int64(time.Second)

// packet is one of TCP from its network header on, inside of what is given.
func packet(t testing.TB, from, to, text string, around ...gopacket.SerializableLayer) []byte {
	t.Helper()
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	tcp := &layers.TCP{SrcPort: layers.TCPPort(a.Port()), DstPort: layers.TCPPort(b.Port()), ACK: true}
	var ip gopacket.SerializableLayer
	if a.Addr().Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: a.Addr().AsSlice(), DstIP: b.Addr().AsSlice()}
		ip = v4
		if err := tcp.SetNetworkLayerForChecksum(v4); err != nil {
			t.Fatal(err)
		}
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: a.Addr().AsSlice(), DstIP: b.Addr().AsSlice()}
		ip = v6
		if err := tcp.SetNetworkLayerForChecksum(v6); err != nil {
			t.Fatal(err)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	all := append(around, ip, tcp, gopacket.Payload(text))
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func selected(t *testing.T, dir string, since time.Time, flows ...Flow) (texts []string, err error) {
	t.Helper()
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, fault := Select(t.Context(), &out, files, flows, since)
	if n == 0 {
		return nil, fault
	}
	r, err := pcapgo.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return texts, fault
		}
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b[bytes.LastIndexByte(b, 0)+1:]))
	}
}

func flow(a, b string) Flow { return Flow{netip.MustParseAddrPort(a), netip.MustParseAddrPort(b)} }

func TestSelect(t *testing.T) {
	const ip4, ip6, vlan = 0x0800, 0x86dd, 0x8100
	dir := filepath.Join(t.TempDir(), "made", "later")
	w := New(dir, 8<<20, quiet)
	w.Add(noon-1, ip4, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", "old"), 0)
	w.Add(noon, ip4, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", "there"), 0)
	w.Add(noon+1, ip4, packet(t, "10.0.0.2:3333", "10.0.0.1:40000", "back"), 9000)
	w.Add(noon+2, ip4, packet(t, "10.0.0.1:40001", "10.0.0.2:3333", "another port"), 0)
	w.Add(noon+3, ip6, packet(t, "[2001:db8::1]:40000", "[2001:db8::2]:3333", "six"), 0)
	w.Add(noon+4, vlan, packet(t, "10.0.0.3:40000", "10.0.0.2:3333", "tagged", &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4})[0:], 0)
	w.Add(noon+5, ip4, packet(t, "10.0.0.4:40000", "10.0.0.2:3333", "tunnelled",
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolIPv4, SrcIP: []byte{192, 0, 2, 1}, DstIP: []byte{192, 0, 2, 2}}), 0)
	w.Add(noon+6, ip4, []byte("no packet"), 0)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := w.Lost(); n != 0 {
		t.Errorf("%d are lost", n)
	}
	since := time.Unix(0, noon)
	for _, tt := range []struct {
		flow Flow
		want string
	}{
		{flow("10.0.0.1:40000", "10.0.0.2:3333"), "[there back]"},
		{flow("10.0.0.2:3333", "[::ffff:10.0.0.1]:40000"), "[there back]"},
		{flow("[2001:db8::2]:3333", "[2001:db8::1]:40000"), "[six]"},
		{flow("10.0.0.3:40000", "10.0.0.2:3333"), "[tagged]"},
		{flow("10.0.0.4:40000", "10.0.0.2:3333"), "[tunnelled]"},
		{flow("10.0.0.9:40000", "10.0.0.2:3333"), "[]"},
	} {
		if got, err := selected(t, dir, since, tt.flow); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%v: %v %v, want %s", tt.flow, got, err, tt.want)
		}
	}
}

// TestDamage: a file that ends within a packet gives what is before, and only the last one may.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		w := New(dir, 8<<20, quiet)
		w.Add(noon, 0x0800, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", "whole"), 0)
		w.Add(noon, 0x0800, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", "cut"), 0)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Files(dir)
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	cut := func(path string) {
		fi, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, fi.Size()-2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f := flow("10.0.0.1:40000", "10.0.0.2:3333")
	cut(files[1])
	if got, err := selected(t, dir, time.Time{}, f); err != nil || len(got) != 3 {
		t.Errorf("%v %v", got, err)
	}
	cut(files[0])
	if got, err := selected(t, dir, time.Time{}, f); err == nil || len(got) != 2 {
		t.Errorf("%v %v, want the whole ones and an error", got, err)
	}
}

// TestBound: the oldest go when there are more than are kept, also those of a run before.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	const most = 1 << 20
	text := strings.Repeat("x", 1000)
	for run := range 4 {
		w := New(dir, most, quiet)
		for i := range 1000 {
			w.Add(noon+int64(run*1000+i), 0x0800, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", text), 0)
			if i%50 == 49 {
				w.Flush()
				for len(w.queue) > 0 { // until the disk has taken it
					time.Sleep(time.Millisecond)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n := w.Lost(); n != 0 {
			t.Errorf("%d are lost", n)
		}
		files, err := Files(dir)
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, path := range files {
			fi, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			size += fi.Size()
		}
		if size > most || size < most/2 || len(files) < segments/2 {
			t.Errorf("run %d: %d bytes in %d files, at most %d", run, size, len(files), most)
		}
	}
	got, err := selected(t, dir, time.Unix(0, noon+3999), flow("10.0.0.1:40000", "10.0.0.2:3333"))
	if err != nil || len(got) != 1 {
		t.Errorf("the last packet is not there: %v %v", got, err)
	}
}

// TestFullDisk: the last tenth of a file system stays free, what is not kept is counted, and keeping goes on when there is room.
func TestFullDisk(t *testing.T) {
	sensortest.Root(t)
	dir := t.TempDir()
	sensortest.Need(t, unix.Mount("none", dir, "tmpfs", 0, "size=2m"))
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	fill := filepath.Join(dir, "others")
	if err := os.WriteFile(fill, make([]byte, 1700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := New(dir, 64<<20, quiet)
	text := strings.Repeat("x", 1400)
	for range 100 {
		w.Add(noon, 0x0800, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", text), 0)
	}
	w.Flush()
	for deadline := time.Now().Add(10 * time.Second); w.lost.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		w.Add(noon, 0x0800, packet(t, "10.0.0.1:40000", "10.0.0.2:3333", text), 0)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := selected(t, dir, time.Time{}, flow("10.0.0.1:40000", "10.0.0.2:3333"))
	if n := w.Lost(); err != nil || n != 100 || len(got) != 10 {
		t.Errorf("%d are lost and %d kept: %v; want 100 and 10", n, len(got), err)
	}
}

func FuzzSelect(f *testing.F) {
	dir := f.TempDir()
	w := New(dir, 8<<20, quiet)
	w.Add(noon, 0x0800, packet(f, "10.0.0.1:40000", "10.0.0.2:3333", "text"), 0)
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	files, err := Files(dir)
	if err != nil || len(files) != 1 {
		f.Fatal(files, err)
	}
	seed, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.pcap")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		n, err := Select(context.Background(), &out, []string{path}, []Flow{flow("10.0.0.1:40000", "10.0.0.2:3333")}, time.Time{})
		if n == 0 && out.Len() > 0 {
			t.Errorf("%d bytes for no packet: %v", out.Len(), err)
		}
	})
}
