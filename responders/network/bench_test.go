package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkCut measures from the call to the moment at which the miner's side reads its reset, with 2000 other connections.
func BenchmarkCut(b *testing.B) {
	r := responder(b, nil)
	both(b, r)
	g := guard(b, r, "pool.example\n")
	addr, crowd := serve(b, pool+":0"), serve(b, other+":0")
	for range 2000 {
		dialed(b, crowd)
	}
	var took []time.Duration
	for b.Loop() {
		c, err := dial(addr)
		if err != nil {
			b.Fatal(err)
		}
		if err := echo(c); err != nil {
			b.Fatal(err)
		}
		reset := make(chan time.Time, 1)
		go func() {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				reset <- time.Now()
			}
		}()
		begun := time.Now()
		receipt, err := g.Cut(b.Context(), "", flowOf(c), "stratum")
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-reset).Sub(begun))
		r.mu.Lock()
		err = r.release(receipt.Action.ID)
		r.mu.Unlock()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	quantiles(b, took)
}

func quantiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// BenchmarkConnect is what the programs cost each connection, with 100,000 addresses refused.
func BenchmarkConnect(b *testing.B) {
	r := responder(b, nil)
	addr := serve(b, other+":0")
	once := func(b *testing.B) {
		for b.Loop() {
			c, err := net.ListenUDP("udp4", nil)
			if err != nil {
				b.Fatal(err)
			}
			c.Close()
			d, err := net.Dial("udp4", addr)
			if err != nil {
				b.Fatal(err)
			}
			d.Close()
		}
	}
	b.Run("without", once)
	both(b, r)
	var list strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&list, "45.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	begun := time.Now()
	guard(b, r, list.String())
	b.Log("100,000 addresses in both lines after", time.Since(begun))
	b.Run("with", once)
}

// BenchmarkObserveDNS measures a name's answer until connections to its address are refused.
func BenchmarkObserveDNS(b *testing.B) {
	r := responder(b, nil)
	both(b, r)
	g := guard(b, r, "pool.example\n")
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		a := netip.AddrFrom4([4]byte{45, byte(i >> 16), byte(i >> 8), byte(i)})
		begun := time.Now()
		if err := g.ObserveDNS("pool.example", nil, []netip.Addr{a}, time.Minute); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	quantiles(b, took)
}
