// Command dga trains and measures the model of generated names.
//
//	go run ./bench/dga [-write internal/dga/model.bin] ../shared/data/dns/domains_dga_benign.csv
//
// It is measured with each family left out in turn: a model that has seen no name of a family judges it. Chosen names are judged
// by a model that has not seen them, in five parts.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"sync"

	"github.com/minewarden/minewarden/internal/dga"
)

type name struct {
	dga.Name
	family string
	part   int // of chosen names, 0 to 4
}

func main() {
	write := flag.String("write", "", "file for the model")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: dga NAMES.csv")
	}
	if err := run(flag.Arg(0), *write); err != nil {
		log.Fatal(err)
	}
}

func load(path string) ([]name, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []name
	seen := map[string]bool{}
	sizes := map[string]int{}
	for _, r := range rows[1:] {
		if r[1] == "dga" {
			sizes[r[2]]++
		}
	}
	for _, r := range rows[1:] {
		if seen[r[0]] {
			continue
		}
		seen[r[0]] = true
		h := fnv.New32a()
		_, _ = h.Write([]byte(r[0]))
		n := name{Name: dga.Name{Name: r[0], Generated: r[1] == "dga", Weight: 1}, family: r[2], part: int(h.Sum32() % 5)}
		if n.Generated {
			n.Weight = min(1, 600/float32(sizes[r[2]])) // large families do not drown the small
			n.part = -1
		}
		all = append(all, n)
	}
	return all, nil
}

func train(all []name, keep func(name) bool) *dga.Model {
	var names []dga.Name
	for _, n := range all {
		if keep(n) {
			names = append(names, n.Name)
		}
	}
	return dga.Train(names, 1)
}

func run(path, write string) error {
	all, err := load(path)
	if err != nil {
		return err
	}
	families := map[string][2]int{} // caught, all
	entropy := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	falses, chosen, falseEntropy := 0, 0, 0
	var above [2][]float64 // the cut: chosen names, generated ones
	worm := 0
	scores, cuts := map[string][]float64{}, map[string]float64{}
	lists, told := map[string][2]int{}, []string{}
	each := func(keep func(name) bool, judge func(name) bool) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			m := train(all, keep)
			mu.Lock()
			defer mu.Unlock()
			for _, n := range all {
				if !judge(n) {
					continue
				}
				group := n.family
				if !n.Generated {
					group = fmt.Sprint("list ", n.part)
				}
				scores[group] = append(scores[group], float64(m.Score(n.Name.Name)))
				cuts[group] = float64(m.BurstCut)
				label, _, _ := dga.Split(n.Name.Name)
				high := dga.Entropy(label) > 3.8
				hit := m.Generated(n.Name.Name)
				class := 0
				if n.Generated {
					class = 1
				}
				above[class] = append(above[class], float64(m.Score(n.Name.Name)-m.Cut))
				if n.Generated {
					c := families[n.family]
					c[1]++
					if hit {
						c[0]++
					}
					families[n.family] = c
					if high {
						entropy[n.family]++
					}
					continue
				}
				chosen++
				c := lists[n.family]
				c[1]++
				if hit {
					falses++
					c[0]++
					told = append(told, n.Name.Name)
					if wormLike(n.Name.Name) {
						worm++
					}
				}
				lists[n.family] = c
				if high {
					falseEntropy++
				}
			}
		}()
	}
	seen := map[string]bool{}
	for _, n := range all {
		if n.Generated && !seen[n.family] {
			seen[n.family] = true
			f := n.family
			each(func(n name) bool { return n.family != f }, func(n name) bool { return n.family == f })
		}
	}
	for p := range 5 {
		each(func(n name) bool { return n.part != p }, func(n name) bool { return n.part == p })
	}
	wg.Wait()
	var names []string
	for f := range families {
		names = append(names, f)
	}
	sort.Strings(names)
	caught, total, caughtEntropy := 0, 0, 0
	fmt.Println("| family left out | names | model | entropy > 3.8 |\n|---|---|---|---|")
	for _, f := range names {
		c := families[f]
		fmt.Printf("| %s | %d | %.3f | %.3f |\n", f, c[1], float64(c[0])/float64(c[1]), float64(entropy[f])/float64(c[1]))
		caught += c[0]
		total += c[1]
		caughtEntropy += entropy[f]
	}
	tell := func(what string, caught, falses int) {
		precision, recall := float64(caught)/float64(max(1, caught+falses)), float64(caught)/float64(total)
		fmt.Printf("%s: recall %.4f, F1 %.4f, false %d of %d (%.2f %%)\n", what, recall, 2*precision*recall/max(1e-9, precision+recall), falses, chosen, 100*float64(falses)/float64(chosen))
	}
	tell("model", caught, falses)
	tell("entropy > 3.8", caughtEntropy, falseEntropy)
	fmt.Printf("  of the false, %d have the form of Conficker's names; without them false %d of %d (%.2f %%)\n", worm, falses-worm, chosen-worm, 100*float64(falses-worm)/float64(chosen-worm))
	sort.Float64s(above[0])
	bar := above[0][len(above[0])-1-len(above[0])*3/1000]
	caught, falses = 0, 0
	for class, scores := range above {
		for _, s := range scores {
			if s > bar {
				caught += class
				falses += 1 - class
			}
		}
	}
	tell(fmt.Sprintf("model with every cut raised by %.2f", bar), caught, falses)
	for l, c := range lists {
		fmt.Printf("  false of %s: %d of %d (%.2f %%)\n", l, c[0], c[1], 100*float64(c[0])/float64(c[1]))
	}
	bursts(scores, cuts)
	sort.Strings(told)
	fmt.Println("names of lists that are called generated:", told)
	if write == "" {
		return nil
	}
	m := train(all, func(name) bool { return true })
	return os.WriteFile(write, m.Marshal(), 0o644)
}

// wormLike says that a name has the form that the first two kinds of Conficker gave theirs: five to eleven letters under
// one of eight endings.
func wormLike(name string) bool {
	label, suffix, ok := strings.Cut(name, ".")
	switch suffix {
	case "ws", "cc", "cn", "biz", "info", "org", "net", "com":
	default:
		return false
	}
	return ok && len(label) >= 5 && len(label) <= 11 && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz") == ""
}

// drawn is how many bursts are drawn of each family, and of each part of the chosen names.
const drawn = 1000

// bursts judges names by tens, as a client asks for them: of one family, and of the lists.
func bursts(scores map[string][]float64, cuts map[string]float64) {
	r := rand.New(rand.NewPCG(3, 3))
	var groups []string
	for g := range scores {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	caught, falses, families, lists := 0, 0, 0, 0
	for _, g := range groups {
		hit := 0
		for range drawn {
			mean := 0.0
			for range dga.Burst {
				mean += scores[g][r.IntN(len(scores[g]))] / dga.Burst
			}
			if mean >= cuts[g] {
				hit++
			}
		}
		if strings.HasPrefix(g, "list ") {
			falses += hit
			lists++
			continue
		}
		caught += hit
		families++
		fmt.Printf("  bursts of %s: %.3f\n", g, float64(hit)/drawn)
	}
	precision, recall := float64(caught)/float64(max(1, caught+falses)), float64(caught)/float64(drawn*families)
	fmt.Printf("bursts of %d names, families left out: recall %.4f, F1 %.4f, false %d of %d (%.2f %%)\n", dga.Burst, recall, 2*precision*recall/max(1e-9, precision+recall), falses, drawn*lists, 100*float64(falses)/float64(drawn*lists))
}
