package capture

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

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
	resync bool
}

// body is a message's body as far as it was streamed.
type body struct {
	seen   uint64 // bytes of this body
	total  uint64 // streamed of all bodies of this side
	wanted bool
	gap    bool
	packed byte // g: gzip, d: deflate; 0: not
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
		e.deliver(f, c, s, b)
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

// httpHead takes bytes of a head and returns what follows it.
func (e *engine) httpHead(f *flow, c *conn, s int, b []byte) []byte {
	h, w := &c.half[s], &c.web.half[s]
	head, rest := b, []byte(nil)
	had := len(h.buf)
	if had == 0 {
		for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') { // some send empty lines between messages
			b = b[1:]
		}
		head = b
	}
	if had > 0 {
		if !e.gather(h, b, maxHead+len(b)) {
			w.resync = true
			return nil
		}
		head = h.buf
	}
	end := bytes.Index(head, []byte("\r\n\r\n"))
	skip := 4
	if lf := bytes.Index(head[:min(len(head), max(end, 0)+len(head)*b2i(end < 0))], []byte("\n\n")); lf >= 0 {
		end, skip = lf, 2
	}
	if end < 0 {
		if len(head) < maxHead {
			if had == 0 && len(b) > 0 {
				w.resync = !e.gather(h, b, maxHead)
			}
			return nil
		}
		end = len(head)
		w.resync = true
	} else {
		rest = b[len(b)-(len(head)-end-skip):]
	}
	e.httpMessage(f, c, s, head[:end])
	e.drop(h)
	return rest
}

// httpMessage takes a head, without its last empty line.
func (e *engine) httpMessage(f *flow, c *conn, s int, head []byte) {
	w := &c.web.half[s]
	d := e.made.http.make()
	*d = minewarden.HTTP{Key: f.public(), Carrier: c.carriedBy(), Target: c.target, Head: e.keep(head[:min(len(head), keptHead)])}
	line, fields := cutLine(head)
	if bytes.HasPrefix(line, []byte("HTTP/1.")) && len(line) >= 12 {
		d.Response = true
		d.Status, _ = strconv.Atoi(string(line[9:12])) // 0: not a number
	} else {
		method, after, ok := bytes.Cut(line, []byte(" "))
		if !ok || !isMethod(line) {
			w.resync = true
			return
		}
		path, _, _ := bytes.Cut(after, []byte(" "))
		d.Method, d.Path = methodName(method), e.reuse.string(path[:min(len(path), maxPath)])
	}
	chunked, length := false, int64(-1)
	for len(fields) > 0 {
		line, fields = cutLine(fields)
		name, v, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		v = bytes.Trim(v, " \t")
		v = v[:min(len(v), maxField)]
		switch len(name) {
		case 4:
			if equalFold(name, "host") {
				d.Host = e.reuse.string(v)
			}
		case 6:
			if equalFold(name, "server") && d.Response {
				d.Agent = e.reuse.string(v)
			}
		case 7:
			if equalFold(name, "upgrade") {
				d.Upgrade = string(bytes.ToLower(v))
			}
		case 10:
			if equalFold(name, "user-agent") && !d.Response {
				d.Agent = e.reuse.string(v)
			}
		case 12:
			if equalFold(name, "content-type") {
				d.ContentType = e.reuse.string(v)
			}
		case 13:
			if equalFold(name, "authorization") {
				d.User = basicUser(v)
			}
		case 14:
			if equalFold(name, "content-length") {
				if n, err := strconv.ParseInt(string(v), 10, 63); err == nil && n >= 0 {
					length = n
				}
			}
		case 16:
			if equalFold(name, "content-encoding") {
				w.body.packed = encoding(v)
			}
		case 17:
			if equalFold(name, "transfer-encoding") && bytes.Contains(bytes.ToLower(v), []byte("chunked")) {
				chunked = true
			}
		}
	}
	d.Length = length
	e.emit(d)
	if w.resync {
		return
	}
	w.body.seen, w.body.gap = 0, false
	w.body.wanted = w.body.packed == 0 || maybeJSON(d.ContentType)
	e.framing(f, c, s, d, chunked, length)
	if w.state == atHead {
		w.body.packed = 0
	}
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
			if d.Upgrade == "websocket" {
				c.app, f.app = appWebSocket, appWebSocket
				c.web.half[0].frame, c.web.half[1].frame = frameState{}, frameState{}
			} else {
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

// httpBody takes bytes of a body; last says that it ends with them.
func (e *engine) httpBody(f *flow, c *conn, s int, b []byte, last bool) {
	h, w := &c.half[s], &c.web.half[s]
	y := &w.body
	if y.seen == 0 && len(b) > 0 && y.packed == 0 {
		t := bytes.TrimLeft(b, " \t\r\n")
		y.wanted = len(t) > 0 && (t[0] == '{' || t[0] == '[')
	}
	begin := y.seen == 0
	y.seen += uint64(len(b))
	if !y.wanted {
		return
	}
	if y.packed == 0 {
		if over := int64(y.seen) - maxBody; over > 0 && !c.hot {
			b = b[:max(int64(len(b))-over, 0)]
			y.wanted = false
		}
		if len(b) > 0 {
			c.hot = c.hot || miningWords(b)
			e.stream(f, c, s, b, y.total, y.gap, begin, minewarden.CarrierHTTPBody)
			y.total += uint64(len(b))
		}
		y.gap = false
		return
	}
	// A compressed body waits in buf until it is whole; a chunk's size line never waits there at the same time.
	if w.state == atChunk || w.state == atChunkSize || w.state == atTrailer {
		if y.wanted = len(b) == 0 || y.seen == uint64(len(b)) && !last; !y.wanted {
			return
		}
	}
	if !e.gather(h, b, maxBody) {
		y.wanted = false
		e.drop(h)
		return
	}
	if last || w.state == atChunk {
		out := e.unpackBody(y.packed, h.buf)
		e.drop(h)
		if t := bytes.TrimLeft(out, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
			e.stream(f, c, s, out, y.total, false, true, minewarden.CarrierHTTPBody)
			y.total += uint64(len(out))
		}
		y.wanted = w.state != atChunk
	}
}

// unpackBody returns at most maxBody bytes of what b unpacks to, good until the next call.
func (e *engine) unpackBody(how byte, b []byte) []byte {
	if e.unpacked == nil {
		e.unpacked = make([]byte, 0, 8<<10)
	}
	out, err := e.reuse.unpack(e.unpacked[:0], how, b, maxBody)
	if err != nil {
		e.stats.bad++
	}
	e.unpacked = out
	return out
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return bytes.TrimRight(b, "\r"), nil
	}
	return bytes.TrimRight(b[:i], "\r"), b[i+1:]
}

// equalFold compares with a name in lower case of the same length.
func equalFold(b []byte, name string) bool {
	for i := range b {
		x := b[i]
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		if x != name[i] {
			return false
		}
	}
	return true
}

func methodName(b []byte) string {
	for _, m := range methods {
		if string(b) == m[:len(m)-1] {
			return m[:len(m)-1]
		}
	}
	return string(b)
}

// maybeJSON says which compressed bodies are worth unpacking.
func maybeJSON(contentType string) bool {
	return contentType == "" || strings.Contains(contentType, "json") || strings.HasPrefix(contentType, "text/plain")
}

func encoding(v []byte) byte {
	switch string(bytes.ToLower(v)) {
	case "gzip", "x-gzip":
		return 'g'
	case "deflate":
		return 'd'
	case "", "identity":
		return 0
	}
	return '?'
}

// basicUser returns the user of Basic authorization.
func basicUser(v []byte) string {
	if len(v) < 6 || !equalFold(v[:6], "basic ") {
		return ""
	}
	out, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(v[6:])))
	if err != nil && len(out) == 0 {
		return ""
	}
	user, _, _ := bytes.Cut(out, []byte(":"))
	return printable(user)
}
