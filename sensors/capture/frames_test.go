package capture

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// packedFrame returns one compressed WebSocket message of z.
func packedFrame(t *testing.T, z *flate.Writer, out *bytes.Buffer, text string) string {
	t.Helper()
	out.Reset()
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	b := strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
	return "\xc1\x7e" + string(binary.BigEndian.AppendUint16(nil, uint16(len(b)))) + b
}

// TestCompressedFrames refers from one message to those before it, over more than the window holds.
func TestCompressedFrames(t *testing.T) {
	k := newTalk(80)
	k.say(0, "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
	k.say(1, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n")
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range 40 {
		text := `{"method":"job","params":"` + strings.Repeat(string(rune('a'+i%7))+"bcdefgh", 100+i) + `"}`
		k.say(1, packedFrame(t, z, &out, text))
		want += text
	}
	if got := said(eventsOfPackets(t, k.end().packets), false, minewarden.CarrierWebSocket); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

// TestPackedBomb holds what a compressed message may unpack to, and gives back what was held for it.
func TestPackedBomb(t *testing.T) {
	k := newTalk(80)
	k.say(0, "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
	k.say(1, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n")
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	k.say(1, packedFrame(t, z, &out, "{"+strings.Repeat(" ", 16<<20)))
	if got := said(eventsOfPackets(t, k.end().packets), false, minewarden.CarrierWebSocket); len(got) > maxBody {
		t.Errorf("%d bytes came out", len(got))
	}
}

func http2Frame(typ, flags byte, stream uint32, b string) string {
	head := []byte{0, byte(len(b) >> 8), byte(len(b)), typ, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + b
}

func TestHTTP2(t *testing.T) {
	client := prefaceHTTP2 + http2Frame(4, 0, 0, "") + http2Frame(1, 4, 1, "\x83\x86") + http2Frame(0, 9, 1, "\x03"+login+"abc") + http2Frame(0, 1, 3, "\x00binary")
	server := http2Frame(4, 0, 0, "") + http2Frame(0, 0, 1, login[:9]) + http2Frame(6, 0, 0, "12345678") + http2Frame(0, 1, 1, login[9:])
	for name, open := range map[string]func(*talk){
		"known before": func(*talk) {},
		"by upgrade": func(k *talk) {
			k.say(0, "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
			k.say(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
		},
	} {
		for _, size := range []int{1, 9, 4000} {
			k := newTalk(80)
			open(k)
			for side, b := range []string{client, server} {
				for len(b) > 0 {
					n := min(size, len(b))
					k.say(side, b[:n])
					b = b[n:]
				}
			}
			all := eventsOfPackets(t, k.end().packets)
			for _, up := range []bool{true, false} {
				if got := said(all, up, minewarden.CarrierHTTPBody); got != login {
					t.Errorf("%s, segments of %d, client %v: %q", name, size, up, got)
				}
			}
		}
	}
}

// TestLateFrame finds frames again in a capture that began late.
func TestLateFrame(t *testing.T) {
	k := newTalk(80)
	k.packets = nil
	k.say(1, "\x81\x7e"+string(binary.BigEndian.AppendUint16(nil, uint16(len(login))))+login)
	all := eventsOfPackets(t, k.packets)
	if got := said(all, false, minewarden.CarrierWebSocket); got != login {
		t.Errorf("server: %q", got)
	}
}

// TestAtOnce reads what is sent to a proxy without waiting for it.
func TestAtOnce(t *testing.T) {
	for name, tt := range map[string]struct{ client, server, target string }{
		"5":  {"\x05\x01\x00\x05\x01\x00\x03\x01a\x0d\x05" + login, "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "a:3333"},
		"4a": {"\x04\x01\x0d\x05\x00\x00\x00\x01me\x00a\x00" + login, "\x00\x5a\x00\x00\x00\x00\x00\x00", "a:3333"},
	} {
		k := newTalk(1080)
		k.say(0, tt.client)
		k.say(1, tt.server)
		all := eventsOfPackets(t, k.end().packets)
		if got := said(all, true, minewarden.CarrierSOCKS); got != login {
			t.Errorf("%s: %q", name, got)
		}
		for _, s := range only[*minewarden.Stream](all) {
			if s.Target != tt.target {
				t.Errorf("%s: target %q", name, s.Target)
			}
		}
	}
}

// TestNotWhatThePortSays reads JSON at the port of DNS, and after what looks like HTTP.
func TestNotWhatThePortSays(t *testing.T) {
	k := newTalk(53)
	k.say(0, login)
	k.say(1, login)
	all := eventsOfPackets(t, k.end().packets)
	for _, up := range []bool{true, false} {
		if got := said(all, up, minewarden.CarrierTCP); got != login {
			t.Errorf("port 53, client %v: %q", up, got)
		}
	}
	k = newTalk(80)
	k.say(0, "GET / HTTP/1.1\r\n\r\n")
	k.say(1, "HTTP/1.1 200 OK\r\n\r\n")
	k.say(0, login)
	if got := said(eventsOfPackets(t, k.end().packets), true, minewarden.CarrierTCP); got != login {
		t.Errorf("after HTTP: %q", got)
	}
}
