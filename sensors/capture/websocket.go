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
}

// frames takes WebSocket frames of one side.
func (e *engine) frames(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if c.web == nil {
		c.web = &web{}
	}
	w := &c.web.half[s].frame
	if h.gap || h.lost {
		h.lost = true // the begin of a frame cannot be found again
		return
	}
	for len(b) > 0 {
		if w.body {
			n := int(min(uint64(len(b)), w.left))
			e.framePart(f, c, s, b[:n])
			w.left -= uint64(n)
			b = b[n:]
			w.body = w.left > 0
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
	if op == 1 || op == 2 {
		w.begin, w.text = true, b[0]&0x40 == 0 // not compressed
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
