package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/packets"
)

// TestKeep listens to two conversations: a login that comes in two segments, and something else.
func TestKeep(t *testing.T) {
	const login, rest, other = `{"id":1,"method":"lo`, `gin","params":{"login":"x"}}` + "\n", "something else"
	for _, tt := range []struct{ keep, mining, other string }{
		{keepMining, login + rest, ""},
		{keepBegin, login + rest, other},
		{keepOff, "", ""},
	} {
		t.Run(tt.keep, func(t *testing.T) {
			inNamespace(t, func() error {
				cfg := Default()
				cfg.Loopback, cfg.BufferMiB, cfg.Keep = true, 2, tt.keep
				dir := t.TempDir()
				s := &sensor{cfg: cfg, env: minewarden.Env{Now: time.Now, Log: slog.New(slog.DiscardHandler), Data: dir}}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				var flows []packets.Flow
				var once sync.Once
				said := make(chan error, 1)
				s.env.Now = func() time.Time { // on the sensor's thread, once the ring is open
					once.Do(func() {
						f1, err1 := say(ln, login, rest)
						f2, err2 := say(ln, other)
						flows = []packets.Flow{f1, f2}
						said <- errors.Join(err1, err2)
					})
					return time.Now()
				}
				ends := 0
				err = s.Run(ctx, func(ev minewarden.Event) {
					if d, ok := ev.Data.(*minewarden.Flow); ok && d.State == minewarden.FlowEnd {
						if ends++; ends == 2 {
							cancel()
						}
					}
				})
				if err := errors.Join(err, <-said, ln.Close()); err != nil {
					return err
				}
				files, err := packets.Files(dir)
				if err != nil {
					return err
				}
				for i, want := range []string{tt.mining, tt.other} {
					var out bytes.Buffer
					n, err := packets.Select(t.Context(), &out, files, flows[i:i+1], time.Time{})
					if err != nil {
						return err
					}
					got := out.String()
					// SYN, SYN with ACK, ACK, then a segment for each text.
					if want == "" && n > 0 || want != "" && n < 4 {
						return fmt.Errorf("conversation %d: %d packets are kept", i, n)
					}
					for _, part := range []string{login, rest, other} {
						if has := strings.Contains(got, part); has != strings.Contains(want, part) {
							return fmt.Errorf("conversation %d: %q is kept: %v", i, part, has)
						}
					}
				}
				return nil
			})
		})
	}
}

// say makes a connection, writes each text as a segment of its own, and ends it.
func say(ln net.Listener, texts ...string) (packets.Flow, error) {
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return packets.Flow{}, err
	}
	f := packets.Flow{A: c.LocalAddr().(*net.TCPAddr).AddrPort(), B: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
	peer, err := ln.Accept()
	if err != nil {
		return f, errors.Join(err, c.Close())
	}
	for _, text := range texts {
		if _, err := io.WriteString(c, text); err != nil {
			return f, err
		}
		if _, err := io.ReadFull(peer, make([]byte, len(text))); err != nil {
			return f, err
		}
	}
	return f, errors.Join(c.Close(), peer.Close())
}

// TestKeepBounds: a conversation that says much is kept in part, and each packet of it costs no memory.
func TestKeepBounds(t *testing.T) {
	dir := t.TempDir()
	k := &keeper{out: packets.New(dir, 8<<20, slog.New(slog.DiscardHandler))}
	e := newEngine(func(minewarden.Event) {}, defaultLimits())
	client, server := addr{0, v4Prefix | 1}, addr{0, v4Prefix | 2}
	e.key.set(protoTCP, client, server, 40000, 3333)
	e.now = 1
	f := e.open(&e.key, false, true, false)
	f.flags |= flowKept
	data := make([]byte, 1000)
	for f.bytes[0] < 2*keptBytes {
		e.now++
		f.last = e.now
		f.bytes[0] += uint64(len(data))
		k.packet(e, typeIP4, data, 0)
		k.out.Flush()
	}
	if allocs := testing.AllocsPerRun(10, func() { e.now++; f.last = e.now; k.packet(e, typeIP4, data, 0) }); allocs != 0 {
		t.Errorf("%v allocations for a packet that is not kept", allocs)
	}
	if err := k.out.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := packets.Files(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	kept := int64(k.out.Lost()) * 1032
	for _, path := range files {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		kept += fi.Size()
	}
	if kept < keptBytes || kept > keptBytes*11/10 {
		t.Errorf("%d bytes are kept of %d", kept, f.bytes[0])
	}
}
