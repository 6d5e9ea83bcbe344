package capture

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// gzipped packs parts, each of which can be unpacked before the next one comes.
func gzipped(t *testing.T, parts ...string) (whole []byte, ends []int) {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	for _, p := range parts {
		if _, err := io.WriteString(z, p); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, out.Len())
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), ends
}

func TestCompressedBodyInChunks(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
	want := login + strings.Repeat(login, 40)
	whole, ends := gzipped(t, login, strings.Repeat(login, 40))
	for name, cuts := range map[string][]int{"by messages": ends, "anyhow": {1, 9, 11, 30, len(whole) - 1}, "at once": nil, "by bytes": nil} {
		t.Run(name, func(t *testing.T) {
			if name == "by bytes" {
				for i := range len(whole) - 1 {
					cuts = append(cuts, i+1)
				}
			}
			k := newTalk(8080)
			k.say(0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			k.say(1, head)
			from := 0
			for _, to := range append(cuts, len(whole)) {
				k.say(1, fmt.Sprintf("%x\r\n%s\r\n", to-from, whole[from:to]))
				from = to
			}
			k.say(1, "0\r\n\r\n"+"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
			all := eventsOfPackets(t, k.end().packets)
			if got := said(all, false, minewarden.CarrierHTTPBody); got != want+"{}" {
				t.Errorf("%d bytes %.60q, want %d", len(got), got, len(want)+2)
			}
		})
	}
	t.Run("that never ends", func(t *testing.T) {
		k := newTalk(8080)
		k.say(0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		k.say(1, head+fmt.Sprintf("%x\r\n%s\r\n", ends[0], whole[:ends[0]]))
		if got := said(eventsOfPackets(t, k.packets), false, minewarden.CarrierHTTPBody); got != login {
			t.Errorf("%q, want what was sent so far", got)
		}
	})
}

// TestBombs unpacks what is a thousand times as long as it looks.
func TestBombs(t *testing.T) {
	bomb, _ := gzipped(t, `{"a":"`+strings.Repeat("0", 8<<20)+`"}`)
	if len(bomb) > maxBody {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for _, framing := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(bomb), bomb), fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(bomb), bomb)} {
		k := newTalk(8080)
		k.say(0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		k.say(1, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"+framing)
		if got := said(eventsOfPackets(t, k.end().packets), false, minewarden.CarrierHTTPBody); len(got) == 0 || len(got) > maxBody {
			t.Errorf("%d bytes came out, want at most %d", len(got), maxBody)
		}
	}
	file := &limited{r: zeros{}, packed: &counter{n: 1 << 10}}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, file, make([]byte, 16<<20))
	if err == nil || n > bombFloor+maxRatio<<10+32<<20 {
		t.Errorf("%d bytes of a bomb are read: %v", n, err)
	}
}

// zeros is what a bomb unpacks to. It claims to fill the buffer, whose bytes are zero already.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestSnaplenZero(t *testing.T) {
	k := newTalk(3333)
	k.say(0, login)
	packets := append(k.end().packets, packet{k.now, nil})
	for name, file := range map[string][]byte{
		"pcap":   pcapOf(binary.LittleEndian, magicMicro, linkEthernet, packets),
		"pcapng": ngOf(binary.LittleEndian, linkEthernet, packets),
	} {
		if name == "pcap" {
			clear(file[16:20])
		}
		all, bad, err := eventsOf(t, file)
		if err != nil || len(bad) != 1 || !strings.Contains(bad[0].Error(), "1 of") {
			t.Errorf("%s: error %v, bad %v, want the empty packet", name, err, bad)
		}
		if got := said(all, true, minewarden.CarrierTCP); got != login {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestMillionsHalfOpen holds the memory under a flood of SYN, each of a flow of its own.
func TestMillionsHalfOpen(t *testing.T) {
	l := defaultLimits()
	l.flows, l.reuse = 1<<16, true
	ended := 0
	e := newEngine(func(ev minewarden.Event) {
		if f, ok := ev.Data.(*minewarden.Flow); ok && f.State == minewarden.FlowEnd {
			ended++
		}
	}, l)
	p := eth(typeIP4, ip4(protoTCP, "172.16.0.0", "10.0.0.3", tcpSegment(1024, 80, 1, 0, tcpSYN, "")))
	const flood = 2_000_000
	var before, after runtime.MemStats
	for i := range flood {
		if i == flood/4 {
			runtime.ReadMemStats(&before)
		}
		binary.BigEndian.PutUint32(p[28:], uint32(i))
		e.frame(&frame{time: t0 + int64(i)*1000, data: p, wire: len(p), link: linkEthernet})
	}
	runtime.ReadMemStats(&after)
	if e.table.used > l.flows || int(e.table.made) > l.flows+chunk || len(e.conns) > 0 || ended != flood-e.table.used {
		t.Errorf("%d flows in room for %d, %d connections, %d ended", e.table.used, e.table.made, len(e.conns), ended)
	}
	if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20 {
		t.Errorf("%d MiB were made after the table was full", made>>20)
	}
}

// TestNamespacesComeAndGo follows one that a program makes and leaves.
func TestNamespacesComeAndGo(t *testing.T) {
	sensortest.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cfg := Default()
	cfg.Namespaces, cfg.BufferMiB = true, 2
	first, err := openRing(cfg, 2, 0)
	sensortest.Need(t, err)
	l := &live{cfg: cfg, env: minewarden.Env{Log: slog.New(slog.DiscardHandler)}, rings: []*ring{first}, skips: map[uint64]bool{}}
	defer func() {
		for _, r := range l.rings {
			if err := r.close(); err != nil {
				t.Error(err)
			}
		}
	}()
	cmd := exec.CommandContext(ctx, "unshare", "-n", "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	own, err := ownNamespace()
	if err != nil {
		t.Fatal(err)
	}
	inode := own
	for inode == own {
		if inode, err = inodeOf(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}
	rings := func() (n int) {
		for _, r := range l.rings {
			if r.netns == inode {
				n++
			}
		}
		return n
	}
	for range 2 {
		if l.followNamespaces(); rings() != 1 {
			t.Errorf("%d rings in a namespace that came", rings())
		}
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if l.followNamespaces(); rings() != 0 || l.rings[0] != first {
		t.Errorf("%d rings in a namespace that went", rings())
	}
}
