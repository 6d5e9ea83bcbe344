// Command wire says mining sessions of every dialect that we know of in every way that they can be carried or hidden in, and
// conversations that look like them, and prints which the detectors find, miss and call mining wrongly.
//
//	go run ./bench/wire [-v] [-seed 1]
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors/stratum"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors/capture"
)

func main() {
	verbose := flag.Bool("v", false, "print each miss, and what was told of each session in plain lines")
	seed := flag.Uint64("seed", 1, "of what is left to chance")
	flag.Parse()
	if err := run(*seed, *verbose); err != nil {
		log.Fatal(err)
	}
}

func run(seed uint64, verbose bool) error {
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	fmt.Println("| carried by | mining sessions | found | missed | look-alikes | called mining |\n|---|---|---|---|---|---|")
	var total [5]int
	var notes []string
	for _, t := range transports() {
		mining, err := carry(dir, t, miningText, seed)
		if err != nil {
			return err
		}
		honest, err := carry(dir, t, honestText, seed)
		if err != nil {
			return err
		}
		row := [5]int{len(mining), 0, 0, len(honest), 0}
		for _, o := range mining {
			if len(o.found) > 0 {
				row[1]++
			} else {
				row[2]++
				notes = append(notes, "missed: "+t.name+": "+o.session.name)
			}
			if said := o.last("dialect") + ", " + o.last("coin"); t.name == "lines" && said != o.session.dialect+", "+o.session.coin {
				notes = append(notes, "wrong: "+o.session.name+" is called "+said)
			}
			if verbose && t.name == "lines" {
				for _, f := range o.found {
					fmt.Println(o.session.name, f.Rule, f.Evidence)
				}
			}
		}
		for _, o := range honest {
			if len(o.found) > 0 {
				row[4]++
				notes = append(notes, fmt.Sprint("wrong: ", t.name, ": ", o.session.name, ": ", o.found[0].Rule, o.found[0].Evidence))
			}
		}
		fmt.Printf("| %s | %d | %d | %d | %d | %d |\n", t.name, row[0], row[1], row[2], row[3], row[4])
		for i := range row {
			total[i] += row[i]
		}
	}
	fmt.Printf("| all | %d | %d | %d | %d | %d |\n", total[0], total[1], total[2], total[3], total[4])
	for _, n := range notes {
		if verbose || strings.HasPrefix(n, "wrong") {
			fmt.Println(n)
		}
	}
	return nil
}

// An outcome is a session and what of medium or more was told of it.
type outcome struct {
	session session
	found   []minewarden.Finding
}

// last returns what the last finding says of key.
func (o outcome) last(key string) string {
	if len(o.found) > 0 {
		for _, e := range o.found[len(o.found)-1].Evidence {
			if e.Key == key {
				return e.Value
			}
		}
	}
	return ""
}

// carry says the sessions of a script by t at the same time, and returns what the detector finds on the wire.
func carry(dir string, t transport, text string, seed uint64) ([]outcome, error) {
	r := rand.New(rand.NewPCG(seed, uint64(len(t.name)))) //nolint:gosec // the same each time
	all, err := scripts(text, r)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s session) bool {
		return s.lines && (strings.Contains(t.name, "HTTP") || strings.Contains(t.name, "WebSocket"))
	})
	var packets []packet
	outcomes := make([]outcome, len(all))
	byClient := map[string]int{}
	for i, s := range all {
		outcomes[i].session = s
		w := speak(t, s, i, r)
		byClient[w.ends[0].String()], byClient[w.ends[1].String()] = i, i
		packets = append(packets, w.packets...)
	}
	slices.SortStableFunc(packets, func(a, b packet) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	path := filepath.Join(dir, "wire.pcap")
	if err := os.WriteFile(path, pcap(packets), 0o600); err != nil {
		return nil, err
	}
	d, err := stratum.New(minewarden.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	severity := map[string]minewarden.Severity{}
	for _, rule := range d.Rules() {
		severity[rule.ID] = rule.Severity
	}
	p := pipeline.New(pipeline.Options{Detectors: []minewarden.Detector{d}, Finding: func(f minewarden.Finding) {
		if i, ok := byClient[f.Subject.Client]; ok && severity[f.Rule] >= minewarden.Medium {
			outcomes[i].found = append(outcomes[i].found, f)
		}
	}})
	var bad []error
	err = capture.Read(context.Background(), path, func(err error) { bad = append(bad, err) }, func(ev minewarden.Event) { p.Observe(ev) })
	p.Flush()
	if err == nil && len(bad) > 0 {
		err = bad[0]
	}
	return outcomes, err
}

// speak makes the packets of session number n.
func speak(t transport, s session, n int, r *rand.Rand) *wire {
	port := t.port
	if port == 0 {
		port = uint16(1500 + r.IntN(20000))
	}
	w := &wire{r: r, now: time.Unix(1_750_000_000, 0).Add(time.Duration(n) * 7 * time.Millisecond), cut: 1400, ends: [2]netip.AddrPort{
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n), 2}), uint16(33000+r.IntN(20000))),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}), port),
	}}
	if t.setup != nil {
		t.setup(w)
	}
	last := 0 // what the miner says last is seen in any case: a share, mostly
	for i, t := range s.turns {
		if t.up {
			last = i
		}
	}
	turns := slices.Clone(s.turns)[min(t.skip, last):]
	for i := range turns {
		if t.style != (style{}) {
			turns[i].text = t.style.write(turns[i].text, r)
		}
		if t.text != nil {
			turns[i].text = t.text(turns[i].text)
		}
	}
	s.turns = turns
	w.open()
	t.say(w, s)
	w.close()
	return w
}
