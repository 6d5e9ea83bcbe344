package capture

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"sort"

	"github.com/minewarden/minewarden"
)

const (
	quicTries    = 4 // datagrams of a flow that are looked at until one is an Initial of a version known here
	maxQUICHello = 16 << 10
	maxQUICParts = 16
)

// quicState gathers the client's hello, which may come in several packets, and in pieces out of order.
type quicState struct {
	keys  *quicKeys
	parts []part
	tries uint8
}

type quicKeys struct {
	aead   cipher.AEAD
	header cipher.Block
	iv     [12]byte
	v2     bool
}

// Salts from RFC 9001, RFC 9369 and the last drafts that were in use.
var (
	saltV1 = [20]byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}
	saltV2 = [20]byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9}
	salt29 = [20]byte{0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99}
)

func quicSalt(version uint32) (salt [20]byte, v2, ok bool) {
	switch {
	case version == 1 || version >= 0xff000021 && version <= 0xff000022:
		return saltV1, false, true
	case version == 0x6b3343cf:
		return saltV2, true, true
	case version >= 0xff00001d && version <= 0xff000020:
		return salt29, false, true
	}
	return salt, false, false
}

// quic looks for the client's hello in the Initial packets of a flow.
func (e *engine) quic(f *flow, s int, b []byte) {
	if s != 0 || len(b) < 7 || b[0]&0xc0 != 0xc0 {
		if f.packets[0]+f.packets[1] >= quicTries {
			f.flags |= flowDeaf
			if f.conn != 0 {
				e.release(f)
			}
		}
		return
	}
	salt, v2, ok := quicSalt(be32(b[1:]))
	if !ok {
		return
	}
	var c *conn
	if f.conn == 0 {
		if len(b) < 1000 { // a client's first datagram is padded to 1200
			return
		}
		c = e.newConn(f)
		c.quic = &quicState{}
	} else {
		c = e.conns[f.conn-1]
	}
	q := c.quic
	if q.tries++; q.tries > 2*quicTries {
		f.flags |= flowDeaf
		e.release(f)
		return
	}
	for len(b) > 0 && b[0]&0xc0 == 0xc0 {
		b = e.initial(q, salt, v2, b)
	}
	if body := q.hello(); body != nil {
		f.app = appQUIC
		h := new(hello)
		if h.parse(body) {
			d := e.made.tls.make()
			*d = minewarden.TLS{
				Key: f.public(), QUIC: true, Version: versionName(h.version), SNI: h.sni, ALPN: h.alpn,
				JA3: e.ja3(h), JA4: e.ja4(h, 'q'),
			}
			e.emit(d)
		} else {
			e.stats.bad++
		}
		f.flags |= flowDeaf
		e.release(f)
	}
}

// initial opens one packet of a datagram and returns what follows it.
func (e *engine) initial(q *quicState, salt [20]byte, v2 bool, b []byte) (rest []byte) {
	if len(b) < 7 {
		return nil
	}
	o := 6
	n := int(b[5])
	if n > 20 || len(b) < o+n+1 {
		return nil
	}
	dcid := b[o : o+n]
	o += n
	n = int(b[o])
	if o += 1 + n; n > 20 || len(b) <= o {
		return nil
	}
	typ := b[0] >> 4 & 3
	if v2 {
		typ = (typ + 3) & 3
	}
	if typ == 0 {
		token, k := varint(b[o:])
		if k == 0 || token > uint64(len(b)-o-k) {
			return nil
		}
		o += k + int(token)
	}
	length, k := varint(b[min(o, len(b)):])
	if o += k; k == 0 || typ == 3 || length > uint64(len(b)-o) {
		return nil
	}
	packet, rest := b[:o+int(length)], b[o+int(length):]
	if typ != 0 || length < 20 {
		return rest
	}
	if q.keys == nil {
		keys, err := newQUICKeys(salt[:], dcid, v2)
		if err != nil {
			return rest
		}
		q.keys = keys
	}
	if payload := q.keys.open(packet, o, e.scratch[:0]); payload != nil {
		q.crypto(payload)
	}
	return rest
}

// newQUICKeys derives the keys that protect a client's first packets: anybody who saw them can.
func newQUICKeys(salt, dcid []byte, v2 bool) (*quicKeys, error) {
	prefix := "quic "
	if v2 {
		prefix = "quicv2 "
	}
	initial, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return nil, err
	}
	expand := func(secret []byte, label string, n int) []byte {
		if err != nil {
			return make([]byte, n)
		}
		info := append([]byte{byte(n >> 8), byte(n), byte(6 + len(label))}, "tls13 "...)
		info = append(append(info, label...), 0)
		var out []byte
		if out, err = hkdf.Expand(sha256.New, secret, string(info), n); err != nil {
			return make([]byte, n)
		}
		return out
	}
	secret := expand(initial, "client in", 32)
	key, iv, hp := expand(secret, prefix+"key", 16), expand(secret, prefix+"iv", 12), expand(secret, prefix+"hp", 16)
	if err != nil {
		return nil, err
	}
	k := &quicKeys{v2: v2, iv: [12]byte(iv)}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	k.header, err = aes.NewCipher(hp)
	return k, err
}

// open removes the protection of a packet whose number is at o, or returns nil.
func (k *quicKeys) open(packet []byte, o int, out []byte) []byte {
	if len(packet) < o+20 {
		return nil
	}
	var mask [16]byte
	k.header.Encrypt(mask[:], packet[o+4:o+20])
	var head [256]byte // with a token longer than that the packet is left alone: clients' first have none
	first := packet[0] ^ mask[0]&15
	n := 1 + int(first&3)
	ad := head[:0]
	if o+n > len(head) {
		ad = make([]byte, 0, o+n)
	}
	ad = append(ad, packet[:o+n]...)
	ad[0] = first
	nonce := k.iv
	for i := range n {
		ad[o+i] ^= mask[1+i]
		nonce[12-n+i] ^= ad[o+i]
	}
	payload, err := k.aead.Open(out, nonce[:], packet[o+n:], ad)
	if err != nil {
		return nil
	}
	return payload
}

// crypto takes the CRYPTO frames of a packet's payload.
func (q *quicState) crypto(b []byte) {
	for len(b) > 0 {
		switch b[0] {
		case 0, 1: // padding, ping
			b = b[1:]
		case 6:
			off, n := varint(b[1:])
			size, m := varint(b[min(1+n, len(b)):])
			if n == 0 || m == 0 || size > uint64(len(b)-1-n-m) || off+size > maxQUICHello {
				return
			}
			if b = b[1+n+m:]; len(q.parts) < maxQUICParts {
				q.parts = append(q.parts, part{int(off), append([]byte(nil), b[:size]...)})
			}
			b = b[size:]
		case 2, 3: // acknowledgement
			n := 1
			for i, count := 0, 4; i < count; i++ {
				v, k := varint(b[min(n, len(b)):])
				if k == 0 || i == 2 && v > 64 {
					return
				}
				if i == 2 {
					count += 2 * int(v)
				}
				n += k
			}
			if b[0] == 3 {
				for range 3 {
					_, k := varint(b[min(n, len(b)):])
					n += k
				}
			}
			b = b[min(n, len(b)):]
		default:
			return
		}
	}
}

// hello returns the body of the client's hello when all of it is there.
func (q *quicState) hello() []byte {
	sort.SliceStable(q.parts, func(i, j int) bool { return q.parts[i].off < q.parts[j].off })
	var all []byte
	for _, p := range q.parts {
		if p.off > len(all) {
			return nil
		}
		if skip := len(all) - p.off; skip < len(p.data) {
			all = append(all, p.data[skip:]...)
		}
	}
	if len(all) < 4 || all[0] != 1 {
		return nil
	}
	n := 4 + int(all[1])<<16 + int(be16(all[2:]))
	if len(all) < n {
		return nil
	}
	return all[4:n]
}

// varint reads QUIC's variable-length integer and how long it is; 0: not whole.
func varint(b []byte) (uint64, int) {
	if len(b) == 0 {
		return 0, 0
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	v := uint64(b[0] & 0x3f)
	for _, x := range b[1:n] {
		v = v<<8 | uint64(x)
	}
	return v, n
}

// A part is what lies from off on of a message that comes in any order.
type part struct {
	off  int
	data []byte
}
