package isolatetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Wait bounds what should come.
const Wait = 3 * time.Second

// Host is the namespace of the process.
func Host() *Space { return nil }

func (s *Space) run(f func() error) error {
	if s == nil {
		return f()
	}
	return s.Do(f)
}

// Serve echoes what it is sent, by TCP and UDP, until closed.
func (s *Space) Serve(addr string) (io.Closer, error) {
	var l net.Listener
	var u net.PacketConn
	err := s.run(func() (err error) {
		if l, err = net.Listen("tcp", addr); err == nil {
			u, err = net.ListenPacket("udp", addr)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	accepted := &conns{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !accepted.add(c) {
				return
			}
			go func() {
				_, _ = io.Copy(c, c) // ends when either side does
				_ = c.Close()
			}()
		}
	}()
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], from)
		}
	}()
	return closers{l, u, accepted}, nil
}

// conns are connections whose other ends may never say that they ended: an isolated host's.
type conns struct {
	mu     sync.Mutex
	list   []net.Conn
	closed bool
}

func (k *conns) add(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		_ = c.Close()
		return false
	}
	k.list = append(k.list, c)
	return true
}

func (k *conns) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, c := range k.list {
		_ = c.Close() // most are closed already
	}
	return nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, k := range c {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// Dial connects from s.
func (s *Space) Dial(network, addr string, wait time.Duration) (net.Conn, error) {
	var c net.Conn
	err := s.run(func() (err error) {
		c, err = net.DialTimeout(network, addr, wait)
		return err
	})
	return c, err
}

// Echo says something over c, and waits for it to come back.
func Echo(c net.Conn, wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// Reach connects, says something, and waits for it to come back.
func (s *Space) Reach(network, addr string, wait time.Duration) error {
	c, err := s.Dial(network, addr, wait)
	if err != nil {
		return err
	}
	return errors.Join(Echo(c, wait), c.Close())
}

// A Tap sees what arrives at a namespace by its device eth0.
type Tap struct {
	fd   int
	last atomic.Int64 // when an IP packet last came in, by the kernel's stamp; nanoseconds since 1970
	n    atomic.Uint64
	done chan struct{}
	skip func(packet []byte, v6 bool) bool
}

// Tap begins to look. Neighbour discovery is no traffic, nor is what skip says; it may be nil.
func (s *Space) Tap(device string, skip func(packet []byte, v6 bool) bool) (*Tap, error) {
	t := &Tap{fd: -1, done: make(chan struct{}), skip: skip}
	err := s.run(func() error {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
		if err != nil {
			return err
		}
		t.fd = fd
		i, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		return errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	})
	if err != nil {
		return nil, fmt.Errorf("tap %s: %w", device, err)
	}
	stop := make(chan struct{})
	go t.read(stop)
	t.done = stop
	return t, nil
}

func (t *Tap) read(stop chan struct{}) {
	b, oob := make([]byte, 2048), make([]byte, 256)
	for {
		select {
		case <-stop:
			_ = unix.Close(t.fd)
			return
		default:
		}
		n, on, _, from, err := unix.Recvmsg(t.fd, b, oob, 0)
		if err != nil {
			continue
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		proto := ll.Protocol<<8 | ll.Protocol>>8
		v6 := proto == unix.ETH_P_IPV6
		if (proto != unix.ETH_P_IP && !v6) || (v6 && n > 40 && b[6] == unix.IPPROTO_ICMPV6 && b[40] >= 130) || (v6 && n > 48 && b[6] == 0) ||
			(t.skip != nil && t.skip(b[:n], v6)) {
			continue
		}
		at := time.Now().UnixNano()
		if msgs, err := unix.ParseSocketControlMessage(oob[:on]); err == nil {
			for _, m := range msgs {
				if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
					at = stamp(m.Data)
				}
			}
		}
		t.last.Store(at)
		t.n.Add(1)
	}
}

// Last is when a packet last came, and how many have.
func (t *Tap) Last() (time.Time, uint64) { return time.Unix(0, t.last.Load()), t.n.Load() }

// Close ends it.
func (t *Tap) Close() error {
	close(t.done)
	return nil
}

func stamp(b []byte) int64 {
	return int64(binary.NativeEndian.Uint64(b))*int64(time.Second) + int64(binary.NativeEndian.Uint64(b[8:]))
}
