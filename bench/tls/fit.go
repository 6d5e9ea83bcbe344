package main

import (
	"bytes"
	"fmt"
	"go/format"
	"math"
	"math/rand/v2"
	"os"
	"sort"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shape"
)

// A sample is one moment of one session.
type sample struct {
	f      [shape.Features]float32
	mining bool
	weight float64
}

// variants of each session have their messages lengthened, so that the model learns the shape and not the sizes of a pool.
const variants = 6

func samples(ss []session) []sample {
	r := rand.New(rand.NewPCG(1, 2))
	var out []sample
	for _, s := range ss {
		for v := range variants {
			msgs := append([]minewarden.Message(nil), s.msgs...)
			if v > 0 {
				up, down := uint32(r.IntN(60)), uint32(r.IntN(40))
				grow := 1 + r.Float64()*0.5
				for i := range msgs {
					switch {
					case msgs[i].FromClient:
						msgs[i].Size += up
					case msgs[i].Size > 150:
						msgs[i].Size = uint32(float64(msgs[i].Size)*grow) + down
					default:
						msgs[i].Size += down
					}
				}
			}
			for _, at := range moments {
				if f, ok := shape.Extract(until(msgs, at)); ok && (s.mining || near(f)) {
					out = append(out, sample{f, s.mining, 1})
				}
			}
		}
	}
	n := 0.0
	for _, s := range out {
		if s.mining {
			n++
		}
	}
	for i := range out {
		if out[i].mining {
			out[i].weight = min(4, (float64(len(out))-n)/n) // both classes weigh alike
		}
	}
	return out
}

// near says whether an honest session is worth learning from: those with the shortest answers as well, though the bounds pass
// them over, for there are many and they teach what the others are like.
func near(f [shape.Features]float32) bool {
	f[shape.ReplySize] = max(f[shape.ReplySize], 6)
	return shape.Plausible(&f)
}

// Training: gradient boosting of small trees on the logistic loss.
const (
	rounds   = 200
	depth    = 3
	rate     = 0.15
	lambda   = 4.0 // weighs against leaves with few samples
	minLeaf  = 20.0
	quantile = 24 // thresholds tried for a feature
)

func fit(data []sample) ([][]shape.Split, float64) {
	score := make([]float64, len(data))
	grad, hess := make([]float64, len(data)), make([]float64, len(data))
	cuts := thresholds(data)
	bins := binned(data, &cuts)
	var trees [][]shape.Split
	for range rounds {
		for i, s := range data {
			p := 1 / (1 + math.Exp(-score[i]))
			y := 0.0
			if s.mining {
				y = 1
			}
			grad[i], hess[i] = s.weight*(y-p), s.weight*p*(1-p)
		}
		index := make([]int, len(data))
		for i := range index {
			index[i] = i
		}
		g := grower{grad: grad, hess: hess, cuts: &cuts, bins: bins}
		g.grow(index, depth)
		for i := range data {
			score[i] += math.Log(1 / (1/shape.Probability([][]shape.Split{g.tree}, 0, &data[i].f) - 1))
		}
		trees = append(trees, g.tree)
	}
	return trees, 0
}

func thresholds(data []sample) [shape.Features][]float32 {
	var cuts [shape.Features][]float32
	for f := range shape.Features {
		if f == shape.ReplyDelay {
			continue // it tells the laboratory's pool, whose delays are drawn, from real servers over loopback, and not miners from others
		}
		v := make([]float32, len(data))
		for i := range data {
			v[i] = data[i].f[f]
		}
		sort.Slice(v, func(i, j int) bool { return v[i] < v[j] })
		for q := 1; q < quantile; q++ {
			c := v[q*len(v)/quantile]
			if n := len(cuts[f]); n == 0 || cuts[f][n-1] != c {
				cuts[f] = append(cuts[f], c)
			}
		}
	}
	return cuts
}

// binned returns for each sample and feature how many thresholds are at or below its value.
func binned(data []sample, cuts *[shape.Features][]float32) [][shape.Features]uint8 {
	bins := make([][shape.Features]uint8, len(data))
	for i := range data {
		for f, c := range cuts {
			bins[i][f] = uint8(sort.Search(len(c), func(k int) bool { return data[i].f[f] < c[k] }))
		}
	}
	return bins
}

// A grower makes one tree.
type grower struct {
	grad, hess []float64
	cuts       *[shape.Features][]float32
	bins       [][shape.Features]uint8
	tree       []shape.Split
}

func (w *grower) grow(index []int, left int) uint8 {
	at := len(w.tree)
	w.tree = append(w.tree, shape.Split{})
	g, h := 0.0, 0.0
	for _, i := range index {
		g += w.grad[i]
		h += w.hess[i]
	}
	leaf := shape.Split{Feature: -1, Value: float32(rate * g / (h + lambda))}
	bestGain, bestF, bestCut := 1e-3, -1, 0
	if left > 0 {
		var sums [shape.Features][quantile]struct{ g, h, n float64 }
		for _, i := range index {
			for f, bin := range w.bins[i] {
				s := &sums[f][bin]
				s.g += w.grad[i]
				s.h += w.hess[i]
				s.n++
			}
		}
		for f := range shape.Features {
			gl, hl, n := 0.0, 0.0, 0.0
			for c := range w.cuts[f] {
				s := &sums[f][c]
				gl, hl, n = gl+s.g, hl+s.h, n+s.n
				if n < minLeaf || float64(len(index))-n < minLeaf {
					continue
				}
				gain := gl*gl/(hl+lambda) + (g-gl)*(g-gl)/(h-hl+lambda) - g*g/(h+lambda)
				if gain > bestGain {
					bestGain, bestF, bestCut = gain, f, c
				}
			}
		}
	}
	if bestF < 0 {
		w.tree[at] = leaf
		return uint8(at)
	}
	var a, b []int
	for _, i := range index {
		if int(w.bins[i][bestF]) <= bestCut {
			a = append(a, i)
		} else {
			b = append(b, i)
		}
	}
	l := w.grow(a, left-1)
	r := w.grow(b, left-1)
	w.tree[at] = shape.Split{Feature: int8(bestF), Left: l, Right: r, Value: w.cuts[bestF][bestCut]}
	return uint8(at)
}

func save(path string, trees [][]shape.Split, bias float64) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by \"go run ./bench/tls\"; DO NOT EDIT.\n\npackage shape\n\n// Bias and Trees are the model.\nconst Bias = %g\n\n// Trees add up to the logarithm of the odds.\nvar Trees = [][]Split{\n", bias)
	for _, t := range trees {
		b.WriteString("{")
		for _, s := range t {
			fmt.Fprintf(&b, "{%d,%d,%d,%.5g},", s.Feature, s.Left, s.Right, s.Value)
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(path, src, 0o644)
}
