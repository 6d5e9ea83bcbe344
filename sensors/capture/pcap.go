package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	maxPacket     = 1 << 20 // bytes captured of one packet; Linux makes none beyond 64 KiB and headers
	maxBlock      = 16 << 20
	maxInterfaces = 4096
)

// Magic numbers, as a little-endian reader sees them.
const (
	magicMicro   = 0xa1b2c3d4
	magicNano    = 0xa1b23c4d
	magicPatched = 0xa1b2cd34 // 8 more bytes in each packet's header
	magicNG      = 0x0a0d0d0a
	byteOrderNG  = 0x1a2b3c4d
)

// Is reports whether head, the first bytes of a file, is a capture: pcap or pcapng, plain or packed by gzip or zstd.
func Is(head []byte) bool {
	head = unpackHead(head)
	if len(head) < 24 {
		return false
	}
	m := binary.LittleEndian.Uint32(head)
	if m == magicNG {
		o := binary.LittleEndian.Uint32(head[8:])
		return o == byteOrderNG || bits.ReverseBytes32(o) == byteOrderNG
	}
	return isPcap(m) || isPcap(bits.ReverseBytes32(m))
}

func isPcap(m uint32) bool { return m == magicMicro || m == magicNano || m == magicPatched }

// A frame is one captured packet. Its data is valid until the next one is read.
type frame struct {
	time int64  // nanoseconds since 1970
	data []byte // as captured
	wire int    // bytes it had
	link uint16 // LINKTYPE
}

// A frameReader reads frames until io.EOF.
type frameReader interface {
	next(f *frame) error
}

func newFrameReader(in *input, bad func(error)) (frameReader, error) {
	head, err := in.take(4)
	if err != nil {
		return nil, fmt.Errorf("read the file's head: %w", err)
	}
	m := binary.LittleEndian.Uint32(head)
	switch {
	case m == magicNG:
		g := &pcapng{in: in, bad: bad}
		return g, g.section()
	case isPcap(m):
		return newPcap(in, m, false)
	case isPcap(bits.ReverseBytes32(m)):
		return newPcap(in, bits.ReverseBytes32(m), true)
	}
	return nil, fmt.Errorf("%08x is no capture", m)
}

type pcap struct {
	in      *input
	swapped bool
	head    int   // bytes of a packet's header
	unit    int64 // nanoseconds of a unit of its fraction of a second
	link    uint16
	n       int
}

func newPcap(in *input, magic uint32, swapped bool) (*pcap, error) {
	h, err := in.take(20)
	if err != nil {
		return nil, fmt.Errorf("read the file's head: %w", err)
	}
	p := &pcap{in: in, swapped: swapped, head: 16, unit: 1000}
	switch magic {
	case magicNano:
		p.unit = 1
	case magicPatched:
		p.head = 24
	}
	p.link = uint16(p.u32(h[16:])) // the upper half tells of checksums at the end of frames
	return p, nil
}

func (p *pcap) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if p.swapped {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (p *pcap) next(f *frame) error {
	in := p.in
	if rest := in.buf[in.off:]; len(rest) >= 16 && !p.swapped && p.head == 16 {
		size, wire := binary.LittleEndian.Uint32(rest[8:]), binary.LittleEndian.Uint32(rest[12:])
		if size <= maxPacket && 16+int(size) <= len(rest) {
			p.n++
			f.time = int64(binary.LittleEndian.Uint32(rest))*1e9 + int64(binary.LittleEndian.Uint32(rest[4:]))*p.unit
			f.wire, f.link = int(max(size, min(wire, maxPacket))), p.link
			f.data = rest[16 : 16+size : 16+size]
			in.off += 16 + int(size)
			in.approach()
			return nil
		}
	}
	return p.slow(f)
}

// slow reads a packet in any byte order, and where the file has to be read on.
func (p *pcap) slow(f *frame) error {
	h, err := p.in.take(p.head)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("packet %d: read its head: %w", p.n+1, err)
	}
	p.n++
	f.time = int64(p.u32(h))*1e9 + int64(p.u32(h[4:]))*p.unit
	size, wire := p.u32(h[8:]), p.u32(h[12:])
	if size > maxPacket {
		return fmt.Errorf("packet %d claims to have %d bytes", p.n, size)
	}
	f.wire, f.link = int(max(size, min(wire, maxPacket))), p.link
	if f.data, err = p.in.take(int(size)); err != nil {
		return fmt.Errorf("packet %d: %d of %d bytes are there: %w", p.n, len(f.data), size, noEOF(err))
	}
	return nil
}

// noEOF makes the end of the file within a packet an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pcapng reads sections in either byte order with many interfaces.
type pcapng struct {
	in     *input
	bad    func(error)
	order  binary.ByteOrder
	ifaces []iface
	n      int
	last   int64
}

type iface struct {
	link    uint16
	snaplen uint32
	units   uint64 // of its clock in a second
	offset  int64  // nanoseconds
}

// section reads a section header whose type, and only that, was taken.
func (g *pcapng) section() error {
	h, err := g.in.take(8)
	if err != nil {
		return fmt.Errorf("read a section's head: %w", noEOF(err))
	}
	switch uint32(byteOrderNG) {
	case binary.LittleEndian.Uint32(h[4:]):
		g.order = binary.LittleEndian
	case binary.BigEndian.Uint32(h[4:]):
		g.order = binary.BigEndian
	default:
		return fmt.Errorf("a section has byte order %x", h[4:8])
	}
	size := g.order.Uint32(h)
	if size < 28 || size > maxBlock || size%4 != 0 {
		return fmt.Errorf("a section's head claims to have %d bytes", size)
	}
	g.ifaces = g.ifaces[:0]
	if _, err = g.in.take(int(size) - 12); err != nil {
		return fmt.Errorf("read a section's head: %w", noEOF(err))
	}
	return nil
}

func (g *pcapng) next(f *frame) error {
	for {
		t, err := g.in.take(4)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return fmt.Errorf("after packet %d: read a block's head: %w", g.n, err)
		}
		typ := g.order.Uint32(t)
		if typ == magicNG {
			if err := g.section(); err != nil {
				return err
			}
			continue
		}
		h, err := g.in.take(4)
		if err != nil {
			return fmt.Errorf("after packet %d: read a block's head: %w", g.n, noEOF(err))
		}
		size := g.order.Uint32(h)
		if size < 12 || size > maxBlock {
			return fmt.Errorf("after packet %d: a block claims to have %d bytes", g.n, size)
		}
		body, err := g.in.take(int(size+3)&^3 - 8)
		if err != nil {
			return fmt.Errorf("after packet %d: %d of %d bytes of a block are there: %w", g.n, len(body), size, noEOF(err))
		}
		body = body[:len(body)-4]
		switch typ {
		case 1:
			g.describe(body)
		case 2, 3, 6:
			g.n++
			if g.packet(typ, body, f) {
				return nil
			}
		}
	}
}

// describe reads an interface.
func (g *pcapng) describe(b []byte) {
	if len(b) < 8 || len(g.ifaces) >= maxInterfaces {
		g.bad(fmt.Errorf("after packet %d: interface %d cannot be read, or is one too many", g.n, len(g.ifaces)))
		return
	}
	i := iface{link: g.order.Uint16(b), snaplen: g.order.Uint32(b[4:]), units: 1e6}
	for o := b[8:]; len(o) >= 4; {
		code, n := g.order.Uint16(o), int(g.order.Uint16(o[2:]))
		if o = o[4:]; code == 0 || n > len(o) {
			break
		}
		switch {
		case code == 9 && n >= 1:
			i.units = unitsOf(o[0])
		case code == 14 && n >= 8:
			if s := int64(g.order.Uint64(o)); s > -1<<33 && s < 1<<33 {
				i.offset = s * 1e9
			}
		}
		o = o[min((n+3)&^3, len(o)):]
	}
	g.ifaces = append(g.ifaces, i)
}

// unitsOf reads a clock's resolution.
func unitsOf(r byte) uint64 {
	if r&0x80 != 0 {
		return 1 << min(r&0x7f, 63)
	}
	u := uint64(1)
	for range min(r, 19) {
		u *= 10
	}
	return u
}

// packet reads an enhanced, simple or old packet block; false: it is not readable and was told.
func (g *pcapng) packet(typ uint32, b []byte, f *frame) bool {
	var id int
	var size uint32
	var data []byte
	switch {
	case typ == 3 && len(b) >= 4 && len(g.ifaces) > 0:
		data, size = b[4:], g.order.Uint32(b)
		f.wire, f.time = int(min(size, maxPacket)), g.last
		if s := g.ifaces[0].snaplen; s > 0 {
			size = min(size, s)
		}
		size = min(size, uint32(len(data)))
	case typ != 3 && len(b) >= 20:
		id = int(g.order.Uint32(b))
		if typ == 2 {
			id = int(g.order.Uint16(b))
		}
		data, size = b[20:], g.order.Uint32(b[12:])
		f.wire = int(min(g.order.Uint32(b[16:]), maxPacket))
	default:
		g.bad(fmt.Errorf("packet %d is shorter than its head, or comes before any interface", g.n))
		return false
	}
	if id >= len(g.ifaces) || int64(size) > int64(len(data)) {
		g.bad(fmt.Errorf("packet %d: interface %d of %d, %d of %d bytes", g.n, id, len(g.ifaces), len(data), size))
		return false
	}
	i := &g.ifaces[id]
	if typ != 3 {
		f.time = i.time(uint64(g.order.Uint32(b[4:]))<<32 | uint64(g.order.Uint32(b[8:])))
		g.last = f.time
	}
	f.data, f.link = data[:size], i.link
	f.wire = max(f.wire, len(f.data))
	return true
}

func (i *iface) time(units uint64) int64 {
	switch i.units {
	case 1e6:
		return int64(units)*1000 + i.offset
	case 1e9:
		return int64(units) + i.offset
	}
	hi, lo := bits.Mul64(units%i.units, 1e9)
	ns, _ := bits.Div64(hi, lo, i.units)
	return int64(units/i.units)*1e9 + int64(ns) + i.offset
}
