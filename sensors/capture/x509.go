package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	maxCerts     = 1024 // remembered, so that a server's certificate is read once
	maxCertNames = 16
	maxSubject   = 512 // bytes
)

// certCache remembers certificates by their hash. When it is full it begins anew.
type certCache struct {
	m map[[32]byte]*minewarden.Certificate
}

func (cc *certCache) get(der []byte) *minewarden.Certificate {
	sum := sha256.Sum256(der)
	if c, ok := cc.m[sum]; ok {
		return c
	}
	c := parseCertificate(der)
	c.SHA256 = hex.EncodeToString(sum[:])
	if cc.m == nil || len(cc.m) >= maxCerts {
		cc.m = make(map[[32]byte]*minewarden.Certificate)
	}
	cc.m[sum] = c
	return c
}

// der takes one element off b: its tag and content. ok is false where b is not of that form.
func der(b []byte) (tag byte, body, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 3 || len(b) < 2+k {
			return 0, nil, nil, false
		}
		n = 0
		for _, x := range b[2 : 2+k] {
			n = n<<8 | int(x)
		}
		head += k
	}
	if n > len(b)-head {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+n], b[head+n:], true
}

// parseCertificate reads what it can of an X.509 certificate: attackers' are often odd, and what is odd tells something too.
func parseCertificate(b []byte) *minewarden.Certificate {
	c := &minewarden.Certificate{}
	_, cert, _, ok := der(b)
	_, tbs, _, ok2 := der(cert)
	if !ok || !ok2 {
		return c
	}
	if tag, _, rest, ok := der(tbs); ok && tag == 0xa0 { // version
		tbs = rest
	}
	var parts [6][]byte // serial, signature algorithm, issuer, validity, subject, key
	for i := range parts {
		_, body, rest, ok := der(tbs)
		if !ok {
			return c
		}
		parts[i], tbs = body, rest
	}
	c.Issuer, _ = distinguished(parts[2])
	c.Subject, c.CommonName = distinguished(parts[4])
	c.SelfSigned = bytes.Equal(parts[2], parts[4])
	tag, from, rest, _ := der(parts[3])
	c.NotBefore = derTime(tag, from)
	tag, to, _, _ := der(rest)
	c.NotAfter = derTime(tag, to)
	for len(tbs) > 0 {
		tag, body, rest, ok := der(tbs)
		if !ok {
			break
		}
		if tag == 0xa3 {
			_, list, _, _ := der(body)
			c.Names = alternativeNames(list)
		}
		tbs = rest
	}
	return c
}

// attributes are the last bytes of the object identifiers 2.5.4.x, with their short names.
var attributes = map[byte]string{3: "CN", 6: "C", 7: "L", 8: "ST", 10: "O", 11: "OU"}

// distinguished returns a name as text, and its common name.
func distinguished(b []byte) (text, cn string) {
	var sb strings.Builder
	for len(b) > 0 && sb.Len() < maxSubject {
		_, set, rest, ok := der(b)
		if !ok {
			break
		}
		b = rest
		_, seq, _, _ := der(set)
		_, oid, val, ok := der(seq)
		_, value, _, ok2 := der(val)
		if !ok || !ok2 {
			continue
		}
		name := ""
		if len(oid) == 3 && oid[0] == 0x55 && oid[1] == 4 {
			name = attributes[oid[2]]
		} else if len(oid) == 9 && oid[8] == 1 && oid[0] == 0x2a {
			name = "emailAddress"
		}
		if name == "" {
			continue
		}
		v := printable(value[:min(len(value), maxSubject/2)])
		if name == "CN" && cn == "" {
			cn = v
		}
		if sb.Len() > 0 {
			sb.WriteByte(',')
		}
		sb.WriteString(name + "=" + v)
	}
	text = sb.String()
	return text[:min(len(text), maxSubject)], cn
}

func derTime(tag byte, b []byte) time.Time {
	layout := "060102150405Z"
	if tag == 0x18 {
		layout = "20060102150405Z"
	}
	t, err := time.Parse(layout, string(b[:min(len(b), 20)]))
	if err != nil {
		return time.Time{} // not to be read: the field says so by being empty
	}
	return t
}

// alternativeNames returns the DNS names of the extension of that name.
func alternativeNames(b []byte) []string {
	var names []string
	for len(b) > 0 {
		_, ext, rest, ok := der(b)
		if !ok {
			break
		}
		b = rest
		_, oid, val, ok := der(ext)
		if !ok || !bytes.Equal(oid, []byte{0x55, 0x1d, 0x11}) {
			continue
		}
		tag, body, more, _ := der(val)
		if tag == 1 { // critical
			_, body, _, _ = der(more)
		}
		_, list, _, _ := der(body)
		for len(list) > 0 && len(names) < maxCertNames {
			tag, name, rest, ok := der(list)
			if !ok {
				break
			}
			if list = rest; tag == 0x82 {
				names = append(names, normalName(name))
			}
		}
	}
	return names
}
