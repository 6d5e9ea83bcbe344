package capture

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"

	"github.com/minewarden/minewarden"
)

const (
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	recordHeartbeat = 24

	maxRecord    = 1<<14 + 2048
	maxHandshake = 64 << 10 // of one side until its hello, or its certificate, is whole
)

// record is where a side is within the records of TLS.
type record struct {
	head [5]byte
	n    uint8 // bytes of head
	typ  uint8
	left int32 // bytes of the body still to come
}

type tlsState struct {
	sni       string
	alpn      []string
	ja3, ja4  string
	client    bool // the hello was seen
	server    bool // the answer was told
	answered  *minewarden.TLS
	plainDone [2]bool // no more of a side's handshake can be read
}

// isRecord reports whether b, of at least 5 bytes, can be the head of a record.
func isRecord(b []byte) bool {
	n := int(be16(b[3:]))
	return b[0] >= recordCCS && b[0] <= recordHeartbeat && b[1] == 3 && b[2] <= 4 && n <= maxRecord && (n > 0 || b[0] == recordData)
}

// records walks records, and notes the size of those that hold data.
func (e *engine) records(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	r := &h.record
	if c.tls == nil {
		c.tls = &tlsState{}
	}
	if h.gap {
		h.lost = true
		c.tls.plainDone[s] = true
		e.drop(h)
	}
	if h.lost { // a record often begins with a segment
		if len(b) < 5 || !isRecord(b) {
			return
		}
		h.lost = false
		*r = record{}
	}
	for len(b) > 0 {
		if r.left > 0 {
			n := min(int(r.left), len(b))
			if r.typ == recordHandshake && !c.tls.plainDone[s] {
				if len(h.buf) == 0 && n == int(r.left) {
					e.handshakeIn(f, c, s, b[:n])
				} else if !e.gather(h, b[:n], maxHandshake) {
					c.tls.plainDone[s] = true
					e.drop(h)
				} else {
					e.handshakeIn(f, c, s, h.buf)
				}
			}
			r.left -= int32(n)
			b = b[n:]
			continue
		}
		n := copy(r.head[r.n:], b)
		r.n += uint8(n)
		if b = b[n:]; r.n < 5 {
			return
		}
		r.n = 0
		if !isRecord(r.head[:]) {
			h.lost = true
			return
		}
		r.typ, r.left = r.head[0], int32(be16(r.head[3:]))
		switch r.typ {
		case recordData:
			e.message(f, c, s, int(r.left))
			e.opaque(f, c, s)
		case recordCCS:
			e.opaque(f, c, s)
		}
	}
}

// opaque takes note that what a side sends from now on is encrypted.
func (e *engine) opaque(f *flow, c *conn, s int) {
	t := c.tls
	if t.plainDone[s] {
		return
	}
	t.plainDone[s] = true
	e.drop(&c.half[s])
	if t.answered != nil && !t.server {
		e.answer(c, nil)
	}
	if t.plainDone[1-s] {
		c.loose = true
	}
}

// handshakeIn takes the whole messages out of b, which is what was gathered, or a record in place; then what is left of it is
// gathered.
func (e *engine) handshakeIn(f *flow, c *conn, s int, b []byte) {
	h, t := &c.half[s], c.tls
	all, done := b, 0
	for len(b) >= 4 && !t.plainDone[s] {
		n := 4 + int(b[1])<<16 + int(be16(b[2:]))
		if n > maxHandshake || b[0] > 24 {
			t.plainDone[s] = true
			break
		}
		if len(b) < n {
			break
		}
		switch b[0] {
		case 1:
			if !t.client {
				e.clientHello(f, c, b[4:n])
			}
		case 2:
			e.serverHello(f, c, b[4:n])
		case 11:
			if t.answered != nil && !t.server {
				e.answer(c, e.certificate(b[4:n]))
			}
		case 14: // server hello done
			if t.answered != nil && !t.server {
				e.answer(c, nil)
			}
		}
		done += n
		b = b[n:]
		if told := t.server && s == 1 || t.client && s == 0; told && f.flags&flowJoined == 0 {
			t.plainDone[s] = true
		}
	}
	switch {
	case t.plainDone[s]:
		e.drop(h)
		c.loose = t.plainDone[1-s]
	case len(h.buf) == 0:
		if len(all) > done && !e.gather(h, all[done:], maxHandshake) {
			t.plainDone[s] = true
		}
	case done > 0:
		e.pending -= done
		h.buf = append(h.buf[:0], h.buf[done:]...)
	}
}

func (e *engine) clientHello(f *flow, c *conn, b []byte) {
	var hello hello
	if !hello.parse(b) {
		e.stats.bad++
		return
	}
	t := c.tls
	t.client = true
	t.sni, t.alpn = hello.sni, hello.alpn
	t.ja3, t.ja4 = e.ja3(&hello), e.ja4(&hello, 't')
	d := e.made.tls.make()
	*d = minewarden.TLS{
		Key: f.public(), Carrier: c.carriedBy(), Target: c.target, Version: versionName(hello.version),
		SNI: t.sni, ALPN: t.alpn, JA3: t.ja3, JA4: t.ja4,
	}
	e.emit(d)
}

func (e *engine) serverHello(f *flow, c *conn, b []byte) {
	t := c.tls
	if t.answered != nil {
		return
	}
	if len(b) < 38 || len(b) < 38+int(b[34]) {
		e.stats.bad++
		return
	}
	version := be16(b)
	b = b[35+int(b[34]):]
	cipher := be16(b)
	ja := strconv.AppendUint(e.scratch[:0], uint64(version), 10)
	ja = append(ja, ',')
	ja = strconv.AppendUint(ja, uint64(cipher), 10)
	ja = append(ja, ',')
	var alpn []string
	first := true
	if len(b) >= 5 {
		extensions(b[3:], func(typ uint16, v []byte) {
			if !first {
				ja = append(ja, '-')
			}
			first = false
			ja = strconv.AppendUint(ja, uint64(typ), 10)
			switch {
			case typ == 43 && len(v) == 2:
				version = be16(v)
			case typ == 16:
				alpn = alpnList(v)
			}
		})
	}
	sum := md5.Sum(ja)
	t.answered = e.made.tls.make()
	*t.answered = minewarden.TLS{
		Key: f.public(), Carrier: c.carriedBy(), Target: c.target, Server: true, Version: versionName(version),
		SNI: t.sni, ALPN: alpn, JA3: t.ja3, JA4: t.ja4, JA3S: hex.EncodeToString(sum[:]), Cipher: cipher,
	}
	if version >= 0x0304 {
		e.answer(c, nil)
	}
}

// answer tells of the server's answer.
func (e *engine) answer(c *conn, cert *minewarden.Certificate) {
	t := c.tls
	t.server = true
	t.answered.Cert = cert
	e.emit(t.answered)
	t.answered = nil
}

// certificate reads the first of a chain.
func (e *engine) certificate(b []byte) *minewarden.Certificate {
	if len(b) < 6 {
		return nil
	}
	n := int(b[3])<<16 | int(be16(b[4:]))
	if n > len(b)-6 || n == 0 {
		return nil
	}
	return e.certs.get(b[6 : 6+n])
}

func versionName(v uint16) string {
	switch v {
	case 0x0300:
		return "ssl3"
	case 0x0301:
		return "1.0"
	case 0x0302:
		return "1.1"
	case 0x0303:
		return "1.2"
	case 0x0304:
		return "1.3"
	}
	if v>>8 == 0x7f { // a draft of 1.3
		return "1.3"
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}
