package indicators

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/minewarden/minewarden"
)

// maxEntries and maxSources bound a set to what its numbers can hold.
const (
	maxEntries = 1 << 27
	maxSources = 1 << 16
)

// A Builder makes a Set.
type Builder struct {
	set     *Set
	sources map[string]uint16
	facts   map[facts]uint32
	enc     *zstd.Encoder
}

// NewBuilder returns an empty Builder. n is how many indicators are expected.
func NewBuilder(n int) *Builder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic(fmt.Sprintf("compress indicators: %v", err)) // the options are constants
	}
	return &Builder{
		set: &Set{table: newTable(n), facts: make([]facts, 1)}, sources: map[string]uint16{}, facts: map[facts]uint32{}, enc: enc,
	}
}

// Add adds an indicator whose value is in normal form. The more confident of two sources stays. It reports false when the set
// can hold no more.
func (b *Builder) Add(ind minewarden.Indicator) bool {
	src, ok := b.source(ind.Source)
	if !ok {
		return false
	}
	f := facts{source: src, sure: uint8(min(1, max(0, ind.Confidence)) * sureUnits), flags: listed}
	if !ind.Expires.IsZero() {
		f.expires = uint32(max(1, ind.Expires.Unix()/60))
	}
	return b.add(ind.Type, ind.Value, f)
}

// Allow adds a value, in normal form, that is never met, nor what is below it: an allowed name and those that end with it, an
// allowed network and the addresses inside.
func (b *Builder) Allow(typ, value string) bool {
	b.set.allowed = true
	return b.add(typ, value, facts{flags: spared})
}

func (b *Builder) add(typ, value string, f facts) bool {
	s := b.set
	kind, ok := kindOf(typ)
	if !ok || s.n >= maxEntries || len(value) > maxValue {
		return false
	}
	var prefix netip.Prefix
	if kind == kindCIDR {
		var err error
		if prefix, err = netip.ParsePrefix(value); err != nil {
			return false
		}
	}
	number := s.table.findValue(kind, value)
	old := s.facts[number]
	if old.flags&f.flags == 0 { // it comes for the first time, or for the first time as this
		mark := kind
		if f.flags&spared != 0 {
			mark |= allowance
		}
		if !s.values.add(b.enc, mark, value) {
			return false
		}
		s.n++
		s.count[kind]++
	}
	f = old.with(f)
	if f == old {
		return true
	}
	if number, ok = b.number(f); !ok {
		return false
	}
	s.table.put(kind, value, number)
	if s.table.full() {
		b.grow()
	}
	if kind == kindCIDR && f.flags&listed != 0 {
		s.networks.Insert(prefix, number)
	}
	if kind == kindCIDR && f.flags&spared != 0 {
		s.sparedNetworks.Insert(prefix)
	}
	return true
}

// grow makes a larger table, for which every value is hashed again.
func (b *Builder) grow() {
	s, old := b.set, b.set.table
	s.table = newTable(2 * old.n)
	s.values.all(func(kind uint8, text string) bool {
		kind &^= allowance
		s.table.put(kind, text, old.findValue(kind, text))
		return true
	})
}

// number returns the index of f in the facts.
func (b *Builder) number(f facts) (uint32, bool) {
	n, ok := b.facts[f]
	if !ok {
		if n = uint32(len(b.set.facts)); n > maxNumber {
			return 0, false
		}
		b.set.facts = append(b.set.facts, f)
		b.facts[f] = n
	}
	return n, true
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
	b.set.facts, b.set.values.open = slices.Clone(b.set.facts), slices.Clone(b.set.values.open)
	return b.set
}
