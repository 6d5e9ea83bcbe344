package evidence

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden/internal/proc"
)

const (
	maxDescriptors = 8192
	maxDeleted     = 32       // files without a name that are copied of one process
	maxSocketLines = 16 << 20 // bytes of a /proc/PID/net file
)

// descriptor is an open file as files.jsonl has it.
type descriptor struct {
	FD      int    `json:"fd"`
	Target  string `json:"target"`
	Pos     string `json:"pos,omitempty"`
	Flags   string `json:"flags,omitempty"`
	Dev     uint64 `json:"dev,omitempty"`
	Ino     uint64 `json:"ino,omitempty"`
	Size    int64  `json:"size,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// socket is one of a process as sockets.jsonl has it.
type socket struct {
	FD     int    `json:"fd"`
	Kind   string `json:"kind"` // tcp, tcp6, udp, udp6, unix, other
	Local  string `json:"local,omitempty"`
	Remote string `json:"remote,omitempty"`
	State  string `json:"state,omitempty"`
	Inode  string `json:"inode"`
}

// descriptors returns a process's open files and its sockets with whom they talk to, one JSON object a line.
func (c *collector) descriptors(h *proc.Handle) (files, sockets []byte) {
	fds, err := listFDs(h.PID)
	if err != nil {
		c.skip(fmt.Sprintf("open files of pid %d", h.PID), err)
	}
	inodes := map[string]int{}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, fd := range fds {
		name := strconv.Itoa(fd)
		d := descriptor{FD: fd}
		if to, err := os.Readlink(procPath(h.PID, "fd/"+name)); err == nil {
			d.Target = text(to)
		}
		if st, err := statusOf(procPath(h.PID, "fd/"+name)); err == nil {
			d.Size, d.Mode = int64(st.Size), fmt.Sprintf("%06o", st.Mode)
			d.Dev, d.Ino, d.Deleted = st.dev, st.Ino, st.Nlink == 0 && st.regular()
		}
		if b, err := proc.ReadSmall(procPath(h.PID, "fdinfo/"+name)); err == nil {
			for line := range strings.Lines(string(b)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				switch key {
				case "pos":
					d.Pos = strings.TrimSpace(value)
				case "flags":
					d.Flags = strings.TrimSpace(value)
				}
			}
		}
		if err := enc.Encode(d); err != nil {
			c.skip(fmt.Sprintf("descriptor %d of pid %d", fd, h.PID), err)
		}
		if ino, ok := strings.CutPrefix(d.Target, "socket:["); ok {
			inodes[strings.TrimSuffix(ino, "]")] = fd
		}
	}
	files = bytes.Clone(out.Bytes())
	out.Reset()
	all := socketsOf(h.PID, inodes)
	c.wish.targets.connections(all)
	for _, s := range all {
		if err := enc.Encode(s); err != nil {
			c.skip(fmt.Sprintf("socket %s of pid %d", s.Inode, h.PID), err)
		}
	}
	return files, out.Bytes()
}

// listFDs returns the descriptors that are open, at most maxDescriptors.
func listFDs(pid int32) ([]int, error) {
	d, err := os.Open(procPath(pid, "fd"))
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(maxDescriptors)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	var fds []int
	for _, n := range names {
		if fd, err := strconv.Atoi(n); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

// socketsOf looks the inodes up in the tables of the process's own network namespace.
func socketsOf(pid int32, inodes map[string]int) []socket {
	if len(inodes) == 0 {
		return nil
	}
	var out []socket
	found := map[string]bool{}
	for _, kind := range [...]string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		f, err := os.Open(procPath(pid, "net/"+kind))
		if err != nil {
			continue // shown as other
		}
		for _, s := range parseSockets(f, kind, inodes) {
			found[s.Inode] = true
			out = append(out, s)
		}
		if f.Close() != nil {
			continue
		}
	}
	for ino, fd := range inodes {
		if !found[ino] {
			out = append(out, socket{FD: fd, Kind: "other", Inode: ino})
		}
	}
	return out
}

var tcpStates = map[string]string{
	"01": "established", "02": "syn-sent", "03": "syn-received", "04": "fin-wait-1", "05": "fin-wait-2", "06": "time-wait", "07": "closed",
	"08": "close-wait", "09": "last-ack", "0A": "listening", "0B": "closing",
}

func parseSockets(r io.Reader, kind string, inodes map[string]int) []socket {
	var out []socket
	lines := bufio.NewScanner(io.LimitReader(r, maxSocketLines))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if kind == "unix" {
			if len(f) >= 7 {
				if fd, ok := inodes[f[6]]; ok {
					s := socket{FD: fd, Kind: kind, Inode: f[6], State: f[5]}
					if len(f) > 7 {
						s.Local = text(f[7])
					}
					out = append(out, s)
				}
			}
			continue
		}
		if len(f) < 10 {
			continue
		}
		fd, ok := inodes[f[9]]
		if !ok {
			continue
		}
		s := socket{FD: fd, Kind: kind, Inode: f[9], State: f[3]}
		if strings.HasPrefix(kind, "tcp") {
			s.State = tcpStates[f[3]]
		}
		if a, ok := parseAddr(f[1]); ok {
			s.Local = a.String()
		}
		if a, ok := parseAddr(f[2]); ok && a.Port() != 0 {
			s.Remote = a.String()
		}
		out = append(out, s)
	}
	return out // an error means that the table is longer than any: what was found stands
}

// parseAddr reads "0100007F:1F90": words in the machine's byte order, which is little-endian on all we run on.
func parseAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}
