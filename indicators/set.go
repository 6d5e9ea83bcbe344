package indicators

import (
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
// Exact values lie one behind the other in one block of memory, found through a table of 32 bits of hash and 32 of index: what
// is not in the set costs one look into memory, and a million names need about 50 MiB.
type Set struct {
	seed    maphash.Seed
	table   []uint64 // hash<<32 | index+1; 0: empty
	mask    uint64
	entries []entry
	text    []byte
	sources []string
	cidrs   bart.Table[uint32] // entry index
	count   map[string]int     // by type
	allowed bool               // there is at least one allow entry
}

// entry is 16 bytes.
type entry struct {
	at      uint32 // into text
	expires uint32 // minutes since 1970; 0: never
	source  uint16
	length  uint16
	kind    uint8 // index into kinds, plus allow
	sure    uint8 // confidence in 1/200
}

const allow = 0x80 // in entry.kind

var kindNames = [...]string{Domain, IP, CIDR, Endpoint, URL, SHA256, Wallet}

func kindOf(typ string) (uint8, bool) {
	for i, n := range kindNames {
		if n == typ {
			return uint8(i), true
		}
	}
	return 0, false
}

// maxEntries and maxText bound a set to what its indexes can hold.
const (
	maxEntries = 1 << 27
	maxText    = 1<<32 - maxValue
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
	b.set.count = map[string]int{}
	b.set.entries = make([]entry, 0, n)
	b.resize(max(16, n+n/2))
	return b
}

func (b *Builder) resize(slots int) {
	size := uint64(1) << bits.Len64(uint64(slots-1))
	b.set.table = make([]uint64, size)
	b.set.mask = size - 1
	for i := range b.set.entries {
		e := &b.set.entries[i]
		b.set.link(b.set.hash(e.kind, b.set.value(e)), uint32(i))
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
	if !ok || !okSource || len(s.entries) >= maxEntries || len(s.text)+len(ind.Value) > maxText {
		return false
	}
	e := entry{source: src, length: uint16(len(ind.Value)), kind: kind | flag, sure: uint8(min(1, max(0, ind.Confidence)) * 200)}
	if !ind.Expires.IsZero() {
		e.expires = uint32(max(1, ind.Expires.Unix()/60))
	}
	h := s.hash(e.kind, ind.Value)
	if i, ok := s.find(h, e.kind, ind.Value); ok {
		if old := &s.entries[i]; e.sure > old.sure || (e.sure == old.sure && e.expires == 0) {
			old.source, old.sure, old.expires = e.source, e.sure, e.expires
		}
		return true
	}
	if ind.Type == CIDR {
		p, err := netip.ParsePrefix(ind.Value)
		if err != nil {
			return false
		}
		s.cidrs.Insert(p, uint32(len(s.entries)))
	}
	e.at = uint32(len(s.text))
	s.text = append(s.text, ind.Value...)
	s.entries = append(s.entries, e)
	s.count[ind.Type]++
	if uint64(len(s.entries))*4 > uint64(len(s.table))*3 {
		b.resize(2 * len(s.table))
		return true
	}
	s.link(h, uint32(len(s.entries)-1))
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
func (b *Builder) Len() int { return len(b.set.entries) }

// Set returns what was built. The Builder must not be used again.
func (b *Builder) Set() *Set { return &b.set }

func (s *Set) hash(kind uint8, value string) uint64 {
	h := maphash.String(s.seed, value)
	return h ^ uint64(kind)*0x9e3779b97f4a7c15
}

func (s *Set) link(h uint64, index uint32) {
	slot := h & s.mask
	for s.table[slot] != 0 {
		slot = (slot + 1) & s.mask
	}
	s.table[slot] = h&^0xffffffff | uint64(index+1)
}

func (s *Set) find(h uint64, kind uint8, value string) (uint32, bool) {
	for slot := h & s.mask; s.table[slot] != 0; slot = (slot + 1) & s.mask {
		t := s.table[slot]
		if t>>32 != h>>32 {
			continue
		}
		i := uint32(t) - 1
		if e := &s.entries[i]; e.kind == kind && s.value(e) == value {
			return i, true
		}
	}
	return 0, false
}

func (s *Set) value(e *entry) string { return bytesAsString(s.text[e.at : e.at+uint32(e.length)]) }

func (s *Set) indicator(i uint32) minewarden.Indicator {
	e := &s.entries[i]
	ind := minewarden.Indicator{
		Type: kindNames[e.kind&^allow], Value: s.value(e), Source: s.sources[e.source], Confidence: float64(e.sure) / 200,
	}
	if e.expires != 0 {
		ind.Expires = time.Unix(int64(e.expires)*60, 0).UTC()
	}
	return ind
}

func (s *Set) exact(kind uint8, value string, now time.Time) (uint32, bool) {
	i, ok := s.find(s.hash(kind, value), kind, value)
	if !ok || s.stale(i, now) {
		return 0, false
	}
	return i, true
}

func (s *Set) stale(i uint32, now time.Time) bool {
	x := s.entries[i].expires
	return x != 0 && now.Unix()/60 >= int64(x)
}

// Name finds the indicator that a domain name in normal form meets: its own or that of a parent, the longest first.
func (s *Set) Name(name string, now time.Time) (minewarden.Indicator, bool) {
	if s.count[Domain] == 0 {
		return minewarden.Indicator{}, false
	}
	for rest := name; ; {
		if s.allowed {
			if _, ok := s.exact(allow, rest, now); ok {
				return minewarden.Indicator{}, false
			}
		}
		if i, ok := s.exact(0, rest, now); ok {
			return s.indicator(i), true
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
	if s.count[IP] == 0 && s.count[CIDR] == 0 && s.count[Endpoint] == 0 {
		return minewarden.Indicator{}, false
	}
	var buf [64]byte
	text := bytesAsString(a.AppendTo(buf[:0]))
	if s.allowed {
		if _, ok := s.exact(1|allow, text, now); ok {
			return minewarden.Indicator{}, false
		}
	}
	if port != 0 && s.count[Endpoint] > 0 {
		var full [64]byte
		if i, ok := s.exact(3, bytesAsString(netip.AddrPortFrom(a, port).AppendTo(full[:0])), now); ok {
			return s.indicator(i), true
		}
	}
	if i, ok := s.exact(1, text, now); ok {
		return s.indicator(i), true
	}
	if i, ok := s.cidrs.Lookup(a); ok && s.entries[i].kind&allow == 0 && !s.stale(i, now) {
		return s.indicator(i), true
	}
	return minewarden.Indicator{}, false
}

// Exact finds a value of the types that are met by equality: url, sha256, wallet.
func (s *Set) Exact(typ, value string, now time.Time) (minewarden.Indicator, bool) {
	kind, ok := kindOf(typ)
	if !ok || s.count[typ] == 0 {
		return minewarden.Indicator{}, false
	}
	if s.allowed {
		if _, ok := s.exact(kind|allow, value, now); ok {
			return minewarden.Indicator{}, false
		}
	}
	if i, ok := s.exact(kind, value, now); ok {
		return s.indicator(i), true
	}
	return minewarden.Indicator{}, false
}

// Len returns how many indicators of each type there are, allow-list included.
func (s *Set) Len() map[string]int { return s.count }

// All yields every indicator that is not on the allow-list.
func (s *Set) All(yield func(minewarden.Indicator) bool) {
	for i := range s.entries {
		if s.entries[i].kind&allow == 0 && !yield(s.indicator(uint32(i))) {
			return
		}
	}
}

// Allowances yields every value on the allow-list.
func (s *Set) Allowances(yield func(minewarden.Indicator) bool) {
	if !s.allowed {
		return
	}
	for i := range s.entries {
		if e := &s.entries[i]; e.kind&allow != 0 && !yield(s.indicator(uint32(i))) {
			return
		}
	}
}
