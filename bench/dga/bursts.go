package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/minewarden/minewarden/internal/dga"
)

// How many clients are drawn of each family, and of each model's part of the chosen names; and how many names that do not exist an
// honest client asks for.
const (
	drawn  = 2000
	honest = 100
)

// bursts judges names together, as a client asks for them: of one family, and of the lists.
func bursts(all []name, families []string, j judged) {
	generated, chosen := map[string][]float32{}, make([][]float32, len(families))
	for i, n := range all {
		switch {
		case n.worm:
		case n.Generated:
			generated[n.Family] = append(generated[n.Family], j.scores[i])
		default:
			chosen[n.part] = append(chosen[n.part], j.scores[i])
		}
	}
	random := rand.New(rand.NewPCG(3, 3))
	draw := func(from []float32, n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = from[random.IntN(len(from))]
		}
		return out
	}
	mean := func(scores []float32) float32 {
		sum := float32(0)
		for _, s := range scores {
			sum += s / float32(len(scores))
		}
		return sum
	}
	fmt.Println("\n| family left out | 3 names | 5 names | 10 names | told within 10 |\n|---|---|---|---|---|")
	recall, names, weight := [len(dga.Bursts) + 1]float64{}, [len(dga.Bursts) + 1]float64{}, 0.0
	falses := [len(dga.Bursts)]int{}
	over := [len(dga.Bursts)][2][]float32{} // the cut: chosen names, generated ones
	told, toldFew := 0, 0
	for k, f := range families {
		m := j.models[k]
		hits := [len(dga.Bursts) + 1]int{}
		for range drawn {
			for b, size := range dga.Bursts {
				made, picked := mean(draw(generated[f], size))-m.BurstCuts[b], mean(draw(chosen[k], size))-m.BurstCuts[b]
				over[b][0], over[b][1] = append(over[b][0], picked), append(over[b][1], made)
				if made >= 0 {
					hits[b]++
				}
				if picked >= 0 {
					falses[b]++
				}
			}
			if stream(m, draw(generated[f], dga.MaxBurst)) {
				hits[len(dga.Bursts)]++
			}
			if stream(m, draw(chosen[k], honest)) {
				told++
			}
			if stream(m, draw(chosen[k], dga.MaxBurst)) {
				toldFew++
			}
		}
		fmt.Printf("| %s |", f)
		for b, h := range hits {
			fmt.Printf(" %.3f |", share(h, drawn))
			recall[b] += share(h, drawn) / float64(len(families))
			names[b] += share(h, drawn) * float64(len(generated[f]))
		}
		fmt.Println()
		weight += float64(len(generated[f]))
	}
	fmt.Println("\nbursts by one client, families left out:")
	for b, size := range dga.Bursts {
		rate := share(falses[b], drawn*len(families))
		fmt.Printf("  %2d names: recall %.4f, F1 %.4f; families by their size %.4f, F1 %.4f; false %d of %d (%.3f %%)\n", size,
			recall[b], f1(recall[b]/(recall[b]+rate), recall[b]), names[b]/weight, f1(names[b]/(names[b]+rate*weight), names[b]/weight), falses[b], drawn*len(families), 100*rate)
	}
	for b, size := range dga.Bursts {
		slices.Sort(over[b][0])
		bar := over[b][0][len(over[b][0])-1-len(over[b][0])*3/1000]
		caught := 0
		for _, v := range over[b][1] {
			if v > bar {
				caught++
			}
		}
		r := share(caught, len(over[b][1]))
		fmt.Printf("  %2d names with every cut moved to 0.30 %% false: recall %.4f, F1 %.4f\n", size, r, f1(r/(r+0.003), r))
	}
	last := len(dga.Bursts)
	fmt.Printf("clients judged after every name, as the detector does: of infected ones told within %d names %.4f (families by their size %.4f)\n", dga.MaxBurst, recall[last], names[last]/weight)
	fmt.Printf("  of honest ones that ask for %d names told: %d of %d (%.2f %%)\n", honest, told, drawn*len(families), 100*share(told, drawn*len(families)))
	fmt.Printf("  of honest ones that ask for %d: %d (%.2f %%)\n", dga.MaxBurst, toldFew, 100*share(toldFew, drawn*len(families)))
}

// stream says whether a client that asks for names one after another is told of.
func stream(m *dga.Model, scores []float32) bool {
	newest := make([]float32, 0, dga.MaxBurst)
	for i := range scores {
		newest = newest[:0]
		for k := i; k >= 0 && len(newest) < dga.MaxBurst; k-- {
			newest = append(newest, scores[k])
		}
		if _, ok := m.Judge(newest); ok {
			return true
		}
	}
	return false
}
