package capture

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

// limits bound the memory of an engine.
type limits struct {
	flows    int
	messages int  // of all flows
	pending  int  // bytes of all flows that wait for what is missing before them, or for the rest of a message
	own      bool // what is emitted must not share memory with the packet
	reuse    bool // what is emitted is not looked at after emit returned, but for strings
}

func defaultLimits() limits {
	return limits{flows: 1 << 20, messages: 4 << 20, pending: 64 << 20}
}

const (
	second      = int64(time.Second)
	reportEvery = 60 * second
	// How long a flow may be silent before it is taken to have ended.
	idleHalfOpen = 60 * second
	idleUDP      = 180 * second
	idleTCP      = 3600 * second
	idleClosed   = 15 * second
	// sweepParts is in how many steps, of about a second each, the whole table is looked at.
	sweepParts = 32
	// sweepEvery is how many packets, less one, pass at least between two steps: captures put together jump about in time.
	sweepEvery = 1<<13 - 1
)

// An engine turns packets into events. It is driven from one goroutine.
type engine struct {
	emitTo minewarden.Emit
	limits limits
	keeper *keeper // nil: no packets are kept
	now    int64   // of the packet in hand
	key    key     // of it
	iface  uint16  // where it came from, live; 0: not known
	table  table
	frags  frags
	conns  []*conn
	spare  []uint32 // indexes of conns that no flow uses
	stats  stats

	messages int // held by all flows
	pending  int // bytes held by all flows

	sweepTick int64
	sweepAt   uint32
	made      makers
	reuse     reuse
	addrs     []netip.Addr // of the message in hand
	names     []string
	unpacked  []byte
	scratch   []byte
	rare      rareLinks
	certs     certCache
}

type stats struct {
	packets     uint64
	bad         uint64 // headers that cannot be read
	other       uint64 // neither TCP nor UDP
	fragments   uint64
	strange     uint64 // of an unknown link type
	strangeLink uint16
	evicted     uint64
	unheld      uint64 // bytes that could not wait, for pending was reached
}

func newEngine(emit minewarden.Emit, l limits) *engine {
	e := &engine{emitTo: emit, limits: l, table: newTable(), scratch: make([]byte, 0, 64<<10)}
	e.made.flow.reuse, e.made.stream.reuse, e.made.http.reuse, e.made.dns.reuse = l.reuse, l.reuse, l.reuse, l.reuse
	return e
}

func (e *engine) emit(d minewarden.Data) {
	e.emitTo(minewarden.Event{Time: time.Unix(0, e.now).UTC(), Data: d})
}

// keep returns b as it may be emitted.
func (e *engine) keep(b []byte) []byte {
	if e.limits.own {
		return bytes.Clone(b)
	}
	return b
}

// frame takes one packet of a file.
func (e *engine) frame(f *frame) {
	e.begin(f.time)
	if f.link != linkEthernet || !e.common(f.data) {
		e.link(f.link, f.data, f.wire-len(f.data))
	}
}

// begin tells the time of the next packet, and forgets flows that are silent for long, some at a time.
func (e *engine) begin(now int64) {
	e.now = now
	e.stats.packets++
	if tick := now >> 30; tick != e.sweepTick && e.stats.packets&sweepEvery == 0 {
		e.sweepTick = tick
		e.sweep()
	}
}

func (e *engine) sweep() {
	for range e.table.made/sweepParts + 1 {
		if e.sweepAt >= e.table.made {
			e.sweepAt = 0
			if e.table.made == 0 {
				return
			}
		}
		n := e.sweepAt
		e.sweepAt++
		f := e.table.at(n)
		if f.flags&flowUsed == 0 {
			continue
		}
		limit := idleTCP
		switch {
		case f.flags&flowClosed != 0:
			limit = idleClosed
		case f.flags&flowAnswered == 0:
			limit = idleHalfOpen
		case f.key.proto() == protoUDP:
			limit = idleUDP
		}
		if e.now-f.last > limit {
			e.end(f, "idle")
			e.table.remove(n)
		}
	}
}

// finish reports the flows that are still open.
func (e *engine) finish() {
	for n := range e.table.made {
		f := e.table.at(n)
		if f.flags&flowUsed != 0 && f.flags&flowClosed == 0 {
			if c := e.connOf(f); c != nil {
				e.skipHole(f, c, 0)
				e.skipHole(f, c, 1)
			}
			e.end(f, "stop")
		}
	}
}

// open makes a flow for a packet of an unknown conversation.
func (e *engine) open(k *key, fromB, senderIsClient, joined bool) *flow {
	if e.table.used >= e.limits.flows {
		n := e.table.victim(e.now)
		e.end(e.table.at(n), "evicted")
		e.table.remove(n)
		e.stats.evicted++
	}
	f := e.table.at(e.table.add(k))
	if fromB == senderIsClient {
		f.flags |= flowFromB
	}
	if joined {
		f.flags |= flowJoined
	}
	f.start, f.reported, f.last = e.now, e.now, e.now
	return f
}

// count adds a packet to its flow. It returns which side sent, and false when the packet is another sight of one seen elsewhere.
func (e *engine) count(f *flow, fromB bool, n int) (int, bool) {
	if e.iface != 0 {
		end := &f.iface[b2i(fromB)]
		if *end == 0 {
			*end = e.iface
		} else if *end != e.iface {
			return 0, false
		}
	}
	s := f.side(fromB)
	f.packets[s]++
	f.bytes[s] += uint64(n)
	f.last = e.now
	if f.packets[1-s] > 0 {
		f.flags |= flowAnswered
	}
	return s, true
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// report emits a Flow event.
func (e *engine) report(f *flow, state, ended string) {
	d := e.made.flow.make()
	*d = minewarden.Flow{
		Key: f.public(), State: state, Ended: ended,
		Start: time.Unix(0, f.start).UTC(), Last: time.Unix(0, f.last).UTC(),
		Joined: f.flags&flowJoined != 0, App: f.app.String(),
		ClientPackets: uint64(f.packets[0]), ServerPackets: uint64(f.packets[1]),
		ClientBytes: f.bytes[0], ServerBytes: f.bytes[1],
	}
	f.reported = e.now
	if c := e.connOf(f); c != nil && len(c.messages)+int(c.more) > 0 {
		d.Messages, d.More = c.messages, c.more
		if !e.limits.reuse {
			d.Messages = slices.Clone(c.messages)
		}
		e.messages -= len(c.messages)
		c.messages, c.more = c.messages[:0], 0
	}
	e.emit(d)
}

// end reports that a flow ended and gives back what it held.
func (e *engine) end(f *flow, why string) {
	if f.flags&flowClosed != 0 {
		return
	}
	e.report(f, minewarden.FlowEnd, why)
	f.flags |= flowClosed | flowDeaf
	if f.conn != 0 {
		e.release(f)
	}
}

func (e *engine) connOf(f *flow) *conn {
	if f.conn == 0 {
		return nil
	}
	return e.conns[f.conn-1]
}

func (e *engine) newConn(f *flow) *conn {
	if i := len(e.spare); i > 0 {
		f.conn = e.spare[i-1]
		e.spare = e.spare[:i-1]
		return e.conns[f.conn-1]
	}
	e.conns = append(e.conns, e.made.conn.make())
	f.conn = uint32(len(e.conns))
	return e.conns[f.conn-1]
}

func (e *engine) release(f *flow) {
	c := e.conns[f.conn-1]
	for s := range c.half {
		e.unhold(&c.half[s])
	}
	e.messages -= len(c.messages)
	kept := c.messages[:0]
	if cap(kept) > keptMessages {
		e.reuse.giveList(kept)
		kept = nil
	}
	if c.web != nil {
		for s := range c.web.half {
			e.dropBody(&c.web.half[s])
			e.dropFrames(&c.web.half[s].frame)
		}
		e.reuse.giveWeb(c.web)
	}
	*c = conn{messages: kept}
	e.spare = append(e.spare, f.conn)
	f.conn = 0
}

// udp takes a datagram.
func (e *engine) udp(src, dst addr, sport, dport uint16, b []byte, missing int) {
	k := &e.key
	fromB := k.set(protoUDP, src, dst, sport, dport)
	f, _ := e.table.find(k)
	known := f != nil
	if !known {
		f = e.open(k, fromB, sport >= 1024 || dport < 1024 && dport <= sport, false)
	}
	s, fresh := e.count(f, fromB, len(b)+missing)
	if !fresh {
		return
	}
	if !known {
		f.app = udpApp(sport, dport)
		e.report(f, minewarden.FlowOpen, "")
	} else if e.now-f.reported >= reportEvery {
		e.report(f, minewarden.FlowUpdate, "")
	}
	switch {
	case f.app == appDNS:
		e.dns(f, b, protoUDP)
	case f.flags&flowDeaf == 0 && len(b) > 0:
		e.quic(f, s, b)
	}
}

func udpApp(a, b uint16) app {
	for _, p := range [...]uint16{53, 5353, 5355} {
		if a == p || b == p {
			return appDNS
		}
	}
	return appNone
}

// makers make events and connections many at once.
type makers struct {
	flow   slab[minewarden.Flow]
	stream slab[minewarden.Stream]
	dns    slab[minewarden.DNS]
	tls    slab[minewarden.TLS]
	http   slab[minewarden.HTTP]
	conn   slab[conn]
}

const (
	slabLen      = 64
	keptMessages = 16 // room for messages that a connection passes on to the next one
)

type slab[T any] struct {
	free  []T
	reuse bool
	one   T
}

// make returns a value that is to be set as a whole.
func (s *slab[T]) make() *T {
	if s.reuse {
		return &s.one
	}
	if len(s.free) == 0 {
		s.free = make([]T, slabLen)
	}
	p := &s.free[0]
	s.free = s.free[1:]
	return p
}
