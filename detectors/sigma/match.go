package sigma

import (
	"strings"
	"unsafe"

	"github.com/minewarden/minewarden"
)

const (
	maxEventValues = 4096    // values of one event; more are not looked at
	maxScan        = 1 << 20 // bytes of one value; what is behind is not looked at
	anyField       = 0       // number of the empty field: all that the event says
)

// A Matcher finds the rules of one Set that an event meets. It reuses its memory and is not safe for concurrent use.
type Matcher struct {
	set    *Set
	epoch  uint32
	first  []int32  // per field: its first value
	stamp  []uint32 // per field: the epoch in which first was set
	values []value
	arena  []byte // backs texts made for this event; old blocks stay alive while a value points to them
	src    origin
	plans  map[origin][]*group
	all    bool // the values of anyField are there
	record *minewarden.Record

	bits  []uint64 // per test of the group at hand: true
	known []uint64 // per test that is no atom: bits holds the answer; per atom unused
	ran   []uint64 // per unit
	cand  []int32
	mark  []uint64 // per rule: is in cand
	hits  []int32
	found []*Rule

	Looked int // rules looked at for the last event: what the index left over
}

type value struct {
	raw, folded string
	has         bool  // folded is there
	next        int32 // the next value of the same field, or -1
}

// NewMatcher returns a matcher over s.
func (s *Set) NewMatcher() *Matcher {
	return &Matcher{
		set: s, first: make([]int32, len(s.fieldNames)), stamp: make([]uint32, len(s.fieldNames)), plans: map[origin][]*group{},
	}
}

// Match returns the rules that the event meets. The slice is reused by the next call.
func (m *Matcher) Match(ev *minewarden.Event) []*Rule {
	m.found, m.Looked = m.found[:0], 0
	if !m.load(ev) {
		return nil
	}
	for _, g := range m.groups() {
		m.run(g)
	}
	return m.found
}

func (m *Matcher) groups() []*group {
	plan, ok := m.plans[m.src]
	if !ok {
		for _, g := range m.set.groups {
			if m.src.fits(g.source) {
				plan = append(plan, g)
			}
		}
		if len(m.plans) >= 4096 { // sources are named by input
			clear(m.plans)
		}
		m.plans[m.src.clone()] = plan
	}
	return plan
}

// reset forgets the event before.
func (m *Matcher) reset() {
	m.epoch++
	if m.epoch == 0 {
		clear(m.stamp)
		m.epoch = 1
	}
	m.values, m.arena, m.all, m.record, m.src = m.values[:0], m.arena[:0], false, nil, origin{}
	if cap(m.arena) > 4*maxScan {
		m.arena = nil
	}
}

// add gives a field one more value. Values of the same field are tested newest first.
func (m *Matcher) add(field int32, raw string) {
	if field < 0 || len(m.values) >= maxEventValues {
		return
	}
	if len(raw) > maxScan {
		raw = raw[:maxScan]
	}
	next := int32(-1)
	if m.stamp[field] == m.epoch {
		next = m.first[field]
	}
	m.stamp[field], m.first[field] = m.epoch, int32(len(m.values))
	m.values = append(m.values, value{raw: raw, next: next})
}

// head returns the first value of a field, or -1.
func (m *Matcher) head(field int32) int32 {
	if field < 0 || m.stamp[field] != m.epoch {
		return -1
	}
	return m.first[field]
}

func (m *Matcher) get(field int32) (string, bool) {
	if i := m.head(field); i >= 0 {
		return m.values[i].raw, true
	}
	return "", false
}

// text returns the arena from start on as a text. It holds until the next event: nothing that leaves the matcher may
// point into it.
func (m *Matcher) text(start int) string {
	if start == len(m.arena) {
		return ""
	}
	return unsafe.String(&m.arena[start], len(m.arena)-start)
}

func (m *Matcher) folded(v *value) string {
	if !v.has {
		v.has, v.folded = true, v.raw
		if needsFold(v.raw) {
			start := len(m.arena)
			m.arena = appendFold(m.arena, v.raw)
			v.folded = m.text(start)
		}
	}
	return v.folded
}

func needsFold(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; 'A' <= c && c <= 'Z' || c >= 0x80 {
			return true
		}
	}
	return false
}

func has(set []uint64, i int32) bool { return set[i>>6]>>(i&63)&1 != 0 }
func put(set []uint64, i int32)      { set[i>>6] |= 1 << (i & 63) }

func zeroed(set []uint64, n int) []uint64 {
	words := (n + 63) / 64
	if cap(set) < words {
		return make([]uint64, words)
	}
	set = set[:words]
	clear(set)
	return set
}

func (m *Matcher) run(g *group) {
	if g.useAll && !m.all {
		m.all = true
		m.addAll()
	}
	m.bits = zeroed(m.bits, len(g.preds))
	m.known = zeroed(m.known, len(g.preds))
	m.ran = zeroed(m.ran, len(g.units))
	m.mark = zeroed(m.mark, len(g.rules))
	m.cand = append(m.cand[:0], g.always...)
	for _, u := range g.eager {
		m.scan(g, u)
	}
	m.Looked += len(m.cand)
	for _, r := range m.cand {
		at := g.entry[r]
		for at >= 0 {
			in := &g.prog[at]
			if m.test(g, in.test) {
				at = in.then
			} else {
				at = in.other
			}
		}
		if at == yes {
			m.found = append(m.found, g.rules[r])
		}
	}
}

// scan answers all atoms of a unit.
func (m *Matcher) scan(g *group, id int32) {
	put(m.ran, id)
	u := &g.units[id]
	for i := m.head(u.field); i >= 0; i = m.values[i].next {
		s := m.folded(&m.values[i])
		if u.auto != nil {
			m.hits = u.auto.find(s, m.hits[:0])
		} else {
			m.hits = u.table.find(s, m.hits[:0])
		}
		for _, atom := range m.hits {
			if has(m.bits, atom) {
				continue
			}
			put(m.bits, atom)
			for _, r := range g.hang[atom] {
				if !has(m.mark, r) {
					put(m.mark, r)
					m.cand = append(m.cand, r)
				}
			}
		}
	}
}

func (m *Matcher) test(g *group, id int32) bool {
	if id < g.atoms {
		if u := g.unit[id]; !has(m.ran, u) {
			m.scan(g, u)
		}
		return has(m.bits, id)
	}
	if !has(m.known, id) {
		put(m.known, id)
		if m.answer(g, id) {
			put(m.bits, id)
		}
	}
	return has(m.bits, id)
}

// answer runs a test that the index does not answer.
func (m *Matcher) answer(g *group, id int32) bool {
	p := g.preds[id]
	first := m.head(g.field[id])
	switch p.op {
	case opExists:
		return first >= 0
	case opAbsent:
		return first < 0
	case opFieldRef:
		for i := first; i >= 0; i = m.values[i].next {
			for j := m.head(g.ref[id]); j >= 0; j = m.values[j].next {
				a, b := m.values[i].raw, m.values[j].raw
				if !p.cased {
					a, b = m.folded(&m.values[i]), m.folded(&m.values[j])
				}
				if p.refers(a, b) {
					return true
				}
			}
		}
		return false
	}
	for i := first; i >= 0; i = m.values[i].next {
		folded := ""
		if !p.cased && p.op <= opGlob {
			folded = m.folded(&m.values[i])
		}
		if p.meets(m.values[i].raw, folded) {
			return true
		}
	}
	return false
}

// addAll makes the values of the empty field, which keywords look at.
func (m *Matcher) addAll() {
	if r := m.record; r != nil {
		if r.Message != "" {
			m.add(anyField, r.Message)
		}
		for i := range r.Fields {
			m.add(anyField, r.Fields[i].Value)
		}
		return
	}
	for i := range m.values {
		m.add(anyField, m.values[i].raw)
	}
}

// evidence returns the fields that a rule names, as the event has them.
func (m *Matcher) evidence(fields []string) []minewarden.Evidence {
	var out []minewarden.Evidence
	for _, name := range fields {
		if len(out) == maxEvidence {
			break
		}
		id, ok := m.set.fieldIDs[name]
		if !ok || m.head(id) < 0 || id == anyField {
			continue
		}
		for i, n := m.head(id), 0; i >= 0 && n < 4; i, n = m.values[i].next, n+1 {
			if v := m.values[i].raw; v != "" {
				out = append(out, minewarden.Evidence{Key: name, Value: clip(v)})
			}
		}
	}
	return out
}

const (
	maxEvidence      = 12
	maxEvidenceBytes = 512 // of one value
)

// clip copies a value, shortened to what a person reads.
func clip(s string) string {
	if len(s) <= maxEvidenceBytes {
		return strings.ToValidUTF8(strings.Clone(s), "\uFFFD")
	}
	return strings.ToValidUTF8(s[:maxEvidenceBytes], "\uFFFD") + "…"
}
