package isolate

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// maxPinged bounds the operators that are asked whether they are there.
const maxPinged = 16

// ping sends an echo request to each operator's address. The answers are counted by the rules; nobody here waits for them. One
// that cannot be sent is one that is not answered.
func ping(s *Scope) {
	n := 0
	for _, p := range s.Peers {
		if !p.IsSingleIP() || n >= maxPinged {
			continue
		}
		n++
		echo(p.Addr())
	}
}

func echo(a netip.Addr) {
	// Type, code, checksum, identifier, sequence number. Of IPv6 the kernel fills the checksum in.
	b := []byte{8, 0, 0, 0, 'm', 'w', 0, 1}
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: as4(a)}
	if a.Is6() {
		b[0] = 128
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		to = &unix.SockaddrInet6{Addr: a.As16()}
	} else {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written to it that could be lost
	_ = unix.Sendto(fd, b, 0, to)         // not sent is not answered
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
