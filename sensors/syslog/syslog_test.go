package syslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

func start(t testing.TB, cfg Config, emit minewarden.Emit) (addrs map[string]net.Addr, stop func()) {
	t.Helper()
	made, err := New(minewarden.Env{Log: slog.New(slog.DiscardHandler), Now: time.Now, Decode: func(into any) error {
		*into.(*Config) = cfg
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan map[string]net.Addr, 1), make(chan error, 1)
	go func() {
		done <- made.(*sensor).run(ctx, emit, func(a map[string]net.Addr) { ready <- a })
	}()
	select {
	case addrs = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return addrs, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func dial(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next(t testing.TB, events chan minewarden.Event) *minewarden.Record {
	t.Helper()
	select {
	case ev := <-events:
		return ev.Data.(*minewarden.Record)
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return nil
	}
}

func TestFramings(t *testing.T) {
	events := make(chan minewarden.Event, 100)
	addrs, stop := start(t, Config{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0"}, func(ev minewarden.Event) { events <- ev })
	defer stop()
	c := dial(t, addrs["tcp"])
	fmt.Fprint(c, "<34>Oct  1 22:14:15 web-1 sshd[1]: a line\n46 <34>Oct  1 22:14:15 web-1 sshd[1]: counted\none<34>1 2026-10-01T22:14:15Z h app - - - third\r\n5 <34>x")
	for _, want := range []string{"a line", "counted\none", "third", "x"} {
		r := next(t, events)
		if peer, _ := r.Field("peer"); r.Message != want || peer != "127.0.0.1" {
			t.Errorf("got %q from %s, want %q", r.Message, peer, want)
		}
	}
	fmt.Fprint(c, "<34>Oct  1 22:14:15 web-1 sshd[1]: without an end")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if r := next(t, events); r.Message != "without an end" || r.Host != "web-1" || r.Channel != "auth" {
		t.Errorf("got %+v", r)
	}
	u := dial(t, addrs["udp"])
	defer u.Close()
	fmt.Fprint(u, "<13>hello: by datagram")
	if r := next(t, events); r.Message != "by datagram" {
		t.Errorf("got %+v", r)
	}
}

// TestNothingIsLostWhenThePipelineIsSlow sends faster than events are taken.
func TestNothingIsLostWhenThePipelineIsSlow(t *testing.T) {
	const n = 20_000
	events := make(chan minewarden.Event) // emit waits for whoever takes
	addrs, stop := start(t, Config{TCP: "127.0.0.1:0"}, func(ev minewarden.Event) { events <- ev })
	sent := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", addrs["tcp"].String())
		if err != nil {
			sent <- err
			return
		}
		w := bufio.NewWriter(c)
		for i := range n {
			fmt.Fprintf(w, "<13>1 2026-10-01T22:14:15Z h app - - - message %d %s\n", i, strings.Repeat("x", 200))
		}
		sent <- errors.Join(w.Flush(), c.Close())
	}()
	for i := range n {
		if r := next(t, events); !strings.HasPrefix(r.Message, fmt.Sprintf("message %d ", i)) {
			t.Fatalf("message %d is %q", i, r.Message)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	stop()
}

func TestEndlessMessages(t *testing.T) {
	events := make(chan minewarden.Event, 10)
	addrs, stop := start(t, Config{TCP: "127.0.0.1:0"}, func(ev minewarden.Event) { events <- ev })
	defer stop()
	c := dial(t, addrs["tcp"])
	defer c.Close()
	for range 20 {
		fmt.Fprint(c, strings.Repeat("y", 1<<20))
	}
	fmt.Fprint(c, "\n2000000 <13>"+strings.Repeat("z", 2_000_000-4)+"<13>after: all\n")
	for _, want := range []int{1 << 20, 1<<20 - 4, 3} {
		if r := next(t, events); len(r.Message) != want {
			t.Errorf("a message of %d bytes, want %d", len(r.Message), want)
		}
	}
}

func TestOffUnlessConfigured(t *testing.T) {
	s, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background(), nil); !errors.Is(err, minewarden.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []Config{{TLS: Secure{Listen: ":1"}}, {HTTP: Secure{Listen: ":1", Cert: "a", Key: "b"}}} {
		if _, err := New(minewarden.Env{Decode: func(into any) error { *into.(*Config) = bad; return nil }}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// certificate writes a certificate that ca signed, or one that signs, and returns it.
func certificate(t *testing.T, dir, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: ca == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := tmpl, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, k := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: pk})
	for suffix, text := range map[string][]byte{".crt": c, ".key": k} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestTLSAndHTTPAskForACertificate(t *testing.T) {
	dir := t.TempDir()
	ca := certificate(t, dir, "ca", nil)
	certificate(t, dir, "server", &ca)
	client := certificate(t, dir, "client", &ca)
	stranger := certificate(t, dir, "stranger", nil)
	sec := Secure{"127.0.0.1:0", filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.crt")}
	events := make(chan minewarden.Event, 100)
	addrs, stop := start(t, Config{TLS: sec, HTTP: sec}, func(ev minewarden.Event) { events <- ev })
	defer stop()
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	conf := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{client}}
	c, err := tls.Dial("tcp", addrs["tls"].String(), conf)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "<13>a: over TLS\n")
	if r := next(t, events); r.Message != "over TLS" {
		t.Errorf("got %+v", r)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	transport := &http.Transport{TLSClientConfig: conf}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	body := `{"EventID":4688,"Channel":"Security","Hostname":"pc","NewProcessName":"C:\\x.exe"}` + "\n{broken\n"
	res, err := web.Post("https://"+addrs["http"].String()+"/", "application/x-ndjson", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := errors.Join(json.NewDecoder(res.Body).Decode(&a), res.Body.Close()); err != nil || a.Accepted != 1 || a.Rejected != 1 || a.Error == "" {
		t.Errorf("answer %+v, %v", a, err)
	}
	if r := next(t, events); r.Source != "evtx" || r.Host != "pc" {
		t.Errorf("got %+v", r)
	}
	other := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{stranger}}}
	if res, err := (&http.Client{Transport: other}).Post("https://"+addrs["http"].String()+"/", "", strings.NewReader("{}")); err == nil {
		t.Errorf("a stranger was let in: %s", res.Status)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("5 <13>a12 <13>x\n<1>y"))
	f.Add([]byte("99999999 <1>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := &frames{r: bufio.NewReaderSize(bytes.NewReader(in), 64)}
		total := 0
		for {
			msg, _, err := r.next()
			total += len(msg)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if total > len(in) {
			t.Errorf("%d bytes of messages from %d", total, len(in))
		}
	})
}

func BenchmarkTCP(b *testing.B) {
	got := make(chan struct{}, 1)
	n := 0
	addrs, stop := start(b, Config{TCP: "127.0.0.1:0"}, func(minewarden.Event) {
		if n++; n == b.N {
			got <- struct{}{}
		}
	})
	c := dial(b, addrs["tcp"])
	w := bufio.NewWriterSize(c, 64<<10)
	line := "<38>Oct  1 22:14:15 web-1 sshd[77]: Failed password for invalid user admin from 192.0.2.1 port 54321 ssh2\n"
	b.SetBytes(int64(len(line)))
	for range b.N {
		if _, err := w.WriteString(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	<-got
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	stop()
}
