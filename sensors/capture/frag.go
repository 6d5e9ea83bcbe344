package capture

// Bounds of datagrams that wait for their fragments.
const (
	maxDatagrams = 512
	maxDatagram  = 64 << 10
	fragBytes    = 4 << 20
	fragFor      = 30e9 // nanoseconds
)

type fragKey struct {
	src, dst addr
	id       uint32
	proto    uint8
}

type datagram struct {
	key   fragKey
	since int64
	parts []fragment // by place
	bytes []byte     // of all parts, in order of coming
	total int        // bytes, once the last fragment is there; 0 before
	have  int
}

// A fragment is n bytes of a datagram from off on, which lie at at.
type fragment struct{ off, n, at int }

// frags puts fragments together. What overlaps is as the first fragment says.
type frags struct {
	waiting []*datagram     // oldest first
	ids     []uint32        // of waiting, to find one quickly
	known   [1 << 10]uint16 // how many of ids have these last bits
	bytes   int
	spare   []*datagram // to be used again
	spared  int         // bytes of them
	out     []byte      // what was put together last
}

// How much is kept to be used again.
const (
	spareDatagrams = 64
	sparedBytes    = 1 << 20
)

// add takes one fragment and returns the whole payload, good until the next call, when it was the last one missing, or nil.
func (fs *frags) add(k fragKey, off int, more, cut bool, b []byte, now int64) []byte {
	for len(fs.waiting) > 0 && (now-fs.waiting[0].since > fragFor || fs.bytes > fragBytes) {
		fs.drop(0)
	}
	if cut || len(b) == 0 || off+len(b) > maxDatagram || more && len(b)%8 != 0 {
		return nil
	}
	at := -1
	for i, id := range fs.ids {
		if fs.known[k.id%uint32(len(fs.known))] == 0 {
			break
		}
		if id == k.id && fs.waiting[i].key == k {
			at = i
			break
		}
	}
	if at < 0 {
		if len(fs.waiting) >= maxDatagrams {
			fs.drop(0)
		}
		fs.waiting = append(fs.waiting, fs.datagram(k, now))
		fs.ids = append(fs.ids, k.id)
		fs.known[k.id%uint32(len(fs.known))]++
		at = len(fs.waiting) - 1
	}
	d := fs.waiting[at]
	i := 0
	for i < len(d.parts) && d.parts[i].off < off {
		i++
	}
	if i > 0 {
		if p := d.parts[i-1]; p.off+p.n > off {
			skip := p.off + p.n - off
			if skip >= len(b) {
				return nil
			}
			off, b = off+skip, b[skip:]
		}
	}
	if i < len(d.parts) && off+len(b) > d.parts[i].off {
		b = b[:d.parts[i].off-off]
		more = true
	}
	if len(b) > 0 {
		d.parts = append(d.parts, fragment{})
		copy(d.parts[i+1:], d.parts[i:])
		d.parts[i] = fragment{off, len(b), len(d.bytes)}
		d.bytes = append(d.bytes, b...)
		d.have += len(b)
		fs.bytes += len(b)
	}
	if !more {
		d.total = off + len(b)
	}
	if d.total == 0 || d.have < d.total {
		return nil
	}
	fs.out = fs.out[:0]
	for _, p := range d.parts {
		fs.out = append(fs.out, d.bytes[p.at:p.at+p.n]...)
	}
	total := d.total
	fs.drop(at)
	return fs.out[:total]
}

func (fs *frags) datagram(k fragKey, now int64) *datagram {
	i := len(fs.spare)
	if i == 0 {
		return &datagram{key: k, since: now}
	}
	d := fs.spare[i-1]
	fs.spare = fs.spare[:i-1]
	fs.spared -= cap(d.bytes)
	*d = datagram{key: k, since: now, parts: d.parts[:0], bytes: d.bytes[:0]}
	return d
}

func (fs *frags) drop(i int) {
	d := fs.waiting[i]
	fs.bytes -= d.have
	fs.known[d.key.id%uint32(len(fs.known))]--
	if len(fs.spare) < spareDatagrams && fs.spared+cap(d.bytes) <= sparedBytes {
		fs.spare = append(fs.spare, d)
		fs.spared += cap(d.bytes)
	}
	fs.waiting = append(fs.waiting[:i], fs.waiting[i+1:]...)
	fs.ids = append(fs.ids[:i], fs.ids[i+1:]...)
}
