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
	parts []part
	total int // bytes, once the last fragment is there; 0 before
	have  int
}

type part struct {
	off  int
	data []byte
}

// frags puts fragments together. What overlaps is as the first fragment says.
type frags struct {
	waiting []*datagram // oldest first
	ids     []uint32    // of waiting, to find one quickly
	bytes   int
}

// add takes one fragment and returns the whole payload when it was the last one missing, or nil.
func (fs *frags) add(k fragKey, off int, more, cut bool, b []byte, now int64) []byte {
	for len(fs.waiting) > 0 && (now-fs.waiting[0].since > fragFor || fs.bytes > fragBytes) {
		fs.drop(0)
	}
	if cut || len(b) == 0 || off+len(b) > maxDatagram || more && len(b)%8 != 0 {
		return nil
	}
	at := -1
	for i, id := range fs.ids {
		if id == k.id && fs.waiting[i].key == k {
			at = i
			break
		}
	}
	if at < 0 {
		if len(fs.waiting) >= maxDatagrams {
			fs.drop(0)
		}
		fs.waiting = append(fs.waiting, &datagram{key: k, since: now})
		fs.ids = append(fs.ids, k.id)
		at = len(fs.waiting) - 1
	}
	d := fs.waiting[at]
	i := 0
	for i < len(d.parts) && d.parts[i].off < off {
		i++
	}
	if i > 0 {
		if p := d.parts[i-1]; p.off+len(p.data) > off {
			skip := p.off + len(p.data) - off
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
		d.parts = append(d.parts, part{})
		copy(d.parts[i+1:], d.parts[i:])
		d.parts[i] = part{off, append([]byte(nil), b...)}
		d.have += len(b)
		fs.bytes += len(b)
	}
	if !more {
		d.total = off + len(b)
	}
	if d.total == 0 || d.have < d.total {
		return nil
	}
	out := make([]byte, 0, d.have)
	for _, p := range d.parts {
		out = append(out, p.data...)
	}
	fs.drop(at)
	return out[:d.total]
}

func (fs *frags) drop(i int) {
	fs.bytes -= fs.waiting[i].have
	if i == 0 {
		fs.waiting[0] = nil
		fs.waiting, fs.ids = fs.waiting[1:], fs.ids[1:]
		return
	}
	fs.waiting = append(fs.waiting[:i], fs.waiting[i+1:]...)
	fs.ids = append(fs.ids[:i], fs.ids[i+1:]...)
}
