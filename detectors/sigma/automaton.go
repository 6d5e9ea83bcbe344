package sigma

import "slices"

// maxTable is the size of one automaton's transition table in entries of 4 bytes.
const maxTable = 16 << 20

// A literal is a text to be found, with the number of the test that it answers.
type literal struct {
	text string
	id   int32
}

// An automaton finds many texts at once (Aho–Corasick, with a full transition table over classes of bytes). It holds only
// the head of long texts and compares the rest where the head was found: the table stays in the cache.
type automaton struct {
	class   [256]uint8
	classes uint32
	trans   []uint32 // row offset of the next state; bit 31: something ends there
	out     []int32  // per state: its own patterns are pats[out[s]:out[s+1]]
	pats    []pat
	link    []int32 // per state: the longest suffix state with patterns of its own, or -1
}

type pat struct {
	id   int32
	rest string // what must follow the head
}

const ends = 1 << 31

func newAutomaton(lits []literal) *automaton {
	for _, head := range []int{16, 8, 5, 4, 3, 2} {
		if a := buildAutomaton(lits, head); a != nil {
			return a
		}
	}
	return buildAutomaton(lits, 1)
}

// buildAutomaton returns nil where the table would grow too large.
func buildAutomaton(lits []literal, head int) *automaton {
	a := &automaton{classes: 1}
	for _, l := range lits {
		for _, c := range []byte(l.text[:min(len(l.text), head)]) {
			if a.class[c] == 0 && a.classes < 256 {
				a.class[c] = uint8(a.classes)
				a.classes++
			}
		}
	}
	if a.classes == 256 { // 255 classes and the rest: give every byte its own
		for c := range a.class {
			a.class[c] = uint8(c)
		}
	}
	nc := int(a.classes)
	trie := make([]int32, nc) // 0: no child, as the root is nobody's child
	own := [][]pat{nil}
	for _, l := range lits {
		s := 0
		n := min(len(l.text), head)
		for _, c := range []byte(l.text[:n]) {
			at := s*nc + int(a.class[c])
			if trie[at] == 0 {
				if len(trie)+nc > maxTable && head > 1 {
					return nil
				}
				trie[at] = int32(len(own))
				own = append(own, nil)
				trie = slices.Grow(trie, nc)[:len(trie)+nc]
			}
			s = int(trie[at])
		}
		own[s] = append(own[s], pat{l.id, l.text[n:]})
	}
	a.finish(trie, own)
	return a
}

// finish numbers the states by depth, so that the common ones lie together, and fills in the transitions on failure.
func (a *automaton) finish(trie []int32, own [][]pat) {
	nc, n := int(a.classes), len(own)
	order := make([]int32, 1, n)
	number := make([]int32, n)
	for i := 0; i < len(order); i++ {
		s := order[i]
		number[s] = int32(i)
		for _, t := range trie[int(s)*nc : (int(s)+1)*nc] {
			if t != 0 {
				order = append(order, t)
			}
		}
	}
	a.trans = make([]uint32, n*nc)
	a.out = make([]int32, n+1)
	a.link = make([]int32, n)
	fail := make([]int32, n)
	for i, s := range order {
		a.out[i] = int32(len(a.pats))
		a.pats = append(a.pats, own[s]...)
		a.out[i+1] = int32(len(a.pats))
	}
	a.link[0] = -1
	for i, s := range order {
		f := fail[i]
		if i > 0 {
			a.link[i] = a.link[f]
			if a.out[f] != a.out[f+1] {
				a.link[i] = f
			}
		}
		for c, t := range trie[int(s)*nc : (int(s)+1)*nc] {
			at := i*nc + c
			if t == 0 {
				if i > 0 {
					a.trans[at] = a.trans[int(f)*nc+c] &^ ends
				}
				continue
			}
			child := number[t]
			if i > 0 {
				fail[child] = int32(a.trans[int(f)*nc+c] / a.classes)
			}
			a.trans[at] = uint32(child) * a.classes
		}
	}
	for i, t := range a.trans {
		if s := t / a.classes; a.out[s] != a.out[s+1] || a.link[s] >= 0 {
			a.trans[i] |= ends
		}
	}
}

// find appends the numbers of the texts that are in s to hits, some more than once.
func (a *automaton) find(s string, hits []int32) []int32 {
	var state uint32
	for i := 0; i < len(s); i++ {
		state = a.trans[state+uint32(a.class[s[i]])]
		if state&ends == 0 {
			continue
		}
		state &^= ends
		for st := int32(state / a.classes); st >= 0; st = a.link[st] {
			for _, p := range a.pats[a.out[st]:a.out[st+1]] {
				if p.rest == "" || len(s)-i > len(p.rest) && s[i+1:i+1+len(p.rest)] == p.rest {
					hits = append(hits, p.id)
				}
			}
		}
	}
	return hits
}
