// Isolate measures how long a host talks on after it was told to be isolated: from the call of Do to the last packet that
// somebody else got from it, or that a program on it got from somebody else. It runs as root, in network namespaces of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/isolate"
	"github.com/minewarden/minewarden/responders/isolate/isolatetest"
)

const (
	settle = 300 * time.Millisecond // what comes after this is foreign traffic that passes
	pace   = 20 * time.Millisecond  // between two messages of a flow, up to 100 flows; more flows talk less often each
)

func main() {
	runs := flag.Int("runs", 20, "how often each is measured")
	flag.Parse()
	if !isolatetest.Enclosed() {
		code, err := isolatetest.Enclose()
		if err != nil {
			fmt.Fprintln(os.Stderr, "isolate:", err)
		}
		os.Exit(code)
	}
	if err := run(*runs); err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		os.Exit(1)
	}
}

func run(runs int) error {
	fmt.Println("| running flows | runs | Do returns, median | max | last foreign packet, median | max | operator's session | packets that passed later | release, median | rules restored |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, flows := range []int{20, 200, 1000} {
		var took, last, released []time.Duration
		alive, restored := 0, 0
		var later uint64
		for range runs {
			one, err := measure(flows)
			if err != nil {
				return fmt.Errorf("%d flows: %w", flows, err)
			}
			took, last, released = append(took, one.took), append(last, one.last), append(released, one.release)
			later += one.later
			alive += one.alive
			restored += one.restored
		}
		fmt.Printf("| %d | %d | %s | %s | %s | %s | %d of %d alive | %d | %s | %d of %d |\n", flows, runs, ms(median(took)), ms(slices.Max(took)),
			ms(median(last)), ms(slices.Max(last)), alive, runs, later, ms(median(released)), restored, runs)
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

type result struct {
	took, last, release time.Duration
	later               uint64
	alive, restored     int
}

// crowd is the running flows.
type crowd struct {
	stop  chan struct{}
	all   sync.WaitGroup
	conns []net.Conn
	heard atomic.Int64 // when a program on the host, or behind it, last read what another sent
}

func (c *crowd) add(from *isolatetest.Space, network, to string, every time.Duration) error {
	k, err := from.Dial(network, to, isolatetest.Wait)
	if err != nil {
		return fmt.Errorf("%s %s: %w", network, to, err)
	}
	if err := isolatetest.Echo(k, isolatetest.Wait); err != nil {
		return fmt.Errorf("%s %s: %w", network, to, err)
	}
	if err := k.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.conns = append(c.conns, k)
	c.all.Go(func() {
		time.Sleep(rand.N(every)) // not all at once
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-t.C:
			}
			if _, err := k.Write([]byte("x")); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && network == "tcp" {
				return
			}
		}
	})
	c.all.Go(func() {
		b := make([]byte, 512)
		for {
			if _, err := k.Read(b); err != nil {
				if network == "udp" && !errors.Is(err, net.ErrClosed) {
					continue
				}
				return
			}
			c.heard.Store(time.Now().UnixNano())
		}
	})
	return nil
}

func (c *crowd) end() {
	close(c.stop)
	for _, k := range c.conns {
		_ = k.Close() // most are ended already
	}
	c.all.Wait()
}

// measure isolates a new host once.
func measure(flows int) (_ result, err error) {
	var r result
	lab, err := isolatetest.New()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	for _, s := range []*isolatetest.Space{isolatetest.Host(), lab.Outside, lab.Neighbour} {
		l, err := s.Serve(":80")
		if err != nil {
			return r, err
		}
		defer l.Close()
	}
	ssh, err := isolatetest.Host().Serve(":22")
	if err != nil {
		return r, err
	}
	defer ssh.Close()
	operator, err := lab.Operator.Dial("tcp", isolatetest.Host4+":22", isolatetest.Wait)
	if err != nil {
		return r, err
	}
	defer operator.Close()
	c := &crowd{stop: make(chan struct{})}
	defer c.end()
	ways := []struct {
		from        *isolatetest.Space
		network, to string
	}{
		{isolatetest.Host(), "tcp", isolatetest.Outside4 + ":80"},
		{isolatetest.Host(), "tcp", "[" + isolatetest.Outside6 + "]:80"},
		{lab.Container, "tcp", isolatetest.Outside4 + ":80"},
		{lab.Container, "udp", "[" + isolatetest.Outside6 + "]:80"},
		{lab.Container, "tcp", isolatetest.Neighbour4 + ":80"},
		{isolatetest.Host(), "udp", isolatetest.Outside4 + ":80"},
		{lab.Macvlan, "tcp", isolatetest.Outside4 + ":80"},
	}
	for i := range flows {
		w := ways[i%len(ways)]
		if err := c.add(w.from, w.network, w.to, pace*time.Duration(max(1, flows/100))); err != nil {
			return r, err
		}
	}
	var taps []*isolatetest.Tap
	for s, device := range map[*isolatetest.Space]string{lab.Outside: "eth0", lab.Container: "eth0", lab.Neighbour: "eth0", lab.Macvlan: "mac0"} {
		t, err := s.Tap(device, nil)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, t.Close()) }()
		taps = append(taps, t)
	}
	data, err := os.MkdirTemp("", "minewarden-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(data)
	return r, r.isolate(c, taps, operator, data)
}

func (r *result) isolate(c *crowd, taps []*isolatetest.Tap, operator net.Conn, data string) error {
	k, err := isolate.New(minewarden.Env{Log: slog.New(slog.DiscardHandler), Data: data})
	if err != nil {
		return err
	}
	do := k.(*isolate.Responder)
	before, err := isolatetest.Ruleset()
	if err != nil {
		return err
	}
	a, err := do.PlanIsolate(minewarden.Incident{ID: "bench"})
	if err != nil {
		return err
	}
	time.Sleep(settle) // the flows are at their pace
	begun := time.Now()
	receipt, err := do.Do(context.Background(), a)
	r.took = time.Since(begun)
	if err != nil {
		return err
	}
	if strings.Contains(receipt.Result, ";") {
		return errors.New(receipt.Result)
	}
	time.Sleep(settle)
	counts := make([]uint64, len(taps))
	last := time.Unix(0, c.heard.Load())
	for i, t := range taps {
		at, n := t.Last()
		counts[i] = n
		if at.After(last) {
			last = at
		}
	}
	r.last = max(0, last.Sub(begun))
	if isolatetest.Echo(operator, isolatetest.Wait) == nil {
		r.alive = 1
	}
	time.Sleep(settle)
	for i, t := range taps {
		_, n := t.Last()
		r.later += n - counts[i]
	}
	begun = time.Now()
	err = do.Undo(context.Background(), receipt)
	r.release = time.Since(begun)
	after, listErr := isolatetest.Ruleset()
	if after == before {
		r.restored = 1
	}
	return errors.Join(err, listErr, do.Close())
}
