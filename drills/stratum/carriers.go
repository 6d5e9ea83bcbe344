package stratum

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the opening of WebSocket asks for it
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Carriers are the names that Config takes.
func Carriers() []string { return []string{"plain", "socks", "tls", "websocket"} }

const (
	maxMessage = 64 << 10
	dialWait   = 5 * time.Second
	webKey     = "bWluZXdhcmRlbi1kcmlsbA=="
	webGUID    = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455
)

// A line is a connection that carries messages.
type line struct {
	conn    net.Conn
	in      *bufio.Reader
	frames  bool // WebSocket
	masking bool // of the client
}

func (l *line) send(text string) error {
	b := []byte(text + "\n")
	if l.frames {
		b = frame([]byte(text), l.masking)
	}
	_, err := l.conn.Write(b)
	return err
}

func (l *line) receive() (string, error) {
	if l.frames {
		return l.unframe()
	}
	s, err := l.in.ReadSlice('\n')
	return strings.TrimRight(string(s), "\r\n"), err
}

func frame(payload []byte, masking bool) []byte {
	b := []byte{0x81}
	mask := byte(0)
	if masking {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !masking {
		return append(b, payload...)
	}
	key := [4]byte{0x6d, 0x77, 0x61, 0x72}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

func (l *line) unframe() (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(l.in, head[:]); err != nil {
		return "", err
	}
	n := uint64(head[1] & 0x7f)
	if n >= 126 {
		size := 2
		if n == 127 {
			size = 8
		}
		var b [8]byte
		if _, err := io.ReadFull(l.in, b[8-size:]); err != nil {
			return "", err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	if n > maxMessage {
		return "", errors.New("a frame is too long")
	}
	var key [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(l.in, key[:]); err != nil {
			return "", err
		}
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(l.in, b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] ^= key[i%4]
	}
	return string(b), nil
}

// dial connects to the pool, for SOCKS to a proxy before it. The client of TLS names no server, as miners do not.
func (p *party) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialWait}
	return d.DialContext(ctx, "tcp", addr)
}

// open is the client's beginning.
func (p *party) open(c net.Conn, addr string) (*line, error) {
	l := &line{conn: c, in: bufio.NewReaderSize(c, maxMessage)}
	switch p.carrier {
	case "tls":
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // miners check nothing
		l.conn, l.in = t, bufio.NewReaderSize(t, maxMessage)
	case "socks":
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		return l, l.askProxy(to)
	case "websocket":
		_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", addr, webKey)
		if err != nil {
			return nil, err
		}
		l.frames, l.masking = true, true
		return l, l.skipHead()
	}
	return l, nil
}

func (l *line) skipHead() error {
	for {
		s, err := l.in.ReadSlice('\n')
		if err != nil || len(s) <= 2 {
			return err
		}
	}
}

func (l *line) askProxy(to netip.AddrPort) error {
	if _, err := l.conn.Write([]byte{5, 1, 0}); err != nil {
		return err
	}
	if err := l.expect(2); err != nil {
		return err
	}
	b := append([]byte{5, 1, 0, 1}, to.Addr().AsSlice()...)
	if _, err := l.conn.Write(binary.BigEndian.AppendUint16(b, to.Port())); err != nil {
		return err
	}
	return l.expect(10)
}

func (l *line) expect(n int) error {
	_, err := io.ReadFull(l.in, make([]byte, n))
	return err
}

// accept is the pool's beginning. With SOCKS it plays the proxy as well: what is behind one does not show on the wire.
func (p *party) accept(c net.Conn) (*line, error) {
	l := &line{conn: c, in: bufio.NewReaderSize(c, maxMessage)}
	switch p.carrier {
	case "tls":
		t := tls.Server(c, p.tls.config)
		l.conn, l.in = t, bufio.NewReaderSize(t, maxMessage)
	case "socks":
		if err := l.expect(3); err != nil {
			return nil, err
		}
		if _, err := c.Write([]byte{5, 0}); err != nil {
			return nil, err
		}
		if err := l.expect(10); err != nil {
			return nil, err
		}
		_, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		return l, err
	case "websocket":
		if err := l.skipHead(); err != nil {
			return nil, err
		}
		sum := sha1.Sum([]byte(webKey + webGUID)) //nolint:gosec // see above
		l.frames = true
		_, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		return l, err
	}
	return l, nil
}

// identity is the pool's certificate: made for one drill, signed by itself.
type identity struct{ config *tls.Config }

func newTLS() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Hour)
	template := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: from.AddDate(1, 0, 0)}
	template.Subject.CommonName = "minewarden drill"
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &identity{&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}, nil
}
