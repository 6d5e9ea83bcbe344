package indicators

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/minewarden/minewarden"
)

// A Set finds indicators. It is immutable and safe for concurrent use.
//
// Records lie one behind the other in one block of memory, found through a table of 32 bits of hash and 32 of position. Before the
// table a filter of two bits in one word is asked, small enough for the processor's caches: what is not in the set seldom costs
// a look into memory, what is in it costs two.
type Set struct {
	seed    maphash.Seed
	filter  []uint64
	table   []uint64 // hash<<32 | position of the record; 0: empty
	mask    uint64
	text    []byte // records: a head of headLen bytes and the value. The first byte is none's.
	n       int
	sources []string
	cidrs   bart.Table[uint32] // position of the record
	count   [len(kindNames)]int
	allowed bool // there is at least one allow entry
}

// entry is the head of a record.
type entry struct {
	expires uint32 // minutes since 1970; 0: never
	source  uint16
	length  uint16
	kind    uint8 // index into kindNames, plus allow
	sure    uint8 // confidence in 1/200
}

const (
	headLen = 10
	allow   = 0x80 // in entry.kind
	// filterBits is how many bits of the filter there are for each slot of the table.
	filterBits = 8
)

func (s *Set) head(at uint32) entry {
	b := s.text[at : at+headLen]
	le := binary.LittleEndian
	return entry{le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8], b[9]}
}

func (s *Set) setHead(at uint32, e entry) {
	b := s.text[at : at+headLen]
	le := binary.LittleEndian
	le.PutUint32(b, e.expires)
	le.PutUint16(b[4:], e.source)
	le.PutUint16(b[6:], e.length)
	b[8], b[9] = e.kind, e.sure
}

// The indexes of kindNames.
const (
	kindDomain = iota
	kindIP
	kindCIDR
	kindEndpoint
)

var kindNames = [...]string{Domain, IP, CIDR, Endpoint, URL, SHA256, Wallet}

func kindOf(typ string) (uint8, bool) {
	for i, n := range kindNames {
		if n == typ {
			return uint8(i), true
		}
	}
	return 0, false
}

// maxEntries and maxText bound a set to what its positions can hold.
const (
	maxEntries = 1 << 27
	maxText    = 1<<32 - maxValue - headLen
	maxSources = 1 << 16
)

// A Builder makes a Set.
type Builder struct {
	set     Set
	sources map[string]uint16
}

// NewBuilder returns an empty Builder. n is how many indicators are expected.
func NewBuilder(n int) *Builder {
	b := &Builder{sources: map[string]uint16{}}
	b.set.seed = maphash.MakeSeed()
	b.set.text = make([]byte, 1, 1+n*(headLen+16))
	b.resize(max(16, n+n/2))
	return b
}

func (b *Builder) resize(slots int) {
	s := &b.set
	size := uint64(1) << bits.Len64(uint64(slots-1))
	s.table = make([]uint64, size)
	s.filter = make([]uint64, max(1, size*filterBits/64))
	s.mask = size - 1
	s.records(func(at uint32, e entry) bool {
		s.link(s.hash(e.kind, s.value(at, e)), at)
		return true
	})
}

// records walks over all, in the order in which they were added.
func (s *Set) records(yield func(at uint32, e entry) bool) {
	for at := uint32(1); int(at) < len(s.text); {
		e := s.head(at)
		if !yield(at, e) {
			return
		}
		at += headLen + uint32(e.length)
	}
}

// Add adds an indicator whose value is in normal form. The more confident of two sources stays. It reports false when the set
// can hold no more.
func (b *Builder) Add(ind minewarden.Indicator) bool { return b.add(ind, 0) }

// Allow adds a value, in normal form, that is never met, nor what is below it: an allowed name inside a listed domain, an
// address inside a listed network.
func (b *Builder) Allow(typ, value string) bool {
	b.set.allowed = true
	return b.add(minewarden.Indicator{Type: typ, Value: value, Source: "allow-list", Confidence: 1}, allow)
}

func (b *Builder) add(ind minewarden.Indicator, flag uint8) bool {
	s := &b.set
	kind, ok := kindOf(ind.Type)
	src, okSource := b.source(ind.Source)
	if !ok || !okSource || s.n >= maxEntries || len(s.text)+len(ind.Value) > maxText || len(ind.Value) > maxValue {
		return false
	}
	e := entry{source: src, length: uint16(len(ind.Value)), kind: kind | flag, sure: uint8(min(1, max(0, ind.Confidence)) * 200)}
	if !ind.Expires.IsZero() {
		e.expires = uint32(max(1, ind.Expires.Unix()/60))
	}
	h := s.hash(e.kind, ind.Value)
	if at, old, ok := s.find(h, e.kind, ind.Value); ok {
		if e.sure > old.sure || (e.sure == old.sure && e.expires == 0) {
			s.setHead(at, e)
		}
		return true
	}
	at := uint32(len(s.text))
	if ind.Type == CIDR {
		p, err := netip.ParsePrefix(ind.Value)
		if err != nil {
			return false
		}
		s.cidrs.Insert(p, at)
	}
	s.text = append(s.text, make([]byte, headLen)...)
	s.setHead(at, e)
	s.text = append(s.text, ind.Value...)
	s.n++
	s.count[kind]++
	if uint64(s.n)*4 > uint64(len(s.table))*3 {
		b.resize(2 * len(s.table))
		return true
	}
	s.link(h, at)
	return true
}

func (b *Builder) source(name string) (uint16, bool) {
	if i, ok := b.sources[name]; ok {
		return i, true
	}
	if len(b.set.sources) >= maxSources {
		return 0, false
	}
	i := uint16(len(b.set.sources))
	b.set.sources = append(b.set.sources, strings.Clone(name))
	b.sources[b.set.sources[i]] = i
	return i, true
}

// Len returns how many indicators there are so far.
func (b *Builder) Len() int { return b.set.n }

// Set returns what was built. The Builder must not be used again.
func (b *Builder) Set() *Set {
	if s := &b.set; cap(s.text)-len(s.text) > len(s.text)/16 {
		s.text = append(make([]byte, 0, len(s.text)), s.text...)
	}
	return &b.set
}

func (s *Set) hash(kind uint8, value string) uint64 {
	h := maphash.String(s.seed, value)
	return h ^ uint64(kind)*0x9e3779b97f4a7c15
}

// sieve returns the word of the filter and the two bits in it that a hash has.
func (s *Set) sieve(h uint64) (word uint64, both uint64) {
	return (h >> 18) & uint64(len(s.filter)-1), 1<<(h>>52&63) | 1<<(h>>58)
}

func (s *Set) link(h uint64, at uint32) {
	slot := h & s.mask
	for s.table[slot] != 0 {
		slot = (slot + 1) & s.mask
	}
	s.table[slot] = h&^0xffffffff | uint64(at)
	word, both := s.sieve(h)
	s.filter[word] |= both
}

func (s *Set) find(h uint64, kind uint8, value string) (uint32, entry, bool) {
	if word, both := s.sieve(h); s.filter[word]&both != both {
		return 0, entry{}, false
	}
	for slot := h & s.mask; s.table[slot] != 0; slot = (slot + 1) & s.mask {
		t := s.table[slot]
		if t>>32 != h>>32 {
			continue
		}
		at := uint32(t)
		if e := s.head(at); e.kind == kind && s.value(at, e) == value {
			return at, e, true
		}
	}
	return 0, entry{}, false
}

func (s *Set) value(at uint32, e entry) string {
	at += headLen
	return bytesAsString(s.text[at : at+uint32(e.length)])
}

func (s *Set) indicator(at uint32, e entry) minewarden.Indicator {
	ind := minewarden.Indicator{
		Type: kindNames[e.kind&^allow], Value: s.value(at, e), Source: s.sources[e.source], Confidence: float64(e.sure) / 200,
	}
	if e.expires != 0 {
		ind.Expires = time.Unix(int64(e.expires)*60, 0).UTC()
	}
	return ind
}

func (s *Set) exact(kind uint8, value string, now time.Time) (uint32, entry, bool) {
	at, e, ok := s.find(s.hash(kind, value), kind, value)
	return at, e, ok && !e.stale(now)
}

func (e *entry) stale(now time.Time) bool {
	return e.expires != 0 && now.Unix()/60 >= int64(e.expires)
}

// Name finds the indicator that a domain name in normal form meets: its own or that of a parent, the longest first.
func (s *Set) Name(name string, now time.Time) (minewarden.Indicator, bool) {
	if s.count[kindDomain] == 0 {
		return minewarden.Indicator{}, false
	}
	for rest := name; ; {
		if s.allowed {
			if _, _, ok := s.exact(kindDomain|allow, rest, now); ok {
				return minewarden.Indicator{}, false
			}
		}
		if at, e, ok := s.exact(kindDomain, rest, now); ok {
			return s.indicator(at, e), true
		}
		dot := strings.IndexByte(rest, '.')
		if dot < 0 || strings.IndexByte(rest[dot+1:], '.') < 0 {
			return minewarden.Indicator{}, false
		}
		rest = rest[dot+1:]
	}
}

// Addr finds the indicator that an address meets: with its port, by itself, or by its network. Port 0 means unknown.
func (s *Set) Addr(a netip.Addr, port uint16, now time.Time) (minewarden.Indicator, bool) {
	a = a.WithZone("").Unmap()
	if s.count[kindIP] == 0 && s.count[kindCIDR] == 0 && s.count[kindEndpoint] == 0 {
		return minewarden.Indicator{}, false
	}
	var buf [64]byte
	text := bytesAsString(a.AppendTo(buf[:0]))
	if s.allowed {
		if _, _, ok := s.exact(kindIP|allow, text, now); ok {
			return minewarden.Indicator{}, false
		}
	}
	if port != 0 && s.count[kindEndpoint] > 0 {
		var full [64]byte
		if at, e, ok := s.exact(kindEndpoint, bytesAsString(netip.AddrPortFrom(a, port).AppendTo(full[:0])), now); ok {
			return s.indicator(at, e), true
		}
	}
	if at, e, ok := s.exact(kindIP, text, now); ok {
		return s.indicator(at, e), true
	}
	if s.count[kindCIDR] == 0 {
		return minewarden.Indicator{}, false
	}
	if at, ok := s.cidrs.Lookup(a); ok {
		if e := s.head(at); e.kind&allow == 0 && !e.stale(now) {
			return s.indicator(at, e), true
		}
	}
	return minewarden.Indicator{}, false
}

// Exact finds a value of the types that are met by equality: url, sha256, wallet.
func (s *Set) Exact(typ, value string, now time.Time) (minewarden.Indicator, bool) {
	kind, ok := kindOf(typ)
	if !ok || s.count[kind] == 0 {
		return minewarden.Indicator{}, false
	}
	if s.allowed {
		if _, _, ok := s.exact(kind|allow, value, now); ok {
			return minewarden.Indicator{}, false
		}
	}
	if at, e, ok := s.exact(kind, value, now); ok {
		return s.indicator(at, e), true
	}
	return minewarden.Indicator{}, false
}

// Len returns how many indicators of each type there are, allow-list included.
func (s *Set) Len() map[string]int {
	out := map[string]int{}
	for kind, n := range s.count {
		if n > 0 {
			out[kindNames[kind]] = n
		}
	}
	return out
}

// All yields every indicator that is not on the allow-list.
func (s *Set) All(yield func(minewarden.Indicator) bool) {
	s.records(func(at uint32, e entry) bool { return e.kind&allow != 0 || yield(s.indicator(at, e)) })
}

// Allowances yields every value on the allow-list.
func (s *Set) Allowances(yield func(minewarden.Indicator) bool) {
	if !s.allowed {
		return
	}
	s.records(func(at uint32, e entry) bool { return e.kind&allow == 0 || yield(s.indicator(at, e)) })
}
