// Command dga trains and measures the model of generated names.
//
//	go run ./bench/dga [-write internal/dga/model.bin] ../shared/data/dns/domains_dga_benign.csv
//
// It is measured with each family left out in turn: a model that has seen no name of a family judges it, and a part of the chosen
// names that it has not seen either.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden/internal/dga"
)

type name struct {
	dga.Name
	list string // of a chosen name
	part int    // of chosen names: which model judges it
	worm bool   // called chosen by its list, but made by Conficker
}

func main() {
	write := flag.String("write", "", "file for the model")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: dga [-write FILE] NAMES.csv")
	}
	if err := run(flag.Arg(0), *write); err != nil {
		log.Fatal(err)
	}
}

func load(path string) (all []name, families []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	sizes := map[string]int{}
	for _, r := range rows[1:] {
		if r[1] != "dga" {
			continue
		}
		if sizes[r[2]]++; sizes[r[2]] == 1 {
			families = append(families, r[2])
		}
	}
	slices.Sort(families)
	seen := map[string]bool{}
	for _, r := range rows[1:] {
		if seen[r[0]] {
			continue
		}
		seen[r[0]] = true
		n := name{Name: dga.Name{Name: r[0], Generated: r[1] == "dga", Weight: 1}, part: -1}
		if n.Generated {
			n.Family, n.Weight = r[2], min(1, 600/float32(sizes[r[2]])) // large families do not drown the small
		} else {
			h := fnv.New32a()
			_, _ = h.Write([]byte(r[0]))
			n.list, n.part = r[2], int(h.Sum32())%len(families)
		}
		all = append(all, n)
	}
	markWorm(all)
	return all, families, nil
}

// A day on which this share of the worm's names stand in one list is one on which the list was made from what the worm asked for.
const wormShare = 0.5

// markWorm finds the chosen names that Conficker made, and says on what days.
func markWorm(all []name) {
	chosen := map[string]int{}
	for i, n := range all {
		if !n.Generated {
			chosen[n.Name.Name] = i
		}
	}
	first, last := time.Date(2008, 11, 21, 0, 0, 0, 0, time.UTC), time.Date(2020, 12, 31, 0, 0, 0, 0, time.UTC)
	days, elsewhere, made := 0, 0, 0
	for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
		var in []int
		names := wormNames(day)
		made += len(names)
		for _, w := range names {
			if i, ok := chosen[w]; ok {
				in = append(in, i)
			}
		}
		if float64(len(in)) < wormShare*float64(len(names)) {
			elsewhere += len(in)
			days++
			continue
		}
		for _, i := range in {
			all[i].worm = true
		}
		fmt.Printf("Conficker B on %s: %d of its %d names stand in %s\n", day.Format(time.DateOnly), len(in), len(names), all[in[0]].list)
	}
	fmt.Printf("on the other %d days from %s to %s: %d of %d names stand in any list\n\n", days, first.Format(time.DateOnly), last.Format(time.DateOnly), elsewhere, made)
}

// A judged is what models that have not seen a name say of it.
type judged struct {
	scores []float32
	models []*dga.Model
	by     []int // model of each name
}

func judge(all []name, families []string) judged {
	j := judged{make([]float32, len(all)), make([]*dga.Model, len(families)), make([]int, len(all))}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for k, f := range families {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			mine := func(n name) bool { return n.Family == f || n.part == k && !n.worm || n.worm && f == "conficker" }
			m := train(all, func(n name) bool { return !mine(n) })
			for i, n := range all {
				if mine(n) {
					j.scores[i], j.by[i] = m.Score(n.Name.Name), k
				}
			}
			j.models[k] = m
		})
	}
	wg.Wait()
	return j
}

func train(all []name, keep func(name) bool) *dga.Model {
	var names []dga.Name
	for _, n := range all {
		if keep(n) && !n.worm {
			names = append(names, n.Name)
		}
	}
	return dga.Train(names, 1)
}

func run(path, write string) error {
	all, families, err := load(path)
	if err != nil {
		return err
	}
	if write != "" {
		return os.WriteFile(write, train(all, func(name) bool { return true }).Marshal(), 0o644)
	}
	j := judge(all, families)
	singles(all, families, j)
	bursts(all, families, j)
	return nil
}

// A tally counts what is told of generated and of chosen names.
type tally struct{ caught, generated, falses, chosen int }

func (t *tally) add(n name, told bool) {
	switch {
	case n.Generated:
		t.generated++
		if told {
			t.caught++
		}
	default:
		t.chosen++
		if told {
			t.falses++
		}
	}
}

func share(n, of int) float64 { return float64(n) / float64(max(1, of)) }

func f1(precision, recall float64) float64 {
	return 2 * precision * recall / max(1e-9, precision+recall)
}

func (t *tally) String() string {
	recall := share(t.caught, t.generated)
	return fmt.Sprintf("recall %.4f, F1 %.4f, false %d of %d (%.2f %%)", recall, f1(share(t.caught, t.caught+t.falses), recall), t.falses, t.chosen, 100*share(t.falses, t.chosen))
}

func high(n name) bool {
	label, _, _ := dga.Split(n.Name.Name)
	return dga.Entropy(label) > 3.8
}

func singles(all []name, families []string, j judged) {
	told := func(i int) bool { return j.scores[i] >= j.models[j.by[i]].Cut }
	var model, entropy, listed, rule, worm tally
	family, list := map[string]*tally{}, map[string]*tally{}
	var lists, examples []string
	for _, f := range families {
		family[f] = &tally{}
	}
	var chosen []float32
	for i, n := range all {
		listed.add(n, told(i))
		rule.add(n, high(n))
		if n.worm {
			worm.add(name{Name: dga.Name{Generated: true}}, told(i))
			continue
		}
		model.add(n, told(i))
		entropy.add(n, high(n))
		if n.Generated {
			family[n.Family].add(n, told(i))
			family[n.Family].add(name{}, high(n))
			continue
		}
		if list[n.list] == nil {
			list[n.list] = &tally{}
			lists = append(lists, n.list)
		}
		list[n.list].add(n, told(i))
		if told(i) {
			examples = append(examples, n.Name.Name)
		}
		chosen = append(chosen, j.scores[i]-j.models[j.by[i]].Cut)
	}
	fmt.Println("| family left out | names | model | entropy > 3.8 |\n|---|---|---|---|")
	for _, f := range families {
		t := family[f]
		fmt.Printf("| %s | %d | %.3f | %.3f |\n", f, t.generated, share(t.caught, t.generated), share(t.falses, t.chosen))
	}
	fmt.Println("\nsingle names, Conficker's left out of the list:")
	fmt.Println("  model:", &model)
	fmt.Println("  entropy > 3.8:", &entropy)
	for _, l := range lists {
		fmt.Printf("  false of %s: %d of %d (%.2f %%)\n", l, list[l].falses, list[l].chosen, 100*share(list[l].falses, list[l].chosen))
	}
	slices.Sort(chosen)
	bar := chosen[len(chosen)-1-len(chosen)*3/1000]
	var at tally
	for i, n := range all {
		if !n.worm {
			at.add(n, j.scores[i]-j.models[j.by[i]].Cut > bar)
		}
	}
	fmt.Printf("  model with every cut moved by %+.2f: %v\n", bar, &at)
	fmt.Println("single names, as the lists have them:")
	fmt.Println("  model:", &listed)
	fmt.Println("  entropy > 3.8:", &rule)
	fmt.Printf("  of Conficker's %d in the list, told: %d (%.3f)\n", worm.generated, worm.caught, share(worm.caught, worm.generated))
	slices.Sort(examples)
	fmt.Println("chosen names that are told:", strings.Join(examples, " "))
}
