// Command pcap holds the network detectors to labelled captures and prints what was found, missed and falsely told.
//
//	go run ./bench/pcap [-v] ../shared/data
//
// The folder holds labels_pcap.csv (file, label, detail) and pcap/lab/labels.csv (file, client, server, label, detail).
package main

import (
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors/capture"
)

// network are the detectors that are held to account here, and the prefixes of rules that must be silent on benign captures.
var (
	network = map[string]bool{"stratum": true, "tls": true, "dns": true, "flow": true, "intel": true}
	silent  = []string{"stratum/", "tls/", "flow/", "dns/pool"}
)

func main() {
	verbose := flag.Bool("v", false, "print every finding of medium or more")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: pcap DATA")
	}
	if err := run(flag.Arg(0), *verbose); err != nil {
		log.Fatal(err)
	}
}

// A result is what one capture led to.
type result struct {
	findings []minewarden.Finding // medium and more
	rules    map[string]minewarden.Rule
	all      map[string]int
	err      error
	took     time.Duration
}

func replay(path string, set *indicators.Set) result {
	r := result{rules: map[string]minewarden.Rule{}, all: map[string]int{}}
	var dets []minewarden.Detector
	for _, n := range detectors.All() {
		if !network[n.Name] {
			continue
		}
		d, err := n.New(minewarden.Env{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			r.err = err
			return r
		}
		for _, rule := range d.Rules() {
			r.rules[rule.ID] = rule
		}
		dets = append(dets, d)
	}
	p := pipeline.New(pipeline.Options{Detectors: dets, Match: set.Match, Finding: func(f minewarden.Finding) {
		r.all[f.Rule]++
		if r.rules[f.Rule].Severity >= minewarden.Medium {
			r.findings = append(r.findings, f)
		}
	}})
	start := time.Now()
	r.err = capture.Read(context.Background(), path, func(error) {}, func(ev minewarden.Event) { p.Observe(ev) })
	p.Flush()
	r.took = time.Since(start)
	return r
}

func rows(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all[1:], nil
}

func run(data string, verbose bool) error {
	set, err := indicators.Load("")
	if err != nil {
		return err
	}
	files, err := rows(filepath.Join(data, "labels_pcap.csv"))
	if err != nil {
		return err
	}
	type count struct{ files, hit, unread int }
	counts := map[string]*count{}
	rules := map[string]int{}
	var lines []string
	var took time.Duration
	for _, row := range files {
		res := replay(filepath.Join(data, row[0]), set)
		took += res.took
		c := counts[row[1]]
		if c == nil {
			c = &count{}
			counts[row[1]] = c
		}
		c.files++
		if res.err != nil {
			c.unread++
		}
		mining := strings.HasPrefix(row[1], "mining")
		hit := false
		dialects := map[string]int{}
		for _, f := range res.findings {
			counted := mining
			for _, p := range silent {
				counted = counted || strings.HasPrefix(f.Rule, p)
			}
			hit = hit || counted
			for _, e := range f.Evidence {
				if e.Key == "dialect" {
					dialects[e.Value]++
				}
			}
			if verbose || counted && !mining {
				lines = append(lines, fmt.Sprintf("  %s %s %s %v", row[0], f.Rule, f.Subject.ID, f.Evidence))
			}
		}
		for rule, n := range res.all {
			if !mining {
				rules[rule] += n
			}
		}
		if hit {
			c.hit++
		}
		if mining {
			lines = append(lines, fmt.Sprintf("  %s: found %v, dialects %v (%s)", row[0], hit, dialects, row[2]))
		}
	}
	fmt.Println("| label | captures | with a finding of medium or more | not read to the end |\n|---|---|---|---|")
	for _, label := range sorted(counts) {
		c := counts[label]
		fmt.Printf("| %s | %d | %d | %d |\n", label, c.files, c.hit, c.unread)
	}
	for _, l := range lines {
		fmt.Println(l)
	}
	fmt.Println("findings of any severity on captures without mining:", rules, "in", took.Round(time.Millisecond))
	return lab(data, set, verbose)
}

func sorted[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// lab holds the captures whose flows are labelled one by one to account.
func lab(data string, set *indicators.Set, verbose bool) error {
	flows, err := rows(filepath.Join(data, "pcap/lab/labels.csv"))
	if err != nil {
		return err
	}
	byFile := map[string]result{}
	type count struct {
		flows, hit int
	}
	counts := map[string]*count{}
	for _, row := range flows {
		res, ok := byFile[row[0]]
		if !ok {
			res = replay(filepath.Join(data, "pcap/lab", row[0]), set)
			byFile[row[0]] = res
		}
		c := counts[row[3]]
		if c == nil {
			c = &count{}
			counts[row[3]] = c
		}
		c.flows++
		said := ""
		for _, f := range res.findings {
			if f.Subject.Client == row[1] && f.Subject.Server == row[2] {
				if said == "" {
					c.hit++
				}
				said += " " + f.Rule
				if verbose {
					said += fmt.Sprint(f.Evidence)
				}
			}
		}
		if said == "" && row[3] != "honest_tls" || said != "" && row[3] == "honest_tls" || verbose {
			fmt.Printf("  %s %s > %s %s (%s):%s\n", row[0], row[1], row[2], row[3], row[4], said)
		}
	}
	fmt.Println("| flows of the laboratory | number | with a finding of medium or more |\n|---|---|---|")
	for _, label := range sorted(counts) {
		fmt.Printf("| %s | %d | %d |\n", label, counts[label].flows, counts[label].hit)
	}
	for _, name := range sorted(byFile) {
		fmt.Println(name, "all findings:", byFile[name].all)
	}
	return nil
}
