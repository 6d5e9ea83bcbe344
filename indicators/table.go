package indicators

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"runtime"
)

// A table maps values to numbers above 0. Of a value it keeps 80 bits of two hashes, and where it is tells 18 more when there are
// a million. The keys of the hashes are random in each process, so nobody can make values that meet. The odds that a look-up takes a value
// for another are 1 in 10^23: in a year of a million look-ups a second, 1 in a billion.
//
// A value in the table costs one line of the processor's caches, every eighth also the line after it. One that is not in it seldom
// costs that: a filter of three bits in one word is asked before, which is small enough for the caches and wrong about 1.5 %.
type table struct {
	seeds [2]maphash.Seed
	keys  [2][4]uint64 // the same for addresses
	n     int
	*block
}

// A block is the memory of a table.
type block struct {
	lines  []line
	filter []uint64
}

// A line is filled from its first slot on. While its last is empty, no value that belongs to it is in the next line.
type line struct {
	sum  [slots]uint64 // the first hash
	tail [slots]uint32 // 10 bits of the second hash and the number; 0: empty
	more uint32        // 6 bits of the second hash for each slot
}

const (
	slots      = 5
	perLine    = 4 // values expected in a line
	maxNumber  = 1<<22 - 1
	tailBits   = 10
	moreBits   = 6
	filterBits = 12 // for each value expected
)

func newTable(n int) *table {
	n = max(n, 16)
	b := &block{}
	var unmap func()
	b.lines, b.filter, unmap = allocate(n/perLine+1, n*filterBits/64+1)
	if unmap != nil {
		runtime.AddCleanup(b, func(unmap func()) { unmap() }, unmap)
	}
	t := &table{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, block: b}
	for i := range t.keys {
		for j := range t.keys[i] {
			t.keys[i][j] = rand.Uint64()
		}
	}
	return t
}

// full reports whether another value would make long ways.
func (t *table) full() bool { return t.n >= len(t.lines)*(2*perLine+1)/2 }

// hash returns the i-th hash of a text.
func (t *table) hash(i int, kind uint8, text string) uint64 {
	return maphash.String(t.seeds[i], text) ^ uint64(kind)*0x9e3779b97f4a7c15
}

// hashAddr returns the i-th hash of an address, alone or with a port.
func (t *table) hashAddr(i int, kind uint8, hi, lo uint64, port uint16) uint64 {
	k := &t.keys[i]
	return fold(fold(hi^k[0], lo^k[1])^k[2], (uint64(port)<<8|uint64(kind))^k[3])
}

// words returns an address as two numbers. Those of version 4 have a way of their own, by registers: reading in one piece what was
// just written in two waits for all that was begun before, so that each look-up would wait for the memory of the one before.
func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:])) // as if mapped to version 6: such addresses do not come
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// fold multiplies two numbers and mixes the halves of the product.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashes returns both hashes of a value.
func (t *table) hashes(kind uint8, value string) (h, g uint64) {
	switch kind {
	case kindIP:
		if a, err := netip.ParseAddr(value); err == nil {
			hi, lo := words(a)
			return t.hashAddr(0, kind, hi, lo, 0), t.hashAddr(1, kind, hi, lo, 0)
		}
	case kindEndpoint:
		if a, err := netip.ParseAddrPort(value); err == nil {
			hi, lo := words(a.Addr())
			return t.hashAddr(0, kind, hi, lo, a.Port()), t.hashAddr(1, kind, hi, lo, a.Port())
		}
	}
	return t.hash(0, kind, value), t.hash(1, kind, value)
}

// find returns the number of a text, or 0.
func (t *table) find(kind uint8, text string) (number uint32) {
	b := t.block
	if h := t.hash(0, kind, text); b.may(h) {
		number = b.number(h, t.hash(1, kind, text))
	}
	runtime.KeepAlive(b) // its memory is not the collector's
	return number
}

// findAddr returns the number of an address, or 0.
func (t *table) findAddr(kind uint8, a netip.Addr, port uint16) (number uint32) {
	b := t.block
	hi, lo := words(a)
	if h := t.hashAddr(0, kind, hi, lo, port); b.may(h) {
		number = b.number(h, t.hashAddr(1, kind, hi, lo, port))
	}
	runtime.KeepAlive(b)
	return number
}

// findValue returns the number of a value, or 0.
func (t *table) findValue(kind uint8, value string) uint32 {
	b := t.block
	number := b.number(t.hashes(kind, value))
	runtime.KeepAlive(b)
	return number
}

// put sets the number of a value, which is not 0.
func (t *table) put(kind uint8, value string, number uint32) {
	h, g := t.hashes(kind, value)
	l, i := t.seek(h, g)
	if l.tail[i] == 0 {
		word, its := t.sieve(h)
		*word |= its
		l.more |= more(g) << (i * moreBits)
		t.n++
	}
	l.sum[i], l.tail[i] = h, tail(g)|number
}

// sieve returns the word of the filter that the first hash of a value has, and its bits there.
func (b *block) sieve(h uint64) (word *uint64, its uint64) {
	return &b.filter[h&0xffffffff*uint64(len(b.filter))>>32], 1<<(h>>32&63) | 1<<(h>>38&63) | 1<<(h>>44&63)
}

// may reports whether a value with this first hash may be in the table.
func (b *block) may(h uint64) bool {
	word, its := b.sieve(h)
	return *word&its == its
}

// number returns the number of the value that has these hashes, or 0.
func (b *block) number(h, g uint64) uint32 {
	l, i := b.seek(h, g)
	return l.tail[i] & maxNumber // an empty slot has 0
}

func tail(g uint64) uint32 { return uint32(g) &^ maxNumber }
func more(g uint64) uint32 { return uint32(g) & (1<<moreBits - 1) }

// seek returns the slot of the value that has these hashes, or the empty one to put it in.
func (b *block) seek(h, g uint64) (*line, int) {
	for at, _ := bits.Mul64(g, uint64(len(b.lines))); ; at++ {
		if at == uint64(len(b.lines)) {
			at = 0
		}
		l := &b.lines[at]
		// Which slot it is cannot be foreseen, so nothing branches on it.
		same := eq(l.sum[0], h) | eq(l.sum[1], h)<<1 | eq(l.sum[2], h)<<2 | eq(l.sum[3], h)<<3 | eq(l.sum[4], h)<<4
		for ; same != 0; same &= same - 1 {
			if i := bits.TrailingZeros64(same); l.tail[i]&^maxNumber == tail(g) && l.more>>(i*moreBits)&(1<<moreBits-1) == more(g) {
				return l, i
			}
		}
		if l.tail[slots-1] == 0 {
			for i := range slots {
				if l.tail[i] == 0 {
					return l, i
				}
			}
		}
	}
}

// eq returns 1 where a is b, else 0.
func eq(a, b uint64) uint64 {
	d := a ^ b
	return (d|-d)>>63 ^ 1
}
