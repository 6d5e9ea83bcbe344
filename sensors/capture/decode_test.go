package capture

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const login = `{"id":1,"method":"login","params":{"login":"w","pass":"x"}}` + "\n"

func TestFileFormats(t *testing.T) {
	packets := []packet{{t0, eth(typeIP4, ip4(protoUDP, "10.0.0.2", "10.0.0.53", udpDatagram(5000, 53, dnsQuery())))}}
	plain := pcapOf(binary.LittleEndian, magicNano, linkEthernet, packets)
	var gz, zs bytes.Buffer
	z := gzip.NewWriter(&gz)
	zw, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{z, zw} {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range map[string][]byte{
		"pcap":            pcapOf(binary.LittleEndian, magicMicro, linkEthernet, packets),
		"pcap big-endian": pcapOf(binary.BigEndian, magicMicro, linkEthernet, packets),
		"pcap nano":       plain, "pcap nano big-endian": pcapOf(binary.BigEndian, magicNano, linkEthernet, packets),
		"pcapng":     ngOf(binary.LittleEndian, linkEthernet, packets),
		"pcapng big": ngOf(binary.BigEndian, linkEthernet, packets),
		"gzip":       gz.Bytes(), "zstd": zs.Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			if !Is(file[:min(len(file), 4096)]) {
				t.Error("is not told to be a capture")
			}
			path := filepath.Join(t.TempDir(), "c")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			pipe := path + ".pipe"
			if err := unix.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			go func() {
				if err := os.WriteFile(pipe, file, 0); err != nil {
					t.Error(err)
				}
			}()
			for _, path := range []string{path, pipe} {
				n := 0
				err := Read(context.Background(), path, func(err error) { t.Error(err) }, func(ev minewarden.Event) {
					if d, ok := ev.Data.(*minewarden.DNS); ok && d.Name == "pool.example" && d.Type == "A" && ev.Time.UnixNano() == t0 {
						n++
					}
				})
				if err != nil || n != 1 {
					t.Errorf("%s: %d messages, error %v", path, n, err)
				}
			}
		})
	}
}

func TestWhatIsAroundPackets(t *testing.T) {
	dns := udpDatagram(5000, 53, dnsQuery())
	inner := ip4(protoUDP, "10.0.0.2", "10.0.0.53", dns)
	tag := func(typ uint16, b []byte) []byte { return append([]byte{0, 5, byte(typ >> 8), byte(typ)}, b...) }
	outer := func(port uint16, head, b []byte) []byte {
		return eth(typeIP4, ip4(protoUDP, "192.0.2.1", "192.0.2.2", udpDatagram(999, port, append(head, b...))))
	}
	gre := func(head []byte, b []byte) []byte {
		return eth(typeIP4, ip4(47, "192.0.2.1", "192.0.2.2", append(head, b...)))
	}
	frag := func(off int, more bool, b []byte) []byte {
		p := ip4(protoUDP, "10.0.0.2", "10.0.0.53", b)
		v := uint16(off / 8)
		if more {
			v |= 0x2000
		}
		binary.BigEndian.PutUint16(p[4:], 77)
		binary.BigEndian.PutUint16(p[6:], v)
		return eth(typeIP4, p)
	}
	frag6 := func(off int, more byte, b []byte) []byte {
		return eth(typeIP6, ip6(44, append([]byte{protoUDP, 0, byte(off >> 8), byte(off) | more, 0, 0, 0, 9}, b...)))
	}
	for name, tt := range map[string]struct {
		link   uint32
		frames [][]byte
	}{
		"plain":         {linkEthernet, [][]byte{eth(typeIP4, inner)}},
		"VLAN":          {linkEthernet, [][]byte{eth(typeVLAN, tag(typeIP4, inner))}},
		"QinQ":          {linkEthernet, [][]byte{eth(typeQinQ, tag(typeVLAN, tag(typeIP4, inner)))}},
		"MPLS":          {linkEthernet, [][]byte{eth(typeMPLS, append([]byte{0, 1, 0, 9, 0, 2, 1, 9}, inner...))}},
		"PPPoE":         {linkEthernet, [][]byte{eth(typePPPoE, append([]byte{0x11, 0, 0, 1, 0, 0, 0, 0x21}, inner...))}},
		"SNAP":          {linkEthernet, [][]byte{eth(100, append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner...))}},
		"GRE":           {linkEthernet, [][]byte{gre([]byte{0x20, 0, 8, 0, 0, 0, 0, 1}, inner)}},
		"GRE Ethernet":  {linkEthernet, [][]byte{gre([]byte{0, 0, 0x65, 0x58}, eth(typeIP4, inner))}},
		"ERSPAN II":     {linkEthernet, [][]byte{gre([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0}, eth(typeIP4, inner))}},
		"IP in IP":      {linkEthernet, [][]byte{eth(typeIP4, ip4(4, "192.0.2.1", "192.0.2.2", inner))}},
		"VXLAN":         {linkEthernet, [][]byte{outer(portVXLAN, []byte{8, 0, 0, 0, 0, 0, 1, 0}, eth(typeIP4, inner))}},
		"Geneve":        {linkEthernet, [][]byte{outer(portGeneve, []byte{1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0}, eth(typeIP4, inner))}},
		"GTP-U":         {linkEthernet, [][]byte{outer(portGTPU, []byte{0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0}, inner)}},
		"fragments":     {linkEthernet, [][]byte{frag(16, false, dns[16:]), frag(0, true, dns[:16])}},
		"IPv6":          {linkEthernet, [][]byte{eth(typeIP6, ip6(0, append([]byte{60, 0, 1, 4, 0, 0, 0, 0, protoUDP, 0, 1, 4, 0, 0, 0, 0}, dns...)))}},
		"IPv6 fragment": {linkEthernet, [][]byte{frag6(0, 1, dns[:16]), frag6(16, 0, dns[16:])}},
		"raw":           {linkRaw, [][]byte{inner}},
		"null":          {linkNull, [][]byte{append([]byte{2, 0, 0, 0}, inner...)}},
		"SLL":           {linkSLL, [][]byte{append([]byte{0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0}, inner...)}},
		"SLL2":          {linkSLL2, [][]byte{append([]byte{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}, inner...)}},
		"PPP":           {linkPPP, [][]byte{append([]byte{0xff, 3, 0, 0x21}, inner...)}},
		"Cisco HDLC":    {linkCHDLC, [][]byte{append([]byte{0x0f, 0, 8, 0}, inner...)}},
	} {
		t.Run(name, func(t *testing.T) {
			var packets []packet
			for i, f := range tt.frames {
				packets = append(packets, packet{t0 + int64(i), f})
			}
			all, bad, err := eventsOf(t, pcapOf(binary.LittleEndian, magicMicro, tt.link, packets))
			if got := only[*minewarden.DNS](all); err != nil || len(bad) > 0 || len(got) != 1 || got[0].Name != "pool.example" || len(only[*minewarden.Flow](all)) != 2 {
				t.Errorf("DNS %+v, error %v, bad %v", got, err, bad)
			}
		})
	}
}

func TestReassembly(t *testing.T) {
	a, b, c := login[:20], login[20:40], login[40:]
	at := func(n int) uint32 { return 0xfffffff1 + uint32(n) }
	for name, tt := range map[string]struct {
		send func(k *talk)
		want string
	}{
		"in order": {func(k *talk) { k.say(0, a); k.say(0, b); k.say(0, c) }, login},
		"reordered": {func(k *talk) {
			k.raw(0, tcpACK, at(40), c)
			k.raw(0, tcpACK, at(20), b)
			k.raw(0, tcpACK, at(0), a)
		}, login},
		"sent again": {func(k *talk) { k.say(0, a); k.raw(0, tcpACK, at(0), a); k.say(0, b+c); k.raw(0, tcpACK, at(20), b) }, login},
		"overlapping": {func(k *talk) {
			k.say(0, a)
			k.raw(0, tcpACK, at(10), login[10:45])
			k.raw(0, tcpACK, at(30), login[30:])
		}, login},
		"lost, and the server has it": {func(k *talk) {
			k.raw(0, tcpACK, at(0), a)
			k.raw(0, tcpACK, at(40), c)
			k.seq[0] = at(len(login))
			k.raw(1, tcpACK, k.seq[1], "")
		}, a + "[gap]" + c},
		"lost to the end": {func(k *talk) { k.raw(0, tcpACK, at(0), a); k.raw(0, tcpACK, at(40), c); k.seq[0] = at(len(login)) }, a + "[gap]" + c},
		"one byte at a time": {func(k *talk) {
			for i := range login {
				k.say(0, login[i:i+1])
			}
		}, login},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTalk(3333)
			tt.send(k)
			all := eventsOfPackets(t, k.end().packets)
			if diff := cmp.Diff(tt.want, said(all, true, minewarden.CarrierTCP)); diff != "" {
				t.Errorf("the client said (-want +got):\n%s", diff)
			}
			flows := only[*minewarden.Flow](all)
			if last := flows[len(flows)-1]; last.Ended != "fin" || last.Joined || last.Key.Server.Port() != 3333 {
				t.Errorf("the flow ended as %+v", last)
			}
		})
	}
}

func TestJoinedInTheMiddle(t *testing.T) {
	k := newTalk(3333)
	k.say(1, `3","target":"ff"}}`+"\n"+`{"method":"job"}`+"\n")
	k.say(0, login)
	all := eventsOfPackets(t, k.packets[2:])
	if got := said(all, true, minewarden.CarrierTCP); got != login {
		t.Errorf("the client said %q", got)
	}
	for _, f := range only[*minewarden.Flow](all) {
		if !f.Joined || f.Key.Server.Port() != 3333 {
			t.Errorf("flow %+v, want it joined, with its server on port 3333", f)
		}
	}
}

func TestLongMiningSessionIsReadWholly(t *testing.T) {
	k := newTalk(3333)
	k.say(0, login)
	n := 0
	for range 2000 {
		k.say(0, `{"id":2,"method":"submit","params":{"nonce":"7f000000","result":"`+strings.Repeat("0", 64)+`"}}`+"\n")
		n++
	}
	all := eventsOfPackets(t, k.end().packets)
	if got := strings.Count(said(all, true, minewarden.CarrierTCP), "submit"); got != n {
		t.Errorf("%d submits, want %d", got, n)
	}
	messages := 0
	for _, f := range only[*minewarden.Flow](all) {
		messages += len(f.Messages) + int(f.More)
		if len(f.Messages) > minewarden.MaxMessages {
			t.Errorf("%d messages in one event", len(f.Messages))
		}
	}
	if messages != n+1 {
		t.Errorf("%d messages, want %d", messages, n+1)
	}
}

func TestBulkIsNotStreamed(t *testing.T) {
	k := newTalk(9)
	k.say(0, strings.Repeat("\x00\x01\x02\x03", 100_000))
	if got := said(eventsOfPackets(t, k.end().packets), true, minewarden.CarrierTCP); len(got) > streamBinary {
		t.Errorf("%d bytes are streamed", len(got))
	}
}

func TestHTTP(t *testing.T) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := z.Write([]byte(login)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	k := newTalk(80)
	k.say(0, "POST /rpc?a=1 HTTP/1.1\r\nHost: pool.example\r\nAuthorization: Basic dXNlcjpwYXNz\r\nUser-Agent: cgminer\r\nContent-Length: "+fmt.Sprint(len(login))+"\r\n\r\n"+login+
		"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
	k.say(1, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"+login[:5]+"\r\n")
	k.say(1, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(login)-5, login[5:]))
	k.say(1, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
	k.say(0, "GET /z HTTP/1.1\r\n\r\n")
	k.say(1, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", gz.Len(), gz.Bytes()))
	all := eventsOfPackets(t, k.end().packets)
	heads := only[*minewarden.HTTP](all)
	if len(heads) != 6 {
		t.Fatalf("%d heads, want 6", len(heads))
	}
	if h := heads[0]; h.Method != "POST" || h.Path != "/rpc?a=1" || h.Host != "pool.example" || h.User != "user" || h.Agent != "cgminer" || h.Length != int64(len(login)) {
		t.Errorf("head %+v", h)
	}
	if got := said(all, true, minewarden.CarrierHTTPBody); got != login {
		t.Errorf("request body %q", got)
	}
	if got := said(all, false, minewarden.CarrierHTTPBody); got != login+login {
		t.Errorf("response bodies %q", got)
	}
}

func TestWebSocket(t *testing.T) {
	k := newTalk(80)
	k.say(0, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	k.say(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
	mask := [4]byte{1, 2, 3, 4}
	frame := append([]byte{0x81, 0x80 | byte(len(login))}, mask[:]...)
	for i := range login {
		frame = append(frame, login[i]^mask[i&3])
	}
	k.say(0, string(frame[:30]))
	k.say(0, string(frame[30:]))
	k.say(1, "\x89\x02hi"+"\x81\x7e\x00"+string(rune(len(login)))+login)
	all := eventsOfPackets(t, k.end().packets)
	for _, client := range []bool{true, false} {
		if got := said(all, client, minewarden.CarrierWebSocket); got != login {
			t.Errorf("client %v said %q", client, got)
		}
	}
}

func TestProxies(t *testing.T) {
	for name, tt := range map[string]struct {
		carrier string
		open    func(k *talk)
	}{
		"SOCKS 5": {minewarden.CarrierSOCKS, func(k *talk) {
			k.say(0, "\x05\x01\x00")
			k.say(1, "\x05\x00")
			k.say(0, "\x05\x01\x00\x03\x0cpool.example\x0d\x05")
			k.say(1, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		}},
		"SOCKS 5 with password": {minewarden.CarrierSOCKS, func(k *talk) {
			k.say(0, "\x05\x02\x00\x02")
			k.say(1, "\x05\x02")
			k.say(0, "\x01\x01u\x01p")
			k.say(1, "\x01\x00")
			k.say(0, "\x05\x01\x00\x03\x0cpool.example\x0d\x05")
			k.say(1, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		}},
		"SOCKS 4a": {minewarden.CarrierSOCKS, func(k *talk) {
			k.say(0, "\x04\x01\x0d\x05\x00\x00\x00\x01u\x00pool.example\x00")
			k.say(1, "\x00\x5a\x00\x00\x00\x00\x00\x00")
		}},
		"CONNECT": {minewarden.CarrierConnect, func(k *talk) {
			k.say(0, "CONNECT pool.example:3333 HTTP/1.1\r\nHost: pool.example:3333\r\n\r\n")
			k.say(1, "HTTP/1.1 200 Connection established\r\n\r\n")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTalk(1080)
			tt.open(k)
			k.say(0, login)
			k.say(1, `{"id":1,"result":{"job":{}}}`+"\n")
			all := eventsOfPackets(t, k.end().packets)
			if got := said(all, true, tt.carrier); got != login {
				t.Errorf("the client said %q", got)
			}
			for _, s := range only[*minewarden.Stream](all) {
				if s.Target != "pool.example:3333" {
					t.Errorf("target %q", s.Target)
				}
			}
		})
	}
}

// handshake returns what both sides of a real TLS connection wrote, in order.
func handshake(t *testing.T, version uint16) *talk {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pool.example", Organization: []string{"O"}}, DNSNames: []string{"Pool.example"},
		NotBefore: time.Unix(1.7e9, 0), NotAfter: time.Unix(1.8e9, 0),
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k := newTalk(3333)
	a, b := net.Pipe()
	said := make(chan struct {
		side int
		data string
	}, 100)
	record := func(side int, c net.Conn) net.Conn {
		return recorder{c, func(b []byte) {
			said <- struct {
				side int
				data string
			}{side, string(b)}
		}}
	}
	client := tls.Client(record(0, a), &tls.Config{ServerName: "pool.example", NextProtos: []string{"h2"}, InsecureSkipVerify: true, MaxVersion: version, MinVersion: version})
	server := tls.Server(record(1, b), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"h2"}, SessionTicketsDisabled: true})
	go func() {
		buf := make([]byte, 1000)
		if _, err := server.Read(buf); err != nil {
			t.Error(err)
		}
		close(said)
	}()
	if _, err := client.Write([]byte(login)); err != nil {
		t.Fatal(err)
	}
	for s := range said {
		k.say(s.side, s.data)
	}
	return k.end()
}

type recorder struct {
	net.Conn
	wrote func([]byte)
}

func (r recorder) Write(b []byte) (int, error) {
	r.wrote(b)
	return r.Conn.Write(b)
}

func TestTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		all := eventsOfPackets(t, handshake(t, version).packets)
		got := only[*minewarden.TLS](all)
		if len(got) != 2 || got[0].Server || !got[1].Server {
			t.Fatalf("%d events, want the client's and the server's", len(got))
		}
		c, s := got[0], got[1]
		if c.SNI != "pool.example" || s.SNI != c.SNI || cmp.Diff([]string{"h2"}, c.ALPN) != "" || len(c.JA3) != 32 || len(c.JA4) != 36 || s.JA4 != c.JA4 || s.Cipher == 0 {
			t.Errorf("client %+v, server %+v", c, s)
		}
		if version == tls.VersionTLS12 {
			if x := s.Cert; x == nil || x.Subject != "O=O,CN=pool.example" || !x.SelfSigned || x.NotAfter.Unix() != 1.8e9 || cmp.Diff([]string{"pool.example"}, x.Names) != "" {
				t.Errorf("certificate %+v", x)
			}
		}
		if want := "t" + strings.ReplaceAll(c.Version, ".", "") + "d"; !strings.HasPrefix(c.JA4, want) || c.Version != s.Version {
			t.Errorf("fingerprint %s begins not with %s, or the server chose %s", c.JA4, want, s.Version)
		}
		n := 0
		for _, f := range only[*minewarden.Flow](all) {
			for _, m := range f.Messages {
				if m.FromClient && m.Size > uint32(len(login)) && m.Size < uint32(len(login)+40) {
					n++
				}
			}
		}
		if n == 0 {
			t.Error("the record that holds the login is in no flow's messages")
		}
	}
}

// TestQUICKeys holds the derivation to the example of RFC 9001, appendix A.1.
func TestQUICKeys(t *testing.T) {
	dcid, err := hex.DecodeString("8394c8f03e515708")
	if err != nil {
		t.Fatal(err)
	}
	k, err := newQUICKeys(saltV1[:], dcid, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(k.iv[:]); got != "fa044b2f42a3fd3b46fb255c" {
		t.Errorf("iv %s", got)
	}
	var mask [16]byte
	sample, err := hex.DecodeString("d1b1c98dd7689fb8ec11d242b123dc9b")
	if err != nil {
		t.Fatal(err)
	}
	k.header.Encrypt(mask[:], sample)
	if got := hex.EncodeToString(mask[:5]); got != "437b9aec36" {
		t.Errorf("mask %s", got)
	}
}

func TestStartTLS(t *testing.T) {
	inner := handshake(t, tls.VersionTLS13)
	k := newTalk(25)
	k.say(1, "220 mail.example ESMTP\r\n")
	k.say(0, "STARTTLS\r\n")
	k.say(1, "220 go ahead\r\n")
	for _, p := range inner.packets[2 : len(inner.packets)-2] {
		side := b2i(be16(p.data[34:]) == inner.port)
		k.say(side, string(p.data[54:]))
	}
	if got := only[*minewarden.TLS](eventsOfPackets(t, k.end().packets)); len(got) != 2 || got[0].SNI != "pool.example" {
		t.Errorf("handshake %+v", got)
	}
}

func TestSSH(t *testing.T) {
	k := newTalk(2222)
	k.say(1, "SSH-2.0-OpenSSH_9.6\r\n")
	k.say(0, "SSH-2.0-Go\r\n")
	got := only[*minewarden.SSH](eventsOfPackets(t, k.end().packets))
	if len(got) != 2 || got[0].Banner != "SSH-2.0-OpenSSH_9.6" || !got[0].Server || got[1].Banner != "SSH-2.0-Go" || got[1].Server {
		t.Errorf("banners %+v", got)
	}
}

func TestDNSPointerLoop(t *testing.T) {
	q := dnsQuery()
	copy(q[12:], "\xc0\x0c")
	e := newEngine(func(minewarden.Event) { t.Error("it is a message") }, defaultLimits())
	e.dns(&flow{}, q, protoUDP)
	if e.stats.bad != 1 {
		t.Errorf("%d bad, want 1", e.stats.bad)
	}
}

func TestFlowsGoneIdleAreForgotten(t *testing.T) {
	ended := 0
	e := newEngine(func(ev minewarden.Event) {
		if f, ok := ev.Data.(*minewarden.Flow); ok && f.Ended == "idle" {
			ended++
		}
	}, defaultLimits())
	const n = 3 * chunk
	for i := range n {
		p := eth(typeIP4, ip4(protoUDP, fmt.Sprintf("10.1.%d.%d", i>>8, i&255), "10.0.0.3", udpDatagram(5000, 6000, []byte("x"))))
		e.frame(&frame{time: t0, data: p, wire: len(p), link: linkEthernet})
	}
	e.now = t0 + idleUDP + second
	for range sweepParts {
		e.sweep()
	}
	if ended != n || e.table.used != 0 {
		t.Errorf("%d of %d ended, %d are left", ended, n, e.table.used)
	}
}

func TestFloodPushesOutItself(t *testing.T) {
	l := defaultLimits()
	l.flows = 5000
	ended := map[string]int{}
	e := newEngine(func(ev minewarden.Event) {
		if f, ok := ev.Data.(*minewarden.Flow); ok && f.State == minewarden.FlowEnd {
			ended[f.Ended+fmt.Sprint(f.ClientBytes > 0)]++
		}
	}, l)
	put := func(p packet) { e.frame(&frame{time: p.at, data: p.data, wire: len(p.data), link: linkEthernet}) }
	k := newTalk(3333)
	k.say(0, login)
	k.say(1, login)
	for _, p := range k.packets {
		put(p)
	}
	for i := range 50_000 {
		src := fmt.Sprintf("172.16.%d.%d", i>>8&255, i&255)
		put(packet{k.now + int64(i)*1000, eth(typeIP4, ip4(protoTCP, src, "10.0.0.3", tcpSegment(1024+uint16(i>>16), 80, 1, 0, tcpSYN, "")))})
	}
	if e.table.used > l.flows || ended["evictedtrue"] != 0 || ended["evictedfalse"] != 50_001-l.flows {
		t.Errorf("%d flows, ended %v", e.table.used, ended)
	}
}
