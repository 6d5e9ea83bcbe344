package capture

import "encoding/binary"

// maxTunnels bounds packets within packets, and maxTags the tags before one.
const (
	maxTunnels = 4
	maxTags    = 8
)

// Ethernet types.
const (
	typeIP4    = 0x0800
	typeIP6    = 0x86dd
	typeVLAN   = 0x8100
	typeQinQ   = 0x88a8
	typeQinQ2  = 0x9100
	typeMPLS   = 0x8847
	typeMPLSmc = 0x8848
	typePPPoE  = 0x8864
	typeTEB    = 0x6558 // Ethernet in GRE
	typePPP    = 0x880b
	typeERSPAN = 0x88be
	typeERSPA3 = 0x22eb
)

// UDP ports of tunnels.
const (
	portGTPU   = 2152
	portVXLAN  = 4789
	portVXLAN2 = 8472
	portGeneve = 6081
)

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// ethernet walks a frame; missing is how many of its bytes were not captured.
func (e *engine) ethernet(b []byte, missing, depth int) {
	if len(b) < 14 {
		e.stats.bad++
		return
	}
	e.network(be16(b[12:]), b[14:], missing, depth)
}

// common walks a frame of the commonest shape, TCP over IPv4 without options or fragments, and returns false for any other.
func (e *engine) common(b []byte) bool {
	if len(b) < 54 || b[12] != 0x08 || b[13] != 0 || b[14] != 0x45 || b[23] != protoTCP || (b[20]&0x3f|b[21]) != 0 {
		return false
	}
	b = b[14:]
	total, head, missing := int(be16(b[2:])), int(b[32]>>4)*4, 0
	if total > len(b) {
		missing = total - len(b)
	} else if total < 40 {
		return false
	} else {
		b = b[:total]
	}
	if head < 20 || 20+head > len(b) {
		return false
	}
	e.tcp(addr{0, v4Prefix | uint64(be32(b[12:]))}, addr{0, v4Prefix | uint64(be32(b[16:]))}, b[20:40], b[20+head:], missing)
	return true
}

// network walks what follows an Ethernet type.
func (e *engine) network(et uint16, b []byte, missing, depth int) {
	if depth > maxTunnels {
		e.stats.bad++
		return
	}
	for range maxTags {
		switch et {
		case typeIP4:
			e.ip4(b, missing, depth)
			return
		case typeIP6:
			e.ip6(b, missing, depth)
			return
		case typeVLAN, typeQinQ, typeQinQ2:
			if len(b) < 4 {
				e.stats.bad++
				return
			}
			et, b = be16(b[2:]), b[4:]
		case typeMPLS, typeMPLSmc:
			e.mpls(b, missing, depth)
			return
		case typePPPoE:
			if len(b) < 8 {
				e.stats.bad++
				return
			}
			e.ppp(b[6:], missing, depth)
			return
		case typePPP:
			e.ppp(b, missing, depth)
			return
		case typeTEB:
			e.ethernet(b, missing, depth+1)
			return
		case typeERSPAN, typeERSPA3:
			n := 8
			if et == typeERSPA3 {
				n = 12
			}
			if len(b) >= n {
				e.ethernet(b[n:], missing, depth+1)
			}
			return
		default:
			if et > 1500 || len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 {
				e.stats.other++
				return
			}
			et, b = be16(b[6:]), b[8:] // SNAP
		}
	}
	e.stats.bad++
}

// anyIP walks a packet whose version tells what it is.
func (e *engine) anyIP(b []byte, missing, depth int) {
	switch {
	case len(b) == 0:
		e.stats.bad++
	case b[0]>>4 == 4:
		e.network(typeIP4, b, missing, depth)
	case b[0]>>4 == 6:
		e.network(typeIP6, b, missing, depth)
	default:
		e.stats.other++
	}
}

func (e *engine) mpls(b []byte, missing, depth int) {
	for range maxTags {
		if len(b) < 5 {
			break
		}
		bottom := b[2]&1 != 0
		if b = b[4:]; !bottom {
			continue
		}
		if v := b[0] >> 4; v == 0 && len(b) > 18 { // the control word of a pseudowire
			e.ethernet(b[4:], missing, depth+1)
		} else if v == 4 || v == 6 {
			e.anyIP(b, missing, depth+1)
		} else {
			e.ethernet(b, missing, depth+1)
		}
		return
	}
	e.stats.bad++
}

// ppp walks what follows a PPP protocol number.
func (e *engine) ppp(b []byte, missing, depth int) {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 {
		b = b[2:]
	}
	if len(b) > 0 && b[0]&1 != 0 { // compressed to a byte
		e.pppOf(uint16(b[0]), b[1:], missing, depth)
	} else if len(b) >= 2 {
		e.pppOf(be16(b), b[2:], missing, depth)
	} else {
		e.stats.bad++
	}
}

func (e *engine) pppOf(proto uint16, b []byte, missing, depth int) {
	switch proto {
	case 0x21:
		e.network(typeIP4, b, missing, depth+1)
	case 0x57:
		e.network(typeIP6, b, missing, depth+1)
	default:
		e.stats.other++
	}
}

func (e *engine) ip4(b []byte, missing, depth int) {
	if len(b) < 20 || b[0]>>4 != 4 {
		e.stats.bad++
		return
	}
	head, total := int(b[0]&15)*4, int(be16(b[2:]))
	if total == 0 { // left to the network card to fill in
		total = len(b) + missing
	}
	if head < 20 || head > len(b) || total < head {
		e.stats.bad++
		return
	}
	if total <= len(b) {
		b, missing = b[:total], 0
	} else {
		missing = total - len(b)
	}
	src, dst := addr{0, v4Prefix | uint64(be32(b[12:]))}, addr{0, v4Prefix | uint64(be32(b[16:]))}
	proto, b2 := b[9], b[head:]
	if frag := be16(b[6:]); frag&0x3fff != 0 {
		b2 = e.frags.add(fragKey{src, dst, uint32(be16(b[4:])), proto}, int(frag&0x1fff)*8, frag&0x2000 != 0, missing > 0, b2, e.now)
		if b2 == nil {
			e.stats.fragments++
			return
		}
		missing = 0
	}
	e.transport(proto, src, dst, b2, missing, depth)
}

func (e *engine) ip6(b []byte, missing, depth int) {
	if len(b) < 40 || b[0]>>4 != 6 {
		e.stats.bad++
		return
	}
	total := int(be16(b[4:])) + 40
	switch {
	case total == 40: // a jumbo payload, or left to the network card
	case total <= len(b):
		b, missing = b[:total], 0
	default:
		missing = total - len(b)
	}
	src := addr{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	dst := addr{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
	next, b := b[6], b[40:]
	for range maxTags {
		n := 0
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop by hop, routing, destination options, mobility, HIP, shim6
			if len(b) < 8 {
				e.stats.bad++
				return
			}
			n = 8 + int(b[1])*8
		case 51: // authentication
			if len(b) < 8 {
				e.stats.bad++
				return
			}
			n = 8 + int(b[1])*4
		case 44:
			if len(b) < 8 {
				e.stats.bad++
				return
			}
			if off := be16(b[2:]); off&^7 != 0 || off&1 != 0 {
				next, b = b[0], e.frags.add(fragKey{src, dst, be32(b[4:]), b[0]}, int(off&^7), off&1 != 0, missing > 0, b[8:], e.now)
				if b == nil {
					e.stats.fragments++
					return
				}
				missing = 0
				continue
			}
			n = 8
		default:
			e.transport(next, src, dst, b, missing, depth)
			return
		}
		if n > len(b) {
			e.stats.bad++
			return
		}
		next, b = b[0], b[n:]
	}
	e.stats.bad++
}

func (e *engine) transport(proto uint8, src, dst addr, b []byte, missing, depth int) {
	switch proto {
	case protoTCP:
		if len(b) < 20 {
			e.stats.bad++
			return
		}
		head := int(b[12]>>4) * 4
		if head < 20 || head > len(b) {
			if head < 20 || missing == 0 {
				e.stats.bad++
				return
			}
			missing, head = missing-(head-len(b)), len(b)
		}
		e.tcp(src, dst, b[:20], b[head:], max(missing, 0))
	case protoUDP:
		if len(b) < 8 {
			e.stats.bad++
			return
		}
		sport, dport := be16(b), be16(b[2:])
		if n := int(be16(b[4:])); n >= 8 && n < len(b) {
			b, missing = b[:n], 0
		}
		if dport == portVXLAN || dport == portVXLAN2 || dport == portGTPU || dport == portGeneve {
			if e.tunnel(dport, b[8:], missing, depth) {
				return
			}
		}
		e.udp(src, dst, sport, dport, b[8:], missing)
	case 47:
		e.gre(b, missing, depth)
	case 4:
		e.network(typeIP4, b, missing, depth+1)
	case 41:
		e.network(typeIP6, b, missing, depth+1)
	case 137:
		e.mpls(b, missing, depth)
	default:
		e.stats.other++
	}
}

// tunnel walks what is in a datagram to a port of tunnels; false: it is no tunnel.
func (e *engine) tunnel(port uint16, b []byte, missing, depth int) bool {
	switch port {
	case portVXLAN, portVXLAN2:
		if len(b) < 22 || b[0]&0x08 == 0 || b[7] != 0 {
			return false
		}
		if b[0]&0x04 != 0 { // generic protocol extension: not always Ethernet
			switch b[3] {
			case 1:
				e.network(typeIP4, b[8:], missing, depth+1)
				return true
			case 2:
				e.network(typeIP6, b[8:], missing, depth+1)
				return true
			}
		}
		e.ethernet(b[8:], missing, depth+1)
	case portGeneve:
		if len(b) < 8 || b[0]>>6 != 0 {
			return false
		}
		n := 8 + int(b[0]&0x3f)*4
		if n > len(b) {
			return false
		}
		e.network(be16(b[2:]), b[n:], missing, depth+1)
	case portGTPU:
		if len(b) < 8 || b[0]>>5 != 1 || b[0]&0x10 == 0 || b[1] != 0xff {
			return false
		}
		n := 8
		if b[0]&7 != 0 {
			n = 12
			if len(b) < n {
				return false
			}
			ext := b[11]
			if b[0]&4 == 0 {
				ext = 0
			}
			for i := 0; ext != 0; i++ {
				if n >= len(b) || b[n] == 0 || n+int(b[n])*4 > len(b) || i > maxTags {
					return false
				}
				n += int(b[n]) * 4
				ext = b[n-1]
			}
		}
		if n >= len(b) || b[n]>>4 != 4 && b[n]>>4 != 6 {
			return false
		}
		e.anyIP(b[n:], missing, depth+1)
	}
	return true
}

func (e *engine) gre(b []byte, missing, depth int) {
	if len(b) < 4 {
		e.stats.bad++
		return
	}
	flags, et, n := be16(b), be16(b[2:]), 4
	for _, bit := range [...]uint16{0x8000, 0x2000, 0x1000} { // checksum, key, sequence number
		if flags&bit != 0 {
			n += 4
		}
	}
	if flags&7 == 1 && flags&0x80 != 0 { // PPTP acknowledges
		n += 4
	}
	if n > len(b) || flags&0x4000 != 0 {
		e.stats.bad++
		return
	}
	if et == typeERSPAN && flags&0x1000 == 0 { // version 1 has no header of its own
		et = typeTEB
	}
	e.network(et, b[n:], missing, depth+1)
}
