package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/minewarden/minewarden"
)

// Frames and captures that tests are made of.

const t0 = int64(1_750_000_000_123_456_000)

func tcpSegment(sport, dport uint16, seq, ack uint32, flags byte, payload string) []byte {
	b := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = 5<<4, flags
	return append(b, payload...)
}

func udpDatagram(sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

func ip4(proto byte, src, dst string, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return append(b, payload...)
}

func ip6(next byte, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[8], b[23], b[24], b[39] = 0xfd, 1, 0xfd, 2
	return append(b, payload...)
}

func eth(typ uint16, payload []byte) []byte {
	return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, byte(typ >> 8), byte(typ)}, payload...)
}

// dnsQuery asks for pool.example, type A.
func dnsQuery() []byte {
	return []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04Pool\x07example\x00\x00\x01\x00\x01")
}

// packet is a frame with its time.
type packet struct {
	at   int64
	data []byte
}

// talk makes the packets of one TCP connection.
type talk struct {
	packets []packet
	seq     [2]uint32
	now     int64
	port    uint16
}

func newTalk(port uint16) *talk {
	k := &talk{seq: [2]uint32{0xfffffff0, 1000}, now: t0, port: port} // the client's numbers wrap soon
	k.raw(0, tcpSYN, k.seq[0], "")
	k.seq[0]++
	k.raw(1, tcpSYN|tcpACK, k.seq[1], "")
	k.seq[1]++
	return k
}

func (k *talk) raw(side int, flags byte, seq uint32, payload string) {
	k.now += 20e6
	src, dst, sport, dport := "10.0.0.2", "10.0.0.3", uint16(40000), k.port
	if side == 1 {
		src, dst, sport, dport = dst, src, dport, sport
	}
	ack := k.seq[1-side]
	k.packets = append(k.packets, packet{k.now, eth(typeIP4, ip4(protoTCP, src, dst, tcpSegment(sport, dport, seq, ack, flags, payload)))})
}

// say sends payload in segments of at most 1,400 bytes.
func (k *talk) say(side int, payload string) {
	for len(payload) > 0 {
		n := min(len(payload), 1400)
		k.raw(side, tcpACK, k.seq[side], payload[:n])
		k.seq[side] += uint32(n)
		payload = payload[n:]
	}
}

func (k *talk) end() *talk {
	k.raw(0, tcpFIN|tcpACK, k.seq[0], "")
	k.raw(1, tcpFIN|tcpACK, k.seq[1], "")
	return k
}

// pcapOf makes a classic capture.
func pcapOf(order binary.ByteOrder, magic uint32, link uint32, packets []packet) []byte {
	u32 := func(v uint32) []byte { b := make([]byte, 4); order.PutUint32(b, v); return b }
	var out []byte
	out = append(out, u32(magic)...)
	out = append(out, make([]byte, 12)...)
	out = append(append(out, u32(65535)...), u32(link)...)
	unit := int64(1000)
	if magic == magicNano {
		unit = 1
	}
	for _, p := range packets {
		out = append(append(out, u32(uint32(p.at/1e9))...), u32(uint32(p.at%1e9/unit))...)
		out = append(append(out, u32(uint32(len(p.data)))...), u32(uint32(len(p.data)))...)
		out = append(out, p.data...)
	}
	return out
}

// ngOf makes a pcapng capture whose clock counts nanoseconds.
func ngOf(order binary.AppendByteOrder, link uint16, packets []packet) []byte {
	block := func(typ uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b := order.AppendUint32(nil, typ)
		b = order.AppendUint32(b, uint32(len(body)+12))
		return order.AppendUint32(append(b, body...), uint32(len(body)+12))
	}
	out := block(magicNG, append(order.AppendUint32(nil, byteOrderNG), 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
	desc := order.AppendUint16(nil, link)
	desc = append(desc, 0, 0, 0, 0, 0, 0)
	desc = order.AppendUint16(order.AppendUint16(desc, 9), 1)
	out = append(out, block(1, append(desc, 9, 0, 0, 0, 0, 0, 0, 0))...)
	for _, p := range packets {
		body := order.AppendUint32(nil, 0)
		body = order.AppendUint32(order.AppendUint32(body, uint32(p.at>>32)), uint32(p.at))
		body = order.AppendUint32(order.AppendUint32(body, uint32(len(p.data))), uint32(len(p.data)))
		out = append(out, block(6, append(body, p.data...))...)
	}
	return out
}

// eventsOf reads a capture in memory and returns what it emits. It holds the engine to its accounts.
func eventsOf(t testing.TB, file []byte) (all []minewarden.Data, bad []error, err error) {
	t.Helper()
	in := &input{buf: file}
	err = read(context.Background(), in, func(err error) { bad = append(bad, err) }, func(ev minewarden.Event) {
		switch d := ev.Data.(type) {
		case *minewarden.Stream:
			c := *d
			c.Data = bytes.Clone(d.Data)
			all = append(all, &c)
		case *minewarden.Flow:
			c := *d
			c.Messages = slices.Clone(d.Messages)
			all = append(all, &c)
		case *minewarden.HTTP:
			c := *d
			c.Head = bytes.Clone(d.Head)
			all = append(all, &c)
		case *minewarden.DNS:
			c := *d
			c.Addrs, c.Names = slices.Clone(d.Addrs), slices.Clone(d.Names)
			all = append(all, &c)
		default:
			all = append(all, d)
		}
	})
	return all, bad, err
}

func eventsOfPackets(t testing.TB, packets []packet) []minewarden.Data {
	t.Helper()
	all, bad, err := eventsOf(t, pcapOf(binary.LittleEndian, magicMicro, linkEthernet, packets))
	if err != nil || len(bad) > 0 {
		t.Fatalf("error %v, bad %v", err, bad)
	}
	return all
}

// only returns the events of one type.
func only[T minewarden.Data](all []minewarden.Data) []T {
	var out []T
	for _, d := range all {
		if x, ok := d.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

// said joins what a side said through a carrier, with [gap] where bytes are missing.
func said(all []minewarden.Data, client bool, carrier string) string {
	out := ""
	for _, s := range only[*minewarden.Stream](all) {
		if s.FromClient == client && s.Carrier == carrier {
			if s.Gap {
				out += "[gap]"
			}
			out += string(s.Data)
		}
	}
	return out
}
