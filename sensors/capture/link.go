package capture

import (
	"encoding/binary"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// LINKTYPE values that are walked here. All others that gopacket knows are left to it.
const (
	linkNull     = 0
	linkEthernet = 1
	linkPPP      = 9
	linkRawBSD   = 12
	linkRawOpen  = 14
	linkPPPHDLC  = 50
	linkRaw      = 101
	linkCHDLC    = 104
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkNFLOG    = 239
	linkSLL2     = 276
)

// link walks a frame of a link type; missing is how many of its bytes were not captured.
func (e *engine) link(typ uint16, b []byte, missing int) {
	need := 0
	switch typ {
	case linkEthernet:
		e.ethernet(b, missing, 0)
		return
	case linkRaw, linkRawBSD, linkRawOpen, linkIPv4, linkIPv6:
		e.anyIP(b, missing, 0)
		return
	case linkNull, linkLoop:
		need = 4
	case linkSLL:
		need = 16
	case linkSLL2:
		need = 20
	case linkPPP, linkPPPHDLC, linkCHDLC:
		need = 4
	case linkNFLOG:
		e.nflog(b, missing)
		return
	default:
		e.rareLink(typ, b, missing)
		return
	}
	if len(b) < need {
		e.stats.bad++
		return
	}
	switch typ {
	case linkNull, linkLoop:
		e.anyIP(b[4:], missing, 0) // the address family differs between systems: the version is enough
	case linkSLL:
		e.network(be16(b[14:]), b[16:], missing, 0)
	case linkSLL2:
		e.network(be16(b), b[20:], missing, 0)
	case linkCHDLC:
		e.network(be16(b[2:]), b[4:], missing, 0)
	default:
		if b[0] == 0x0f || b[0] == 0x8f { // Cisco framing
			e.network(be16(b[2:]), b[4:], missing, 0)
			return
		}
		e.ppp(b, missing, 0)
	}
}

// nflog walks the attributes of a packet that the firewall logged.
func (e *engine) nflog(b []byte, missing int) {
	for b = b[min(4, len(b)):]; len(b) >= 4; {
		n, typ := int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint16(b[2:])
		if n < 4 || n > len(b) {
			break
		}
		if typ&0x7fff == 9 {
			e.anyIP(b[4:n], missing, 0)
			return
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	e.stats.bad++
}

// rareLinks remembers which link types gopacket knows.
type rareLinks struct {
	typ     uint16
	decoder gopacket.Decoder
	known   bool
}

// rareLink leaves the link layer to gopacket and walks the first IP packet in it.
func (e *engine) rareLink(typ uint16, b []byte, missing int) {
	r := &e.rare
	if !r.known || r.typ != typ {
		r.typ, r.known, r.decoder = typ, true, nil
		if typ < uint16(len(layers.LinkTypeMetadata)) && layers.LinkTypeMetadata[typ].DecodeWith != nil && layers.LinkTypeMetadata[typ].Name != "UnknownLinkType" {
			r.decoder = layers.LinkType(typ)
		}
	}
	if r.decoder == nil {
		e.stats.strange++
		e.stats.strangeLink = typ
		return
	}
	p := gopacket.NewPacket(b, r.decoder, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	ip := p.Layer(layers.LayerTypeIPv4)
	if ip == nil {
		ip = p.Layer(layers.LayerTypeIPv6)
	}
	switch {
	case ip != nil:
		head := ip.LayerContents()
		e.anyIP(append(head[:len(head):len(head)], ip.LayerPayload()...), missing, 0)
	case p.ErrorLayer() != nil:
		e.stats.bad++
	default:
		e.stats.other++
	}
}
