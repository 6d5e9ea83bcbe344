package main

import (
	"bufio"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// A script is a conversation of an application protocol: what the client asks by chance or timer and is answered with, and what
// the server says unasked. Sizes are of plain text.
type script struct {
	name              string
	hello, welcome    int
	ask               func(r *mrand.Rand) (mean time.Duration, chance bool, size, spread, answer, aspread int)
	push              func(r *mrand.Rand) (mean time.Duration, size, spread int)
	acknowledgePushes bool
}

func secs(r *mrand.Rand, from, to int) time.Duration {
	return time.Duration(from*1000+r.IntN((to-from)*1000)) * time.Millisecond
}

var (
	// A light wallet: requests of histories, a ping each minute, headers and status changes unasked.
	electrum = script{name: "electrum", hello: 90, welcome: 80, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 5, 60), r.IntN(2) == 0, 90 + r.IntN(60), 60, 60 + r.IntN(900), 600
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 60, 400), 260, 12 }}
	imapIdle = script{name: "imap idle", hello: 40, welcome: 250, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 40, 120), false, 12, 30, 60, 1500
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 10, 120), 18, 4 }}
	chatRoom = script{name: "chat", hello: 300, welcome: 900, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 5, 60), true, 60, 200, 40 + r.IntN(80), 4
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 2, 30), 90 + r.IntN(100), 250 }}
	// A dashboard, or an application of a blockchain: calls with varied answers, and a subscription.
	subscription = script{name: "json-rpc subscription", hello: 200, welcome: 120, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 2, 40), r.IntN(2) == 0, 70 + r.IntN(200), r.IntN(120), 45 + r.IntN(700), r.IntN(300)
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 2, 60), 120 + r.IntN(800), r.IntN(120) }}
	terminal = script{name: "terminal", hello: 150, welcome: 400, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return time.Duration(300+r.IntN(4000)) * time.Millisecond, true, 4 + r.IntN(30), 3, 5 + r.IntN(30), 40
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 5, 60), 60, 900 }}
	database = script{name: "database", hello: 200, welcome: 400, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 1, 30), r.IntN(2) == 0, 50 + r.IntN(250), r.IntN(60), 60 + r.IntN(500), r.IntN(200)
	}}
	// A device that reports by a timer, is answered shortly, and is told things that it acknowledges.
	device = script{name: "device", hello: 250, welcome: 150, ask: func(r *mrand.Rand) (time.Duration, bool, int, int, int, int) {
		return secs(r, 2, 40), r.IntN(3) == 0, 80 + r.IntN(300), r.IntN(40), 15 + r.IntN(80), 2
	}, push: func(r *mrand.Rand) (time.Duration, int, int) { return secs(r, 10, 120), 60 + r.IntN(500), r.IntN(60) }, acknowledgePushes: true}
)

// talk is the client of a script; the lines say what the server shall answer.
func (l *lab) talk(r *mrand.Rand, addr string, s script) error {
	raw, err := l.dial(addr, s.name, false)
	if err != nil {
		return err
	}
	c := l.secure(raw, r)
	defer c.Close()
	var mu sync.Mutex
	say := func(size, answer int) error {
		mu.Lock()
		defer mu.Unlock()
		head := fmt.Sprintf("%d ", answer)
		_, err := c.Write(append([]byte(head), (hex(r, max(1, size-len(head)-1)) + "\n")...))
		return err
	}
	pushes := "0 0 0"
	if s.push != nil {
		mean, size, spread := s.push(r)
		pushes = fmt.Sprintf("%d %d %d", mean.Milliseconds(), size, spread)
	}
	if _, err := fmt.Fprintf(c, "%d %s %s\n", s.welcome, pushes, hex(r, s.hello)); err != nil {
		return err
	}
	go func() {
		in := bufio.NewScanner(c)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if s.acknowledgePushes && strings.HasPrefix(in.Text(), "p") && say(20, 0) != nil {
				return
			}
		}
	}()
	mean, chance, size, spread, answer, aspread := s.ask(r)
	for {
		d := jittered(r, mean, 0.1)
		if chance {
			d = exponential(r, mean)
		}
		if !l.wait(d) {
			return nil
		}
		if err := say(size+r.IntN(spread+1), answer+r.IntN(aspread+1)); err != nil {
			return err
		}
	}
}

// talker is the server of all scripts.
func (l *lab) talker(c net.Conn) {
	in := bufio.NewScanner(c)
	in.Buffer(nil, 1<<20)
	if !in.Scan() {
		return
	}
	var welcome, every, size, spread int
	if _, err := fmt.Sscanf(in.Text(), "%d %d %d %d", &welcome, &every, &size, &spread); err != nil {
		return
	}
	r := mrand.New(mrand.NewPCG(uint64(time.Now().UnixNano()), 2))
	var mu sync.Mutex
	say := func(kind string, n int) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(c, "%s%s\n", kind, hex(r, max(1, n-2)))
	}
	say("w", welcome)
	if every > 0 {
		chance := r.IntN(2) == 0
		go func() {
			for {
				d := jittered(r, time.Duration(every)*time.Millisecond, 0.05)
				if chance {
					d = time.Duration(mrand.ExpFloat64() * float64(every) * float64(time.Millisecond))
				}
				if !l.wait(d) {
					return
				}
				say("p", size+mrand.IntN(spread+1))
			}
		}()
	}
	delay := time.Duration(mrand.IntN(150)) * time.Millisecond
	for in.Scan() {
		n := 0
		if _, err := fmt.Sscanf(in.Text(), "%d", &n); err != nil || n == 0 {
			continue
		}
		time.Sleep(delay)
		say("a", n)
	}
}
