package isolate

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// priority is before all that other tables hook in: what is cut reaches none of them.
const priority = -2_000_000_000

// Names in the kernel. The table of each family has the same name.
const (
	tableName = "minewarden_isolate"
	setArmed  = "armed"
	setPorts  = "management_ports"
	chainIn   = "inward"
	chainOut  = "outward"
)

// A rule is its text, as nft reads and lists it, and what the kernel gets. A test compares both.
type rule struct {
	text  string
	exprs []expr.Any
}

// A part is one condition or statement of a rule.
type part = rule

// A way is the direction that a chain looks at.
type way struct {
	out    bool
	family nftables.TableFamily
}

func eq(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// of narrows a rule to IPv4 or IPv6; nft lists the address that comes after it without this condition.
func (w way) of(v6 bool) []expr.Any {
	if w.family == nftables.TableFamilyINet {
		proto := byte(unix.NFPROTO_IPV4)
		if v6 {
			proto = unix.NFPROTO_IPV6
		}
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, eq(proto)}
	}
	ether := uint16(unix.ETH_P_IP)
	if v6 {
		ether = unix.ETH_P_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, eq(be16(ether)...)}
}

// side is "saddr" or "daddr" of the far end, and where it lies in the header.
func (w way) side(v6 bool) (name string, offset uint32) {
	switch {
	case w.out && v6:
		return "daddr", 24
	case w.out:
		return "daddr", 16
	case v6:
		return "saddr", 8
	}
	return "saddr", 12
}

// far is the address of the far end.
func (w way) far(p netip.Prefix) part {
	v6 := p.Addr().Is6()
	name, offset := w.side(v6)
	family := "ip"
	if v6 {
		family = "ip6"
	}
	addr := p.Addr().AsSlice()
	exprs := append(w.of(v6), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(addr))})
	if !p.IsSingleIP() {
		exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(addr)), Mask: mask(p), Xor: make([]byte, len(addr))})
	}
	return part{fmt.Sprintf("%s %s %s", family, name, prefixText(p)), append(exprs, eq(addr...))}
}

func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

func l4(n byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, eq(n)}
}

func protoNumber(name string) byte {
	if name == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// farPort and nearPort are the port at the far end and ours.
func (w way) farPort(proto string, port uint16) part { return portPart(proto, w.out, port) }

func (w way) nearPort(proto string, port uint16) part { return portPart(proto, !w.out, port) }

func portPart(proto string, dest bool, port uint16) part {
	name, offset := portSide(dest)
	return part{
		fmt.Sprintf("%s %s %d", proto, name, port),
		append(l4(protoNumber(proto)), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}, eq(be16(port)...)),
	}
}

func portSide(dest bool) (string, uint32) {
	if dest {
		return "dport", 2
	}
	return "sport", 0
}

// managed is our end on one of the management ports.
func (w way) managed(set *nftables.Set) part {
	name, offset := portSide(!w.out)
	return part{"tcp " + name + " @" + setPorts, append(l4(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})}
}

// answering is a TCP segment that does not open a connection.
func answering() part {
	return part{"tcp flags & (syn | ack) != syn", []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x12}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0x02}},
	}}
}

func icmp(v6 bool, name string, typ ...byte) []part {
	proto, family := byte(unix.IPPROTO_ICMP), "icmp"
	if v6 {
		proto, family = unix.IPPROTO_ICMPV6, "icmpv6"
	}
	return []part{{family + " type " + name, append(l4(proto),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: uint32(len(typ))}, eq(typ...))}}
}

func counter() part { return part{"counter", []expr.Any{&expr.Counter{}}} }

func accept() part { return part{"accept", []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}} }

func drop() part { return part{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}} }

func jump(chain string) part {
	return part{"jump " + chain, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}}
}

// armed is whether the dead-man switch still holds: no in a rule that lets everything pass.
func (w way) armed(set *nftables.Set, no bool) part {
	text, key := "nfproto", expr.MetaKeyNFPROTO
	if w.family != nftables.TableFamilyINet {
		text, key = "protocol", expr.MetaKeyPROTOCOL
	}
	op := ""
	if no {
		op = "!= "
	}
	return part{"meta " + text + " " + op + "@" + setArmed, []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: no},
	}}
}

func loopback(out bool) part {
	name, key := "iifname", expr.MetaKeyIIFNAME
	if out {
		name, key = "oifname", expr.MetaKeyOIFNAME
	}
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, "lo")
	return part{name + ` "lo"`, []expr.Any{&expr.Meta{Key: key, Register: 1}, eq(data...)}}
}

func join(parts ...part) rule {
	var r rule
	var texts []string
	for _, p := range parts {
		if p.text != "" {
			texts = append(texts, p.text)
		}
		r.exprs = append(r.exprs, p.exprs...)
	}
	r.text = strings.Join(texts, " ")
	return r
}

// neighbours is what IPv6 needs on a link, which routers do not pass on: hop limit 255.
func neighbours() []part {
	return []part{
		icmp(true, "nd-router-solicit", 133)[0], icmp(true, "nd-router-advert", 134)[0],
		icmp(true, "nd-neighbor-solicit", 135)[0], icmp(true, "nd-neighbor-advert", 136)[0],
	}
}

// passes are the rules of a direction, before the last one that drops.
func (w way) passes(s *Scope, ports *nftables.Set) []rule {
	var rules []rule
	add := func(parts ...part) { rules = append(rules, join(append(parts, accept())...)) }
	if w.family == nftables.TableFamilyINet {
		add(loopback(w.out))
	}
	hops := part{"ip6 hoplimit 255", append(w.of(true), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1}, eq(255))}
	for _, n := range neighbours() {
		add(hops, n)
	}
	linkLocal, multicast := netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff02::/16")
	if w.out { // switches that listen in must learn which groups we are in, or solicitations do not reach us
		add(w.far(multicast), icmp(true, "mld-listener-report", 131)[0])
		add(w.far(multicast), icmp(true, "mld2-listener-report", 143)[0])
	} else {
		add(w.far(linkLocal), icmp(true, "mld-listener-query", 130)[0])
		add(part{"icmp type destination-unreachable icmp code frag-needed", append(w.of(false), icmp(false, "", 3, 4)[0].exprs...)})
		add(part{"icmpv6 type packet-too-big", append(w.of(true), icmp(true, "", 2)[0].exprs...)})
	}
	if s.DHCP {
		w.dhcp(add, linkLocal)
	}
	for _, p := range s.Peers {
		w.peer(p, ports, add)
	}
	for _, f := range s.Flows {
		add(w.far(single(f.Addr())), w.farPort("tcp", f.Port()), w.heard())
	}
	for _, p := range s.Probes {
		w.service(Allowed{Prefix: single(p.Addr()), Proto: "tcp", Port: p.Port()}, w.heard(), add)
	}
	for _, a := range s.DNS {
		w.service(Allowed{Prefix: single(a), Proto: "udp", Port: 53}, rule{}, add)
		w.service(Allowed{Prefix: single(a), Proto: "tcp", Port: 53}, rule{}, add)
	}
	for _, a := range s.Allow {
		w.service(a, rule{}, add)
	}
	return rules
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// heard counts what comes from the operator.
func (w way) heard() part {
	if w.out {
		return part{}
	}
	return counter()
}

func (w way) dhcp(add func(...part), linkLocal netip.Prefix) {
	servers := netip.MustParsePrefix("ff02::1:2/128")
	if w.out { // only to the link: a renewal that is not answered is broadcast in the end
		add(w.far(netip.MustParsePrefix("255.255.255.255/32")), w.nearPort("udp", 68), portOnly(w.farPort("udp", 67)))
		add(w.far(servers), w.nearPort("udp", 546), portOnly(w.farPort("udp", 547)))
		return
	}
	v4 := part{"meta nfproto ipv4", w.of(false)}
	if w.family != nftables.TableFamilyINet {
		v4.text = "meta protocol ip"
	}
	add(v4, w.farPort("udp", 67), portOnly(w.nearPort("udp", 68)))
	add(w.far(linkLocal), w.farPort("udp", 547), portOnly(w.nearPort("udp", 546)))
}

// portOnly leaves out the protocol, which a rule asks for once.
func portOnly(p part) part { return part{p.text, p.exprs[2:]} }

// peer lets an operator's address reach the management ports, and echo in both directions, which tells whether he is there.
func (w way) peer(p netip.Prefix, ports *nftables.Set, add func(...part)) {
	v6 := p.Addr().Is6()
	echo := [2]byte{8, 0}
	if v6 {
		echo = [2]byte{128, 129}
	}
	if w.out {
		add(w.far(p), w.managed(ports), answering())
	} else {
		add(w.far(p), w.managed(ports), w.heard())
	}
	add(append([]part{w.far(p)}, append(icmp(v6, "echo-request", echo[0]), w.heard())...)...)
	add(append([]part{w.far(p)}, append(icmp(v6, "echo-reply", echo[1]), w.heard())...)...)
}

// service lets this host be a client of a. Of a whole address or network it is both.
func (w way) service(a Allowed, count part, add func(...part)) {
	if a.Port == 0 {
		add(w.far(a.Prefix))
		return
	}
	parts := []part{w.far(a.Prefix), w.farPort(a.Proto, a.Port)}
	if !w.out && a.Proto == "tcp" {
		parts = append(parts, answering())
	}
	if len(count.exprs) > 0 {
		parts = append(parts, count)
	}
	add(parts...)
}

func portList(ports []uint16) string {
	var all []string
	for _, p := range ports {
		all = append(all, strconv.Itoa(int(p)))
	}
	return strings.Join(all, ", ")
}
