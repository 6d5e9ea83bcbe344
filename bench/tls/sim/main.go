// Command sim makes TLS sessions by rule, mining and honest, thousands in a second: what the laboratory cannot record in real time, as
// many share rates, slow miners, proxies of many workers, padding, and devices of every period. Whoever writes a rule knows the answer:
// what counts is how a model does on recordings, and on kinds that it did not learn.
//
//	go run ./bench/tls/sim -seed 1 -each 100 -out FILE.jsonl.gz
package main

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
)

// A session is one line, as bench/tls/lab writes them.
type session struct {
	Mining   bool       `json:"mining"`
	App      string     `json:"app"`
	Messages [][3]int64 `json:"messages"` // milliseconds after the first, 1 for the client's, bytes of the record
}

// lasts is how long each session goes on, in seconds.
const lasts = 250

func main() {
	seed := flag.Uint64("seed", 1, "of chance")
	each := flag.Int("each", 100, "sessions of a kind")
	out := flag.String("out", "sim.jsonl.gz", "file")
	flag.Parse()
	if err := write(*out, *seed, *each); err != nil {
		log.Fatal(err)
	}
}

func write(path string, seed uint64, each int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	z := gzip.NewWriter(f)
	defer func() { err = errors.Join(err, z.Close(), f.Close()) }()
	enc := json.NewEncoder(z)
	for _, k := range append(miners(), honest()...) {
		r := rand.New(rand.NewPCG(seed, uint64(len(k.name)))) //nolint:gosec // the same each time
		for range each {
			t := &tape{r: r, record: records(r)}
			t.hello()
			k.play(t)
			slices.SortStableFunc(t.said, func(a, b [3]int64) int { return int(a[0] - b[0]) })
			if err := enc.Encode(session{k.mining, k.name, t.said}); err != nil {
				return err
			}
		}
	}
	return nil
}

// A kind is one kind of session.
type kind struct {
	name   string
	mining bool
	play   func(*tape)
}

// A tape is a session as it is made.
type tape struct {
	r      *rand.Rand
	said   [][3]int64
	record func(int) int64
}

// records returns how long the record of a message is: TLS 1.3, 1.2 with GCM, or 1.2 with blocks.
func records(r *rand.Rand) func(int) int64 {
	switch r.IntN(4) {
	case 0:
		return func(n int) int64 { return int64(n + 29) }
	case 1:
		return func(n int) int64 { return int64(5 + 16 + (n+32)/16*16) }
	}
	return func(n int) int64 { return int64(n + 22) }
}

func (t *tape) say(at float64, up bool, n int) {
	if at > lasts {
		return
	}
	who := int64(0)
	if up {
		who = 1
	}
	t.said = append(t.said, [3]int64{int64(at * 1000), who, t.record(n)})
}

func (t *tape) hello() {
	t.say(0, true, 30+t.r.IntN(60))
	t.say(0.05, false, 500+t.r.IntN(2000))
}

// between is a number of at least low and less than high.
func (t *tape) between(low, high float64) float64 { return low + t.r.Float64()*(high-low) }

func (t *tape) size(low, high int) int { return low + t.r.IntN(high-low) }

// chance calls f at moments of chance, of which there are rate a minute.
func (t *tape) chance(rate float64, f func(at float64)) {
	for at := 1 + t.r.ExpFloat64()*60/rate; at < lasts; at += t.r.ExpFloat64() * 60 / rate {
		f(at)
	}
}

// timer calls f every period seconds, off by jitter of it.
func (t *tape) timer(period, jitter float64, f func(at float64)) {
	for at := t.between(1, period+1); at < lasts; at += period * (1 + jitter*(2*t.r.Float64()-1)) {
		f(at)
	}
}
