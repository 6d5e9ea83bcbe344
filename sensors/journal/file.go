package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/minewarden/minewarden"
)

const (
	magic     = "LPKSHHRH"
	minHeader = 208
	maxHeader = 4096

	flagCompact = 16
	knownFlags  = 1 | 2 | 4 | 8 | flagCompact

	objectData  = 1
	objectEntry = 3
	lastObject  = 7

	packedXZ, packedLZ4, packedZSTD = 1, 2, 4

	maxValue   = 1 << 20 // bytes of a value; the rest is cut
	maxItems   = 1024    // values of an entry: journald allows as many
	maxCached  = 16_384  // values that many entries share
	cacheBytes = 8 << 20
	window     = 64 << 10
)

// Match reports whether head, the first bytes of a file, is of a journal.
func Match(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

var errXZ = errors.New("a value packed with xz, which cannot be read")

// header is what counts of a journal's header.
type header struct {
	id       [16]byte
	compact  bool
	size     int64 // of the header: objects begin there
	end      int64 // of the objects
	tail     int64 // the last object
	entries  uint64
	archived bool
	first    time.Time
}

// file is an open journal and how far it was read.
type file struct {
	src     io.ReaderAt
	head    header
	pos     int64  // of the next object
	read    uint64 // entries that were read
	missed  uint64 // entries that are counted in the header and were not found
	cache   map[int64]minewarden.Field
	cached  int
	buf     []byte
	at      int64 // of buf in the file
	unpack  *zstd.Decoder
	scratch []byte
	bad     func(error)
}

func open(src io.ReaderAt, bad func(error)) (*file, error) {
	f := &file{src: src, cache: map[int64]minewarden.Field{}, bad: bad}
	if err := f.refresh(); err != nil {
		return nil, err
	}
	f.pos = f.head.size
	return f, nil
}

// refresh reads the header again: journald changes it as it writes.
func (f *file) refresh() error {
	var b [minHeader]byte
	if _, err := f.src.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("journal header: %w", err)
	}
	if !Match(b[:]) {
		return errors.New("journal header: the magic is wrong")
	}
	le := binary.LittleEndian
	flags := le.Uint32(b[12:])
	if flags&^knownFlags != 0 {
		return fmt.Errorf("journal header: it needs features %#x that are not known", flags&^knownFlags)
	}
	h := header{
		compact: flags&flagCompact != 0, size: int64(le.Uint64(b[88:])), tail: int64(le.Uint64(b[136:])), entries: le.Uint64(b[152:]),
		archived: b[16] == 2, first: time.UnixMicro(int64(le.Uint64(b[184:]) & (1<<62 - 1))).UTC(),
	}
	copy(h.id[:], b[24:])
	arena := int64(le.Uint64(b[96:]))
	if h.size < minHeader || h.size > maxHeader || arena < 0 || arena > 1<<40 {
		return fmt.Errorf("journal header: sizes of %d and %d bytes", h.size, arena)
	}
	h.end = h.size + arena
	f.head = h
	f.buf = f.buf[:0]
	return nil
}

// bytes returns n bytes at off, valid until the next call.
func (f *file) bytes(off int64, n int) ([]byte, error) {
	if off >= f.at && off+int64(n) <= f.at+int64(len(f.buf)) {
		return f.buf[off-f.at:][:n], nil
	}
	if cap(f.buf) < max(n, window) {
		f.buf = make([]byte, max(n, window))
	}
	f.buf = f.buf[:cap(f.buf)]
	got, err := f.src.ReadAt(f.buf, off)
	f.buf, f.at = f.buf[:got], off
	if got < n {
		f.buf = f.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return f.buf[:n], nil
}

// object reads the header of an object.
func (f *file) object(off int64) (typ, flags byte, size int64, err error) {
	if off < f.head.size || off%8 != 0 || off > f.head.end-16 {
		return 0, 0, 0, fmt.Errorf("an object at %#x, outside the journal", off)
	}
	b, err := f.bytes(off, 16)
	if err != nil {
		return 0, 0, 0, err
	}
	size = int64(binary.LittleEndian.Uint64(b[8:]))
	if b[0] == 0 || b[0] > lastObject || b[1] > 7 || size < 17 || size > f.head.end-off {
		return 0, 0, 0, fmt.Errorf("an object at %#x is damaged", off)
	}
	return b[0], b[1], size, nil
}

// next emits entries until there are no more for now, or stop says so. An error means that the rest could not be read.
func (f *file) next(stop func() bool, emit func(time.Time, *minewarden.Record)) error {
	for f.read < f.head.entries && f.pos <= f.head.tail && !stop() {
		typ, _, size, err := f.object(f.pos)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the journal ends after %d of %d entries: %w", f.read, f.head.entries, err)
		}
		if err != nil {
			f.bad(err)
			if !f.search() {
				return fmt.Errorf("%d of %d entries could not be read", f.head.entries-f.read, f.head.entries)
			}
			continue
		}
		at := f.pos
		f.pos += (size + 7) &^ 7
		if typ != objectEntry {
			continue
		}
		f.read++
		t, rec, err := f.entry(at, size)
		if err != nil {
			f.bad(fmt.Errorf("entry at %#x: %w", at, err))
		}
		if rec != nil {
			emit(t, rec)
		}
	}
	if n := f.head.entries - min(f.read, f.head.entries); n > 0 && f.pos > f.head.tail {
		f.bad(fmt.Errorf("%d entries are missing among those before the end", n))
		f.missed += n
		f.read = f.head.entries
	}
	return nil
}

// search moves on to what looks like the beginning of two objects in a row.
func (f *file) search() bool {
	for f.pos += 8; f.pos <= f.head.tail; f.pos += 8 {
		_, _, size, err := f.object(f.pos)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return false
		}
		if err != nil {
			continue
		}
		at := f.pos + (size+7)&^7
		if at > f.head.tail && f.pos == f.head.tail {
			return true
		}
		if _, _, _, err := f.object(at); err == nil {
			return true
		}
	}
	return false
}

// entry reads one entry with its values. What could be read is returned also with an error.
func (f *file) entry(off, size int64) (time.Time, *minewarden.Record, error) {
	item := int64(16)
	if f.head.compact {
		item = 4
	}
	n := int((min(size, 64+maxItems*16) - 64) / item)
	if n < 0 {
		return time.Time{}, nil, errors.New("it is too short")
	}
	b, err := f.bytes(off, int(64+int64(n)*item))
	if err != nil {
		return time.Time{}, nil, err
	}
	t := time.UnixMicro(int64(binary.LittleEndian.Uint64(b[24:]) & (1<<62 - 1))).UTC()
	offsets := make([]int64, min(n, maxItems))
	for i := range offsets {
		p := b[64+int64(i)*item:]
		if f.head.compact {
			offsets[i] = int64(binary.LittleEndian.Uint32(p))
		} else {
			offsets[i] = int64(binary.LittleEndian.Uint64(p))
		}
	}
	var first error
	if n > maxItems {
		first = fmt.Errorf("it has %d values, %d were read", n, maxItems)
	}
	fields := make([]minewarden.Field, 0, len(offsets)+2)
	for _, o := range offsets {
		v, err := f.value(o)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		fields = append(fields, v)
	}
	if len(fields) == 0 {
		return t, nil, first
	}
	t, rec := record(t, fields)
	return t, rec, first
}

// value reads the data object at off.
func (f *file) value(off int64) (minewarden.Field, error) {
	if v, ok := f.cache[off]; ok {
		return v, nil
	}
	typ, flags, size, err := f.object(off)
	if err != nil {
		return minewarden.Field{}, err
	}
	if typ != objectData {
		return minewarden.Field{}, fmt.Errorf("the object at %#x is no value", off)
	}
	skip := int64(64)
	if f.head.compact {
		skip = 72
	}
	if size < skip {
		return minewarden.Field{}, fmt.Errorf("the value at %#x is too short", off)
	}
	b, err := f.bytes(off+skip, int(min(size-skip, maxValue)))
	if err != nil {
		return minewarden.Field{}, err
	}
	if b, err = f.unpacked(flags, b); err != nil {
		return minewarden.Field{}, err
	}
	name, text, ok := strings.Cut(strings.ToValidUTF8(string(b), "\uFFFD"), "=")
	if !ok {
		return minewarden.Field{}, fmt.Errorf("the value at %#x has no name", off)
	}
	v := minewarden.Field{Name: name, Value: text}
	if len(b) <= 1024 {
		if f.cached += len(b); len(f.cache) >= maxCached || f.cached > cacheBytes {
			clear(f.cache)
			f.cached = len(b)
		}
		f.cache[off] = v
	}
	return v, nil
}

func (f *file) unpacked(flags byte, b []byte) ([]byte, error) {
	switch {
	case flags&packedXZ != 0:
		return nil, errXZ
	case flags&packedLZ4 != 0:
		if len(b) < 8 {
			return nil, errors.New("a value packed with lz4 is too short")
		}
		n := binary.LittleEndian.Uint64(b)
		if n > maxValue {
			return nil, fmt.Errorf("a value of %d bytes, packed with lz4, is too long", n)
		}
		f.scratch = append(f.scratch[:0], make([]byte, n)...)
		got, err := lz4.UncompressBlock(b[8:], f.scratch)
		if err != nil {
			return nil, fmt.Errorf("a value packed with lz4: %w", err)
		}
		return f.scratch[:got], nil
	case flags&packedZSTD != 0:
		if f.unpack == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxValue))
			if err != nil {
				return nil, err
			}
			f.unpack = d
		}
		out, err := f.unpack.DecodeAll(b, f.scratch[:0])
		if err != nil {
			return nil, fmt.Errorf("a value packed with zstd: %w", err)
		}
		f.scratch = out
		return out, nil
	}
	return b, nil
}

func (f *file) close() {
	if f.unpack != nil {
		f.unpack.Close()
	}
}

// record names the values as the reader of a log expects them.
func record(t time.Time, fields []minewarden.Field) (time.Time, *minewarden.Record) {
	rec := &minewarden.Record{Source: "journal"}
	ident, pid, comm, facility := "", "", "", ""
	kept := fields[:0]
	for _, v := range fields {
		switch v.Name {
		case "MESSAGE":
			if rec.Message == "" {
				rec.Message = v.Value
				continue
			}
		case "_HOSTNAME":
			rec.Host = v.Value
		case "_SYSTEMD_UNIT":
			rec.Channel = v.Value
		case "SYSLOG_IDENTIFIER":
			ident = v.Value
		case "_COMM":
			comm = v.Value
		case "_PID":
			pid = v.Value
		case "SYSLOG_FACILITY":
			facility = v.Value
		case "_SOURCE_REALTIME_TIMESTAMP":
			if us, err := strconv.ParseInt(v.Value, 10, 64); err == nil && us > 0 && us < 1<<60 {
				t = time.UnixMicro(us).UTC()
			}
		}
		kept = append(kept, v)
	}
	switch facility {
	case "4":
		rec.Channel = "auth"
	case "10":
		rec.Channel = "authpriv"
	}
	if ident == "" {
		ident = comm
	}
	rec.Fields = kept
	if ident != "" {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "ident", Value: ident})
	}
	if pid != "" {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "pid", Value: pid})
	}
	return t, rec
}
