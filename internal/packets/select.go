package packets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// A Flow is a conversation between two ends, in either order.
type Flow struct {
	A netip.AddrPort `json:"a"`
	B netip.AddrPort `json:"b"`
}

// ordered returns the same conversation with its ends in one order.
func (f Flow) ordered() Flow {
	f.A = netip.AddrPortFrom(f.A.Addr().WithZone("").Unmap(), f.A.Port())
	f.B = netip.AddrPortFrom(f.B.Addr().WithZone("").Unmap(), f.B.Port())
	if f.B.Compare(f.A) < 0 {
		f.A, f.B = f.B, f.A
	}
	return f
}

// Select writes the packets of conversations from kept files, in the order of files and not older than since, as a capture
// file, and returns how many these are. A file that is damaged is read until there, and the error says so beside what was written; the last one may
// end within a packet. The first write is that of the first packet.
func Select(ctx context.Context, w io.Writer, files []string, flows []Flow, since time.Time) (int, error) {
	s := selector{out: pcapgo.NewWriterNanos(w), flows: map[Flow]bool{}, hosts: map[[2]netip.Addr]bool{}, since: since}
	for _, f := range flows {
		f = f.ordered()
		s.flows[f] = true
		s.hosts[[2]netip.Addr{f.A.Addr(), f.B.Addr()}] = true
	}
	var faults error
	for i, path := range files {
		fault, err := s.file(ctx, path)
		if err != nil {
			return s.n, err
		}
		if i == len(files)-1 && errors.Is(fault, io.ErrUnexpectedEOF) {
			fault = nil // it is being written
		}
		faults = errors.Join(faults, fault)
	}
	return s.n, faults
}

type selector struct {
	out   *pcapgo.Writer
	flows map[Flow]bool
	hosts map[[2]netip.Addr]bool // of the flows, for fragments, which have no ports
	since time.Time
	n     int
}

// file returns what is wrong with the file, and why nothing more can be written.
func (s *selector) file(ctx context.Context, path string) (fault, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // its room was needed
	}
	if err != nil {
		return err, nil
	}
	defer f.Close()
	r, err := pcapgo.NewReader(bufio.NewReaderSize(f, handOver))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err), nil
	}
	if r.LinkType() != linkSLL || r.Snaplen() > maxSnap {
		return fmt.Errorf("%s: it is none of kept packets", path), nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		data, ci, err := r.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err), nil
		}
		if ci.Timestamp.Before(s.since) || !s.wanted(data) {
			continue
		}
		if s.n == 0 {
			if err := s.out.WriteFileHeader(maxSnap, layers.LinkTypeLinuxSLL); err != nil {
				return nil, err
			}
		}
		s.n++
		if err := s.out.WritePacket(ci, data); err != nil {
			return nil, err
		}
	}
}

// wanted reports whether a packet is of one of the conversations, also inside tags and tunnels.
func (s *selector) wanted(data []byte) bool {
	var from, to netip.Addr
	p := gopacket.NewPacket(data, layers.LayerTypeLinuxSLL, gopacket.DecodeOptions{NoCopy: true})
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			from, _ = netip.AddrFromSlice(l.SrcIP)
			to, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.IPv6:
			from, _ = netip.AddrFromSlice(l.SrcIP)
			to, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.TCP:
			if s.flows[between(from, uint16(l.SrcPort), to, uint16(l.DstPort))] {
				return true
			}
		case *layers.UDP:
			if s.flows[between(from, uint16(l.SrcPort), to, uint16(l.DstPort))] {
				return true
			}
		case *gopacket.Fragment, *layers.IPv6Fragment:
			f := between(from, 0, to, 0)
			if s.hosts[[2]netip.Addr{f.A.Addr(), f.B.Addr()}] || s.hosts[[2]netip.Addr{f.B.Addr(), f.A.Addr()}] {
				return true
			}
		}
	}
	return false
}

func between(a netip.Addr, ap uint16, b netip.Addr, bp uint16) Flow {
	return Flow{netip.AddrPortFrom(a, ap), netip.AddrPortFrom(b, bp)}.ordered()
}
