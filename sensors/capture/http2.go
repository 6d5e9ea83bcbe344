package capture

import (
	"bytes"

	"github.com/minewarden/minewarden"
)

const (
	prefaceHTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headHTTP2    = 9
	dataHTTP2    = 0 // the type of frames that carry bodies
	paddedHTTP2  = 0x08
)

// framed is where a side is within its HTTP/2 frames.
type framed struct {
	head    [headHTTP2]byte
	n       uint8  // bytes of head
	preface uint8  // bytes of the client's preface so far
	left    uint32 // of the payload
	padding uint32 // of it, at its end
	pad     bool   // the next byte says how long the padding is
	data    bool
	begin   bool   // the next byte begins a body
	text    bool   // the body is wanted
	stream  uint32 // the last one that began
	off     uint64
}

// http2 takes HTTP/2 in the clear. Heads are passed over: what is in them is packed with what came before. Bodies that begin as
// JSON are streamed; where those of two streams alternate, what one says can be cut by the other.
func (e *engine) http2(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if c.web == nil {
		c.web = e.reuse.web()
	}
	w := &c.web.half[s].framed
	if h.gap || h.lost {
		h.lost = true // the begin of a frame cannot be found again
		return
	}
	if !c.hot && h.off > deafAfter*streamJSON {
		f.flags |= flowDeaf
		return
	}
	for s == 0 && w.preface < uint8(len(prefaceHTTP2)) && len(b) > 0 {
		if b[0] != prefaceHTTP2[w.preface] {
			h.lost = true
			return
		}
		w.preface++
		b = b[1:]
	}
	for len(b) > 0 {
		if w.left == 0 {
			k := copy(w.head[w.n:], b)
			w.n += uint8(k)
			if b = b[k:]; w.n == headHTTP2 {
				w.start()
			}
			continue
		}
		if w.pad {
			w.padding, w.pad = uint32(b[0]), false
			w.left--
			if b = b[1:]; w.padding > w.left {
				h.lost = true
				return
			}
			continue
		}
		n := int(min(uint64(len(b)), uint64(w.left)))
		if over := int64(w.left) - int64(w.padding); w.data && over > 0 {
			e.dataPart(f, c, s, b[:min(int64(n), over)])
		}
		w.left -= uint32(n)
		b = b[n:]
	}
}

// start takes a whole head.
func (w *framed) start() {
	w.n = 0
	w.left = uint32(w.head[0])<<16 | uint32(w.head[1])<<8 | uint32(w.head[2])
	flags, stream := w.head[4], be32(w.head[5:])&(1<<31-1)
	w.data, w.padding = w.head[3] == dataHTTP2, 0
	w.pad = flags&paddedHTTP2 != 0 && w.left > 0 && w.data
	if w.data && stream > w.stream {
		w.stream, w.begin = stream, true
	}
}

// dataPart takes bytes of a body.
func (e *engine) dataPart(f *flow, c *conn, s int, b []byte) {
	w := &c.web.half[s].framed
	if w.begin {
		t := bytes.TrimLeft(b, " \t\r\n")
		w.text = len(t) > 0 && (t[0] == '{' || t[0] == '[')
	}
	begin := w.begin
	w.begin = false
	if !w.text || w.off > streamJSON && !c.hot {
		return
	}
	c.hot = c.hot || miningWords(b)
	e.stream(f, c, s, b, w.off, false, begin, minewarden.CarrierHTTPBody)
	w.off += uint64(len(b))
}
