// Package evtx reads Windows event logs: the binary files themselves, whole, dirty or damaged.
package evtx

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// Info describes the reader.
func Info() minewarden.Info {
	return minewarden.Info{Name: "evtx", Title: "Windows event logs", Doc: doc}
}

const (
	chunkSize   = 64 << 10
	fileHead    = 4096
	chunkHead   = 512 // with the tables of names and templates
	recordHead  = 24
	chunkMagic  = "ElfChnk\x00"
	fileMagic   = "ElfFile\x00"
	recordMagic = "**\x00\x00"

	flagDirty = 1
)

// sizes is what follows the counters in a file header: header size 128, version 3.x, block size 4096, at offset 32. It tells a
// log whose magic is damaged.
var sizes = []byte{0x80, 0, 0, 0}

// Match reports whether head, the first bytes of a file, is of an event log. One damaged byte does not hide it.
func Match(head []byte) bool {
	if bytes.HasPrefix(head, []byte(fileMagic)) || bytes.HasPrefix(head, []byte(chunkMagic)) {
		return true
	}
	return len(head) >= 128 && bytes.Equal(head[32:36], sizes) && bytes.Equal(head[38:42], []byte{3, 0, 0, 0x10}) && len(bytes.Trim(head[44:120], "\x00")) == 0
}

// Read emits the records of the file in its order. What is damaged is told to bad; whatever can still be read around it is
// emitted.
func Read(ctx context.Context, path string, bad func(error), emit minewarden.Emit) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return ReadFrom(ctx, f, bad, emit)
}

// ReadFrom is Read of something open. It holds one chunk of 64 KiB and what its templates compile to.
func ReadFrom(ctx context.Context, src io.ReaderAt, bad func(error), emit minewarden.Emit) error {
	r := &reader{src: src, bad: bad, emit: emit, buf: make([]byte, chunkSize)}
	r.chunk.names = map[string]string{}
	return r.run(ctx)
}

type reader struct {
	src   io.ReaderAt
	bad   func(error)
	emit  minewarden.Emit
	buf   []byte
	chunk chunk
	dirty bool
}

func (r *reader) fault(format string, args ...any) {
	if r.bad != nil {
		r.bad(fmt.Errorf(format, args...))
	}
}

func (r *reader) run(ctx context.Context) error {
	n, err := r.read(0, fileHead)
	if err != nil {
		return err
	}
	off := r.header(r.buf[:n])
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.read(off, chunkSize)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		off += r.block(off, r.buf[:n])
	}
}

func (r *reader) read(off int64, want int) (int, error) {
	n, err := r.src.ReadAt(r.buf[:want], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read event log at %#x: %w", off, err)
	}
	return n, nil
}

// header checks the file header and returns where the chunks begin.
func (r *reader) header(b []byte) int64 {
	if bytes.HasPrefix(b, []byte(chunkMagic)) {
		return 0 // a chunk by itself
	}
	if len(b) < 128 {
		r.fault("file header: %d of 128 bytes are there", len(b))
		return fileHead
	}
	switch {
	case !bytes.HasPrefix(b, []byte(fileMagic)):
		r.fault("file header: the magic is damaged")
	case crc32.ChecksumIEEE(b[:120]) != binary.LittleEndian.Uint32(b[124:]):
		r.fault("file header: the checksum does not fit")
	}
	r.dirty = b[120]&flagDirty != 0
	if size := int64(binary.LittleEndian.Uint16(b[40:])); size == fileHead {
		return size
	}
	return fileHead
}

// block reads what stands at off, where a chunk should begin, and returns how far to go on.
func (r *reader) block(off int64, b []byte) int64 {
	whole := bytes.HasPrefix(b, []byte(chunkMagic))
	if !whole {
		if len(bytes.TrimLeft(b, "\x00")) == 0 {
			return int64(len(b)) // room that was never used
		}
		if i := bytes.Index(b[1:], []byte(chunkMagic)); i >= 0 {
			r.fault("at %#x: %d bytes that are no chunk", off, i+1)
			r.walk(off, b[:i+1], true)
			return int64(i + 1)
		}
		r.fault("at %#x: a chunk without its magic", off)
	}
	next := int64(len(b))
	damaged := r.damage(off, b) || !whole
	if damaged {
		// Where bytes are missing, the next chunk begins inside this one.
		if i := bytes.Index(b[1:], []byte(chunkMagic)); i >= chunkHead {
			next, b = int64(i+1), b[:i+1]
		}
	}
	r.walk(off, b, damaged)
	return next
}

// damage checks the chunk's checksums and says what is wrong with it.
func (r *reader) damage(off int64, b []byte) bool {
	if len(b) < chunkHead {
		r.fault("chunk at %#x: cut after %d bytes", off, len(b))
		return true
	}
	head := crc32.Update(crc32.ChecksumIEEE(b[:120]), crc32.IEEETable, b[128:chunkHead])
	if head != binary.LittleEndian.Uint32(b[124:]) {
		r.fault("chunk at %#x: the checksum of its header does not fit", off)
		return true
	}
	free := int(binary.LittleEndian.Uint32(b[48:]))
	switch {
	case free < chunkHead || free > chunkSize:
		r.fault("chunk at %#x: its free room begins at %d", off, free)
		return true
	case free > len(b):
		r.fault("chunk at %#x: cut after %d of %d bytes", off, len(b), free)
		return true
	case crc32.ChecksumIEEE(b[chunkHead:free]) != binary.LittleEndian.Uint32(b[52:]):
		r.fault("chunk at %#x: the checksum of its records does not fit", off)
		return true
	}
	return false
}

// walk emits the records of a chunk. In a damaged one it searches for the next record after each that cannot be read; behind
// the end that its header names it takes only records that continue the numbering, for older ones lie there too.
func (r *reader) walk(off int64, b []byte, damaged bool) {
	c := &r.chunk
	c.reset(b)
	pos, free := chunkHead, len(b)
	if len(b) >= chunkHead {
		if f := int(binary.LittleEndian.Uint32(b[48:])); f >= chunkHead && f <= len(b) {
			free = f
		}
	}
	if !bytes.HasPrefix(b, []byte(chunkMagic)) && damaged {
		pos, free = 0, len(b)
	}
	end := free
	if damaged || r.dirty {
		end = len(b)
	}
	var last uint64
	for pos+recordHead+4 <= end {
		size := int(binary.LittleEndian.Uint32(b[pos+4:]))
		id := binary.LittleEndian.Uint64(b[pos+8:])
		if string(b[pos:pos+4]) == recordMagic && size > len(b)-pos && size < chunkSize-pos && len(b) < chunkSize {
			r.one(off, pos, len(b)+4) // the file ends in it
			return
		}
		switch {
		case string(b[pos:pos+4]) != recordMagic, size < recordHead+4, size > len(b)-pos:
			if pos >= free {
				return
			}
			at := nextRecord(b, pos+1, free)
			if len(bytes.TrimLeft(b[pos:min(max(at, pos), end)], "\x00")) > 0 {
				r.fault("record at %#x: damaged, %d bytes skipped", off+int64(pos), at-pos)
			}
			pos = at
			continue
		case pos >= free && (last == 0 || id != last+1):
			return
		}
		if binary.LittleEndian.Uint32(b[pos+size-4:]) != uint32(size) {
			r.fault("record %d at %#x: its two sizes differ", id, off+int64(pos))
			if at := nextRecord(b, pos+4, min(pos+size, end)); at < pos+size {
				size = at - pos // the size is what is damaged
			}
		}
		r.one(off, pos, pos+size)
		last = id
		pos += size
	}
}

// one emits the record between pos and end, or what can be read of it.
func (r *reader) one(off int64, pos, end int) {
	ev, err := r.chunk.record(pos, end)
	if err != nil {
		r.fault("record %d at %#x: %w", binary.LittleEndian.Uint64(r.chunk.b[pos+8:]), off+int64(pos), err)
	}
	if ev.Data != nil {
		r.emit(ev)
	}
}

// nextRecord returns where the next record's magic stands, from pos, or end.
func nextRecord(b []byte, pos, end int) int {
	if pos >= end {
		return end
	}
	if i := bytes.Index(b[pos:end], []byte(recordMagic)); i >= 0 {
		return pos + i
	}
	return end
}
