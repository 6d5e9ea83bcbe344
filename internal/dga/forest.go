package dga

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

// A node sends counts that are at most cut to its left child, others to its right. A leaf has its value in cut.
type node struct {
	cut   float32
	count uint8 // leaf for a leaf
	left  uint8 // after the node in its tree; the right child follows
}

const leaf = 255

// A forest adds up what its trees say.
type forest struct {
	bias  float32
	trees [][]node
}

func (f *forest) sum(d *counts) float32 {
	s := f.bias
	for _, t := range f.trees {
		n := &t[0]
		for n.count != leaf {
			// Without a branch on the count: which way a name goes cannot be foretold.
			right := uint8(0)
			if d[n.count] > n.cut {
				right = 1
			}
			n = &t[n.left+right]
		}
		s += n.cut
	}
	return s
}

func (f *forest) marshal(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f.bias))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(f.trees)))
	for _, t := range f.trees {
		b = append(b, byte(len(t)))
		for _, n := range t {
			b = append(binary.LittleEndian.AppendUint32(b, math.Float32bits(n.cut)), n.count)
			if n.count != leaf {
				b = append(b, n.left)
			}
		}
	}
	return b
}

var errShort = errors.New("the table ends early")

func (f *forest) unmarshal(b []byte) error {
	if len(b) < 6 {
		return errShort
	}
	f.bias = math.Float32frombits(binary.LittleEndian.Uint32(b))
	n := int(binary.LittleEndian.Uint16(b[4:]))
	b = b[6:]
	for range n {
		if len(b) == 0 {
			return errShort
		}
		t := make([]node, b[0])
		b = b[1:]
		if len(t) == 0 {
			return errors.New("a tree without nodes")
		}
		for i := range t {
			if len(b) < 5 {
				return errShort
			}
			t[i] = node{cut: math.Float32frombits(binary.LittleEndian.Uint32(b)), count: b[4]}
			b = b[5:]
			if t[i].count == leaf {
				continue
			}
			if len(b) < 1 {
				return errShort
			}
			t[i].left = b[0]
			b = b[1:]
			// Children come after their parent, so that every walk ends.
			if t[i].count >= nCounts || int(t[i].left) <= i || int(t[i].left)+1 >= len(t) {
				return errors.New("a node leads out of its tree")
			}
		}
		f.trees = append(f.trees, t)
	}
	if len(b) != 0 {
		return errors.New("bytes after the last tree")
	}
	return nil
}

// Growth of the forest: gradient boosting with the second derivative of the logistic loss.
const (
	bins      = 64
	trees     = 120
	leaves    = 16
	rate      = 0.1
	ridge     = 5.0
	minWeight = 5.0 // of the second derivative in a leaf
	rowShare  = 0.7
	seenShare = 0.5 // of the counts that a tree may look at
)

// A grower holds the rows while trees grow.
type grower struct {
	cuts         [nCounts][]float32
	bin          [nCounts][]uint8
	slope, curve []float64
}

// A bud is a leaf that may be split: by which count, and below which bin.
type bud struct {
	node         int
	rows         []int32
	slope, curve float64
	gain         float64
	count, bin   int
}

func grow(x []counts, y, weight []float32, seed uint64) forest {
	g := &grower{slope: make([]float64, len(x)), curve: make([]float64, len(x))}
	for c := range nCounts {
		g.divide(c, x)
	}
	all, ones := 0.0, 0.0
	for i := range y {
		all += float64(weight[i])
		ones += float64(weight[i] * y[i])
	}
	f := forest{bias: float32(math.Log(ones / (all - ones)))}
	sum := make([]float32, len(x))
	for i := range sum {
		sum[i] = f.bias
	}
	r := rand.New(rand.NewPCG(seed, 7))
	for range trees {
		var rows []int32
		for i := range x {
			p := float64(sigmoid(sum[i]))
			g.slope[i], g.curve[i] = float64(weight[i])*(p-float64(y[i])), float64(weight[i])*max(1e-6, p*(1-p))
			if r.Float64() < rowShare {
				rows = append(rows, int32(i))
			}
		}
		one := forest{trees: [][]node{g.tree(rows, r.Perm(nCounts)[:nCounts*seenShare])}}
		for i := range sum {
			sum[i] += one.sum(&x[i])
		}
		f.trees = append(f.trees, one.trees[0])
	}
	return f
}

// divide puts a count into bins that hold about as many rows each.
func (g *grower) divide(c int, x []counts) {
	sorted := make([]float32, len(x))
	for i := range x {
		sorted[i] = x[i][c]
	}
	slices.Sort(sorted)
	last := sorted[len(sorted)-1]
	var cuts []float32
	for k := 1; k < bins; k++ {
		v := sorted[k*(len(sorted)-1)/bins]
		if v < last && (len(cuts) == 0 || v > cuts[len(cuts)-1]) {
			cuts = append(cuts, v)
		}
	}
	g.cuts[c], g.bin[c] = cuts, make([]uint8, len(x))
	for i := range x {
		k, _ := slices.BinarySearch(cuts, x[i][c])
		g.bin[c][i] = uint8(k)
	}
}

func (g *grower) bud(at int, rows []int32, look []int) (*bud, node) {
	b := &bud{node: at, rows: rows}
	for _, i := range rows {
		b.slope += g.slope[i]
		b.curve += g.curve[i]
	}
	whole := b.slope * b.slope / (b.curve + ridge)
	for _, c := range look {
		var slope, curve [bins]float64
		of := g.bin[c]
		for _, i := range rows {
			slope[of[i]] += g.slope[i]
			curve[of[i]] += g.curve[i]
		}
		s, h := 0.0, 0.0
		for k := range g.cuts[c] {
			s += slope[k]
			h += curve[k]
			if h < minWeight || b.curve-h < minWeight {
				continue
			}
			if gain := s*s/(h+ridge) + (b.slope-s)*(b.slope-s)/(b.curve-h+ridge) - whole; gain > b.gain {
				b.gain, b.count, b.bin = gain, c, k
			}
		}
	}
	return b, node{cut: float32(-b.slope / (b.curve + ridge) * rate), count: leaf}
}

func (g *grower) tree(rows []int32, look []int) []node {
	first, root := g.bud(0, rows, look)
	buds, t := []*bud{first}, []node{root}
	for len(buds) < leaves {
		best := 0
		for i := range buds {
			if buds[i].gain > buds[best].gain {
				best = i
			}
		}
		b := buds[best]
		if b.gain < 1e-3 {
			break
		}
		var low, high []int32
		for _, i := range b.rows {
			if int(g.bin[b.count][i]) <= b.bin {
				low = append(low, i)
			} else {
				high = append(high, i)
			}
		}
		left, l := g.bud(len(t), low, look)
		right, h := g.bud(len(t)+1, high, look)
		t[b.node] = node{cut: g.cuts[b.count][b.bin], count: uint8(b.count), left: uint8(len(t))}
		t = append(t, l, h)
		buds[best] = left
		buds = append(buds, right)
	}
	return t
}
