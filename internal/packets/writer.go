// Package packets keeps packets on disk within a bound, in files that Wireshark and tcpdump read, and finds those of a
// conversation again.
package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Dir returns where the agent with this data directory keeps packets.
func Dir(data string) string { return filepath.Join(data, "sensors", "capture") }

const (
	suffix = ".pcap"
	// segments is in how many files the packets are: the oldest goes as a whole.
	segments = 8
	// reserve is the part of a file system that is never filled: 1/reserve of it stays free.
	reserve = 10
	// handOver is how many bytes are handed to the disk at once, and waiting how many such pieces may wait for it.
	handOver = 256 << 10
	waiting  = 4
)

// The form of a file: classic pcap in nanoseconds, of packets with the cooked head that Linux gives those of any interface.
const (
	magic    = 0xa1b23c4d
	maxSnap  = 256 << 10
	linkSLL  = 113
	fileHead = 24
	head     = 16 // of a packet
	cooked   = 16 // the head that follows it
)

// A Writer keeps packets. Add, Flush and Close belong to one goroutine, which never waits for the disk.
type Writer struct {
	dir   string
	most  int64 // bytes of all files
	log   *slog.Logger
	buf   []byte
	count uint64 // packets in buf
	queue chan piece
	free  chan []byte
	done  chan error
	lost  atomic.Uint64
}

type piece struct {
	b []byte
	n uint64 // packets
}

// New returns a Writer that keeps at most that many bytes in dir, which is made when there is something to keep.
func New(dir string, most int64, log *slog.Logger) *Writer {
	w := &Writer{dir: dir, most: most, log: log, queue: make(chan piece, waiting), free: make(chan []byte, waiting+1), done: make(chan error, 1)}
	go func() { w.done <- w.run() }()
	return w
}

// Add takes a packet that was seen at a time in ns, from its network header on; wire is its length on the wire. It is on its way
// to the disk after Flush.
func (w *Writer) Add(at int64, etherType uint16, data []byte, wire int) {
	data = data[:min(len(data), maxSnap-cooked)]
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(w.buf, uint32(at/int64(time.Second)))
	b = le.AppendUint32(b, uint32(at%int64(time.Second)))
	b = le.AppendUint32(b, uint32(len(data)+cooked))
	b = le.AppendUint32(b, uint32(max(wire, len(data))+cooked))
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // to this host, by Ethernet, from an address of no length
	w.buf = append(be.AppendUint16(b, etherType), data...)
	if w.count++; len(w.buf) >= handOver {
		w.Flush()
	}
}

// Flush hands over what was added. What finds no room because the disk is slow is counted as lost.
func (w *Writer) Flush() {
	if w.count == 0 {
		return
	}
	select {
	case w.queue <- piece{w.buf, w.count}:
		select {
		case w.buf = <-w.free:
		default:
			w.buf = nil
		}
	default:
		w.lost.Add(w.count)
	}
	w.buf, w.count = w.buf[:0], 0
}

// Lost returns how many packets could not be kept since it was last asked.
func (w *Writer) Lost() uint64 { return w.lost.Swap(0) }

// Close writes what is left.
func (w *Writer) Close() error {
	w.Flush()
	close(w.queue)
	return <-w.done
}

// run writes pieces until there are no more.
func (w *Writer) run() error {
	var f *os.File
	var size int64
	told := false
	for p := range w.queue {
		err := w.room(int64(len(p.b)))
		if err == nil && (f == nil || size+int64(len(p.b)) > w.most/segments) {
			if f != nil {
				err = f.Close()
			}
			if err == nil {
				f, err = w.open()
				size = fileHead
			}
		}
		if err == nil {
			_, err = f.Write(p.b)
			size += int64(len(p.b))
		}
		if err != nil {
			w.lost.Add(p.n)
			if !told {
				w.log.Warn("packets are not kept", "error", err)
			}
			if f != nil {
				_ = f.Close() // its error is the one that was told, or as good
			}
			f = nil // a piece may be half written: the next begins a file
		}
		told = err != nil
		select {
		case w.free <- p.b:
		default:
		}
	}
	if f != nil {
		return f.Close()
	}
	return nil
}

// room makes sure that n more bytes leave the file system the room that is others'.
func (w *Writer) room(n int64) error {
	dir := w.dir
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if errors.Is(err, unix.ENOENT) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return fmt.Errorf("free space of %s: %w", dir, err)
		}
		block := st.Frsize
		if block == 0 {
			block = st.Bsize
		}
		if int64(st.Bavail)*block-n < int64(st.Blocks)*block/reserve {
			return fmt.Errorf("the last %d %% of the file system of %s are not filled", 100/reserve, dir)
		}
		return nil
	}
}

// open begins a file, and removes the oldest ones so that it may become full.
func (w *Writer) open() (*os.File, error) {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, err
	}
	old, err := Files(w.dir)
	if err != nil {
		return nil, err
	}
	slices.Reverse(old)
	left := w.most - w.most/segments
	for _, path := range old { // the newest first
		fi, err := os.Stat(path)
		if err != nil {
			continue // removed meanwhile
		}
		if left -= fi.Size(); left < 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	name := filepath.Join(w.dir, time.Now().UTC().Format("20060102T150405.000000000Z")+suffix)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, magic)
	b = le.AppendUint16(le.AppendUint16(b, 2), 4)
	b = le.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, 0, 0), maxSnap)
	if _, err := f.Write(le.AppendUint32(b, linkSLL)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Files returns the files of kept packets in dir, the oldest first.
func Files(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	slices.Sort(all)
	return all, err
}
