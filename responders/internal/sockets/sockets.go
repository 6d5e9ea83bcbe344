// Package sockets lists the sockets of network namespaces by sock_diag, and ends connections by SOCK_DESTROY.
package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// From the kernel's user interface, not in x/sys.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	diagReqLen       = 56 // inet_diag_req_v2
	diagMsgLen       = 72 // inet_diag_msg
	idLen            = 48 // inet_diag_sockid
	maxSockets       = 1 << 20
	maxNamespaces    = 4096
	receiveBuffer    = 256 << 10
	diagTimeoutSec   = 5
)

// States that a connection to somebody is in: all but LISTEN, CLOSE and TIME_WAIT.
const (
	TCPListen = 10
	Talking   = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11
	Listening = 1 << TCPListen
	connected = 1 << 1 // of UDP
)

// A Socket is one that sock_diag told of.
type Socket struct {
	Proto  uint8
	Family uint8
	State  uint8
	Local  netip.AddrPort
	Remote netip.AddrPort
	Inode  uint32
	id     [idLen]byte // as the kernel names it, with its cookie
}

// A Diag is a sock_diag socket of one network namespace.
type Diag struct {
	fd  int
	buf []byte
	seq uint32
}

// Open opens it in the network namespace of the calling thread.
func Open() (*Diag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open sock_diag: %w", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagTimeoutSec}); err != nil {
		return nil, errors.Join(fmt.Errorf("open sock_diag: %w", err), unix.Close(fd))
	}
	return &Diag{fd: fd, buf: make([]byte, receiveBuffer)}, nil
}

// Close closes it.
func (d *Diag) Close() error { return unix.Close(d.fd) }

func (d *Diag) send(typ uint16, flags uint16, family, proto uint8, states uint32, id [idLen]byte) error {
	d.seq++
	b := make([]byte, unix.NLMSG_HDRLEN+diagReqLen)
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], uint32(len(b)))
	ne.PutUint16(b[4:], typ)
	ne.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
	ne.PutUint32(b[8:], d.seq)
	r := b[unix.NLMSG_HDRLEN:]
	r[0], r[1] = family, proto
	ne.PutUint32(r[4:], states)
	copy(r[8:], id[:])
	return unix.Sendto(d.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// answers gives each message of the answer to take, until its end.
func (d *Diag) answers(take func(typ uint16, body []byte)) error {
	for {
		n, _, err := unix.Recvfrom(d.fd, d.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		done, err := parseMessages(d.buf[:n], d.seq, take)
		if done || err != nil {
			return err
		}
	}
}

// parseMessages walks over netlink messages; done: the answer is complete. An answer of another request is passed over.
func parseMessages(b []byte, seq uint32, take func(typ uint16, body []byte)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(ne.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return true, errors.New("sock_diag: a message is cut off")
		}
		typ, body := ne.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:length]
		mine := ne.Uint32(b[8:]) == seq
		b = b[min(len(b), (length+3)&^3):]
		if !mine {
			continue
		}
		switch typ {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, errors.New("sock_diag: an error is cut off")
			}
			if code := int32(ne.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		default:
			take(typ, body)
		}
	}
	return false, nil
}

// parseSocket reads an inet_diag_msg.
func parseSocket(proto uint8, b []byte) (Socket, bool) {
	if len(b) < diagMsgLen {
		return Socket{}, false
	}
	s := Socket{Proto: proto, Family: b[0], State: b[1], Inode: binary.NativeEndian.Uint32(b[68:])}
	copy(s.id[:], b[4:])
	size := 4
	switch s.Family {
	case unix.AF_INET:
	case unix.AF_INET6:
		size = 16
	default:
		return Socket{}, false
	}
	local, _ := netip.AddrFromSlice(s.id[4 : 4+size])
	remote, _ := netip.AddrFromSlice(s.id[20 : 20+size])
	s.Local = netip.AddrPortFrom(local.Unmap(), binary.BigEndian.Uint16(s.id[0:]))
	s.Remote = netip.AddrPortFrom(remote.Unmap(), binary.BigEndian.Uint16(s.id[2:]))
	return s, true
}

// List gives the TCP sockets in these states, and with udp the connected UDP sockets.
func (d *Diag) List(states uint32, udp bool, take func(Socket)) error {
	protos := []uint8{unix.IPPROTO_TCP}
	if udp {
		protos = append(protos, unix.IPPROTO_UDP)
	}
	n := 0
	for _, proto := range protos {
		if proto == unix.IPPROTO_UDP {
			states = connected
		}
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			if err := d.send(sockDiagByFamily, unix.NLM_F_DUMP, family, proto, states, [idLen]byte{}); err != nil {
				return fmt.Errorf("list sockets: %w", err)
			}
			err := d.answers(func(_ uint16, body []byte) {
				if s, ok := parseSocket(proto, body); ok && n < maxSockets {
					n++
					take(s)
				}
			})
			if errors.Is(err, unix.ENOENT) { // no such protocol here: nobody has such sockets
				continue
			}
			if err != nil {
				return fmt.Errorf("list sockets: %w", err)
			}
		}
	}
	return nil
}

// Destroy ends a connection; both ends learn by a reset. One that is gone is no error.
func (d *Diag) Destroy(s *Socket) (bool, error) {
	if err := d.send(sockDestroy, unix.NLM_F_ACK, s.Family, s.Proto, ^uint32(0), s.id); err != nil {
		return false, fmt.Errorf("end the connection %s > %s: %w", s.Local, s.Remote, err)
	}
	err := d.answers(func(uint16, []byte) {})
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("end the connection %s > %s: %w", s.Local, s.Remote, err)
	}
	return true, nil
}

// Find returns the socket of one end of a conversation, without a look at all of them. The kernel answers with the listener
// where the conversation is over: that is not it.
func (d *Diag) Find(proto uint8, local, remote netip.AddrPort) (Socket, bool, error) {
	family := uint8(unix.AF_INET)
	var id [idLen]byte
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	if l, r := local.Addr(), remote.Addr(); l.Is4() && r.Is4() {
		copy(id[4:], l.AsSlice())
		copy(id[20:], r.AsSlice())
	} else {
		family = unix.AF_INET6
		l16, r16 := l.As16(), r.As16()
		copy(id[4:], l16[:])
		copy(id[20:], r16[:])
	}
	for i := 40; i < idLen; i++ {
		id[i] = 0xff // any cookie
	}
	if err := d.send(sockDiagByFamily, unix.NLM_F_ACK, family, proto, ^uint32(0), id); err != nil {
		return Socket{}, false, fmt.Errorf("find the connection %s > %s: %w", local, remote, err)
	}
	var got Socket
	found := false
	err := d.answers(func(_ uint16, body []byte) {
		if s, ok := parseSocket(proto, body); ok && s.State != TCPListen && s.Local == local && s.Remote == remote {
			got, found = s, true
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return Socket{}, false, nil
	}
	if err != nil {
		return Socket{}, false, fmt.Errorf("find the connection %s > %s: %w", local, remote, err)
	}
	return got, found, nil
}

// EachNamespace runs do with a diag of every network namespace that a process is in, our own first. What ends meanwhile is
// passed over. With own it is only the first.
func EachNamespace(own bool, do func(*Diag) error) error {
	d, err := Open()
	if err != nil {
		return err
	}
	if err := errors.Join(do(d), d.Close()); err != nil || own {
		return err
	}
	var self unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &self); err != nil {
		return fmt.Errorf("find network namespaces: %w", err)
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("find network namespaces: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("find network namespaces: %w", err)
	}
	seen := map[uint64]bool{self.Ino: true}
	var errs []error
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil || len(seen) >= maxNamespaces {
			continue
		}
		path := "/proc/" + name + "/ns/net"
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil || seen[st.Ino] {
			continue // ended, or not ours to see
		}
		seen[st.Ino] = true
		errs = append(errs, InNamespace(path, do))
	}
	return errors.Join(errs...)
}

// InNamespace runs do with a diag of the network namespace at path. The thread that entered it is given up when it cannot get
// back out.
func InNamespace(path string, do func(*Diag) error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		d, back, err := diagOf(path)
		if back {
			runtime.UnlockOSThread()
		}
		if err == nil && d != nil {
			err = errors.Join(do(d), d.Close())
		}
		result <- err
	}()
	return <-result
}

func diagOf(path string) (_ *Diag, back bool, err error) {
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, true, fmt.Errorf("open our network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(own)) }()
	other, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, true, nil // its process ended
	}
	defer func() { err = errors.Join(err, unix.Close(other)) }()
	if err := unix.Setns(other, unix.CLONE_NEWNET); err != nil {
		return nil, true, fmt.Errorf("enter %s: %w", path, err)
	}
	d, err := Open()
	if ret := unix.Setns(own, unix.CLONE_NEWNET); ret != nil {
		return d, false, errors.Join(err, fmt.Errorf("leave %s: %w", path, ret))
	}
	return d, true, err
}
