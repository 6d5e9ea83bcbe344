package dga

import (
	"math/rand/v2"
	"slices"
)

// A Name is one to learn from.
type Name struct {
	Name      string
	Family    string // of a generated name
	Generated bool
	Weight    float32
}

// A row is a name in training.
type row struct {
	parts
	family    string
	generated bool
	y, weight float32
	at        []uint16 // of its runs of letters
}

func newRow(name, family string, generated bool, weight float32) row {
	r := row{parts: split(name), family: family, generated: generated, weight: weight}
	if generated {
		r.y = 1
	}
	r.at = runs(nil, r.label)
	return r
}

// Training.
const (
	shares    = 4      // the tables of which the others make the counts of one
	judges    = 3      // models that have not seen what they judge, to set the cuts by
	falseCut  = 0.0025 // of chosen names at which the cut is set
	burstCut  = 0.0001 // of bursts of chosen names: a client is judged again with every name that it asks for
	manyDrawn = 300000
)

// Train returns a model of the names. Its cuts are set by models of the same kind, each of which judges chosen names that it has
// not seen.
func Train(names []Name, seed uint64) *Model {
	rows := make([]row, len(names))
	for i, n := range names {
		rows[i] = newRow(n.Name, n.Family, n.Generated, n.Weight)
	}
	m := train(rows, seed)
	share := assign(rows, judges, seed+1)
	var scores []float32
	for k := range judges {
		judge := train(pick(rows, share, func(s int) bool { return s != k }), seed)
		for i, n := range names {
			if share[i] == k && !n.Generated {
				scores = append(scores, judge.Score(n.Name))
			}
		}
	}
	if len(scores) == 0 {
		return m
	}
	r := rand.New(rand.NewPCG(seed, 9))
	for b, size := range Bursts {
		means := make([]float32, manyDrawn)
		for i := range means {
			for range size {
				means[i] += scores[r.IntN(len(scores))] / float32(size)
			}
		}
		m.BurstCuts[b] = above(means, burstCut)
	}
	m.Cut = above(scores, falseCut)
	return m
}

// above returns what a share of the values is above of. It sorts them.
func above(values []float32, share float64) float32 {
	slices.Sort(values)
	return values[min(len(values)-1, int(float64(len(values))*(1-share)))]
}

// assign deals the rows into n shares, families undivided.
func assign(rows []row, n int, seed uint64) []int {
	r := rand.New(rand.NewPCG(seed, 5))
	of := map[string]int{}
	var families []string
	for _, x := range rows {
		if _, ok := of[x.family]; x.generated && !ok {
			of[x.family] = 0
			families = append(families, x.family)
		}
	}
	r.Shuffle(len(families), func(i, j int) { families[i], families[j] = families[j], families[i] })
	for i, f := range families {
		of[f] = i % n
	}
	share := make([]int, len(rows))
	for i, x := range rows {
		if x.generated {
			share[i] = of[x.family]
		} else {
			share[i] = r.IntN(n)
		}
	}
	return share
}

func pick(rows []row, share []int, keep func(int) bool) []row {
	var out []row
	for i, r := range rows {
		if keep(share[i]) {
			out = append(out, r)
		}
	}
	return out
}

func learn(rows []row) *tables {
	t := &tables{suffixes: learnSuffixes(rows)}
	var chosen []string
	for _, r := range rows {
		if !r.generated {
			chosen = append(chosen, r.label)
		}
	}
	t.lang = *newLanguage(chosen)
	t.pieces.learn(chosen)
	t.linear.learn(rows)
	return t
}

// train grows the trees on counts that are made, for each name, from tables that hold neither the name nor its family: on counts
// of what the tables hold, the trees would learn to trust them too much.
func train(rows []row, seed uint64) *Model {
	rows = append(slices.Clip(rows), examples(rows, seed)...)
	share := assign(rows, shares, seed)
	x := make([]counts, len(rows))
	y, weight := make([]float32, len(rows)), make([]float32, len(rows))
	for k := range shares {
		t := learn(pick(rows, share, func(s int) bool { return s != k }))
		for i, r := range rows {
			if share[i] == k {
				t.count(&x[i], r.parts)
				y[i], weight[i] = r.y, r.weight
			}
		}
	}
	return &Model{tables: *learn(rows), forest: grow(x, y, weight, seed)}
}

// perKind is how many examples of a kind are made.
const perKind = 100

// examples makes names in the ways that need no thought: letters by chance, alone and with digits, hexadecimal digits, vowels and
// other letters in turn, syllables. Algorithms that training has not seen are more like these than like the known families.
func examples(rows []row, seed uint64) []row {
	const (
		letters    = "abcdefghijklmnopqrstuvwxyz"
		hex        = "0123456789abcdef"
		vowels     = "aeiou"
		consonants = "bcdfghjklmnpqrstvwxz"
	)
	r := rand.New(rand.NewPCG(seed, 77))
	from := func(set string) byte { return set[r.IntN(len(set))] }
	some := func(set string, least, most int) []byte {
		b := make([]byte, least+r.IntN(most-least+1))
		for i := range b {
			b[i] = from(set)
		}
		return b
	}
	turns := func() []byte {
		b, odd := make([]byte, 6+r.IntN(7)), r.IntN(2)
		for i := range b {
			b[i] = from(vowels)
			if i%2 == odd {
				b[i] = from(consonants)
			}
		}
		return b
	}
	syllables := func() (b []byte) {
		for range 2 + r.IntN(3) {
			b = append(b, from(consonants), from(vowels))
			if r.IntN(2) == 0 {
				b = append(b, from(consonants))
			}
		}
		return b
	}
	// Half stand under a suffix as common as it is for chosen names, half under any that was seen.
	var common, every []string
	seen := map[string]bool{}
	for _, x := range rows {
		if !x.generated {
			common = append(common, x.suffix)
		}
		if !seen[x.suffix] && !isDynamic(x.suffix) {
			seen[x.suffix] = true
			every = append(every, x.suffix)
		}
	}
	if len(common) == 0 {
		return nil
	}
	var out []row
	for kind, chance := range []func() []byte{
		func() []byte { return some(letters, 5, 8) }, func() []byte { return some(letters, 8, 12) }, func() []byte { return some(letters, 12, 20) },
		func() []byte { return some(letters+"0123456789", 8, 24) }, func() []byte { return some(hex, 8, 32) }, turns, syllables,
	} {
		for i := range perKind {
			suffix := common[r.IntN(len(common))]
			if i%2 == 0 {
				suffix = every[r.IntN(len(every))]
			}
			out = append(out, newRow(string(chance())+"."+suffix, "example "+string(rune('0'+kind)), true, 1))
		}
	}
	return out
}
