package dga

import (
	"math"
	"math/rand/v2"
	"slices"
)

// tables are what is known of letters and suffixes, and what the counts are made from.
type tables struct {
	lang     language
	pieces   pieces
	suffixes suffixes
	linear   linear
}

func hash(h uint32, c byte) uint32 { return (h ^ uint32(c)) * 16777619 }

func mix(h uint32) uint32 {
	h ^= h >> 15
	h *= 2246822519
	return h ^ h>>13
}

// Runs of letters that several names hold are pieces: words, mostly.
const (
	minPiece      = 3
	maxPiece      = 9
	minHolders    = 4 // names that hold a piece
	bitsOfPieces  = 16
	worthOfPieces = 4 // bits of an entry that say how many names hold it; the others are of its hash
)

type pieces [1 << bitsOfPieces]uint16

func pieceHash(h uint32) (slot, print uint32) {
	h = mix(h)
	return h >> (32 - bitsOfPieces), h & (1<<(16-worthOfPieces) - 1)
}

// at returns what a piece is worth: half bits of how many names hold it, 0 when few do. A piece that finds its place taken
// loses it to one that more names hold.
func (t *pieces) at(h uint32) int {
	slot, print := pieceHash(h)
	if e := uint32(t[slot]); e>>worthOfPieces == print {
		return int(e & (1<<worthOfPieces - 1))
	}
	return 0
}

func (t *pieces) learn(labels []string) {
	holders := map[string]int{}
	seen := map[string]int{}
	for i, l := range labels {
		for k := minPiece; k <= maxPiece; k++ {
			for at := 0; at+k <= len(l); at++ {
				if p := l[at : at+k]; seen[p] != i+1 {
					seen[p] = i + 1
					holders[p]++
				}
			}
		}
	}
	for p, n := range holders {
		if n < minHolders {
			continue
		}
		h := uint32(2166136261)
		for i := range len(p) {
			h = hash(h, p[i])
		}
		slot, print := pieceHash(h)
		worth := min(1<<worthOfPieces-1, int(2*math.Log2(float64(n)))-1)
		// The greater entry stays, whichever comes first.
		if old := t[slot]; int(old&(1<<worthOfPieces-1)) < worth || int(old&(1<<worthOfPieces-1)) == worth && uint32(old>>worthOfPieces) < print {
			t[slot] = uint16(print<<worthOfPieces) | uint16(worth)
		}
	}
}

// cover fills how well a label is made of pieces.
func (t *pieces) cover(d *counts, label string) {
	var covered [maxLabel + maxPiece + 1]uint8
	var worth [maxLabel + maxPiece + 1]float32
	longest, three, four := 0, 0, 0
	for i := range len(label) {
		covered[i+1] = max(covered[i+1], covered[i])
		worth[i+1] = max(worth[i+1], worth[i])
		h := uint32(2166136261)
		for k := 1; k <= maxPiece && i+k <= len(label); k++ {
			h = hash(h, label[i+k-1])
			if k < minPiece {
				continue
			}
			w := t.at(h)
			if w == 0 {
				continue
			}
			if k == minPiece {
				three++
			} else {
				four++
				covered[i+k] = max(covered[i+k], covered[i]+uint8(k))
				longest = max(longest, k)
			}
			worth[i+k] = max(worth[i+k], worth[i]+float32(k-2)*float32(w+1)/2)
		}
	}
	n := float32(len(label))
	d[fCovered], d[fUncovered] = float32(covered[len(label)])/n, n-float32(covered[len(label)])
	d[fPieceWorth], d[fPieceLongest] = worth[len(label)]/n, float32(longest)
	d[fPieces3], d[fPieces4] = float32(three)/n, float32(four)/n
}

// A suffix is how much more common it is for generated names than for chosen ones, and how common for chosen ones, as logarithms
// in sixteenths.
type suffix struct {
	hash uint32
	odds int8
	seen int8
}

// suffixes are sorted by hash.
type suffixes []suffix

// Odds of suffixes that training did not see: what nobody visits is more probable to be a program's choice.
const (
	oddsUnseen = 2
	seenUnseen = -7.6
	rareSuffix = 0.0005 // share that is added to what was seen
)

func suffixHash(s string) uint32 {
	h := uint32(99)
	for i := range len(s) {
		h = hash(h, s[i])
	}
	return mix(h)
}

func (t suffixes) odds(s string) (odds, seen float32) {
	h := suffixHash(s)
	lo, hi := 0, len(t)
	for lo < hi {
		if m := (lo + hi) / 2; t[m].hash < h {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(t) && t[lo].hash == h {
		return float32(t[lo].odds) / 16, float32(t[lo].seen) / 16
	}
	return oddsUnseen, seenUnseen
}

func learnSuffixes(rows []row) suffixes {
	family := map[string]float64{}
	chosen := 0.0
	for _, r := range rows {
		if r.generated {
			family[r.family]++
		} else {
			chosen++
		}
	}
	type share struct{ generated, chosen float64 }
	shares := map[string]share{}
	for _, r := range rows {
		s := shares[r.suffix]
		if r.generated {
			s.generated += 1 / family[r.family] / float64(len(family))
		} else {
			s.chosen += 1 / chosen
		}
		shares[r.suffix] = s
	}
	out := make(suffixes, 0, len(shares))
	small := func(v float64) int8 { return int8(max(-127, min(127, math.Round(16*v)))) }
	for name, s := range shares {
		seen := seenUnseen
		if s.chosen > 0 {
			seen = math.Log(s.chosen + rareSuffix)
		}
		out = append(out, suffix{suffixHash(name), small(math.Log((s.generated + rareSuffix) / (s.chosen + rareSuffix))), small(seen)})
	}
	slices.SortFunc(out, func(a, b suffix) int { return int(int64(a.hash) - int64(b.hash)) })
	return slices.CompactFunc(out, func(a, b suffix) bool { return a.hash == b.hash })
}

// linear is a weight for each run of two to four letters.
type linear struct {
	weight [slots]int8
	scale  float32
}

const (
	bitsOfSlots = 15
	slots       = 1 << bitsOfSlots
)

// runs calls f with the slots of the runs of a label, its ends among the letters.
func runs(out []uint16, label string) []uint16 {
	var buf [maxLabel + 2]byte
	n := 1 + copy(buf[1:maxLabel+1], label)
	buf[0], buf[n] = '^', '$'
	n++
	for size := 2; size <= 4; size++ {
		for i := 0; i+size <= n; i++ {
			h := uint32(2166136261 + size)
			for j := range size {
				h = hash(h, buf[i+j])
			}
			out = append(out, uint16(mix(h)&(slots-1)))
		}
	}
	return out
}

func (l *linear) sum(label string) (sum float32, n int) {
	var buf [3*maxLabel + 3]uint16
	at := runs(buf[:0], label)
	total := 0
	for _, s := range at {
		total += int(l.weight[s])
	}
	return float32(total) * l.scale, len(at)
}

// Descent on the logistic loss.
const (
	epochs   = 5
	stepSize = 0.15
	stepRun  = 8
)

func (l *linear) learn(rows []row) {
	w := make([]float32, slots)
	bias := float32(0)
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(rows))
	for e := range epochs {
		step := float32(stepSize) / float32(1+e)
		for _, i := range order {
			r := &rows[i]
			if len(r.at) == 0 {
				continue
			}
			k, n := float32(math.Sqrt(float64(len(r.at)))), float32(0)
			for _, s := range r.at {
				n += w[s]
			}
			g := (r.y - sigmoid(bias+n/k)) * r.weight * step
			bias += g
			for _, s := range r.at {
				w[s] += g * stepRun / k
			}
		}
	}
	size := make([]float32, len(w))
	for i, v := range w {
		size[i] = max(v, -v)
	}
	slices.Sort(size)
	l.scale = max(1e-6, size[len(size)*999/1000]) / 127
	for i, v := range w {
		l.weight[i] = int8(max(-127, min(127, math.Round(float64(v/l.scale)))))
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
