package evidence

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/internal/proc"
)

// Memory is kept in the LiME format, which tools for memory forensics read: ranges of addresses, each a header of 32 bytes and its
// bytes. Pages that hold only zeros, and pages that were never touched, are left out.
const (
	limeMagic   = 0x4C694D45
	limeVersion = 1
)

const (
	maxMappings = 1 << 17 // twice what Linux allows a process by default
	// pagemapStep is how many pages are asked for at once: 32 MiB of addresses.
	pagemapStep = 8192
)

// The bits of an entry of /proc/PID/pagemap.
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	pageOfFile  = 1 << 61 // of a file, or shared
)

// A mapping is a line of /proc/PID/maps.
type mapping struct {
	start, end uint64
	perms      string
	inode      uint64
	path       string
}

// named reports whether its pages are those of a file that can still be opened by its name: they are collected as a file.
func (m *mapping) named() bool {
	return m.inode != 0 && strings.HasPrefix(m.path, "/") && !strings.HasSuffix(m.path, " (deleted)") && !strings.HasPrefix(m.path, "/memfd:") &&
		!strings.HasPrefix(m.path, "/dev/shm/") && !strings.HasPrefix(m.path, "/SYSV")
}

// device reports whether reading it could act on a device, or never return.
func (m *mapping) device() bool {
	return strings.HasPrefix(m.path, "/dev/") && !strings.HasPrefix(m.path, "/dev/shm/") && !strings.HasPrefix(m.path, "/dev/zero") &&
		!strings.HasPrefix(m.path, "/dev/hugepages") || m.path == "[vsyscall]" || m.path == "[vvar]" || m.path == "[vvar_vclock]"
}

func (m *mapping) executable() bool { return len(m.perms) > 2 && m.perms[2] == 'x' }

// parseMaps reads /proc/PID/maps. A path in it is whatever somebody called a file: line ends are escaped by the kernel.
func parseMaps(r io.Reader) ([]mapping, error) {
	var out []mapping
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if len(out) >= maxMappings {
			return out, fmt.Errorf("there are more than %d mappings", maxMappings)
		}
		m, ok := parseMapping(lines.Text())
		if !ok {
			return out, fmt.Errorf("no mapping: %.80q", lines.Text())
		}
		out = append(out, m)
	}
	return out, lines.Err()
}

func parseMapping(line string) (mapping, bool) {
	var m mapping
	var f [5]string
	for i := range f {
		f[i], line, _ = strings.Cut(line, " ")
	}
	from, to, ok := strings.Cut(f[0], "-")
	var err [3]error
	m.start, err[0] = strconv.ParseUint(from, 16, 64)
	m.end, err[1] = strconv.ParseUint(to, 16, 64)
	m.inode, err[2] = strconv.ParseUint(f[4], 10, 64)
	m.perms, m.path = f[1], strings.TrimLeft(line, " ")
	return m, ok && errors.Join(err[:]...) == nil && m.end > m.start && len(m.perms) == 4
}

// execMemory collects what is executable and has no file: made by a JIT compiler, an unpacker, or put there by another process.
func (c *collector) execMemory(h *proc.Handle) error {
	return c.memory(h, "exec", func(m *mapping) bool { return m.executable() && !m.named() })
}

// wholeMemory collects all that is the process's own.
func (c *collector) wholeMemory(s *proc.Stat) error {
	h, err := openHeld(s)
	if err != nil {
		c.skip(fmt.Sprintf("memory of pid %d", s.PID), err)
		return nil
	}
	state, let := c.hold(h)
	end := c.memory(h, "whole", func(m *mapping) bool { return !m.executable() || m.named() })
	if now, err := proc.ReadStat(s.PID); err != nil || now.Start != s.Start || state == "running" || now.CPU != h.CPU {
		for i := range c.m.Processes { // its state was noted as that of the whole collection
			if p := &c.m.Processes[i]; p.Key.PID == s.PID && p.State != "ended" && now.Start == s.Start {
				p.State, p.Ticks = "running", now.CPU-h.CPU
			}
		}
	}
	return errors.Join(end, let(), h.Close())
}

// memory makes a part of the mappings that want picks.
func (c *collector) memory(h *proc.Handle, ext string, want func(*mapping) bool) error {
	mem, err := os.Open(procPath(h.PID, "mem"))
	if err == nil {
		err = same(h)
	}
	if err != nil {
		if mem != nil {
			err = errors.Join(err, mem.Close())
		}
		c.skip(fmt.Sprintf("memory of pid %d", h.PID), err)
		return nil
	}
	defer func() { _ = mem.Close() }() // it was only read
	maps, err := os.Open(procPath(h.PID, "maps"))
	if err != nil {
		c.skip(fmt.Sprintf("memory of pid %d", h.PID), err)
		return nil
	}
	all, err := parseMaps(maps)
	if err = errors.Join(err, maps.Close()); err != nil {
		c.skip(fmt.Sprintf("some mappings of pid %d", h.PID), err)
	}
	picked := all[:0]
	for i := range all {
		if m := &all[i]; want(m) && !m.device() {
			picked = append(picked, *m)
		}
	}
	if len(picked) == 0 {
		return nil
	}
	d := &dump{mem: mem, buf: make([]byte, chunkSize), paced: func(n int64) { c.thread.pace(c.read + n) }}
	if d.pagemap, err = os.Open(procPath(h.PID, "pagemap")); err == nil {
		defer func() { _ = d.pagemap.Close() }() // it was only read
	}
	s := source{what: "memory", name: fmt.Sprintf("%s memory of pid %d", ext, h.PID), ext: ext + ".lime", pid: h.PID, limit: c.config.MaxMemory << 20}
	err = c.part(s, func(w io.Writer) error {
		d.out = w
		for i := range picked {
			if err := d.mapping(&picked[i]); err != nil {
				return fmt.Errorf("at %x of %x: %w", d.at, picked[len(picked)-1].end, err)
			}
		}
		if d.wrote == 0 {
			return errNone
		}
		return same(h)
	})
	if d.unread > 0 {
		c.skip(fmt.Sprintf("%d pages of memory of pid %d", d.unread, h.PID), d.why)
	}
	return err
}

// dump reads the memory of a process.
type dump struct {
	mem     *os.File
	pagemap *os.File // nil: cannot be read, so every page is
	out     io.Writer
	buf     []byte
	at      uint64
	wrote   int64
	unread  uint64 // pages
	why     error
	paced   func(int64)
}

var pageSize = uint64(os.Getpagesize())

var zeros [64 << 10]byte // larger than any page

func (d *dump) mapping(m *mapping) error {
	entries := make([]byte, 8*pagemapStep)
	for at := m.start; at < m.end; {
		end := min(m.end, at+pagemapStep*pageSize)
		n := int((end - at) / pageSize)
		known := d.pagemap != nil
		if known {
			_, err := d.pagemap.ReadAt(entries[:8*n], int64(at/pageSize*8))
			known = err == nil
		}
		// Runs of wanted pages, each read in pieces of a buffer's length.
		for i := 0; i < n; {
			if known && !wanted(entries[8*i:], m) {
				i++
				continue
			}
			j := i + 1
			for j < n && uint64(j-i)*pageSize < uint64(len(d.buf)) && (!known || wanted(entries[8*j:], m)) {
				j++
			}
			if err := d.read(at+uint64(i)*pageSize, uint64(j-i)*pageSize); err != nil {
				return err
			}
			i = j
		}
		at = end
	}
	return nil
}

// wanted reports whether a page holds something that is nowhere else.
func wanted(entry []byte, m *mapping) bool {
	e := binary.NativeEndian.Uint64(entry)
	return e&(pagePresent|pageSwapped) != 0 && (e&pageOfFile == 0 || !m.named())
}

// read writes what is not zero of the n bytes at address at. A page that cannot be read is counted.
func (d *dump) read(at, n uint64) error {
	d.at = at
	for n > 0 {
		b := d.buf[:n]
		k, err := d.mem.ReadAt(b, int64(at))
		whole := uint64(k) / pageSize * pageSize
		if err := d.ranges(at, b[:whole]); err != nil {
			return err
		}
		at, n = at+whole, n-whole
		if n > 0 && (err != nil || whole == 0) {
			if errors.Is(err, unix.ESRCH) || k == 0 && errors.Is(err, io.EOF) {
				return proc.ErrGone // its memory was given back
			}
			d.unread++
			d.why = err
			at, n = at+pageSize, n-pageSize
		}
	}
	return nil
}

// ranges writes the runs of pages in b that are not zero.
func (d *dump) ranges(at uint64, b []byte) error {
	for len(b) > 0 {
		skip := 0
		for skip < len(b) && zero(b[skip:]) {
			skip += int(pageSize)
		}
		at, b = at+uint64(skip), b[skip:]
		n := 0
		for n < len(b) && !zero(b[n:]) {
			n += int(pageSize)
		}
		if n == 0 {
			continue
		}
		var head [32]byte
		binary.LittleEndian.PutUint32(head[0:], limeMagic)
		binary.LittleEndian.PutUint32(head[4:], limeVersion)
		binary.LittleEndian.PutUint64(head[8:], at)
		binary.LittleEndian.PutUint64(head[16:], at+uint64(n)-1)
		if _, err := d.out.Write(head[:]); err != nil {
			return err
		}
		if _, err := d.out.Write(b[:n]); err != nil {
			return err
		}
		d.wrote += int64(n)
		d.paced(d.wrote)
		at, b = at+uint64(n), b[n:]
	}
	return nil
}

func zero(page []byte) bool { return bytes.Equal(page[:pageSize], zeros[:pageSize]) }
