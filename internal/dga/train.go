package dga

import (
	"math/rand/v2"
	"sort"
)

// A Name is one to learn from.
type Name struct {
	Name      string
	Generated bool
	Weight    float32
}

// Training: stochastic descent on the logistic loss.
const (
	epochs   = 6
	stepSize = 0.15
	decay    = 1e-6
	burstCut = 0.0005 // of bursts of chosen names at which their cut is set
	falseCut = 0.0025 // of chosen names at which the cut is set
)

// Train returns a model of the names. Lists of visited sites hold names that malware of their time asked for: a chosen name that
// a model which has not seen it finds more generated than most generated names is left out, of the weights and of the cut.
func Train(names []Name, seed uint64) *Model {
	var half [2][]Name
	for i, n := range names {
		half[i%2] = append(half[i%2], n)
	}
	judge := [2]*Model{train(half[1], seed), train(half[0], seed)}
	var kept []Name
	var usual [2]float32
	for k := range judge {
		var scores []float64
		for _, n := range half[k] {
			if n.Generated {
				scores = append(scores, float64(judge[k].score(n.Name)))
			}
		}
		sort.Float64s(scores)
		if len(scores) > 0 {
			usual[k] = float32(scores[len(scores)/2])
		}
	}
	for i, n := range names {
		if n.Generated || judge[i%2].score(n.Name) < usual[i%2] {
			kept = append(kept, n)
		}
	}
	return train(kept, seed)
}

// train keeps every fifth chosen name out of the weights to set the cut by, and counts the
// letters of chosen names in two halves, so that no name is judged by a count that it is part of.
func train(names []Name, seed uint64) *Model {
	r := rand.New(rand.NewPCG(seed, 1))
	type row struct {
		at     []uint32
		d      [nDense]float32
		y, w   float32
		cut    bool
		label  string
		labels int
	}
	rows := make([]row, len(names))
	var half [2][]string
	var all []string
	for i, n := range names {
		label, suffix, labels := Split(n.Name)
		rows[i] = row{at: Slots(nil, label, suffix), w: n.Weight, label: label, labels: labels}
		if n.Generated {
			rows[i].y = 1
		} else {
			rows[i].cut = i%5 == 0
			if !rows[i].cut {
				half[i%2] = append(half[i%2], label)
				all = append(all, label)
			}
		}
	}
	lang := [2]*Language{NewLanguage(half[0]), NewLanguage(half[1])}
	for i := range rows {
		Dense(&rows[i].d, rows[i].label, rows[i].labels, lang[1-i%2])
	}
	w := make([]float32, slots)
	var dense [nDense]float32
	bias := float32(0)
	order := r.Perm(len(rows))
	for e := range epochs {
		step := float32(stepSize) / float32(1+e)
		for _, i := range order {
			x := &rows[i]
			if x.cut {
				continue
			}
			k := norm(len(x.at))
			sum := bias
			for j, v := range x.d {
				sum += v * dense[j]
			}
			n := float32(0)
			for _, s := range x.at {
				n += w[s]
			}
			sum += n / k
			g := (x.y - sigmoid(sum)) * x.w * step
			bias += g
			for j, v := range x.d {
				dense[j] += g * v * 0.3
			}
			g *= 8 / k
			for _, s := range x.at {
				w[s] += g - w[s]*decay
			}
		}
	}
	return finish(w, dense, bias, NewLanguage(all), func(yield func(string)) {
		for i := range rows {
			if rows[i].cut {
				yield(names[i].Name)
			}
		}
	})
}
