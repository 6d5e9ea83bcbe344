package capture

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// settled fails the test when the accounts of an engine do not add up after its end.
func settled(t *testing.T, e *engine) {
	t.Helper()
	if e.pending != 0 || e.messages != 0 {
		t.Errorf("after the end %d bytes and %d messages are still held", e.pending, e.messages)
	}
}

// check holds an event to what the vocabulary promises.
func check(t *testing.T, d minewarden.Data) {
	t.Helper()
	switch d := d.(type) {
	case *minewarden.Stream:
		if len(d.Data) == 0 || len(d.Data) > streamEvent || d.Carrier == "" {
			t.Errorf("stream of %d bytes in %q", len(d.Data), d.Carrier)
		}
	case *minewarden.DNS:
		if len(d.Name) > 4*maxNameLen || len(d.Addrs) > maxAddrs || len(d.Names) > maxTargets {
			t.Errorf("DNS beyond its bounds: %d bytes, %d addresses, %d names", len(d.Name), len(d.Addrs), len(d.Names))
		}
	case *minewarden.Flow:
		if len(d.Messages) > minewarden.MaxMessages {
			t.Errorf("%d messages", len(d.Messages))
		}
	case *minewarden.HTTP:
		if len(d.Head) > keptHead || len(d.Path) > maxPath {
			t.Errorf("head of %d, path of %d bytes", len(d.Head), len(d.Path))
		}
	}
}

func FuzzRead(f *testing.F) {
	k := newTalk(80)
	k.say(0, "POST / HTTP/1.1\r\nContent-Length: 59\r\n\r\n"+login)
	k.say(1, login)
	f.Add(pcapOf(binary.LittleEndian, magicMicro, linkEthernet, k.end().packets))
	f.Add(pcapOf(binary.BigEndian, magicNano, linkEthernet, k.packets[:4]))
	f.Add(ngOf(binary.LittleEndian, linkEthernet, k.packets))
	f.Add(ngOf(binary.BigEndian, linkSLL, k.packets[:3]))
	f.Add(pcapOf(binary.LittleEndian, magicMicro, 127, k.packets[:3]))
	f.Fuzz(func(t *testing.T, file []byte) {
		all, _, err := eventsOf(t, file)
		if err != nil && err.Error() == "" {
			t.Error("an error says nothing")
		}
		for _, d := range all {
			check(t, d)
		}
	})
}

// FuzzPacket walks one packet of any link type, and then the same cut short.
func FuzzPacket(f *testing.F) {
	inner := ip4(protoUDP, "10.0.0.2", "10.0.0.53", udpDatagram(5000, 53, dnsQuery()))
	f.Add(uint16(linkEthernet), eth(typeIP4, inner))
	f.Add(uint16(linkEthernet), eth(typeIP4, ip4(47, "192.0.2.1", "192.0.2.2", append([]byte{0x20, 0, 8, 0, 0, 0, 0, 1}, inner...))))
	f.Add(uint16(linkEthernet), eth(typeIP4, ip4(protoUDP, "192.0.2.1", "192.0.2.2", udpDatagram(9, portGTPU, append([]byte{0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0}, inner...)))))
	f.Add(uint16(linkEthernet), eth(typeIP6, ip6(44, append([]byte{protoUDP, 0, 0, 1, 0, 0, 0, 9}, inner[20:36]...))))
	f.Add(uint16(linkNFLOG), append([]byte{2, 0, 0, 0, byte(4 + len(inner)), 0, 9, 0}, inner...))
	f.Add(uint16(linkSLL2), append([]byte{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}, inner...))
	f.Fuzz(func(t *testing.T, link uint16, b []byte) {
		e := newEngine(func(ev minewarden.Event) { check(t, ev.Data) }, defaultLimits())
		for n := len(b); n > 0; n /= 2 {
			e.frame(&frame{time: t0, data: b[:n:n], wire: len(b), link: link})
		}
		e.finish()
		settled(t, e)
	})
}

// FuzzTalk lets two sides say anything, in segments of which some are lost and some come late.
func FuzzTalk(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"), uint64(0), uint8(200))
	f.Add([]byte("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x85\x01\x02\x03\x04hello"), []byte("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n\x81\x02{}"), uint64(0x10), uint8(7))
	f.Add([]byte("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), []byte("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n\xc1\x05\xab\xae\x05\x00\x00\xc1\x02\x02\x00"), uint64(0), uint8(7))
	f.Add([]byte(prefaceHTTP2+http2Frame(4, 0, 0, "")+http2Frame(0, 9, 1, "\x03{}abc")), []byte(http2Frame(0, 0, 1, "{")+http2Frame(0, 1, 1, "}")), uint64(0), uint8(9))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x50{\"id\":1}"), []byte("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00{}"), uint64(3), uint8(3))
	f.Add([]byte("CONNECT a:1 HTTP/1.1\r\n\r\n"+login), []byte("HTTP/1.1 200 OK\r\n\r\n"+login), uint64(0), uint8(255))
	f.Add([]byte("\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03"+string(make([]byte, 40))), []byte("\x16\x03\x03\x00\x04\x02\x00\x00\x00\x17\x03\x03\x00\x01a"), uint64(1), uint8(20))
	f.Add([]byte("\x00\x1e"+string(dnsQuery())), []byte("SSH-2.0-x\r\n"), uint64(0), uint8(9))
	f.Fuzz(func(t *testing.T, client, server []byte, fate uint64, size uint8) {
		n := int(size) + 1
		k := newTalk(53)
		for len(client)+len(server) > 0 && len(k.packets) < 2000 {
			for side, b := range [...]*[]byte{&client, &server} {
				m := min(n, len(*b))
				if m == 0 {
					continue
				}
				k.raw(side, tcpACK, k.seq[side], string((*b)[:m]))
				k.seq[side] += uint32(m)
				*b = (*b)[m:]
			}
		}
		e := newEngine(func(ev minewarden.Event) { check(t, ev.Data) }, defaultLimits())
		put := func(p packet) {
			e.frame(&frame{time: p.at, data: p.data, wire: len(p.data), link: linkEthernet})
		}
		var late []packet
		for i, p := range k.end().packets {
			switch fate >> (2 * i & 63) & 3 {
			case 1:
				late = append(late, p)
				continue
			case 2:
				if i > 3 {
					continue
				}
			}
			put(p)
			for ; len(late) > 0 && i%3 == 0; late = late[1:] {
				put(late[0])
			}
		}
		e.now += int64(time.Second)
		e.finish()
		settled(t, e)
	})
}

func FuzzDNS(f *testing.F) {
	f.Add(dnsQuery())
	f.Add([]byte("\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x09\x00\x04\x01b\xc0\x0c\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\x7f\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newEngine(func(ev minewarden.Event) { check(t, ev.Data) }, defaultLimits())
		e.dns(&flow{}, b, protoUDP)
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte("\x03\x03" + string(make([]byte, 33)) + "\x00\x02\x13\x01\x01\x00\x00\x09\x00\x00\x00\x05\x00\x03\x00\x00\x01a"))
	f.Add([]byte("\x30\x82\x00\x10\x30\x0e\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x00\x30\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newEngine(func(ev minewarden.Event) { check(t, ev.Data) }, defaultLimits())
		var h hello
		if h.parse(b) {
			if n := len(e.ja3(&h)); n != 32 {
				t.Errorf("JA3 of %d characters", n)
			}
			if n := len(e.ja4(&h, 't')); n != 36 {
				t.Errorf("JA4 of %d characters", n)
			}
		}
		if c := parseCertificate(b); len(c.Subject) > maxSubject || len(c.Names) > maxCertNames {
			t.Errorf("certificate beyond its bounds: %d, %d", len(c.Subject), len(c.Names))
		}
		q := &quicState{}
		q.crypto(b)
		if hello := q.hello(); hello != nil {
			h.parse(hello)
		}
		e.initial(q, saltV1, false, append([]byte{0xc0, 0, 0, 0, 1}, b...))
	})
}
