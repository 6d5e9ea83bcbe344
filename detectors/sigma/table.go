package sigma

// A table finds which of many texts are the beginning, the end or the whole of a value, in one pass over each end.
type table struct {
	exact, prefix, suffix hashes
	empty                 int32 // the test for the empty text, or -1
}

// hashes is an open-addressed table of texts by hash.
type hashes struct {
	slots  []slot
	lens   []uint64 // bit set: there is a text of this length
	maxLen int
}

type slot struct {
	hash uint64
	text string
	id   int32
}

const (
	hashSeed  = 14695981039346656037 // FNV-1a
	hashPrime = 1099511628211
)

func newTable(exact, prefix, suffix []literal) *table {
	t := &table{empty: -1}
	for _, l := range exact {
		if l.text == "" {
			t.empty = l.id
		}
	}
	t.exact.build(exact, false)
	t.prefix.build(prefix, false)
	t.suffix.build(suffix, true)
	return t
}

func (h *hashes) build(lits []literal, backwards bool) {
	if len(lits) == 0 {
		return
	}
	size := 4
	for size < 2*len(lits) {
		size *= 2
	}
	h.slots = make([]slot, size)
	for _, l := range lits {
		n := len(l.text)
		if n == 0 {
			continue
		}
		h.maxLen = max(h.maxLen, n)
		for len(h.lens) <= n/64 {
			h.lens = append(h.lens, 0)
		}
		h.lens[n/64] |= 1 << (n % 64)
		hash := uint64(hashSeed)
		for i := range n {
			c := l.text[i]
			if backwards {
				c = l.text[n-1-i]
			}
			hash = (hash ^ uint64(c)) * hashPrime
		}
		at := h.spot(hash)
		for h.slots[at].text != "" {
			at = (at + 1) & (size - 1)
		}
		h.slots[at] = slot{hash, l.text, l.id}
	}
}

// spot spreads the upper bits: the lower ones of a product depend on the lower ones of its factors only.
func (h *hashes) spot(hash uint64) int { return int(hash>>32^hash) & (len(h.slots) - 1) }

func (h *hashes) has(n int) bool { return n/64 < len(h.lens) && h.lens[n/64]>>(n%64)&1 != 0 }

func (h *hashes) lookup(hash uint64, s string) int32 {
	for at := h.spot(hash); ; at = (at + 1) & (len(h.slots) - 1) {
		switch sl := &h.slots[at]; {
		case sl.text == "":
			return -1
		case sl.hash == hash && sl.text == s:
			return sl.id
		}
	}
}

// find appends the numbers of the tests that s meets to hits.
func (t *table) find(s string, hits []int32) []int32 {
	if s == "" {
		if t.empty >= 0 {
			hits = append(hits, t.empty)
		}
		return hits
	}
	whole := t.exact.has(len(s))
	n := min(len(s), t.prefix.maxLen)
	if whole {
		n = len(s)
	}
	hash := uint64(hashSeed)
	for i := range n {
		hash = (hash ^ uint64(s[i])) * hashPrime
		if t.prefix.has(i + 1) {
			if id := t.prefix.lookup(hash, s[:i+1]); id >= 0 {
				hits = append(hits, id)
			}
		}
	}
	if whole {
		if id := t.exact.lookup(hash, s); id >= 0 {
			hits = append(hits, id)
		}
	}
	hash = hashSeed
	for i := 1; i <= min(len(s), t.suffix.maxLen); i++ {
		hash = (hash ^ uint64(s[len(s)-i])) * hashPrime
		if t.suffix.has(i) {
			if id := t.suffix.lookup(hash, s[len(s)-i:]); id >= 0 {
				hits = append(hits, id)
			}
		}
	}
	return hits
}
