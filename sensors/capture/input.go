package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const (
	readAhead = 1 << 20
	// dropBehind is how much of a mapped file may stay in memory after it was read, and populate how much is asked for at once:
	// so little that what the kernel and the processor note of its pages is still near when they are read, and given back.
	dropBehind = 1 << 20
	populate   = 512 << 10
	// A compressed capture may unpack to maxRatio times its size and bombFloor more. Captures of empty packets reach 100.
	maxRatio  = 300
	bombFloor = 1 << 30
	maxWindow = 128 << 20 // of zstd
)

// An input hands out the bytes of a file in order. What take returned is valid until the next take.
type input struct {
	buf     []byte // the whole file where it is mapped
	off     int
	r       io.Reader // nil where mapped
	err     error     // of r
	mapped  []byte
	dropped int
	ready   int // bytes of mapped that were asked for ahead
	turn    int // off at which ahead is due
	near    int // bytes of mapped that were asked to come near the processor
	close   []func() error
}

// openInput opens the file: mapped where that can be, else read, and unpacked where it is packed.
func openInput(path string) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	in := &input{close: []func() error{f.Close}}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if st.Mode().IsRegular() && st.Size() > 0 && st.Size() == int64(int(st.Size())) {
		m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
		if err == nil {
			in.close = append(in.close, func() error { return unix.Munmap(m) })
			if packed(m) == "" {
				in.buf, in.mapped = m, m
				return in, nil
			}
		}
	}
	return in, in.read(f)
}

// read makes in read from r, unpacking it where it is packed.
func (in *input) read(r io.Reader) error {
	count := &counter{r: r}
	br := bufio.NewReaderSize(count, 64<<10)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, in.Close())
	}
	in.r = br
	switch packed(head) {
	case "gzip":
		z, err := gzip.NewReader(br)
		if err != nil {
			return errors.Join(fmt.Errorf("unpack gzip: %w", err), in.Close())
		}
		in.r = &limited{r: z, packed: count}
	case "zstd":
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return errors.Join(fmt.Errorf("unpack zstd: %w", err), in.Close())
		}
		in.close = append(in.close, func() error { z.Close(); return nil })
		in.r = &limited{r: z, packed: count}
	}
	in.buf = make([]byte, 0, readAhead)
	return nil
}

// packed says how a file that begins with head is packed; empty: not.
func packed(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	}
	return ""
}

// unpackHead returns the first bytes of what head, the begin of a file, unpacks to; head itself where it is not packed.
func unpackHead(head []byte) []byte {
	var r io.Reader
	switch packed(head) {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(head))
		if err != nil {
			return nil
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(head), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	default:
		return head
	}
	out := make([]byte, 64)
	n, _ := io.ReadFull(r, out) // the head ends within a packed block: what came out before is what is wanted
	return out[:n]
}

// take returns the next n bytes; fewer with io.EOF, or io.ErrUnexpectedEOF, at the end of the file.
func (in *input) take(n int) ([]byte, error) {
	if end := in.off + n; end <= len(in.buf) && n >= 0 {
		b := in.buf[in.off:end:end]
		in.off = end
		return b, nil
	}
	return in.fill(n)
}

func (in *input) fill(n int) ([]byte, error) {
	for in.r != nil && in.err == nil && len(in.buf)-in.off < n {
		if in.off > 0 {
			in.buf = in.buf[:copy(in.buf, in.buf[in.off:])]
			in.off = 0
		}
		if n > cap(in.buf) {
			in.buf = append(make([]byte, 0, n+readAhead), in.buf...)
		}
		var got int
		got, in.err = in.r.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf = in.buf[:len(in.buf)+got]
	}
	if len(in.buf)-in.off >= n {
		return in.take(n)
	}
	rest := in.buf[in.off:]
	in.off = len(in.buf)
	switch {
	case in.err != nil && !errors.Is(in.err, io.EOF):
		return rest, in.err
	case len(rest) == 0:
		return nil, io.EOF
	}
	return rest, io.ErrUnexpectedEOF
}

// Memory takes as long to answer as a packet takes to be worked on: what comes nearAhead later is asked for, nearStep at once.
const (
	nearAhead = 4 << 10
	nearStep  = 512
)

// approach asks for what will soon be read. It is short so that it is done in place, once for each packet.
func (in *input) approach() {
	if in.off >= in.near-nearAhead {
		in.come()
	}
}

func (in *input) come() {
	from, to := max(in.near, in.off), in.off+nearAhead+nearStep
	if in.near = to; to <= len(in.mapped) {
		prefetch(&in.mapped[from], to-from)
	}
}

// ahead asks for what will be read next in one go, and gives back the memory of what was read. It is due when off has reached turn.
func (in *input) ahead() error {
	if in.mapped == nil {
		in.turn = math.MaxInt
		return nil
	}
	if in.ready < len(in.mapped) {
		from := max(in.ready, in.off&^(1<<16-1))
		to := min(from+populate, len(in.mapped))
		// Only a saving: kernels before 5.14 do not know it, and pages come one after the other.
		if unix.Madvise(in.mapped[from:to], unix.MADV_POPULATE_READ) != nil {
			to = len(in.mapped)
		}
		in.ready = to
	}
	in.turn = in.off + populate/2
	if in.ready < len(in.mapped) {
		in.turn = in.ready - populate/2
	}
	if in.off-in.dropped < dropBehind {
		return nil
	}
	end := in.off &^ (1<<16 - 1)
	if err := unix.Madvise(in.mapped[in.dropped:end], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("give back a mapped file: %w", err)
	}
	in.dropped = end
	return nil
}

// Close unmaps and closes.
func (in *input) Close() error {
	var errs []error
	for i := len(in.close) - 1; i >= 0; i-- {
		errs = append(errs, in.close[i]())
	}
	in.close = nil
	return errors.Join(errs...)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// limited ends a file that unpacks to absurdly more than it is.
type limited struct {
	r      io.Reader
	packed *counter
	n      int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.n += int64(n)
	if l.n > bombFloor+maxRatio*l.packed.n {
		return n, fmt.Errorf("unpacks to more than %d times its size", maxRatio)
	}
	return n, err
}
