package capture

import (
	"time"

	"github.com/minewarden/minewarden"
)

const (
	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

const (
	maxSegments = 32       // of one side that wait for what is missing before them
	maxHeld     = 96 << 10 // bytes of these
	farAway     = 16 << 20 // a sequence number farther off is of another connection, or broken
	maxGather   = 10 * int64(time.Millisecond)
)

// conn is what is known of a TCP connection that carried payload.
type conn struct {
	half     [2]half // 0: of the client
	app      app
	carrier  string // empty: CarrierTCP
	target   string
	hot      bool // words of mining were seen
	loose    bool // what is missing is not waited for
	messages []minewarden.Message
	more     uint32
	lastSide int8 // 1 + side of the last message
	lastAt   int64
	tls      *tlsState
	web      *web
	quic     *quicState
	socks    socksState
}

// half is one side's stream.
type half struct {
	next    uint32 // the sequence number wanted
	known   bool   // next is
	gap     bool   // bytes before the next ones are missing, and nobody was told
	off     uint64 // bytes before the next one: delivered or missing
	streamd uint64 // bytes of them emitted
	held    []segment
	buf     []byte // the begin of a message that is not whole
	record  record
	lost    bool // the parser must find a new beginning
}

type segment struct {
	seq  uint32
	data []byte
}

// tcp takes a segment: h is its header without options.
func (e *engine) tcp(src, dst addr, h, b []byte, missing int) {
	sport, dport, seq, flags := be16(h), be16(h[2:]), be32(h[4:]), h[13]
	k := &e.key
	fromB := k.set(protoTCP, src, dst, sport, dport)
	f, n := e.table.find(k)
	known := f != nil
	if known {
		if flags&(tcpSYN|tcpACK|tcpRST) == tcpSYN && (f.flags&flowClosed != 0 || f.isn[f.side(fromB)] != seq) && e.mine(f, fromB) {
			e.end(f, "reused")
			e.table.remove(n)
			known = false
		}
	}
	if !known {
		switch flags & (tcpSYN | tcpACK) {
		case tcpSYN:
			f = e.open(k, fromB, true, false)
		case tcpSYN | tcpACK:
			f = e.open(k, fromB, false, false)
		default:
			f = e.open(k, fromB, likelyClient(sport, dport), true)
		}
	}
	s, fresh := e.count(f, fromB, len(b)+missing)
	if !fresh {
		return
	}
	if !known {
		e.report(f, minewarden.FlowOpen, "")
	} else if e.now-f.reported >= reportEvery && f.flags&flowClosed == 0 {
		e.report(f, minewarden.FlowUpdate, "")
	}
	if flags&tcpSYN != 0 {
		f.isn[s] = seq
		f.flags |= flowSynC << s
		seq++
	}
	if len(b)+missing > 0 && f.flags&flowClosed == 0 {
		e.segment(f, s, seq, b, missing)
	}
	if f.conn != 0 && flags&tcpACK != 0 && f.flags&flowDeaf == 0 {
		if c := e.conns[f.conn-1]; len(c.half[1-s].held) > 0 && int32(be32(h[8:])-c.half[1-s].next) > 0 {
			e.skipHole(f, c, 1-s) // the other side has got it: only the capture has not
		}
	}
	if flags&(tcpFIN|tcpRST) != 0 && f.flags&flowClosed == 0 {
		e.fin(f, s, flags)
	}
}

func (e *engine) fin(f *flow, s int, flags byte) {
	if flags&tcpFIN != 0 {
		f.flags |= flowFinC << s
	}
	both := f.flags&flowFinC != 0 && f.flags&flowFinS != 0
	if !both && flags&tcpRST == 0 {
		return
	}
	if c := e.connOf(f); c != nil && f.flags&flowDeaf == 0 {
		e.skipHole(f, c, 0)
		e.skipHole(f, c, 1)
	}
	if flags&tcpRST != 0 {
		e.end(f, "rst")
	} else {
		e.end(f, "fin")
	}
}

// mine reports whether packets of that end are taken from the interface in hand.
func (e *engine) mine(f *flow, fromB bool) bool {
	i := f.iface[b2i(fromB)]
	return e.iface == 0 || i == 0 || i == e.iface
}

// likelyClient guesses from the ports whether the sender is the client.
func likelyClient(sport, dport uint16) bool {
	const reserved, ephemeral = 1024, 32768
	switch {
	case (sport < reserved) != (dport < reserved):
		return dport < reserved
	case (sport < ephemeral) != (dport < ephemeral):
		return dport < ephemeral
	}
	return true
}

// segment takes payload with its sequence number; missing more bytes were sent than b holds.
func (e *engine) segment(f *flow, s int, seq uint32, b []byte, missing int) {
	var c *conn
	if f.conn == 0 {
		f.flags |= flowTold
		c = e.newConn(f)
		for i := range c.half {
			if f.flags&(flowSynC<<i) != 0 {
				c.half[i].next, c.half[i].known = f.isn[i]+1, true
			}
		}
	} else {
		c = e.conns[f.conn-1]
	}
	h := &c.half[s]
	if !h.known {
		h.next, h.known = seq, true
	}
	d := int32(seq - h.next)
	total := int32(len(b) + missing)
	if d > farAway || d < -farAway {
		e.unhold(h)
		h.next, h.gap, d = seq, true, 0
	}
	if d < 0 {
		if d+total <= 0 {
			return
		}
		b = b[min(int(-d), len(b)):]
		total += d
		missing = int(total) - len(b)
		d = 0
	}
	if c.app != appTLS && c.app != appHTTP {
		e.message(f, c, s, int(total))
	}
	if f.flags&flowDeaf != 0 {
		h.next += uint32(d + total)
		return
	}
	if d > 0 {
		if !c.loose && e.hold(h, seq, b) {
			return
		}
		for len(h.held) > 0 {
			e.skipHole(f, c, s)
		}
		if d = int32(seq - h.next); d > 0 {
			e.hole(f, c, h, uint64(d))
		} else if d < 0 {
			if d+total <= 0 {
				return
			}
			b = b[min(int(-d), len(b)):]
			missing = int(total+d) - len(b)
		}
	}
	e.advance(f, c, s, b)
	if missing > 0 {
		e.hole(f, c, h, uint64(missing))
	}
	if len(h.held) > 0 {
		e.follow(f, c, s)
	}
}

// advance delivers the next bytes.
func (e *engine) advance(f *flow, c *conn, s int, b []byte) {
	if len(b) == 0 {
		return
	}
	h := &c.half[s]
	h.next += uint32(len(b))
	if f.flags&flowDeaf == 0 {
		e.deliver(f, c, s, b)
	}
}

// hole passes over n bytes that are missing.
func (e *engine) hole(f *flow, c *conn, h *half, n uint64) {
	h.next += uint32(n)
	h.gap = true
	h.off += n
	if c.web != nil {
		c.web.half[b2i(h == &c.half[1])].missing(int64(n))
	}
}

// follow delivers what waited and now follows.
func (e *engine) follow(f *flow, c *conn, s int) {
	h := &c.half[s]
	for len(h.held) > 0 && int32(h.held[0].seq-h.next) <= 0 {
		g := h.held[0]
		h.held = h.held[1:]
		e.pending -= len(g.data)
		if skip := int(h.next - g.seq); skip < len(g.data) {
			e.advance(f, c, s, g.data[skip:])
		}
		e.reuse.give(g.data)
	}
	if len(h.held) == 0 {
		h.held = nil
	}
}

// skipHole gives up waiting for what is missing before the first segment that waits.
func (e *engine) skipHole(f *flow, c *conn, s int) {
	h := &c.half[s]
	if len(h.held) == 0 {
		return
	}
	if d := int32(h.held[0].seq - h.next); d > 0 {
		e.hole(f, c, h, uint64(d))
	}
	e.follow(f, c, s)
}

// hold keeps a segment until what is missing before it comes; false: there is no room.
func (e *engine) hold(h *half, seq uint32, b []byte) bool {
	size := 0
	for _, g := range h.held {
		size += len(g.data)
	}
	if len(h.held) >= maxSegments || size+len(b) > maxHeld || e.pending+len(b) > e.limits.pending {
		return false
	}
	i := len(h.held)
	for i > 0 && int32(h.held[i-1].seq-seq) > 0 {
		i--
	}
	if i > 0 && h.held[i-1].seq == seq && len(h.held[i-1].data) >= len(b) {
		return true
	}
	h.held = append(h.held, segment{})
	copy(h.held[i+1:], h.held[i:])
	h.held[i] = segment{seq, append(e.reuse.buffer(len(b)), b...)}
	e.pending += len(b)
	return true
}

// unhold forgets what a side holds.
func (e *engine) unhold(h *half) {
	for _, g := range h.held {
		e.pending -= len(g.data)
		e.reuse.give(g.data)
	}
	h.held = nil
	e.drop(h)
}

// gather appends b to what a side holds of a message; false: it would become longer than limit.
func (e *engine) gather(h *half, b []byte, limit int) bool {
	if len(h.buf)+len(b) > limit || e.pending+len(b) > e.limits.pending {
		e.stats.unheld += uint64(len(b))
		return false
	}
	if h.buf == nil {
		h.buf = e.reuse.buffer(len(b))
	}
	h.buf = append(h.buf, b...)
	e.pending += len(b)
	return true
}

// drop forgets what was gathered.
func (e *engine) drop(h *half) {
	e.pending -= len(h.buf)
	e.reuse.give(h.buf)
	h.buf = nil
}

// message notes that a side sent n bytes.
func (e *engine) message(f *flow, c *conn, s, n int) {
	if c.lastSide == int8(s+1) && e.now-c.lastAt < maxGather && c.app != appTLS {
		c.lastAt = e.now
		if len(c.messages) > 0 && c.more == 0 {
			c.messages[len(c.messages)-1].Size += uint32(n)
		}
		return
	}
	c.lastSide, c.lastAt = int8(s+1), e.now
	if len(c.messages) >= minewarden.MaxMessages || e.messages >= e.limits.messages {
		c.more++
		return
	}
	e.messages++
	if len(c.messages) == cap(c.messages) {
		c.messages = e.reuse.room(c.messages)
	}
	c.messages = append(c.messages, minewarden.Message{At: time.Duration(e.now - f.start), FromClient: s == 0, Size: uint32(n)})
}
