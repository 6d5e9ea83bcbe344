package capture

import (
	"bytes"
	"strings"

	"github.com/minewarden/minewarden"
)

// httpBody takes bytes of a body; last says that it ends with them.
func (e *engine) httpBody(f *flow, c *conn, s int, b []byte, last bool) {
	w := &c.web.half[s]
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
	if len(y.packedBytes)+len(b) > maxBody || e.pending+len(b) > e.limits.pending {
		e.stats.unheld += uint64(len(b))
		y.wanted = false
		e.dropBody(w)
		return
	}
	if y.packedBytes == nil {
		y.packedBytes = e.reuse.buffer(len(b))
	}
	y.packedBytes = append(y.packedBytes, b...)
	e.pending += len(b)
	// One that comes in chunks, or lasts until the end, may be a conversation: what can be unpacked is told as it comes.
	if last || w.state != atBody && len(y.packedBytes) >= 2*y.tried {
		y.tried = len(y.packedBytes)
		y.wanted = e.tellUnpacked(f, c, s, last)
	}
	if last || !y.wanted {
		y.wanted = false
		e.dropBody(w)
	}
}

// tellUnpacked streams what came since the last time of a compressed body, and returns whether more of it is wanted.
func (e *engine) tellUnpacked(f *flow, c *conn, s int, last bool) bool {
	y := &c.web.half[s].body
	out, err := e.unpackBody(y.packed, y.packedBytes)
	if err != nil && last {
		e.stats.bad++
	}
	if len(out) <= y.told {
		return true
	}
	begin := y.told == 0
	if begin {
		if t := bytes.TrimLeft(out, " \t\r\n"); len(t) == 0 || t[0] != '{' && t[0] != '[' {
			return len(t) == 0
		}
	}
	fresh := out[y.told:]
	y.told = len(out)
	e.stream(f, c, s, fresh, y.total, false, begin, minewarden.CarrierHTTPBody)
	y.total += uint64(len(fresh))
	return len(out) < maxBody
}

// dropBody forgets what is held of a compressed body.
func (e *engine) dropBody(w *webHalf) {
	e.pending -= len(w.body.packedBytes)
	e.reuse.give(w.body.packedBytes)
	w.body.packedBytes = nil
}

// unpackBody returns at most maxBody bytes of what b unpacks to, good until the next call; an error where it is nothing.
func (e *engine) unpackBody(how byte, b []byte) ([]byte, error) {
	if e.unpacked == nil {
		e.unpacked = make([]byte, 0, 8<<10)
	}
	out, err := e.reuse.unpack(e.unpacked[:0], how, b, maxBody)
	e.unpacked = out
	return out, err
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
