package procfs

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const (
	socketsEvery   = time.Second
	maxSockets     = 65536    // connections kept
	maxNamespaces  = 64       // network namespaces looked at
	maxSocketTable = 32 << 20 // bytes of one table
)

// sockets finds who holds which outgoing TCP connection.
type sockets struct {
	looked time.Time
	known  map[uint64]bool // inodes that were reported, or are not outgoing; true: seen in this look
}

func newSockets() *sockets { return &sockets{known: map[uint64]bool{}} }

// socket is one line of a table.
type socket struct {
	local, remote netip.AddrPort
	state         uint64
	inode         uint64
}

const (
	stateEstablished = 1
	stateSynSent     = 2
	stateListen      = 10
)

// lookSockets reports connections that are new since the last look, in each network namespace.
func (w *watch) lookSockets(now time.Time) {
	s := w.sockets
	if !s.looked.IsZero() && now.Sub(s.looked) < socketsEvery/2 {
		return
	}
	s.looked = now
	for inode := range s.known {
		s.known[inode] = false
	}
	fresh := map[uint64]socket{}
	complete := true
	for _, pid := range w.namespaces() {
		var all []socket
		for _, table := range [...]string{"net/tcp", "net/tcp6"} {
			fd, err := unix.Openat(w.tree.fd, w.tree.path(pid, 0, table), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				continue // no IPv6, or ended
			}
			all, err = parseSockets(io.LimitReader(fdReader(fd), maxSocketTable), w.maps, all)
			unix.Close(fd)
			if err != nil {
				complete = false
				w.log.Debug("sockets could not be read", "pid", pid, "table", table, "err", err)
			}
		}
		s.outgoing(all, fresh)
	}
	for inode, seen := range s.known {
		if !seen && complete {
			delete(s.known, inode)
		}
	}
	if len(fresh) > 0 {
		w.owners(now, fresh)
	}
}

// outgoing adds connections not seen before that this side opened: their local port is none that it listens on.
func (s *sockets) outgoing(all []socket, fresh map[uint64]socket) {
	listening := map[uint16]bool{}
	for _, k := range all {
		if k.state == stateListen {
			listening[k.local.Port()] = true
		}
	}
	for _, k := range all {
		if k.inode == 0 || k.state != stateEstablished && k.state != stateSynSent {
			continue
		}
		_, known := s.known[k.inode]
		if !known && len(s.known) >= maxSockets {
			continue
		}
		s.known[k.inode] = true
		if !known && !listening[k.local.Port()] {
			fresh[k.inode] = k
		}
	}
}

// namespaces returns one process of each network namespace.
func (w *watch) namespaces() []int32 {
	seen := map[string]bool{}
	var pids []int32
	for pid, p := range w.known {
		if p.kernel {
			continue
		}
		ns := w.tree.link(w.tree.path(pid, 0, "ns/net"))
		if ns == "" || seen[ns] {
			continue
		}
		if len(seen) == maxNamespaces {
			break
		}
		seen[ns] = true
		pids = append(pids, pid)
	}
	return pids
}

// owners reports the connections whose process can be found, until all are.
func (w *watch) owners(now time.Time, fresh map[uint64]socket) {
	for pid, p := range w.known {
		if p.kernel || len(fresh) == 0 {
			continue
		}
		fds, err := w.tree.numbersOf(w.tree.path(pid, 0, "fd"), w.tids[:0], maxFiles)
		w.tids = fds
		if err != nil && len(fds) == 0 {
			continue
		}
		for _, fd := range fds {
			link := w.tree.link(w.tree.path(pid, 0, "fd/"+digits(fd)))
			if len(link) < 10 || link[:8] != "socket:[" {
				continue
			}
			inode, _ := number([]byte(link[8:]))
			k, ok := fresh[inode]
			if !ok {
				continue
			}
			delete(fresh, inode)
			c := &minewarden.Connect{Proto: "tcp", Local: k.local, Remote: k.remote, Socket: inode}
			if k.state == stateEstablished {
				c.Result = "ok"
			}
			w.send(now, p.who, c)
		}
	}
	for _, k := range fresh { // of a process that ended, or whose files may not be read
		w.send(now, nil, &minewarden.Connect{Proto: "tcp", Local: k.local, Remote: k.remote, Socket: k.inode})
	}
}

// parseSockets appends the lines of /proc/net/tcp or tcp6, read through buf.
func parseSockets(r io.Reader, buf []byte, to []socket) ([]socket, error) {
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		data := buf[:kept+n]
		for {
			i := indexByte(data, '\n')
			if i < 0 {
				break
			}
			if k, ok := parseSocket(data[:i]); ok && len(to) < maxSockets {
				to = append(to, k)
			}
			data = data[i+1:]
		}
		if len(data) == len(buf) {
			data = data[:0]
		}
		kept = copy(buf, data)
		if err == io.EOF { //nolint:errorlint // as io.Reader gives it
			return to, nil
		}
		if err != nil {
			return to, err
		}
	}
}

// parseSocket reads "sl: local remote state queues timer retransmits uid timeout inode …".
func parseSocket(line []byte) (socket, bool) {
	var k socket
	f := bytes.Fields(line)
	if len(f) < 10 {
		return k, false
	}
	var ok1, ok2 bool
	k.local, ok1 = address(f[1])
	k.remote, ok2 = address(f[2])
	state, n := hexNumber(f[3])
	if !ok1 || !ok2 || n == 0 {
		return k, false
	}
	k.state = state
	k.inode, n = number(f[9])
	return k, n > 0
}

// address reads an address as the kernel prints it: 32-bit words in the byte order of the host, then the port.
func address(text []byte) (netip.AddrPort, bool) {
	i := indexByte(text, ':')
	if i != 8 && i != 32 {
		return netip.AddrPort{}, false
	}
	var raw [16]byte
	for at := 0; at < i; at += 8 {
		word, n := hexNumber(text[at : at+8])
		if n != 8 {
			return netip.AddrPort{}, false
		}
		binary.NativeEndian.PutUint32(raw[at/2:], uint32(word))
	}
	port, n := hexNumber(text[i+1:])
	if n == 0 || port > 65535 {
		return netip.AddrPort{}, false
	}
	ip := netip.AddrFrom16(raw).Unmap()
	if i == 8 {
		ip = netip.AddrFrom4([4]byte(raw[:4]))
	}
	return netip.AddrPortFrom(ip, uint16(port)), true
}
