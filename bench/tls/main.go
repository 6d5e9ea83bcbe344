// Command tls trains and measures the model that judges TLS sessions by their shape.
//
//	go run ./bench/tls -train bench/tls/sessions-1.jsonl.gz,../shared/data/pcap/lab/dev1.pcap,../shared/data/pcap/lab/honest_dev.pcap:0 \
//	    -test bench/tls/sessions-2.jsonl.gz,../shared/data/pcap/lab/dev2.pcap,../shared/data/pcap/lab/honest_dev.pcap:1 -write internal/shape/model.go
//
// Recordings are those of bench/tls/lab and bench/tls/real, or captures beside a labels.csv; ":0" and ":1" take one half of a capture's flows.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shape"
	"github.com/minewarden/minewarden/sensors/capture"
)

// A session is one labelled conversation.
type session struct {
	mining bool
	app    string
	msgs   []minewarden.Message
}

func main() {
	train := flag.String("train", "", "recordings to train on")
	test := flag.String("test", "", "recordings to measure on")
	write := flag.String("write", "", "file for the model")
	pack := flag.String("pack", "", "file for the sessions of -test, as bench/tls/lab writes them")
	leave := flag.String("leave", ".", "kinds, as a regular expression, of which one after the other is left out of training")
	explain := flag.Bool("explain", false, "print the features of what was judged wrongly")
	flag.Parse()
	if *pack != "" {
		if err := packed(*test, *pack); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := run(*train, *test, *write, *explain, *leave); err != nil {
		log.Fatal(err)
	}
}

func run(train, test, write string, explain bool, leave string) error {
	tr, err := load(train)
	if err != nil {
		return err
	}
	te, err := load(test)
	if err != nil {
		return err
	}
	fmt.Printf("train %s; test %s\n", tell(tr), tell(te))
	trees, bias := shape.Trees, float64(shape.Bias)
	if len(tr) > 0 {
		trees, bias = fit(samples(tr))
		wanted, err := regexp.Compile(leave)
		if err != nil {
			return err
		}
		kinds := slices.DeleteFunc(apps(tr), func(app string) bool { return leave == "" || !wanted.MatchString(app) })
		fmt.Println("leave one kind out, called mining at the shipped threshold:")
		for _, app := range kinds {
			var rest, out []session
			for _, s := range append(tr[:len(tr):len(tr)], te...) {
				if s.app == app {
					out = append(out, s)
				}
			}
			for _, s := range tr {
				if s.app != app {
					rest = append(rest, s)
				}
			}
			t, b := fit(samples(rest))
			hit, bad, mining, _ := measure(out, t, b)
			what := "honest"
			if mining > 0 {
				what = "mining"
			}
			fmt.Printf("  %s %-40s %d of %d\n", what, app, hit+bad, len(out))
		}
	}
	for _, part := range []struct {
		name string
		s    []session
	}{{"train", tr}, {"held out", te}} {
		hit, bad, mining, honest := measure(part.s, trees, bias)
		fmt.Printf("%s: found %d of %d mining within 4 minutes, false %d of %d honest\n", part.name, hit, mining, bad, honest)
	}
	for _, s := range te {
		if got := verdict(s, trees, bias); got != s.mining {
			if explain {
				f, ok := shape.Extract(until(s.msgs, moments[len(moments)-1]))
				fmt.Println("   ", ok, shape.Plausible(&f))
				for i, v := range f {
					fmt.Printf("    %s=%.2f", shape.Names[i], v)
				}
				fmt.Println()
			}
			fmt.Printf("  wrong: %s mining=%v, %d messages, %.3f\n", s.app, s.mining, len(s.msgs), best(s, trees, bias))
		}
	}
	if write == "" {
		return nil
	}
	return save(write, trees, bias)
}

// packed writes what is needed of captures: they are a hundred times as large.
func packed(from, to string) error {
	all, err := load(from)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	enc := json.NewEncoder(z)
	for _, s := range all {
		if len(s.msgs) < 4 {
			continue
		}
		one := struct {
			Mining   bool       `json:"mining"`
			App      string     `json:"app"`
			Messages [][3]int64 `json:"messages"`
		}{Mining: s.mining, App: s.app}
		for _, m := range s.msgs[:min(len(s.msgs), shape.MaxMessages)] {
			who := int64(0)
			if m.FromClient {
				who = 1
			}
			one.Messages = append(one.Messages, [3]int64{m.At.Milliseconds(), who, int64(m.Size)})
		}
		if err := enc.Encode(one); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(z.Close(), f.Close())
}

func tell(ss []session) string {
	n := 0
	for _, s := range ss {
		if s.mining {
			n++
		}
	}
	return fmt.Sprintf("%d mining, %d honest", n, len(ss)-n)
}

// apps returns the kinds of honest programs.
// apps returns the kinds of sessions.
func apps(ss []session) []string {
	seen := map[string]bool{}
	var names []string
	for _, s := range ss {
		if !seen[s.app] {
			seen[s.app] = true
			names = append(names, s.app)
		}
	}
	sort.Strings(names)
	return names
}

func load(list string) ([]session, error) {
	var all []session
	for _, path := range strings.Split(list, ",") {
		if path == "" {
			continue
		}
		part, err := loadOne(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, part...)
	}
	return all, nil
}

func loadOne(path string) ([]session, error) {
	half := -1
	if p, h, ok := strings.Cut(path, ":"); ok {
		path, half = p, int(h[0]-'0')
	}
	if strings.Contains(path, ".pcap") {
		return loadCapture(path, half)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 16<<20)
	var all []session
	for in.Scan() {
		var raw struct {
			Mining   bool
			App      string
			Messages [][3]int64
		}
		if err := json.Unmarshal(in.Bytes(), &raw); err != nil {
			return nil, err
		}
		s := session{mining: raw.Mining, app: raw.App}
		for _, m := range raw.Messages {
			s.msgs = append(s.msgs, minewarden.Message{At: time.Duration(m[0]) * time.Millisecond, FromClient: m[1] == 1, Size: uint32(m[2])})
		}
		all = append(all, s)
	}
	return all, in.Err()
}

func loadCapture(path string, half int) ([]session, error) {
	f, err := os.Open(filepath.Join(filepath.Dir(path), "labels.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{} // by address of the server, where the labels are those of bench/tls/real
	if len(rows) > 0 && len(rows[0]) == 2 {
		for _, r := range rows {
			kinds[r[0]] = r[1]
		}
	}
	flows, long := map[string][]minewarden.Message{}, map[string]string{}
	err = capture.Read(context.Background(), path, func(error) {}, func(ev minewarden.Event) {
		if x, ok := ev.Data.(*minewarden.Flow); ok {
			k := x.Key.Client.String() + ">" + x.Key.Server.String()
			flows[k] = append(flows[k], x.Messages...)
			if kind := kinds[x.Key.Server.Addr().String()]; kind != "" && x.Last.Sub(x.Start) >= moments[len(moments)-1] {
				long[k] = kind
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var all []session
	if len(kinds) > 0 {
		for k, kind := range long {
			all = append(all, session{app: kind, msgs: flows[k]})
		}
		sort.Slice(all, func(i, j int) bool { return all[i].app < all[j].app })
		return all, nil
	}
	for _, r := range rows {
		if r[0] != filepath.Base(path) || r[3] == "mining" {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(r[1]))
		if half >= 0 && int(h.Sum32()%2) != half {
			continue
		}
		app, _, _ := strings.Cut(r[4], ",")
		all = append(all, session{mining: r[3] == "mining_tls", app: app, msgs: flows[r[1]+">"+r[2]]})
	}
	return all, nil
}

// moments are when a session is judged: as the sensor reports it, about every minute.
var moments = []time.Duration{65 * time.Second, 125 * time.Second, 185 * time.Second, 240 * time.Second}

func until(msgs []minewarden.Message, at time.Duration) []minewarden.Message {
	n := sort.Search(len(msgs), func(i int) bool { return msgs[i].At > at })
	return msgs[:n]
}

// best returns the highest probability at any moment at which the detector would judge.
func best(s session, trees [][]shape.Split, bias float64) float64 {
	top := 0.0
	for _, at := range moments {
		if at < shape.Earliest {
			continue
		}
		if f, ok := shape.Extract(until(s.msgs, at)); ok && shape.Plausible(&f) {
			top = max(top, shape.Probability(trees, bias, &f))
		}
	}
	return top
}

func verdict(s session, trees [][]shape.Split, bias float64) bool {
	return best(s, trees, bias) >= shape.Threshold
}

func measure(ss []session, trees [][]shape.Split, bias float64) (hit, bad, mining, honest int) {
	for _, s := range ss {
		got := verdict(s, trees, bias)
		if s.mining {
			mining++
			if got {
				hit++
			}
			continue
		}
		honest++
		if got {
			bad++
		}
	}
	return
}
