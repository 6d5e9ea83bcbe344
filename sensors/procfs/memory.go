package procfs

import (
	"bytes"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const (
	memoryEvery   = 10 * time.Second // of one process
	rollupEvery   = time.Minute      // the kernel walks all page tables for it
	maxMemoryLook = 8                // processes in one look
	maxMaps       = 8 << 20          // bytes of one maps file
	maxRegions    = 32
)

type memory struct {
	looked, rolled time.Time
	transparent    uint64 // bytes on transparent huge pages
	swap           uint64
}

// lookMemory reports the shape of a busy process's memory, now and then.
func (w *watch) lookMemory(now time.Time, p *process, rss uint64) {
	if w.memoryLeft <= 0 || !p.mem.looked.IsZero() && now.Sub(p.mem.looked) < memoryEvery {
		return
	}
	w.memoryLeft--
	p.mem.looked = now
	pid := p.who.Key.PID
	fd, err := unix.Openat(w.tree.fd, w.tree.path(pid, 0, "maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // ended, or another user's
	}
	var m minewarden.Memory
	m, err = parseMaps(io.LimitReader(fdReader(fd), maxMaps), w.maps)
	unix.Close(fd)
	if err != nil {
		w.log.Debug("memory map could not be read", "pid", pid, "err", err)
		return
	}
	if text, err := w.tree.read(w.tree.path(pid, 0, "status")); err == nil {
		locked, _ := lineNumber(text, "VmLck:")
		huge, _ := lineNumber(text, "HugetlbPages:")
		swap, _ := lineNumber(text, "VmSwap:")
		m.Locked, m.Huge, p.mem.swap = locked<<10, huge<<10, swap<<10
	}
	if rss > 2<<20 && (p.mem.rolled.IsZero() || now.Sub(p.mem.rolled) >= rollupEvery) {
		p.mem.rolled = now
		if text, err := w.tree.read(w.tree.path(pid, 0, "smaps_rollup")); err == nil {
			n, _ := lineNumber(text, "AnonHugePages:")
			p.mem.transparent = n << 10
		}
	}
	m.Huge += p.mem.transparent
	w.send(now, p.who, &m)
}

type fdReader int

func (fd fdReader) Read(b []byte) (int, error) {
	n, err := unix.Read(int(fd), b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// parseMaps reads /proc/PID/maps line by line through buf, which must hold a line.
func parseMaps(r io.Reader, buf []byte) (minewarden.Memory, error) {
	var m minewarden.Memory
	kept, skipping := 0, false
	for {
		n, err := r.Read(buf[kept:])
		data := buf[:kept+n]
		for {
			i := indexByte(data, '\n')
			if i < 0 {
				break
			}
			if !skipping {
				mapping(data[:i], &m)
			}
			data, skipping = data[i+1:], false
		}
		if len(data) == len(buf) { // a line longer than buf is no line of a maps file
			data, skipping = data[:0], true
		}
		kept = copy(buf, data)
		if err == io.EOF { //nolint:errorlint // as io.Reader gives it
			if kept > 0 && !skipping {
				mapping(buf[:kept], &m)
			}
			return m, nil
		}
		if err != nil {
			return m, err
		}
	}
}

// mapping adds one line, "start-end perms offset dev inode   path".
func mapping(line []byte, m *minewarden.Memory) {
	start, n := hexNumber(line)
	if n == 0 || n >= len(line) || line[n] != '-' {
		return
	}
	line = line[n+1:]
	end, n := hexNumber(line)
	if n == 0 || end <= start || len(line) < n+6 || line[n] != ' ' {
		return
	}
	perms := line[n+1 : n+5]
	rest := line[n+5:]
	for range 3 { // offset, device, inode
		rest = bytes.TrimLeft(rest, " ")
		i := indexByte(rest, ' ')
		if i < 0 {
			rest = nil
			break
		}
		rest = rest[i:]
	}
	if !anonymous(bytes.TrimLeft(rest, " ")) {
		return
	}
	size := end - start
	if perms[2] == 'x' && m.AnonExec <= math.MaxUint64-size {
		m.AnonExec += size
	}
	region(m, size)
}

// anonymous tells whether a mapping's name is that of memory without a file: also memory that has a name only so that it
// can be mapped twice, writable and executable.
func anonymous(name []byte) bool {
	if len(name) == 0 {
		return true
	}
	if name[0] == '[' {
		switch string(name) {
		case "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]":
			return false
		}
		return !hasPrefix(name, "[stack")
	}
	for _, p := range [...]string{"/anon_hugepage", "/memfd:", "/dev/zero", "/SYSV"} {
		if hasPrefix(name, p) {
			return true
		}
	}
	return false
}

// region keeps the largest sizes, in falling order.
func region(m *minewarden.Memory, size uint64) {
	if len(m.Regions) == maxRegions {
		if m.Regions[maxRegions-1] >= size {
			return
		}
		m.Regions = m.Regions[:maxRegions-1]
	}
	i := len(m.Regions)
	m.Regions = append(m.Regions, size)
	for ; i > 0 && m.Regions[i-1] < size; i-- {
		m.Regions[i] = m.Regions[i-1]
	}
	m.Regions[i] = size
}

// hexNumber reads hexadecimal digits of either case at the start of b.
func hexNumber(b []byte) (n uint64, length int) {
	for length < len(b) && length < 16 {
		c := b[length]
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			n = n<<4 | uint64(c-'A'+10)
		default:
			return n, length
		}
		length++
	}
	return n, length
}
