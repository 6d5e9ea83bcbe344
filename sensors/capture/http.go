package capture

import (
	"bytes"
	"strconv"

	"github.com/minewarden/minewarden"
)

const (
	maxHead      = 16 << 10 // of one message until its empty line
	keptHead     = 8 << 10
	maxPath      = 2 << 10
	maxField     = 512
	maxWaiting   = 64 // requests without their response
	maxBody      = 64 << 10
	maxChunkLine = 128
)

// Where a side is within its messages.
const (
	atHead = iota
	atBody
	atChunkSize
	atChunk
	atChunkEnd
	atTrailer
	atRest // the body lasts until the connection ends
)

// web is the state of HTTP/1 and WebSocket.
type web struct {
	half    [2]webHalf
	waiting []byte // first letters of the methods of requests without their response
	upgrade bool   // to WebSocket was asked
}

type webHalf struct {
	state  uint8
	left   int64 // of the body or the chunk
	body   body
	frame  frameState
	framed framed
	resync bool
}

// body is a message's body as far as it was streamed.
type body struct {
	seen   uint64 // bytes of this body
	total  uint64 // streamed of all bodies of this side
	wanted bool
	gap    bool
	packed byte // g: gzip, d: deflate; 0: not
	// Of a compressed one: the bytes so far, how many there were when they were unpacked last, and how many came out and were told.
	packedBytes []byte
	tried, told int
}

// missing passes over n bytes that are missing.
func (w *webHalf) missing(n int64) {
	switch {
	case (w.state == atBody || w.state == atChunk) && n < w.left:
		w.left -= n
		w.body.gap = true
		if w.body.packed != 0 {
			w.body.wanted = false
		}
	case w.state == atRest:
		w.body.gap = true
	default:
		w.resync = true
	}
}

// http takes bytes of one side.
func (e *engine) http(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if c.web == nil {
		c.web = e.reuse.web()
	}
	w := &c.web.half[s]
	if w.resync {
		e.drop(h)
		if !isMethod(b) && !bytes.HasPrefix(b, []byte("HTTP/1.")) {
			return
		}
		e.dropBody(w)
		*w = webHalf{body: body{total: w.body.total}}
	}
	for len(b) > 0 && c.app == appHTTP {
		switch w.state {
		case atHead:
			b = e.httpHead(f, c, s, b)
		case atBody, atChunk:
			n := int(min(int64(len(b)), w.left))
			w.left -= int64(n)
			e.httpBody(f, c, s, b[:n], w.left == 0 && w.state == atBody)
			if b = b[n:]; w.left == 0 {
				w.state++ // to atChunkSize or atChunkEnd
				if w.state == atChunkSize {
					w.state = atHead
				}
			}
		case atRest:
			e.httpBody(f, c, s, b, false)
			b = nil
		default:
			b = e.chunkLine(f, c, s, b)
		}
	}
	if len(b) > 0 { // after a CONNECT or an upgrade
		off := h.off
		e.deliver(f, c, s, b)
		h.off = off // whoever called counts them
	}
}

// chunkLine takes the size of a chunk, the end of one, or a line after the last.
func (e *engine) chunkLine(f *flow, c *conn, s int, b []byte) []byte {
	h, w := &c.half[s], &c.web.half[s]
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if !e.gather(h, b, maxChunkLine) {
			w.resync = true
		}
		return nil
	}
	line := b[:i]
	if len(h.buf) > 0 {
		if !e.gather(h, line, maxChunkLine) {
			w.resync = true
			return nil
		}
		line = h.buf
	}
	line = bytes.TrimRight(line, "\r")
	switch w.state {
	case atChunkEnd:
		w.state = atChunkSize
	case atTrailer:
		if len(line) == 0 {
			w.state = atHead
		}
	case atChunkSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 63)
		switch {
		case err != nil || n < 0:
			w.resync = true
			b = b[:i+1]
		case n == 0:
			w.state = atTrailer
			e.drop(h)
			e.httpBody(f, c, s, nil, true)
		default:
			w.state, w.left = atChunk, n
		}
	}
	e.drop(h)
	return b[i+1:]
}

// framing decides how long the body is that follows.
func (e *engine) framing(f *flow, c *conn, s int, d *minewarden.HTTP, chunked bool, length int64) {
	w := &c.web.half[s]
	if !d.Response {
		if len(c.web.waiting) < maxWaiting {
			c.web.waiting = append(c.web.waiting, d.Method[0])
			if d.Method == "CONNECT" {
				c.web.waiting[len(c.web.waiting)-1] = 'c'
				c.target = normalName([]byte(d.Path))
			}
		}
		c.web.upgrade = d.Upgrade == "websocket"
		if !chunked && length < 0 {
			length = 0
		}
	} else {
		var asked byte
		if q := c.web.waiting; len(q) > 0 && (d.Status >= 200 || d.Status == 101) {
			asked = q[0]
			c.web.waiting = append(q[:0], q[1:]...)
		}
		switch {
		case d.Status == 101:
			switch d.Upgrade {
			case "websocket":
				c.app, f.app = appWebSocket, appWebSocket
				c.web.half[0].frame, c.web.half[1].frame = frameState{}, frameState{}
			case "h2c":
				c.app, f.app = appHTTP2, appHTTP2
			default:
				f.flags |= flowDeaf
			}
			return
		case asked == 'c' && d.Status/100 == 2:
			c.carrier = minewarden.CarrierConnect
			e.drop(&c.half[s])
			e.inner(f, c)
			return
		case d.Status/100 == 1, d.Status == 204, d.Status == 304, asked == 'H':
			length, chunked = 0, false
		case asked == 'c':
			c.target = ""
		}
	}
	switch {
	case chunked:
		w.state = atChunkSize
	case length == 0:
		w.state = atHead
	case length > 0:
		w.state, w.left = atBody, length
	default:
		w.state = atRest
	}
}
