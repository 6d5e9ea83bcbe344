package stratum

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	snapLen     = 256 << 10 // loopback carries segments far beyond an Ethernet frame
	readTimeout = 100 * time.Millisecond
	settleReads = 2 // empty reads after the end, for what is still on its way
)

// capture writes the packets of loopback into a pcap file until stop is called. It is meant for a network namespace of our own.
func capture(path string) (stop func() error, err error) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	proto := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	timeout := unix.NsecToTimeval(readTimeout.Nanoseconds())
	err = errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: lo.Index}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("capture: %w", err), unix.Close(fd))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("capture: %w", err), unix.Close(fd))
	}
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(f, 1<<20)
		err := record(fd, w, quit)
		done <- errors.Join(err, w.Flush(), f.Close(), unix.Close(fd))
	}()
	return func() error { close(quit); return <-done }, nil
}

func record(fd int, w *bufio.Writer, quit <-chan struct{}) error {
	head := make([]byte, 24) // nanoseconds, Ethernet
	le := binary.LittleEndian
	le.PutUint32(head[0:], 0xa1b23c4d)
	le.PutUint16(head[4:], 2)
	le.PutUint16(head[6:], 4)
	le.PutUint32(head[16:], snapLen)
	le.PutUint32(head[20:], 1)
	if _, err := w.Write(head); err != nil {
		return err
	}
	buf := make([]byte, 16+snapLen)
	for left := settleReads; left > 0; {
		n, from, err := unix.Recvfrom(fd, buf[16:], 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			select {
			case <-quit:
				left--
			default:
			}
			if err := w.Flush(); err != nil { // somebody may read along
				return fmt.Errorf("capture: %w", err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		// Each packet on loopback is seen when it goes out and when it comes in: once is enough.
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		now := time.Now()
		le.PutUint32(buf[0:], uint32(now.Unix()))
		le.PutUint32(buf[4:], uint32(now.Nanosecond()))
		le.PutUint32(buf[8:], uint32(n))
		le.PutUint32(buf[12:], uint32(n))
		if _, err := w.Write(buf[:16+n]); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
	}
	return nil
}
