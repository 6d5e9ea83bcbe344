package indicators

import (
	"hash/maphash"
	"math/bits"
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
	return &table{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, block: b}
}

// full reports whether another value would make long ways.
func (t *table) full() bool { return t.n >= len(t.lines)*(2*perLine+1)/2 }

// hash returns the i-th hash of a value.
func (t *table) hash(i int, kind uint8, key string) uint64 {
	return maphash.String(t.seeds[i], key) ^ uint64(kind)*0x9e3779b97f4a7c15
}

// sieve returns the word of the filter that the first hash of a value has, and its bits there.
func (b *block) sieve(h uint64) (word *uint64, its uint64) {
	return &b.filter[h&0xffffffff*uint64(len(b.filter))>>32], 1<<(h>>32&63) | 1<<(h>>38&63) | 1<<(h>>44&63)
}

// find returns the number of a value, or 0.
func (t *table) find(kind uint8, key string) (number uint32) {
	b := t.block
	h := t.hash(0, kind, key)
	if word, its := b.sieve(h); *word&its == its {
		if l, i := b.seek(h, t.hash(1, kind, key)); l.sum[i] == h {
			number = l.tail[i] & maxNumber
		}
	}
	runtime.KeepAlive(b) // its memory is not the collector's
	return number
}

// put sets the number of a value, which is not 0.
func (t *table) put(kind uint8, key string, number uint32) {
	h, g := t.hash(0, kind, key), t.hash(1, kind, key)
	l, i := t.seek(h, g)
	if l.tail[i] == 0 {
		word, its := t.sieve(h)
		*word |= its
		l.more |= more(g) << (i * moreBits)
		t.n++
	}
	l.sum[i], l.tail[i] = h, tail(g)|number
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
