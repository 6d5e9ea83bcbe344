package dga

import (
	"math"
	"math/rand/v2"
	"sort"
)

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// finish packs the weights into bytes and sets the cut.
func finish(w []float32, dense [nDense]float32, bias float32, lang *Language, kept func(func(string))) *Model {
	m := &Model{Dense: dense, Bias: bias, Lang: *lang}
	top := float32(1e-6)
	abs := make([]float64, len(w))
	for i, v := range w {
		abs[i] = math.Abs(float64(v))
	}
	sort.Float64s(abs)
	top = max(top, float32(abs[len(abs)*999/1000]))
	m.Scale = top / 127
	for i, v := range w {
		m.Weights[i] = int8(max(-127, min(127, math.Round(float64(v/m.Scale)))))
	}
	var scores []float64
	kept(func(name string) { scores = append(scores, float64(m.score(name))) })
	if len(scores) >= Burst {
		r := rand.New(rand.NewPCG(1, 9))
		means := make([]float64, 20000)
		for i := range means {
			for range Burst {
				means[i] += scores[r.IntN(len(scores))] / Burst
			}
		}
		sort.Float64s(means)
		m.BurstCut = float32(means[int(float64(len(means))*(1-burstCut))])
	}
	sort.Float64s(scores)
	if len(scores) > 0 {
		m.Cut = float32(scores[min(len(scores)-1, int(float64(len(scores))*(1-falseCut)))])
	}
	return m
}
