// Package indicators measures a million indicators: loading them from a plain list and from CSV, what they hold in memory, and a
// look-up.
package indicators

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
)

const million = 1_000_000

// value is the i-th of a mix like that of public feeds: two thirds names, a quarter addresses, some hashes.
func value(i int) string {
	switch i % 12 {
	case 0, 4, 8:
		return fmt.Sprintf("%d.%d.%d.%d", 11+i>>24&63, i>>16&255, i>>8&255, i&255)
	case 6:
		return hash(i)
	}
	return fmt.Sprintf("host%d.pool%d.example", i, i%1000)
}

// hash is as hard to compress as a real one.
func hash(i int) string {
	r := rand.NewPCG(uint64(i), 1)
	return fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
}

func plain(value func(int) string) []byte {
	var b bytes.Buffer
	b.WriteString("# a list\n")
	for i := range million {
		fmt.Fprintln(&b, value(i))
	}
	return b.Bytes()
}

// csv has an expiry of its own for each entry, over a quarter of a year.
func csv() []byte {
	var b bytes.Buffer
	b.WriteString("value,confidence,expires,source\n")
	from := time.Date(2036, 11, 21, 0, 0, 0, 0, time.UTC)
	for i := range million {
		fmt.Fprintf(&b, "%s,0.9,%s,feed@2026-11-21\n", value(i), from.Add(time.Duration(i%7_776_000)*time.Second).Format(time.RFC3339))
	}
	return b.Bytes()
}

// BenchmarkLoad reads a list of a million. MiB is by how much the resident memory of the process is larger after it, garbage given back.
func BenchmarkLoad(b *testing.B) {
	for _, tt := range []struct {
		name string
		text []byte
	}{{"plain", plain(value)}, {"csv", csv()}, {"hashes", plain(hash)}} {
		b.Run(tt.name, func(b *testing.B) {
			dir := b.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "feed.list"), tt.text, 0o600); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				load(b, dir)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/load")
			before := resident(b)
			s := load(b, dir)
			b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB")
			runtime.KeepAlive(s)
		})
	}
}

// resident returns the bytes of memory that the process has, without garbage.
func resident(b *testing.B) int {
	b.Helper()
	for range 3 { // cleanups run after a collection
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func load(b *testing.B, dir string) *indicators.Set {
	b.Helper()
	s, err := indicators.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, c := range s.Len() {
		n += c
	}
	if n < million {
		b.Fatalf("%d of %d indicators were loaded", n, million)
	}
	return s
}

// BenchmarkLookUp asks for a million in random order, so that what a look-up needs of the set is in the caches only where all of it fits.
// What is asked for lies in memory in the order of asking, as an event that was just made does: reading it is not what is measured.
// "alone" is with each look-up begun when the one before is finished, which a processor otherwise overlaps.
func BenchmarkLookUp(b *testing.B) {
	bl := indicators.NewBuilder(million)
	for i := range million {
		typ, v, err := indicators.Normal("", value(i))
		if err != nil || !bl.Add(minewarden.Indicator{Type: typ, Value: v, Source: "bench", Confidence: 0.9}) {
			b.Fatal(v, err)
		}
	}
	s, now := bl.Set(), time.Now()
	order := rand.New(rand.NewPCG(1, 2)).Perm(million)
	names := func(of func(i int) string) []string {
		var text []byte
		var ends []int
		for _, i := range order {
			if v := of(i); v != "" {
				text = append(text, v...)
				ends = append(ends, len(text))
			}
		}
		all, from := string(text), 0
		out := make([]string, len(ends))
		for i, to := range ends {
			out[i], from = all[from:to], to
		}
		return out
	}
	only := func(prefix string, kind ...int) func(int) string {
		return func(i int) string {
			for _, k := range kind {
				if i%12 == k {
					return prefix + value(i)
				}
			}
			return ""
		}
	}
	listed := []int{1, 2, 3, 5, 7, 9, 10, 11}
	hits := names(only("", listed...))
	for _, tt := range []struct {
		name    string
		queries []string
		want    bool
	}{
		{"name/hit", hits, true},
		{"name/hit-warm", hits[:512], true},
		{"name/hit-2-below", names(only("a.b.", listed...)), true},
		{"name/miss", names(func(i int) string { return fmt.Sprintf("www%d.site%d.org", i, i%7919) }), false},
		{"name/miss-of-4-labels", names(func(i int) string { return fmt.Sprintf("a.www%d.site%d.org", i, i%7919) }), false},
	} {
		b.Run(tt.name, func(b *testing.B) {
			at := 0
			for range b.N {
				if _, ok := s.Name(tt.queries[at], now); ok != tt.want {
					b.Fatal(tt.queries[at], ok)
				}
				if at++; at == len(tt.queries) {
					at = 0
				}
			}
		})
		if !tt.want {
			continue
		}
		b.Run(tt.name+"-alone", func(b *testing.B) {
			at := 0
			for range b.N {
				hit, _ := s.Name(tt.queries[at], now)
				if at += 1 + after(&hit); at == len(tt.queries) {
					at = 0
				}
			}
		})
	}
	sums := names(only("", 6))
	b.Run("hash/hit", func(b *testing.B) {
		at := 0
		for range b.N {
			if _, ok := s.Exact(indicators.SHA256, sums[at], now); !ok {
				b.Fatal(sums[at])
			}
			if at++; at == len(sums) {
				at = 0
			}
		}
	})
	var met, unmet []netip.Addr
	for _, i := range order {
		unmet = append(unmet, netip.AddrFrom4([4]byte{200, byte(i >> 16), byte(i >> 8), byte(i)}))
		if i%4 == 0 {
			met = append(met, netip.MustParseAddr(value(i)))
		}
	}
	for _, tt := range []struct {
		name    string
		queries []netip.Addr
		want    bool
	}{{"address/hit", met, true}, {"address/hit-warm", met[:512], true}, {"address/miss", unmet, false}} {
		b.Run(tt.name, func(b *testing.B) {
			at := 0
			for range b.N {
				if _, ok := s.Addr(tt.queries[at], 3333, now); ok != tt.want {
					b.Fatal(tt.queries[at], ok)
				}
				if at++; at == len(tt.queries) {
					at = 0
				}
			}
		})
	}
}

// after returns 0, but not before hit is known.
func after(hit *indicators.Hit) int { return int(math.Float64bits(hit.Confidence()) >> 63) }
