package capture

import (
	"bytes"
	"encoding/binary"

	"github.com/minewarden/minewarden"
)

// frameState is where a side is within its WebSocket frames.
type frameState struct {
	head  [14]byte
	n     uint8
	body  bool
	begin bool // the next byte begins a message
	text  bool // the message is wanted
	data  bool // the frame is no control frame
	left  uint64
	mask  [4]byte
	at    uint8 // position in the mask
	off   uint64
	// Of compressed messages: the one so far, and the end of what those before unpacked to, which the next may refer to.
	packed, whole bool
	gathered      []byte
	window        []byte
}

// webWindow is how far back a compressed message can refer.
const webWindow = 32 << 10

// isFrame says that b begins with a WebSocket frame of JSON, for a capture that began late.
func isFrame(b []byte) bool {
	if len(b) < 8 || b[0] != 0x81 && b[0] != 0x82 || b[1]&0x7f < 2 {
		return false
	}
	n := headLen(b)
	if len(b) < n+2 {
		return false
	}
	first, second := b[n], b[n+1]
	if b[1]&0x80 != 0 {
		first, second = first^b[n-4], second^b[n-3]
	}
	return first == '{' && (second == '"' || second == ' ')
}

// frames takes WebSocket frames of one side.
func (e *engine) frames(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if c.web == nil {
		c.web = e.reuse.web()
	}
	w := &c.web.half[s].frame
	if h.gap || h.lost {
		h.lost = true // the begin of a frame cannot be found again
		return
	}
	for len(b) > 0 && !h.lost {
		if w.body {
			n := int(min(uint64(len(b)), w.left))
			e.framePart(f, c, s, b[:n])
			w.left -= uint64(n)
			b = b[n:]
			if w.body = w.left > 0; !w.body {
				e.frameEnd(f, c, s)
			}
			continue
		}
		need := headLen(w.head[:w.n])
		k := copy(w.head[w.n:need], b)
		w.n += uint8(k)
		if b = b[k:]; int(w.n) < need || headLen(w.head[:w.n]) > need {
			continue
		}
		if !w.start() {
			h.lost = true
			return
		}
		if !w.body {
			e.frameEnd(f, c, s)
		}
	}
}

// headLen is how long the head of a frame is that begins with b.
func headLen(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	n := 2
	switch b[1] & 0x7f {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// start takes a whole head.
func (w *frameState) start() bool {
	b := w.head[:w.n]
	w.n = 0
	op := b[0] & 15
	w.left = uint64(b[1] & 0x7f)
	rest := b[2:]
	switch w.left {
	case 126:
		w.left, rest = uint64(be16(rest)), rest[2:]
	case 127:
		w.left, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	if w.left > 1<<40 || op > 2 && op < 8 || op > 10 {
		return false
	}
	w.mask, w.at = [4]byte{}, 0
	copy(w.mask[:], rest)
	w.data = op < 8
	if w.data {
		w.whole = b[0]&0x80 != 0
	}
	if op == 1 || op == 2 {
		w.begin, w.text, w.packed = true, true, b[0]&0x40 != 0
	}
	w.body = w.left > 0
	return true
}

// framePart takes bytes of a frame's payload.
func (e *engine) framePart(f *flow, c *conn, s int, b []byte) {
	w := &c.web.half[s].frame
	if !w.data || !w.text {
		return
	}
	if w.off > streamJSON && !c.hot {
		return
	}
	out := append(e.scratch[:0], b...)
	for i := range out {
		out[i] ^= w.mask[(int(w.at)+i)&3]
	}
	w.at = uint8((int(w.at) + len(b)) & 3)
	if w.packed {
		if len(w.gathered)+len(out) > maxBody || e.pending+len(out) > e.limits.pending {
			e.stats.unheld += uint64(len(out))
			c.half[s].lost = true // what follows may refer to it
			e.dropFrames(w)
			return
		}
		if w.gathered == nil {
			w.gathered = e.reuse.buffer(len(out))
		}
		w.gathered = append(w.gathered, out...)
		e.pending += len(out)
		return
	}
	e.frameText(f, c, s, out)
}

// frameText takes bytes of a message as they were said.
func (e *engine) frameText(f *flow, c *conn, s int, out []byte) {
	w := &c.web.half[s].frame
	if w.begin {
		t := bytes.TrimLeft(out, " \t\r\n")
		if w.text = len(t) > 0 && (t[0] == '{' || t[0] == '['); !w.text {
			return
		}
	}
	c.hot = c.hot || miningWords(out)
	if !e.limits.own {
		out = bytes.Clone(out)
	}
	e.stream(f, c, s, out, w.off, false, w.begin, minewarden.CarrierWebSocket)
	w.off += uint64(len(out))
	w.begin = false
}

// frameEnd unpacks a compressed message when its last frame has ended.
func (e *engine) frameEnd(f *flow, c *conn, s int) {
	w := &c.web.half[s].frame
	if !w.packed || !w.data || !w.whole {
		return
	}
	out, err := e.reuse.inflate(e.unpacked[:0], w.gathered, w.window, maxBody)
	e.unpacked = out
	e.pending -= len(w.gathered)
	w.gathered = w.gathered[:0]
	w.packed = false
	if err != nil || len(out) >= maxBody || e.pending+webWindow > e.limits.pending {
		e.stats.bad += uint64(b2i(err != nil))
		c.half[s].lost = true
		e.dropFrames(w)
		return
	}
	e.pending -= len(w.window)
	keep := max(len(w.window)+len(out)-webWindow, 0)
	if keep >= len(w.window) {
		w.window = append(w.window[:0], out[max(len(out)-webWindow, 0):]...)
	} else {
		w.window = append(w.window[:copy(w.window, w.window[keep:])], out...)
	}
	e.pending += len(w.window)
	if len(out) > 0 {
		e.frameText(f, c, s, out)
	}
}

// dropFrames forgets what is held of compressed messages.
func (e *engine) dropFrames(w *frameState) {
	e.pending -= len(w.gathered) + len(w.window)
	w.gathered, w.window = nil, nil
}
