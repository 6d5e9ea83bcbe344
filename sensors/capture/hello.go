package capture

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// Bounds of what is kept of a client's hello. What is beyond is not counted in fingerprints.
const (
	maxCiphers    = 256
	maxExtensions = 128
	maxALPN       = 16
)

// hello is a ClientHello without the values that clients choose at random to keep servers honest (GREASE).
type hello struct {
	legacy  uint16 // version in its head
	version uint16 // highest offered
	sni     string
	hasSNI  bool
	alpn    []string
	ciphers []uint16
	exts    []uint16
	groups  []uint16
	points  []byte
	sigs    []uint16
}

// grease are the values reserved so that nobody relies on them.
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func (h *hello) parse(b []byte) bool {
	if len(b) < 35 {
		return false
	}
	h.legacy = be16(b)
	h.version = h.legacy
	n := 35 + int(b[34])
	if len(b) < n+2 {
		return false
	}
	b = b[n:]
	n = int(be16(b))
	if b = b[2:]; len(b) < n+1 {
		return false
	}
	h.ciphers = words(b[:n], maxCiphers)
	b = b[n:]
	if n = 1 + int(b[0]); len(b) < n {
		return false
	}
	if b = b[n:]; len(b) < 2 {
		return true // very old clients have no extensions
	}
	extensions(b, func(typ uint16, v []byte) {
		if grease(typ) || len(h.exts) >= maxExtensions {
			return
		}
		if h.exts == nil {
			h.exts = make([]uint16, 0, 24)
		}
		h.exts = append(h.exts, typ)
		switch typ {
		case 0:
			h.hasSNI = true
			if len(v) >= 5 && v[2] == 0 {
				h.sni = normalName(v[5:min(len(v), 5+int(be16(v[3:])))])
			}
		case 10:
			if len(v) >= 2 {
				h.groups = words(v[2:], maxExtensions)
			}
		case 11:
			if len(v) >= 1 {
				h.points = v[1:min(len(v), 1+maxALPN)]
			}
		case 13:
			if len(v) >= 2 {
				h.sigs = words(v[2:], maxExtensions)
			}
		case 16:
			h.alpn = alpnList(v)
		case 43:
			if len(v) >= 1 {
				for _, x := range words(v[1:], maxExtensions) {
					h.version = max(h.version, x)
				}
			}
		}
	})
	return true
}

// extensions calls f for each extension in b, which begins with their length.
func extensions(b []byte, f func(typ uint16, v []byte)) {
	if len(b) < 2 {
		return
	}
	for b = b[2:min(len(b), 2+int(be16(b)))]; len(b) >= 4; {
		typ, n := be16(b), int(be16(b[2:]))
		if b = b[4:]; n > len(b) {
			return
		}
		f(typ, b[:n:n])
		b = b[n:]
	}
}

func words(b []byte, limit int) []uint16 {
	out := make([]uint16, 0, min(len(b)/2, limit))
	for ; len(b) >= 2 && len(out) < limit; b = b[2:] {
		if v := be16(b); !grease(v) {
			out = append(out, v)
		}
	}
	return out
}

func alpnList(v []byte) []string {
	var out []string
	for v = v[min(len(v), 2):]; len(v) > 0 && len(out) < maxALPN; {
		n := int(v[0])
		if v = v[1:]; n == 0 || n > len(v) {
			break
		}
		if !(n == 2 && grease(be16(v))) {
			out = append(out, alpnName(v[:n]))
		}
		v = v[n:]
	}
	return out
}

// alpnName avoids making the usual names anew.
func alpnName(b []byte) string {
	switch string(b) {
	case "h2":
		return "h2"
	case "http/1.1":
		return "http/1.1"
	case "h3":
		return "h3"
	}
	return string(b)
}

// ja3 is the fingerprint of that name: MD5 over version, ciphers, extensions, groups and point formats in decimal.
func (e *engine) ja3(h *hello) string {
	b := strconv.AppendUint(e.scratch[:0], uint64(h.legacy), 10)
	for _, list := range [...][]uint16{h.ciphers, h.exts, h.groups} {
		b = append(b, ',')
		for i, v := range list {
			if i > 0 {
				b = append(b, '-')
			}
			b = strconv.AppendUint(b, uint64(v), 10)
		}
	}
	b = append(b, ',')
	for i, v := range h.points {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

const hexDigits = "0123456789abcdef"

// ja4 is the fingerprint of that name, of transport t (TCP) or q (QUIC). It sorts, so clients that shuffle stay recognised.
func (e *engine) ja4(h *hello, transport byte) string {
	var out [36]byte
	b := append(out[:0], transport)
	switch h.version {
	case 0x0304:
		b = append(b, "13"...)
	case 0x0303:
		b = append(b, "12"...)
	case 0x0302:
		b = append(b, "11"...)
	case 0x0301:
		b = append(b, "10"...)
	case 0x0300:
		b = append(b, "s3"...)
	case 0x0002:
		b = append(b, "s2"...)
	default:
		b = append(b, "00"...)
	}
	if h.hasSNI {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	for _, n := range [...]int{len(h.ciphers), len(h.exts)} {
		n = min(n, 99)
		b = append(b, byte('0'+n/10), byte('0'+n%10))
	}
	first, last := byte('0'), byte('0')
	if len(h.alpn) > 0 && len(h.alpn[0]) > 0 {
		a := h.alpn[0]
		if first, last = a[0], a[len(a)-1]; !alphanumeric(first) || !alphanumeric(last) {
			first, last = hexDigits[first>>4], hexDigits[last&15]
		}
	}
	b = append(b, first, last, '_')
	ciphers := slices.Clone(h.ciphers)
	slices.Sort(ciphers)
	b = e.ja4Hash(b, ciphers, nil)
	exts := make([]uint16, 0, len(h.exts))
	for _, x := range h.exts {
		if x != 0 && x != 16 {
			exts = append(exts, x)
		}
	}
	slices.Sort(exts)
	b = append(b, '_')
	return string(e.ja4Hash(b, exts, h.sigs))
}

// ja4Hash appends the first twelve digits of the hash over lists of words in hex.
func (e *engine) ja4Hash(out []byte, list, more []uint16) []byte {
	if len(list) == 0 {
		return append(out, "000000000000"...)
	}
	b := appendHex(e.scratch[:0], list)
	if len(more) > 0 {
		b = appendHex(append(b, '_'), more)
	}
	sum := sha256.Sum256(b)
	return hex.AppendEncode(out, sum[:6])
}

func appendHex(b []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
	}
	return b
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
