// Package indicators measures a million indicators: loading them from a plain list and from CSV, what they hold in memory, and a
// look-up.
package indicators

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
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
		return fmt.Sprintf("%064x", i)
	}
	return fmt.Sprintf("host%d.pool%d.example", i, i%1000)
}

func plain() []byte {
	var b bytes.Buffer
	b.WriteString("# a list\n")
	for i := range million {
		fmt.Fprintln(&b, value(i))
	}
	return b.Bytes()
}

func csv() []byte {
	var b bytes.Buffer
	b.WriteString("value,confidence,expires,source\n")
	for i := range million {
		fmt.Fprintf(&b, "%s,0.9,2027-01-01T00:00:00Z,feed@2026-11-21\n", value(i))
	}
	return b.Bytes()
}

func BenchmarkLoad(b *testing.B) {
	for _, tt := range []struct {
		name string
		text []byte
	}{{"plain", plain()}, {"csv", csv()}} {
		b.Run(tt.name, func(b *testing.B) {
			dir := b.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "feed.list"), tt.text, 0o600); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				load(b, dir)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/load")
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s := load(b, dir)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
			runtime.KeepAlive(s)
		})
	}
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

func BenchmarkLookUp(b *testing.B) {
	bl := indicators.NewBuilder(million)
	for i := range million {
		typ, v, err := indicators.Normal("", value(i))
		if err != nil || !bl.Add(minewarden.Indicator{Type: typ, Value: v, Source: "bench", Confidence: 0.9}) {
			b.Fatal(v, err)
		}
	}
	s, now := bl.Set(), time.Now()
	const many = 1 << 16 // more than the caches hold
	var hits, misses [many]string
	var met, unmet [many]netip.Addr
	for i := range many {
		hits[i] = value(i*15*12%million/12*12 + 1)
		misses[i] = fmt.Sprintf("www%d.site%d.org", i, i%7919)
		met[i] = netip.MustParseAddr(value(i * 15 * 12 % million / 12 * 12))
		unmet[i] = netip.AddrFrom4([4]byte{200, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	name := func(list *[many]string, want bool) func(*testing.B) {
		return func(b *testing.B) {
			for i := range b.N {
				if _, ok := s.Name(list[i&(many-1)], now); ok != want {
					b.Fatal(list[i&(many-1)], ok)
				}
			}
		}
	}
	addr := func(list *[many]netip.Addr, want bool) func(*testing.B) {
		return func(b *testing.B) {
			for i := range b.N {
				if _, ok := s.Addr(list[i&(many-1)], 3333, now); ok != want {
					b.Fatal(list[i&(many-1)], ok)
				}
			}
		}
	}
	b.Run("name-hit", name(&hits, true))
	b.Run("name-miss", name(&misses, false))
	b.Run("addr-hit", addr(&met, true))
	b.Run("addr-miss", addr(&unmet, false))
}
