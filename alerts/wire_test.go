package alerts

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/minewarden/minewarden"
)

// certificate makes one for 127.0.0.1 and returns it with the file that holds it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// frames reads counted messages until the sender ends.
func frames(l net.Listener, out chan<- string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		in := bufio.NewReader(c)
		for {
			n, err := in.ReadString(' ')
			if err != nil {
				break
			}
			size, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil || size > 1<<20 {
				out <- "bad count " + n
				break
			}
			b := make([]byte, size)
			if _, err := io.ReadFull(in, b); err != nil {
				out <- "short: " + err.Error()
				break
			}
			out <- string(b)
		}
		c.Close()
	}
}

var (
	rfc5424 = regexp.MustCompile(`^<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} minewarden \d+ [!-~]{1,32} (\[minewarden@32473( [a-z]+="([^"\\\]]|\\["\\\]])*")*\]|-) .*$`)
	cefForm = regexp.MustCompile(`CEF:0\|minewarden\|minewarden\|1\|pow/randomx\|[^|\n]*\|10\|[^\n]*$`)
)

func TestSyslog(t *testing.T) {
	pair, ca := certificate(t)
	inc := incident("i1")
	a := ofIncident(Opened, &inc, when)
	for _, typ := range []string{"syslog", "cef"} {
		for _, protocol := range []string{"tls", "tcp", "udp"} {
			got := make(chan string, 4)
			var address string
			if protocol == "udp" {
				c, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				address = c.LocalAddr().String()
				go func() {
					b := make([]byte, 65536)
					n, _, err := c.ReadFrom(b)
					if err == nil {
						got <- string(b[:n])
					}
				}()
			} else {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				address = l.Addr().String()
				if protocol == "tls" {
					l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
				}
				go frames(l, got)
			}
			s := &syslog{Output{Type: typ, Address: address, Protocol: protocol, TLS: TLS{CAFile: ca}}, text{}, "1"}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := s.send(ctx, &a); err != nil {
				t.Errorf("%s over %s: %v", typ, protocol, err)
				cancel()
				continue
			}
			cancel()
			select {
			case m := <-got:
				if !rfc5424.MatchString(m) {
					t.Errorf("%s over %s: %q has not the form of RFC 5424", typ, protocol, m)
				}
				if typ == "cef" && !cefForm.MatchString(m) {
					t.Errorf("%q has not the form of CEF", m)
				}
				if strings.ContainsAny(m, "\x1b\r\n") || strings.Contains(m, "\u202e") {
					t.Errorf("%q acts", m)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s over %s: nothing arrived", typ, protocol)
			}
		}
	}
	// Somebody else's certificate is nobody to tell secrets to.
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go frames(l, make(chan string, 1))
	s := &syslog{Output{Type: "syslog", Address: l.Addr().String()}, text{}, "1"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.send(ctx, &a); err == nil {
		t.Error("an unknown certificate was trusted")
	}
}

func TestSNMP(t *testing.T) {
	dir := t.TempDir()
	put := func(name, v string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(v+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, o := range []Output{
		{Name: "v2", Type: "snmp", Version: "2c", CommunityFile: put("community", "c0mmunity")},
		{Name: "v3", Type: "snmp", User: "warden", AuthPasswordFile: put("auth", "authentication"), PrivacyPasswordFile: put("priv", "confidential")},
	} {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Address = c.LocalAddr().String()
		c.Close()
		got := make(chan *gosnmp.SnmpPacket, 1)
		l := gosnmp.NewTrapListener()
		l.OnNewTrap = func(p *gosnmp.SnmpPacket, _ *net.UDPAddr) { got <- p }
		out := &snmp{o, text{}}
		l.Params = &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "c0mmunity", MaxOids: 60}
		if o.Version == "" {
			engine, err := out.engine()
			if err != nil {
				t.Fatal(err)
			}
			l.Params.Version, l.Params.SecurityModel, l.Params.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.AuthPriv
			l.Params.SecurityParameters = &gosnmp.UsmSecurityParameters{
				UserName: o.User, AuthoritativeEngineID: engine, AuthenticationProtocol: gosnmp.SHA256, AuthenticationPassphrase: "authentication",
				PrivacyProtocol: gosnmp.AES, PrivacyPassphrase: "confidential",
			}
		}
		go l.Listen(o.Address)
		<-l.Listening()
		inc := incident("i1")
		a := ofIncident(Opened, &inc, when)
		if err := out.send(t.Context(), &a); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-got:
			seen := map[string]any{}
			for _, v := range p.Variables {
				seen[v.Name] = v.Value
			}
			if seen[trapOID] != mib+".0.1" || string(seen[mib+".2.6.0"].([]byte)) != "i1" || seen[mib+".2.3.0"] != 4 {
				t.Errorf("%s: %v", o.Name, seen)
			}
			for name, v := range seen {
				if b, ok := v.([]byte); ok && strings.ContainsAny(string(b), "\x1b\r\n") {
					t.Errorf("%s: %s acts: %q", o.Name, name, b)
				}
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: no trap arrived", o.Name)
		}
		l.Close()
	}
}

// mailServer takes one mail; refuse is the answer to RCPT.
func mailServer(t *testing.T, refuse string) (string, <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got <- converse(c, refuse)
		}
	}()
	return l.Addr().String(), got
}

func converse(c net.Conn, refuse string) string {
	defer c.Close()
	in := bufio.NewReader(c)
	say := func(s string) { fmt.Fprintf(c, "%s\r\n", s) }
	say("220 test")
	var body strings.Builder
	for {
		l, err := in.ReadString('\n')
		if err != nil {
			return body.String()
		}
		switch cmd := strings.ToUpper(l); {
		case strings.HasPrefix(cmd, "EHLO"):
			say("250 test")
		case strings.HasPrefix(cmd, "RCPT") && refuse != "":
			say(refuse)
		case strings.HasPrefix(cmd, "DATA"):
			say("354 go on")
			for {
				l, err := in.ReadString('\n')
				if err != nil || l == ".\r\n" {
					break
				}
				body.WriteString(l)
			}
			say("250 taken")
		case strings.HasPrefix(cmd, "QUIT"):
			say("221 bye")
			return body.String()
		default:
			say("250 ok")
		}
	}
}

func TestMail(t *testing.T) {
	address, got := mailServer(t, "")
	x, err := newText("")
	if err != nil {
		t.Fatal(err)
	}
	s := &smtp{Output{Type: "smtp", Address: address, Protocol: "plain", From: "warden@example.org", To: []string{"ops@example.org"}}, x}
	inc := incident("i1")
	a := ofIncident(Opened, &inc, when)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.send(ctx, &a); err != nil {
		t.Fatal(err)
	}
	m := <-got
	head, _, _ := strings.Cut(m, "\r\n\r\n")
	if !strings.Contains(head, "X-Minewarden-Kind: incident.opened") || !strings.Contains(head, "To: <ops@example.org>") {
		t.Errorf("head:\n%s", head)
	}
	for _, l := range strings.Split(head, "\r\n") {
		if l != "" && l[0] != ' ' && !regexp.MustCompile(`^[A-Za-z-]+:( |$)`).MatchString(l) {
			t.Errorf("a header was injected: %q", l)
		}
	}
	for answer, final := range map[string]bool{"550 no such user": true, "450 later": false} {
		address, _ := mailServer(t, answer)
		s.Address = address
		if err := s.send(ctx, &a); err == nil || errors.Is(err, errRefused) != final {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(hostile, hostile)
	f.Fuzz(func(t *testing.T, name, value string) {
		inc := incident("i1")
		inc.Subject.Name, inc.Findings[0].Evidence[0].Value, inc.Host, inc.Subject.ID = name, value, value, name
		a := ofIncident(Opened, &inc, when)
		for _, typ := range []string{"syslog", "cef"} {
			s := &syslog{Output{Type: typ}, text{}, "1"}
			m := s.message(&a)
			if !rfc5424.MatchString(m) || strings.ContainsAny(m, "\r\n\x1b") {
				t.Errorf("%q", m)
			}
		}
		for _, format := range Formats {
			if _, err := Encode(&a, format, "1"); err != nil {
				t.Error(err)
			}
		}
		w := &webhook{Output: Output{Type: "feishu"}, now: time.Now}
		x, err := newText("")
		if err != nil {
			t.Fatal(err)
		}
		w.text = x
		b, err := w.body(&a, "k")
		if err != nil || strings.Contains(string(b), `\u003c`) {
			t.Errorf("%v %s", err, b)
		}
		n := Notice(Deadline, name, value, name, minewarden.High, when)
		if strings.ContainsAny(n.Text, "\r\n") {
			t.Errorf("%q", n.Text)
		}
	})
}
