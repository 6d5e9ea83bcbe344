package capture

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
)

// Bounds of memory that is kept for the next use.
const (
	spareBuffers = 64
	spareBuffer  = 32 << 10 // bytes; a larger one is given back
	spareWebs    = 256
	spareLists   = 64   // of messages
	heard        = 2048 // strings
	maxHeard     = 128  // bytes of one
)

// reuse keeps memory that comes and goes with every flow.
type reuse struct {
	buffers [][]byte
	lists   [][]minewarden.Message
	webs    []*web
	strings [heard]string
	gzip    *gzip.Reader
	zlib    io.ReadCloser
	flate   io.ReadCloser
	packed  bytes.Reader
}

// buffer returns an empty buffer for n bytes.
func (r *reuse) buffer(n int) []byte {
	if i := len(r.buffers); i > 0 {
		b := r.buffers[i-1]
		r.buffers = r.buffers[:i-1]
		if cap(b) >= n {
			return b[:0]
		}
	}
	return make([]byte, 0, max(n, 512))
}

// give takes back a buffer that nobody looks at any more.
func (r *reuse) give(b []byte) {
	if cap(b) >= 512 && cap(b) <= spareBuffer && len(r.buffers) < spareBuffers {
		r.buffers = append(r.buffers, b)
	}
}

// room returns the messages with room for more.
func (r *reuse) room(m []minewarden.Message) []minewarden.Message {
	if i := len(r.lists); i > 0 && cap(r.lists[i-1]) > len(m) {
		list := r.lists[i-1]
		r.lists = r.lists[:i-1]
		return append(list, m...)
	}
	return slices.Grow(m, max(8, len(m)))
}

// giveList takes back a list of messages that is too long to stay with one connection.
func (r *reuse) giveList(m []minewarden.Message) {
	if len(r.lists) < spareLists {
		r.lists = append(r.lists, m[:0])
	}
}

func (r *reuse) web() *web {
	if i := len(r.webs); i > 0 {
		w := r.webs[i-1]
		r.webs = r.webs[:i-1]
		*w = web{waiting: w.waiting[:0]}
		return w
	}
	return &web{}
}

func (r *reuse) giveWeb(w *web) {
	if len(r.webs) < spareWebs {
		r.webs = append(r.webs, w)
	}
}

// string returns b as a string, which is made only where it was not among the last ones: the same few come again and again.
func (r *reuse) string(b []byte) string {
	n := len(b)
	if n == 0 || n > maxHeard {
		return string(b)
	}
	h := uint32(n)
	for _, i := range [...]int{0, n / 4, n / 2, n - n/4 - 1, n - 1} {
		h = h*0x01000193 ^ uint32(b[i])
	}
	s := &r.strings[(h^h>>9)%heard]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}

// unpack returns at most limit bytes of what b unpacks to, which may be less than all where b is cut short, and an error where it
// is nothing. They are appended to out.
func (r *reuse) unpack(out []byte, how byte, b []byte, limit int) ([]byte, error) {
	z, err := r.unpacker(how, b)
	if err != nil || z == nil {
		return out, err
	}
	for len(out) < limit {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := z.Read(out[len(out):min(cap(out), limit)])
		if out = out[:len(out)+n]; err != nil {
			if len(out) > 0 || err == io.EOF {
				break
			}
			return out, err
		}
	}
	return out, nil
}

// inflate appends to out at most limit bytes of what a compressed WebSocket message unpacks to. Its end is left out on the wire.
func (r *reuse) inflate(out, b, window []byte, limit int) ([]byte, error) {
	const end = "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // of the message, and of all
	from := io.MultiReader(bytes.NewReader(b), strings.NewReader(end))
	if r.flate == nil {
		r.flate = flate.NewReader(from)
	}
	if err := r.flate.(flate.Resetter).Reset(from, window); err != nil {
		return out, err
	}
	for len(out) < limit {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := r.flate.Read(out[len(out):min(cap(out), limit)])
		if out = out[:len(out)+n]; err == io.EOF {
			break
		} else if err != nil {
			return out, err
		}
	}
	return out, nil
}

// unpacker returns what unpacks b; nil where nobody knows how.
func (r *reuse) unpacker(how byte, b []byte) (io.Reader, error) {
	r.packed.Reset(b)
	switch how {
	case 'g':
		if r.gzip == nil {
			r.gzip = new(gzip.Reader)
		}
		return r.gzip, r.gzip.Reset(&r.packed)
	case 'd':
		var err error
		if r.zlib == nil {
			r.zlib, err = zlib.NewReader(&r.packed)
		} else {
			err = r.zlib.(zlib.Resetter).Reset(&r.packed, nil)
		}
		if err == nil {
			return r.zlib, nil
		}
		// Some send it without the head of zlib.
		r.packed.Reset(b)
		if r.flate == nil {
			r.flate = flate.NewReader(&r.packed)
			return r.flate, nil
		}
		return r.flate, r.flate.(flate.Resetter).Reset(&r.packed, nil)
	}
	return nil, nil
}
