package capture

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/minewarden/minewarden"
)

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
	if len(head) > 0 && head[0] == '{' { // a conversation that only begins as HTTP
		c.app, f.app = appJSON, appJSON
		return head
	}
	if had > 0 {
		if !e.gather(h, b, maxHead+len(b)) {
			w.resync = true
			return nil
		}
		head = h.buf
	}
	end, skip := headEnd(head)
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
	w.body.packed = 0
	chunked, length := false, int64(-1)
	for len(fields) > 0 {
		line, fields = cutLine(fields)
		name := fieldName(line)
		if name == nil {
			continue
		}
		v := bytes.Trim(line[len(name)+1:], " \t")
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
	e.dropBody(w)
	w.body.seen, w.body.gap, w.body.tried, w.body.told = 0, false, 0, 0
	w.body.wanted = w.body.packed == 0 || maybeJSON(d.ContentType)
	e.framing(f, c, s, d, chunked, length)
	if w.state == atHead {
		w.body.packed = 0
	}
}

// headEnd returns where a head ends, at its first empty line, and how long the line ends are there; -1: it goes on.
func headEnd(b []byte) (end, skip int) {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1, 0
		}
		i += n
		switch rest := b[i+1:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i, 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' && i > 0 && b[i-1] == '\r':
			return i - 1, 4
		}
	}
}

// fieldName returns the name of a line that may be one of the fields that are read; nil for any other.
func fieldName(line []byte) []byte {
	if len(line) == 0 {
		return nil
	}
	switch line[0] | 0x20 {
	case 'a', 'c', 'h', 's', 't', 'u':
		const longest = len("transfer-encoding:")
		if i := bytes.IndexByte(line[:min(len(line), longest)], ':'); i > 0 {
			return line[:i]
		}
	}
	return nil
}

func cutLine(b []byte) (line, rest []byte) {
	line = b
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		line, rest = b[:i], b[i+1:]
	}
	for len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	return line, rest
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
