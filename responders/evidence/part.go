package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const (
	chunkSize = 1 << 20   // compressed by itself, so that little memory is needed; also what is read at once
	blockSize = 128 << 10 // the largest block of zstd
	// flushEvery is after how many bytes the disk is waited for: more would push what others use out of the page cache.
	flushEvery = 32 << 20
)

// errStop is wrapped by what ends a part but not the program: no room, too large, out of time.
var errStop = errors.New("stopped")

// coder compresses chunks. One is used for all parts of a collection, one after the other.
type coder struct {
	enc *zstd.Encoder
	in  []byte
	out []byte
}

func newCoder() (*coder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(chunkSize),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("prepare to compress: %w", err)
	}
	return &coder{enc: enc, in: make([]byte, 0, chunkSize), out: make([]byte, 0, chunkSize+chunkSize/8)}, nil
}

// frame returns one frame of zstd that holds b. What would not get smaller is stored as it is, without trying.
func (c *coder) frame(b []byte) []byte {
	if len(b) >= blockSize && random(b) {
		c.out = appendStored(c.out[:0], b)
	} else {
		c.out = c.enc.EncodeAll(b, c.out[:0])
	}
	return c.out
}

// random reports whether b looks like what a cipher, a compressor or a hash made, by how often the most even of samples meet the
// same byte: of n bytes drawn evenly of 256, n + n²/256 is the mean of the sum of squares.
func random(b []byte) bool {
	const samples, each = 32, 128
	var count [256]uint32
	step := len(b) / samples
	for i := range samples {
		for _, x := range b[i*step : i*step+each] {
			count[x]++
		}
	}
	const n = samples * each
	var sum uint64
	for _, c := range count {
		sum += uint64(c) * uint64(c)
	}
	return sum < (n+n*n/256)*11/10
}

// appendStored appends a frame whose blocks are not compressed, as RFC 8878 has it.
func appendStored(out, b []byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, 0xFD2FB528)
	out = append(out, 2<<6|1<<5) // the size of the content in 4 bytes, one segment
	out = binary.LittleEndian.AppendUint32(out, uint32(len(b)))
	for len(b) > 0 {
		n := min(len(b), blockSize)
		head := uint32(n) << 3
		if n == len(b) {
			head |= 1 // the last
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16))
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out
}

// partWriter writes one part: compressed, hashed, within its bounds.
type partWriter struct {
	ctx     context.Context //nolint:containedctx // a writer of one part, made and used within one call
	f       *os.File
	coder   *coder
	space   *space
	stored  hash.Hash
	content hash.Hash // nil: not wanted
	size    int64     // taken in
	written int64
	flushed int64
	limit   int64 // of size
}

// Write takes b, or as much of it as the limit allows.
func (w *partWriter) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if room := w.limit - w.size; int64(len(b)) > room {
			if room <= 0 {
				return n, fmt.Errorf("%w: it is larger than %s", errStop, human(w.limit))
			}
			k, err := w.Write(b[:room])
			n += k
			if err == nil {
				err = fmt.Errorf("%w: it is larger than %s", errStop, human(w.limit))
			}
			return n, err
		}
		k := min(len(b), chunkSize-len(w.coder.in))
		w.coder.in = append(w.coder.in, b[:k]...)
		b = b[k:]
		n += k
		w.size += int64(k)
		if len(w.coder.in) == chunkSize {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (w *partWriter) flush() error {
	if err := w.ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", errStop, context.Cause(w.ctx))
	}
	if w.content != nil {
		w.content.Write(w.coder.in)
	}
	out := w.coder.frame(w.coder.in)
	w.coder.in = w.coder.in[:0]
	if err := w.space.take(int64(len(out))); err != nil {
		return err
	}
	w.stored.Write(out)
	n, err := w.f.Write(out)
	w.written += int64(n)
	if err != nil {
		return err
	}
	if w.written-w.flushed >= 2*flushEvery {
		return w.drain()
	}
	return nil
}

// drain waits until what was written before the last flushEvery bytes is on disk, and drops it from the page cache.
func (w *partWriter) drain() error {
	fd := int(w.f.Fd())
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(fd, w.flushed, flushEvery, all)
	if err == nil {
		err = unix.Fadvise(fd, w.flushed, flushEvery, unix.FADV_DONTNEED)
	}
	w.flushed += flushEvery
	if err == nil {
		err = unix.SyncFileRange(fd, w.flushed, w.written-w.flushed, unix.SYNC_FILE_RANGE_WRITE)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) {
		err = nil // not every file system has it; the sync at the end is what counts
	}
	return err
}

// finish writes what waits, even when the time is over: a part that ends early ends whole.
func (w *partWriter) finish() error {
	var err error
	if len(w.coder.in) > 0 || w.written == 0 {
		w.ctx = context.WithoutCancel(w.ctx)
		err = w.flush()
	}
	w.coder.in = w.coder.in[:0]
	return errors.Join(err, w.f.Sync())
}

func (w *partWriter) sums() (stored, content string) {
	stored = hex.EncodeToString(w.stored.Sum(nil))
	if w.content != nil {
		content = hex.EncodeToString(w.content.Sum(nil))
	}
	return stored, content
}

func newPartWriter(ctx context.Context, path string, c *coder, s *space, limit int64, content bool) (*partWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o400)
	if err != nil {
		return nil, err
	}
	w := &partWriter{ctx: ctx, f: f, coder: c, space: s, stored: sha256.New(), limit: limit}
	if content {
		w.content = sha256.New()
	}
	c.in = c.in[:0]
	return w, nil
}

func human(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
