package app_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/minewarden/minewarden/app"
)

// TestReplayKnowsPools writes a capture in which somebody asks for a pool by name and is answered: replay tells of it as the agent would.
func TestReplayKnowsPools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dns.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	question := layers.DNSQuestion{Name: []byte("pool.supportxmr.com"), Type: layers.DNSTypeA, Class: layers.DNSClassIN}
	for i, d := range []*layers.DNS{
		{ID: 7, RD: true, Questions: []layers.DNSQuestion{question}},
		{ID: 7, QR: true, RD: true, RA: true, Questions: []layers.DNSQuestion{question}, Answers: []layers.DNSResourceRecord{
			{Name: question.Name, Type: layers.DNSTypeA, Class: layers.DNSClassIN, TTL: 60, IP: []byte{203, 0, 113, 9}},
		}},
	} {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{198, 51, 100, 5}, DstIP: []byte{9, 9, 9, 9}}
		udp := &layers.UDP{SrcPort: 40000, DstPort: 53}
		if d.QR {
			ip.SrcIP, ip.DstIP, udp.SrcPort, udp.DstPort = ip.DstIP, ip.SrcIP, 53, 40000
		}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, d); err != nil {
			t.Fatal(err)
		}
		ci := gopacket.CaptureInfo{Timestamp: at.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}
		if err := w.WritePacket(ci, b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	found := ""
	err = app.Replay(t.Context(), observe(t.TempDir()), slog.New(slog.DiscardHandler), []string{path}, func(r app.Replayed) {
		if r.Err != nil {
			t.Error(r.Err)
		}
		for _, x := range r.Findings {
			found += x.Rule + " "
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if found != "dns/pool " {
		t.Errorf("found %q, want dns/pool", found)
	}
}
