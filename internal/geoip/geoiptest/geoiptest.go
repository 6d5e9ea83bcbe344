// Package geoiptest writes small databases of countries for tests, in the MaxMind DB format 2.0.
package geoiptest

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// Write returns a database that knows these networks. Where a network holds another, only one of them must be given.
func Write(countries map[netip.Prefix]string) []byte {
	codes := map[string]uint32{}
	var data []byte
	for _, code := range slices.Sorted(maps.Values(countries)) {
		if _, known := codes[code]; !known {
			codes[code] = uint32(len(data))
			data = append(data, object("country", object("iso_code", text(code)))...)
		}
	}
	// A node has the number of the next for either bit; none is told by the number of nodes, data by that, 16 and its offset.
	type node [2]uint32
	const none, leaf = 1<<32 - 1, 1 << 31
	nodes := []node{{none, none}}
	for p, code := range countries {
		a, bits := p.Masked().Addr().As16(), p.Bits()
		if p.Addr().Is4() {
			b := p.Masked().Addr().As4()
			a = [16]byte{12: b[0], b[1], b[2], b[3]}
			bits += 96
		}
		at := uint32(0)
		for i := range bits {
			bit := a[i/8] >> (7 - i%8) & 1
			if i == bits-1 {
				nodes[at][bit] = leaf | codes[code]
				break
			}
			if nodes[at][bit] == none {
				nodes = append(nodes, node{none, none})
				nodes[at][bit] = uint32(len(nodes) - 1)
			}
			at = nodes[at][bit]
		}
	}
	var out []byte
	for _, n := range nodes {
		for _, v := range n {
			switch {
			case v == none:
				v = uint32(len(nodes))
			case v&leaf != 0:
				v = uint32(len(nodes)) + 16 + v&^leaf
			}
			out = binary.BigEndian.AppendUint32(out, v)
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	meta := []struct {
		key   string
		value []byte
	}{
		{"node_count", number(6, uint32(len(nodes)))},
		{"record_size", number(5, 32)},
		{"ip_version", number(5, 6)},
		{"database_type", text("Test-Country")},
		{"languages", []byte{0, 4}},
		{"binary_format_major_version", number(5, 2)},
		{"binary_format_minor_version", number(5, 0)},
		{"build_epoch", number(6, 1)},
		{"description", []byte{7 << 5}},
	}
	out = append(out, 7<<5|byte(len(meta)))
	for _, m := range meta {
		out = append(append(out, text(m.key)...), m.value...)
	}
	return out
}

func object(key string, value []byte) []byte {
	return append(append([]byte{7<<5 | 1}, text(key)...), value...)
}

// text has its length, below 29, in its first byte.
func text(s string) []byte { return append([]byte{2<<5 | byte(len(s))}, s...) }

// number is of type 5 or 6: of two bytes or four.
func number(kind byte, v uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, v)
	if kind == 5 {
		b = b[2:]
	}
	return append([]byte{kind<<5 | byte(len(b))}, b...)
}
