package capture

import (
	"bytes"

	"github.com/minewarden/minewarden"
)

// app is what the bytes of a flow are.
type app uint8

const (
	appNone app = iota
	appTLS
	appQUIC
	appHTTP
	appWebSocket
	appSSH
	appDNS
	appSOCKS
	appJSON
	appText
	appBinary // not known; as text, but less of it is streamed
	appHTTP2
)

var appNames = [...]string{"", "tls", "quic", "http", "websocket", "ssh", "dns", "socks", "json", "text", "", "http2"}

// String returns the name in Flow.App.
func (a app) String() string { return appNames[a] }

// How much of each direction is streamed, in bytes. JSON in which words of mining were seen is streamed wholly.
const (
	streamBinary = 512
	streamText   = 4 << 10
	streamJSON   = 64 << 10
	streamEvent  = 64 << 10 // in one event
	deafAfter    = 4        // times these: when one side has sent that much nobody listens to the other any more
)

const (
	sniffLen = 8 // bytes that tell any protocol
	maxSniff = 16 << 10
	maxLine  = 255
)

// deliver hands the next bytes of a side to the parser of what the flow is.
func (e *engine) deliver(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	switch c.app {
	case appNone:
		e.sniff(f, c, s, b)
		return // it counts by itself
	case appTLS:
		e.records(f, c, s, b)
	case appHTTP:
		e.http(f, c, s, b)
	case appWebSocket:
		e.frames(f, c, s, b)
	case appSSH:
		e.ssh(f, c, s, b)
	case appDNS:
		e.dnsStream(f, c, s, b)
	case appSOCKS:
		e.socks(f, c, s, b)
	case appHTTP2:
		e.http2(f, c, s, b)
	default:
		e.plain(f, c, s, b)
	}
	h.off += uint64(len(b))
	h.gap = false
}

// sniff tells from the first bytes of either side what a flow is, and delivers them.
func (e *engine) sniff(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	all := b
	if len(h.buf) > 0 {
		if !e.gather(h, b, maxSniff) {
			e.drop(h)
			c.app = appBinary
			e.deliver(f, c, s, b)
			return
		}
		all = h.buf
	}
	a, sure := identify(all, s == 0 || f.flags&flowJoined != 0, f.key.pa() == 53 || f.key.pb() == 53, f.flags&flowJoined != 0 && h.off == 0)
	if !sure && len(all) < sniffLen && len(c.half[1-s].buf) == 0 {
		if len(h.buf) > 0 || e.gather(h, b, maxSniff) {
			return
		}
	}
	c.app = a
	if c.carrier == "" || a != appNone {
		f.app = a
	}
	c.loose = a == appTLS && f.flags&flowJoined != 0
	// What the other side said first, and was too short to tell anything, comes first.
	for _, side := range [...]int{1 - s, s} {
		o := &c.half[side]
		pending := o.buf
		e.pending -= len(pending)
		o.buf = nil
		if side == s {
			pending = all
		}
		if len(pending) > 0 {
			e.deliver(f, c, side, pending)
		}
	}
	if len(all) > len(b) { // it was gathered
		e.reuse.give(all)
	}
}

// identify says what a flow is that begins with b; sure is false when more bytes could tell more.
func identify(b []byte, client, port53, joined bool) (a app, sure bool) {
	if len(b) >= 5 && isRecord(b) && (joined || b[0] == 22 && (len(b) < 6 || b[5] <= 2)) {
		return appTLS, len(b) >= 6 || b[0] != 22
	}
	switch {
	case bytes.HasPrefix(b, []byte("SSH-")):
		return appSSH, true
	case bytes.HasPrefix(b, []byte("HTTP/1.")), client && isMethod(b):
		return appHTTP, true
	case bytes.HasPrefix(b, []byte("PRI * HT")):
		return appHTTP2, true
	case client && beginsSOCKS(b):
		return appSOCKS, true
	case joined && isFrame(b):
		return appWebSocket, true
	case port53 && len(b) >= 4 && int(be16(b)) >= 12 && !isText(b): // a message that begins like text would be of more than 8 KiB
		return appDNS, true
	}
	t := bytes.TrimLeft(b, " \t\r\n")
	if len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return appJSON, true
	}
	if joined && bytes.Contains(b, []byte(`"`)) && (bytes.Contains(b, []byte(`":`)) || bytes.Contains(b, []byte("\n{\""))) {
		return appJSON, true
	}
	if !isText(b) {
		return appBinary, false
	}
	return appText, false
}

func isText(b []byte) bool {
	for _, x := range b[:min(len(b), 32)] {
		if x < ' ' && x != '\t' && x != '\r' && x != '\n' || x == 0x7f {
			return false
		}
	}
	return true
}

var methods = [...]string{"GET ", "POST ", "HEAD ", "PUT ", "CONNECT ", "OPTIONS ", "DELETE ", "PATCH ", "TRACE "}

func isMethod(b []byte) bool {
	for _, m := range methods {
		if len(b) >= len(m) && string(b[:len(m)]) == m {
			return true
		}
	}
	return false
}

// plain streams what is no protocol known here, as far as it is wanted.
func (e *engine) plain(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if len(b) > 5 && b[0] == recordHandshake && b[5] == 1 && isRecord(b) { // STARTTLS
		c.app, f.app = appTLS, appTLS
		e.records(f, c, s, b)
		return
	}
	if c.app != appJSON && (h.off == 0 || c.app == appText) {
		if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 1 && (t[0] == '{' || t[0] == '[') {
			c.app, f.app = appJSON, appJSON
		}
	}
	limit := uint64(streamBinary)
	switch c.app {
	case appJSON:
		limit = streamJSON
	case appText:
		limit = streamText
	}
	if !c.hot && c.app != appBinary && h.streamd < limit {
		c.hot = miningWords(b)
	}
	if c.hot {
		limit = 1 << 62
		if c.app == appText { // JSON after a line of something else
			c.app, f.app = appJSON, appJSON
		}
	}
	if h.streamd >= limit {
		h.gap = true
		other := &c.half[1-s]
		if h.off >= deafAfter*limit || other.streamd >= limit {
			f.flags |= flowDeaf
			e.unhold(h)
			e.unhold(other)
		}
		return
	}
	b = b[:min(uint64(len(b)), limit-h.streamd)]
	e.stream(f, c, s, b, h.off, h.gap, false, "")
	h.streamd += uint64(len(b))
}

// stream emits bytes of a side; carrier is what they came in where it is not the connection itself.
func (e *engine) stream(f *flow, c *conn, s int, b []byte, off uint64, gap, begin bool, carrier string) {
	for len(b) > 0 {
		n := min(len(b), streamEvent)
		d := e.made.stream.make()
		*d = minewarden.Stream{
			Key: f.public(), Target: c.target, FromClient: s == 0, Offset: off, Gap: gap, Begin: begin,
			Joined: f.flags&flowJoined != 0, Carrier: carrier, Data: e.keep(b[:n:n]),
		}
		if carrier == "" {
			d.Carrier = c.carriedBy()
		}
		e.emit(d)
		b, off, gap, begin = b[n:], off+uint64(n), false, false
	}
}

func (c *conn) carriedBy() string {
	if c.carrier == "" {
		return minewarden.CarrierTCP
	}
	return c.carrier
}

// miningWords reports whether b holds a quoted word that mining protocols use. Many honest programs use some too: it decides
// only how much of a flow is worth reading.
func miningWords(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '"')
		if i < 0 || i+4 > len(b) {
			return false
		}
		b = b[i+1:]
		var words []string
		switch b[0] {
		case 'm':
			words = wordsM
		case 'l':
			words = wordsL
		case 's':
			words = wordsS
		case 'j':
			words = wordsJ
		case 'e':
			words = wordsE
		case 'g':
			words = wordsG
		case 'n':
			words = wordsN
		case 'c':
			words = wordsC
		case 'k':
			words = wordsK
		}
		for _, w := range words {
			if len(b) >= len(w) && string(b[:len(w)]) == w {
				return true
			}
		}
	}
}

// The words by their first letter.
var (
	wordsM = []string{"mining.", "mixHash"}
	wordsL = []string{"login\"", "login_"}
	wordsS = []string{"submit", "seed_hash", "set_target", "solution"}
	wordsJ = []string{"job\"", "job_id", "jobid"}
	wordsE = []string{"eth_", "extranonce"}
	wordsG = []string{"getwork", "getblocktemplate", "getjob", "get_job", "getblocktempl"}
	wordsN = []string{"nonce"}
	wordsC = []string{"client.re", "client.ge", "client.sh"}
	wordsK = []string{"keepalived"}
)

// ssh reports the first line of each side.
func (e *engine) ssh(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if h.lost {
		return
	}
	line := b
	if len(h.buf) > 0 {
		if !e.gather(h, b, 4*maxLine) {
			h.lost = true
			e.drop(h)
			return
		}
		line = h.buf
	}
	i := bytes.IndexByte(line, '\n')
	if i < 0 && len(line) < maxLine {
		if len(h.buf) == 0 && !e.gather(h, b, maxLine) {
			h.lost = true
		}
		return
	}
	if i < 0 || i > maxLine {
		i = maxLine
	}
	if line = bytes.TrimRight(line[:min(i, len(line))], "\r"); bytes.HasPrefix(line, []byte("SSH-")) {
		e.emit(&minewarden.SSH{Key: f.public(), Server: s == 1, Banner: printable(line)})
	}
	e.drop(h)
	h.lost = true
	if c.half[1-s].lost {
		f.flags |= flowDeaf
	}
}

// printable returns b as text without anything that a terminal would act on.
func printable(b []byte) string {
	for _, x := range b {
		if x < ' ' || x >= 0x7f {
			return string(bytes.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f || r > 0x10ffff || r == 0xfffd {
					return '?'
				}
				return r
			}, b))
		}
	}
	return string(b)
}
