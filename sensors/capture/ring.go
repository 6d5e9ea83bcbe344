package capture

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const (
	blockSize = 1 << 20
	frameSize = 2048 // a hint to the kernel: packets lie back to back
	// retireAfter is how long a packet waits for its block to be full, in milliseconds.
	retireAfter = 8
	maxWanted   = 64 // interfaces named in the configuration
)

// Offsets in the kernel's tpacket_block_desc and tpacket3_hdr, which are the same on every 64-bit machine.
const (
	blockStatus = 8
	blockCount  = 12
	blockFirst  = 16

	packetNext   = 0
	packetSec    = 4
	packetNsec   = 8
	packetSnap   = 12
	packetLen    = 16
	packetNet    = 26
	packetProto  = 50 // of the sockaddr_ll that follows at 48
	packetIface  = 52
	packetHeader = 68
)

// ring is a socket that sees the packets of a network namespace at the network layer, in memory shared with the kernel.
type ring struct {
	fd      int
	id      uint16
	mem     []byte
	next    int // block
	cfg     Config
	filter  []int  // interface indexes that the filter knows
	netns   uint64 // inode; 0: the host's
	ordered bool
}

// openRing makes a ring in the calling thread's network namespace.
func openRing(cfg Config, mib int, id uint16) (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: open a packet socket: %w", minewarden.ErrUnsupported, err)
	}
	r := &ring{fd: fd, id: id, cfg: cfg}
	if err := r.setUp(max(mib, 2)); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *ring) setUp(blocks int) error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("%w: packet ring version 3: %w", minewarden.ErrUnsupported, err)
	}
	req := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(blocks), Frame_size: frameSize,
		Frame_nr: uint32(blocks) * blockSize / frameSize, Retire_blk_tov: retireAfter,
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a packet ring of %d MiB: %w", blocks, err)
	}
	var err error
	if r.mem, err = unix.Mmap(r.fd, 0, blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map the packet ring: %w", err)
	}
	if err := r.refilter(); err != nil {
		return err
	}
	// Only now do packets come, so the first one passes the filter.
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL)}); err != nil {
		return fmt.Errorf("bind the packet socket: %w", err)
	}
	return nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (r *ring) close() error {
	var err error
	if r.mem != nil {
		err = unix.Munmap(r.mem)
		r.mem = nil
	}
	return errors.Join(err, unix.Close(r.fd))
}

// refilter tells the kernel which interfaces count, when these changed. In a container's namespace all but loopback do.
func (r *ring) refilter() error {
	var want []int
	named := len(r.cfg.Interfaces) > 0 && r.netns == 0
	switch {
	case r.ordered && r.netns != 0:
		return nil
	case named:
		for _, name := range r.cfg.Interfaces {
			i, err := net.InterfaceByName(name)
			if err != nil {
				continue // not there, or not yet
			}
			want = append(want, i.Index)
		}
	case !r.cfg.Loopback:
		want = []int{1} // the kernel makes loopback first in every namespace
	}
	if r.ordered && slices.Equal(want, r.filter) {
		return nil
	}
	prog := ifaceFilter(want, named, uint32(r.cfg.Snaplen))
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &f); err != nil {
		return fmt.Errorf("filter packets by interface: %w", err)
	}
	r.filter, r.ordered = want, true
	return nil
}

// ifaceFilter is a kernel filter that takes snaplen bytes of packets from the listed interfaces only, or from all others.
func ifaceFilter(list []int, only bool, snaplen uint32) []unix.SockFilter {
	const (
		loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jumpEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret      = unix.BPF_RET | unix.BPF_K
		ifindex  = 0xfffff008 // ancillary data: the interface's index
	)
	listed, other := uint32(0), snaplen
	if only {
		listed, other = snaplen, 0
	}
	prog := []unix.SockFilter{{Code: loadWord, K: ifindex}}
	for i, n := range list {
		prog = append(prog, unix.SockFilter{Code: jumpEq, Jt: uint8(len(list) - i), K: uint32(n)})
	}
	return append(prog, unix.SockFilter{Code: ret, K: other}, unix.SockFilter{Code: ret, K: listed})
}

// lost returns how many packets the kernel dropped since it was last asked.
func (r *ring) lost() (uint64, error) {
	st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("ask for dropped packets: %w", err)
	}
	return uint64(st.Drops), nil
}

// drain hands the packets of every full block to e, but no more than the ring holds, so that others have their turn.
func (r *ring) drain(e *engine) {
	for range len(r.mem) / blockSize {
		b := r.mem[r.next*blockSize : (r.next+1)*blockSize]
		status := (*uint32)(unsafe.Pointer(&b[blockStatus]))
		if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			return
		}
		r.block(e, b)
		atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
		r.next = (r.next + 1) % (len(r.mem) / blockSize)
	}
}

func (r *ring) block(e *engine, b []byte) {
	off := int(word(b, blockFirst))
	for range word(b, blockCount) {
		if off < 0 || off+packetHeader > len(b) {
			e.stats.bad++ // never seen: the kernel wrote it
			return
		}
		p := b[off:]
		start, size := int(half16(p, packetNet)), int(word(p, packetSnap))
		if start+size > len(p) {
			e.stats.bad++
			return
		}
		e.begin(int64(word(p, packetSec))*second + int64(word(p, packetNsec)))
		e.iface = r.id<<10 + uint16(word(p, packetIface)&0x3ff) + 1
		data := p[start : start+size : start+size]
		et, missing := be16(p[packetProto:]), max(int(word(p, packetLen))-size, 0)
		e.network(et, data, missing, 0)
		if e.keeper != nil {
			e.keeper.packet(e, et, data, missing)
		}
		step := int(word(p, packetNext))
		if step == 0 {
			return
		}
		off += step
	}
}

func word(b []byte, off int) uint32   { return *(*uint32)(unsafe.Pointer(&b[off])) }
func half16(b []byte, off int) uint16 { return *(*uint16)(unsafe.Pointer(&b[off])) }
