package capture

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/minewarden/minewarden"
)

// Bounds of one DNS message.
const (
	maxNameLen   = 1024 // bytes of a name as text
	maxPointers  = 16
	maxRecords   = 64
	maxAddrs     = 32
	maxTargets   = 16
	maxDNSStream = 64 << 10
)

// DNS record types.
const (
	rrA     = 1
	rrNS    = 2
	rrCNAME = 5
	rrNULL  = 10
	rrPTR   = 12
	rrMX    = 15
	rrTXT   = 16
	rrAAAA  = 28
	rrSRV   = 33
)

func typeName(t uint16) string {
	switch t {
	case rrA:
		return "A"
	case rrNS:
		return "NS"
	case rrCNAME:
		return "CNAME"
	case 6:
		return "SOA"
	case rrNULL:
		return "NULL"
	case rrPTR:
		return "PTR"
	case 13:
		return "HINFO"
	case rrMX:
		return "MX"
	case rrTXT:
		return "TXT"
	case rrAAAA:
		return "AAAA"
	case rrSRV:
		return "SRV"
	case 35:
		return "NAPTR"
	case 41:
		return "OPT"
	case 43:
		return "DS"
	case 46:
		return "RRSIG"
	case 47:
		return "NSEC"
	case 48:
		return "DNSKEY"
	case 52:
		return "TLSA"
	case 64:
		return "SVCB"
	case 65:
		return "HTTPS"
	case 252:
		return "AXFR"
	case 255:
		return "ANY"
	case 257:
		return "CAA"
	}
	return "TYPE" + strconv.Itoa(int(t))
}

var codes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func codeName(c byte) string {
	if int(c) < len(codes) {
		return codes[c]
	}
	return "RCODE" + strconv.Itoa(int(c))
}

// dns takes one message.
func (e *engine) dns(f *flow, b []byte, _ uint8) {
	d := e.made.dns.make()
	if !e.parseDNS(d, b) {
		*d = minewarden.DNS{}
		e.stats.bad++
		return
	}
	d.Key = f.public()
	e.emit(d)
}

// parseDNS fills d from a message; false: it is none.
func (e *engine) parseDNS(d *minewarden.DNS, b []byte) bool {
	if len(b) < 17 || be16(b[4:]) == 0 && be16(b[6:]) == 0 {
		return false
	}
	*d = minewarden.DNS{ID: be16(b), Response: b[2]&0x80 != 0, Size: uint16(min(len(b), 65535))}
	if e.limits.reuse {
		d.Addrs, d.Names = e.addrs[:0], e.names[:0]
	}
	if op := b[2] >> 3 & 15; op > 6 {
		return false
	}
	if d.Response {
		d.Code = codeName(b[3] & 15)
	}
	off := 12
	questions := int(be16(b[4:]))
	for i := range min(questions, 4) {
		name, next, ok := appendName(e.scratch[:0], b, off)
		if !ok || next+4 > len(b) {
			return false
		}
		if i == 0 {
			d.Name, d.Type = e.reuse.string(name), typeName(be16(b[next:]))
		}
		off = next + 4
	}
	if questions > 4 {
		return false
	}
	d.Answers = be16(b[6:])
	for i := range min(int(d.Answers), maxRecords) {
		var name []byte
		next, ok := off+2, true
		if questions == 0 || off+2 > len(b) || b[off] != 0xc0 || b[off+1] != 12 { // nearly all are of what was asked, which was read above
			name, next, ok = appendName(e.scratch[:0], b, off)
		}
		if !ok || next+10 > len(b) {
			break
		}
		typ, size := be16(b[next:]), int(be16(b[next+8:]))
		if ttl := be32(b[next+4:]); i == 0 || ttl < d.TTL {
			d.TTL = ttl
		}
		if i == 0 && questions == 0 {
			d.Name, d.Type = e.reuse.string(name), typeName(typ)
		}
		off = next + 10 + size
		if off > len(b) {
			break
		}
		e.answerRecord(d, typ, b, next+10, off)
	}
	if e.limits.reuse {
		e.addrs, e.names = d.Addrs, d.Names
	}
	return true
}

// answerRecord takes the record whose data is b[from:to].
func (e *engine) answerRecord(d *minewarden.DNS, typ uint16, b []byte, from, to int) {
	v := b[from:to]
	switch typ {
	case rrA:
		if len(v) == 4 && len(d.Addrs) < maxAddrs {
			d.Addrs = append(d.Addrs, netip.AddrFrom4([4]byte(v)))
		}
	case rrAAAA:
		if len(v) == 16 && len(d.Addrs) < maxAddrs {
			d.Addrs = append(d.Addrs, netip.AddrFrom16([16]byte(v)))
		}
	case rrTXT, rrNULL:
		d.TextBytes += uint32(len(v))
	case rrCNAME, rrNS, rrPTR, rrMX, rrSRV:
		switch typ {
		case rrMX:
			from += 2
		case rrSRV:
			from += 6
		}
		if name, _, ok := appendName(e.scratch[:0], b[:to], from); ok && len(d.Names) < maxTargets {
			d.Names = append(d.Names, e.reuse.string(name))
		}
	}
}

// appendName appends the name at off in normal form, and returns where the message goes on. Pointers must lead backwards.
func appendName(out, b []byte, off int) (name []byte, next int, ok bool) {
	limit := len(b)
	for jumps := 0; ; {
		if off >= limit || off < 0 {
			return nil, 0, false
		}
		n := int(b[off])
		switch {
		case n == 0:
			if jumps == 0 {
				next = off + 1
			}
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			return out, next, true
		case n >= 0xc0:
			if off+2 > len(b) {
				return nil, 0, false
			}
			if jumps == 0 {
				next = off + 2
			}
			to := int(binary.BigEndian.Uint16(b[off:]) & 0x3fff)
			if jumps++; to >= off || jumps > maxPointers {
				return nil, 0, false
			}
			off = to
		case n >= 0x40:
			return nil, 0, false
		default:
			if off+1+n > len(b) || len(out)+n > maxNameLen {
				return nil, 0, false
			}
			out = append(appendNormal(out, b[off+1:off+1+n], true), '.')
			off += 1 + n
		}
	}
}

// normal has what a byte of a name becomes; 0 where that is more than one byte, or is not always so.
var normal = func() (t [256]byte) {
	for c := byte('!'); c < 0x7f; c++ {
		switch {
		case c >= 'A' && c <= 'Z':
			t[c] = c + 'a' - 'A'
		case c != '\\' && c != '.':
			t[c] = c
		}
	}
	return t
}()

// appendNormal appends b in normal form: lower case, and what cannot be printed as \DDD; a dot within a label too.
func appendNormal(out, b []byte, label bool) []byte {
	if room := cap(out) - len(out); room >= len(b) {
		to, same := out[len(out):len(out)+len(b)], byte(0xff)
		for i, c := range b {
			to[i] = normal[c]
			same = min(same, normal[c])
		}
		if same != 0 {
			return out[:len(out)+len(b)]
		}
	}
	for _, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c <= ' ' || c >= 0x7f || c == '\\' || label && c == '.':
			out = append(out, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		default:
			out = append(out, c)
		}
	}
	return out
}

// normalName is the normal form of a name that is text.
func normalName(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == '.' {
		b = b[:n-1]
	}
	var buf [256]byte
	return string(appendNormal(buf[:0], b[:min(len(b), maxNameLen)], false))
}

// dnsStream takes DNS over TCP.
func (e *engine) dnsStream(f *flow, c *conn, s int, b []byte) {
	h := &c.half[s]
	if h.gap || h.lost {
		h.lost = true // the begin of a message cannot be found again
		e.drop(h)
		return
	}
	if !e.gather(h, b, 2*maxDNSStream) {
		h.lost = true
		e.drop(h)
		return
	}
	done := 0
	for rest := h.buf; len(rest) >= 2; rest = h.buf[done:] {
		n := 2 + int(be16(rest))
		if len(rest) < n {
			break
		}
		e.dns(f, rest[2:n], protoTCP)
		done += n
	}
	e.pending -= done
	h.buf = append(h.buf[:0], h.buf[done:]...)
}
