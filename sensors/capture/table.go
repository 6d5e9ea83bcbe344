package capture

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"github.com/minewarden/minewarden"
)

// addr is an address as two words; IPv4 as in ::ffff:a.b.c.d.
type addr struct{ hi, lo uint64 }

const v4Prefix = 0xffff << 32

func (a addr) is4() bool { return a.hi == 0 && a.lo>>32 == 0xffff }

func (a addr) netip() netip.Addr {
	if a.is4() {
		v := uint32(a.lo)
		return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	}
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(a.hi>>(56-8*i)), byte(a.lo>>(56-8*i))
	}
	return netip.AddrFrom16(b)
}

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// key names a conversation, the lesser end first. It is written and compared by whole words: narrower parts of it in memory would
// make the processor wait for each.
type key struct {
	a, b  addr
	ports uint64 // port of a | port of b << 16 | protocol << 32
}

func (k *key) pa() uint16   { return uint16(k.ports) }
func (k *key) pb() uint16   { return uint16(k.ports >> 16) }
func (k *key) proto() uint8 { return uint8(k.ports >> 32) }

func (k *key) same(o *key) bool {
	return (k.ports^o.ports)|(k.a.lo^o.a.lo)|(k.b.lo^o.b.lo)|(k.a.hi^o.a.hi)|(k.b.hi^o.b.hi) == 0
}

// set makes k the key of a packet and returns whether the sender is its second end.
func (k *key) set(proto uint8, src, dst addr, sport, dport uint16) (fromB bool) {
	if src.less(dst) || src == dst && sport <= dport {
		k.a, k.b, k.ports = src, dst, uint64(sport)|uint64(dport)<<16|uint64(proto)<<32
		return false
	}
	k.a, k.b, k.ports = dst, src, uint64(dport)|uint64(sport)<<16|uint64(proto)<<32
	return true
}

const (
	protoTCP = 6
	protoUDP = 17
)

// The states of a flow.
const (
	flowUsed     = 1 << iota
	flowFromB    // the key's second end is the client
	flowJoined   // the opening was not seen
	flowClosed   // its end was reported: it is kept to know stragglers
	flowTold     // a message or byte of payload was seen
	flowDeaf     // nothing more of its payload is wanted
	flowFinC     // the client sent its last byte
	flowFinS     // must follow flowFinC
	flowSynC     // isn of the client is known
	flowSynS     // must follow flowSynC
	flowAnswered // both ends sent
	flowKept     // its packets are kept
)

// flow holds no pointers, so that a million of them cost the garbage collector nothing, and fills two cache lines.
type flow struct {
	key      key
	flags    uint16
	app      app
	conn     uint32 // 1 + index into conns; 0: none
	last     int64
	reported int64
	bytes    [2]uint64 // by end: 0 the client
	packets  [2]uint32
	isn      [2]uint32 // of SYN, by side
	start    int64
	iface    [2]uint16 // by end: where its packets are taken from, live
	hash     uint32
	_        [16]byte
}

// side returns which end sent: 0 the client.
func (f *flow) side(fromB bool) int {
	if fromB == (f.flags&flowFromB != 0) {
		return 0
	}
	return 1
}

// public returns the key as events name it.
func (f *flow) public() minewarden.FlowKey {
	k := minewarden.FlowKey{
		Proto:  "tcp",
		Client: netip.AddrPortFrom(f.key.a.netip(), f.key.pa()),
		Server: netip.AddrPortFrom(f.key.b.netip(), f.key.pb()),
	}
	if f.key.proto() == protoUDP {
		k.Proto = "udp"
	}
	if f.flags&flowFromB != 0 {
		k.Client, k.Server = k.Server, k.Client
	}
	return k
}

const chunk = 1024 // flows made at once

// table finds flows by key. Flows lie in chunks that never move; slots hold a part of the hash and the flow's number.
type table struct {
	seed   [3]uint64
	slots  []uint64 // hash<<32 | number+1; 0: empty
	chunks [][]flow
	free   []uint32
	recent *flow  // that was found last: the next packet is often of it too; nil: none
	at0    uint32 // its number
	used   int
	made   uint32
	hand   uint32 // of the clock that chooses whom to evict
}

func newTable() table {
	return table{seed: [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}, slots: make([]uint64, 1024)}
}

func (t *table) at(n uint32) *flow { return &t.chunks[n/chunk][n%chunk] }

func (t *table) hash(k *key) uint32 {
	h1, l1 := bits.Mul64(k.a.lo^t.seed[0], k.b.lo^t.seed[1])
	h2, l2 := bits.Mul64(k.a.hi^t.seed[2]^k.ports<<24, k.b.hi^t.seed[0]^k.ports)
	h3, l3 := bits.Mul64(h1^l1^bits.RotateLeft64(h2^l2, 29), 0x9e3779b97f4a7c15)
	return uint32(h3 ^ l3)
}

// find returns the flow of k, or nil, and its number.
func (t *table) find(k *key) (*flow, uint32) {
	if f := t.recent; f != nil && f.key.same(k) {
		return f, t.at0
	}
	h := t.hash(k)
	mask := uint32(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return nil, 0
		}
		if uint32(s>>32) == h {
			n := uint32(s) - 1
			if f := t.at(n); f.key.same(k) {
				t.recent, t.at0 = f, n
				return f, n
			}
		}
	}
}

// add makes the flow of k, which must not be there.
func (t *table) add(k *key) uint32 {
	h := t.hash(k)
	if t.used*2 >= len(t.slots) {
		t.grow()
	}
	var n uint32
	if i := len(t.free); i > 0 {
		n, t.free = t.free[i-1], t.free[:i-1]
	} else {
		if t.made%chunk == 0 {
			t.chunks = append(t.chunks, make([]flow, chunk))
		}
		n = t.made
		t.made++
	}
	t.used++
	*t.at(n) = flow{key: *k, flags: flowUsed, hash: h}
	t.put(h, n)
	return n
}

func (t *table) put(h, n uint32) {
	mask := uint32(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = uint64(h)<<32 | uint64(n+1)
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint64, 2*len(old))
	for _, s := range old {
		if s != 0 {
			t.put(uint32(s>>32), uint32(s)-1)
		}
	}
}

// remove forgets flow n. Its slot is filled from behind, so that no look-up passes over a hole.
func (t *table) remove(n uint32) {
	f := t.at(n)
	t.recent = nil
	mask := uint32(len(t.slots) - 1)
	i := f.hash & mask
	for uint32(t.slots[i]) != n+1 {
		i = (i + 1) & mask
	}
	for j := i; ; {
		j = (j + 1) & mask
		s := t.slots[j]
		if s == 0 {
			break
		}
		home := uint32(s>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			t.slots[i] = s
			i = j
		}
	}
	t.slots[i] = 0
	f.flags = 0
	t.free = append(t.free, n)
	t.used--
}

// victims is how many flows are compared to find one to evict.
const victims = 24

// victim chooses a flow to evict: of the next few, the one that is idle longest, where silence counts for more the less a flow
// ever was. So a flood of half-open flows pushes out itself and not the conversations.
func (t *table) victim(now int64) uint32 {
	best, score := uint32(0), int64(-1)
	for i := 0; i < victims || score < 0; i++ {
		t.hand++
		if t.hand >= t.made {
			t.hand = 0
		}
		f := t.at(t.hand)
		if f.flags&flowUsed == 0 {
			continue
		}
		s := max(now-f.last, 0) + 1
		switch {
		case f.flags&flowClosed != 0:
			s = s*1024 + 1e12
		case f.flags&flowAnswered == 0:
			s = s*64 + 1e10
		case f.flags&flowTold == 0:
			s *= 8
		}
		if s > score {
			best, score = t.hand, s
		}
	}
	return best
}
