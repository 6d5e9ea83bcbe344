package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// A packet is a frame and its time.
type packet struct {
	at   time.Time
	data []byte
}

// A wire makes the packets of one TCP connection.
type wire struct {
	r       *rand.Rand
	packets []packet
	now     time.Time
	ends    [2]netip.AddrPort // of the client, of the server
	seq     [2]uint32
	cut     int // bytes of a segment at most
	encap   string
	joined  bool                             // nothing of the opening is seen
	unseen  func(side int, data []byte) bool // which segments the capture has not
}

func (w *wire) open() {
	w.seq = [2]uint32{w.r.Uint32(), w.r.Uint32()}
	if !w.joined {
		w.segment(0, true, false, nil)
	}
	w.seq[0]++
	if !w.joined {
		w.segment(1, true, true, nil)
	}
	w.seq[1]++
}

func (w *wire) close() {
	for s := range w.ends {
		w.emit(s, &layers.TCP{FIN: true, ACK: true, Seq: w.seq[s], Ack: w.seq[1-s]}, nil)
		w.seq[s]++
	}
}

// say sends b from a side in segments.
func (w *wire) say(side int, b []byte) {
	for len(b) > 0 {
		n := min(len(b), w.cut)
		if w.unseen == nil || !w.unseen(side, b[:n]) {
			w.segment(side, false, true, b[:n])
		}
		w.seq[side] += uint32(n)
		b = b[n:]
	}
	w.now = w.now.Add(time.Duration(50+w.r.IntN(400)) * time.Millisecond)
}

func (w *wire) segment(side int, syn, ack bool, b []byte) {
	w.emit(side, &layers.TCP{SYN: syn, ACK: ack, PSH: len(b) > 0, Seq: w.seq[side], Ack: w.seq[1-side]}, b)
}

func (w *wire) emit(side int, t *layers.TCP, payload []byte) {
	w.now = w.now.Add(300 * time.Microsecond)
	src, dst := w.ends[side], w.ends[1-side]
	t.SrcPort, t.DstPort, t.Window = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port()), 65000
	if !t.ACK {
		t.Ack = 0
	}
	ls := []gopacket.SerializableLayer{}
	typ := layers.EthernetTypeIPv4
	if src.Addr().Is6() {
		typ = layers.EthernetTypeIPv6
	}
	inner := func() {
		if typ == layers.EthernetTypeIPv6 {
			ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
			ls = append(ls, ip)
			check(t.SetNetworkLayerForChecksum(ip))
		} else {
			ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
			ls = append(ls, ip)
			check(t.SetNetworkLayerForChecksum(ip))
		}
		ls = append(ls, t, gopacket.Payload(payload))
	}
	eth := func(of layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: of}
	}
	outer := func(p layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
	}
	switch w.encap {
	case "vlan":
		ls = append(ls, eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 7, Type: typ})
	case "qinq":
		ls = append(ls, eth(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 8, Type: typ})
	case "gre":
		ls = append(ls, eth(layers.EthernetTypeIPv4), outer(layers.IPProtocolGRE), &layers.GRE{Protocol: typ})
	case "vxlan":
		ip := outer(layers.IPProtocolUDP)
		udp := &layers.UDP{SrcPort: 40000, DstPort: 4789}
		check(udp.SetNetworkLayerForChecksum(ip))
		ls = append(ls, eth(layers.EthernetTypeIPv4), ip, udp, &layers.VXLAN{ValidIDFlag: true, VNI: 9}, eth(typ))
	case "mpls":
		ls = append(ls, eth(layers.EthernetTypeMPLSUnicast), &layers.MPLS{Label: 77, StackBottom: true, TTL: 64})
	default:
		ls = append(ls, eth(typ))
	}
	inner()
	buf := gopacket.NewSerializeBuffer()
	check(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	w.packets = append(w.packets, packet{w.now, append([]byte(nil), buf.Bytes()...)})
}

// check stops at what cannot happen with headers that are made here.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// pcap writes packets as a capture of Ethernet with nanoseconds.
func pcap(packets []packet) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 0xa1b23c4d)
	out = le.AppendUint16(le.AppendUint16(out, 2), 4)
	out = append(out, make([]byte, 8)...)
	out = le.AppendUint32(le.AppendUint32(out, 1<<18), 1)
	for _, p := range packets {
		out = le.AppendUint32(le.AppendUint32(out, uint32(p.at.Unix())), uint32(p.at.Nanosecond()))
		out = le.AppendUint32(le.AppendUint32(out, uint32(len(p.data))), uint32(len(p.data)))
		out = append(out, p.data...)
	}
	return out
}
