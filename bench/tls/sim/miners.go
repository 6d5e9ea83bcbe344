package main

import (
	"fmt"
	"slices"
)

// A dialect is how long the messages of a way to mine are.
type dialect struct {
	name                 string
	login, welcome       [2]int
	share, reply, job    [2]int // of a session one of these, and then always about that
	every                [2]float64
	byChance, refreshing bool
	rateReport           bool // of the hash rate, every minute
}

var speaking = []dialect{
	{name: "monero", login: [2]int{220, 640}, welcome: [2]int{420, 900}, share: [2]int{185, 290}, reply: [2]int{55, 90}, job: [2]int{270, 560}, every: [2]float64{20, 120}, byChance: true},
	{name: "bitcoin", login: [2]int{60, 120}, welcome: [2]int{90, 180}, share: [2]int{110, 190}, reply: [2]int{36, 60}, job: [2]int{700, 1900}, every: [2]float64{25, 60}, refreshing: true},
	{name: "equihash", login: [2]int{80, 140}, welcome: [2]int{60, 120}, share: [2]int{2790, 2860}, reply: [2]int{36, 50}, job: [2]int{330, 420}, every: [2]float64{30, 90}, byChance: true},
	{name: "kawpow", login: [2]int{80, 140}, welcome: [2]int{50, 90}, share: [2]int{230, 300}, reply: [2]int{36, 50}, job: [2]int{280, 380}, every: [2]float64{15, 60}, byChance: true},
	{name: "ethash", login: [2]int{80, 150}, welcome: [2]int{90, 140}, share: [2]int{100, 150}, reply: [2]int{36, 60}, job: [2]int{220, 270}, every: [2]float64{5, 14}, byChance: true},
	{name: "eth-proxy", login: [2]int{130, 180}, welcome: [2]int{38, 60}, share: [2]int{225, 260}, reply: [2]int{36, 60}, job: [2]int{235, 270}, every: [2]float64{5, 14}, byChance: true, rateReport: true},
	{name: "kaspa", login: [2]int{80, 150}, welcome: [2]int{60, 90}, share: [2]int{120, 170}, reply: [2]int{36, 60}, job: [2]int{140, 200}, every: [2]float64{0.9, 3}, byChance: true},
	{name: "ergo", login: [2]int{80, 150}, welcome: [2]int{90, 140}, share: [2]int{130, 180}, reply: [2]int{36, 60}, job: [2]int{230, 300}, every: [2]float64{30, 120}, byChance: true},
	{name: "alephium", login: [2]int{80, 150}, welcome: [2]int{50, 90}, share: [2]int{170, 230}, reply: [2]int{40, 60}, job: [2]int{11000, 14000}, every: [2]float64{4, 10}, byChance: true},
	{name: "grin", login: [2]int{100, 150}, welcome: [2]int{60, 90}, share: [2]int{560, 640}, reply: [2]int{70, 110}, job: [2]int{560, 700}, every: [2]float64{30, 60}, byChance: true},
	{name: "beam", login: [2]int{100, 160}, welcome: [2]int{100, 160}, share: [2]int{310, 360}, reply: [2]int{80, 120}, job: [2]int{150, 200}, every: [2]float64{20, 60}, byChance: true},
	{name: "dero", login: [2]int{150, 260}, welcome: [2]int{300, 400}, share: [2]int{140, 190}, reply: [2]int{300, 400}, job: [2]int{300, 400}, every: [2]float64{0.5, 2}},
}

// alive says whether a miner of that dialect, this time, has its connection kept alive.
func (d dialect) alive(t *tape) bool { return d.name == "monero" && t.r.IntN(2) == 0 }

// mine plays one miner, or a proxy of several whose shares come by one connection.
func mine(t *tape, d dialect, rate float64, workers int, vary, pad, alive bool) {
	if pad {
		plain, step := t.record, []int{64, 128, 256}[t.r.IntN(3)]
		t.record = func(n int) int64 { return plain((n + step - 1) / step * step) }
	}
	of := func(b [2]int) int { return t.size(b[0], b[1]) }
	share, reply, job := of(d.share), of(d.reply), of(d.job)
	t.say(0.2, true, of(d.login))
	t.say(0.3, false, of(d.welcome))
	delay := t.between(0.01, 0.25)
	push := func(at float64) { t.say(at, false, job+t.r.IntN(4)) }
	every := t.between(d.every[0], d.every[1])
	if d.byChance {
		t.chance(60/every, push)
	} else {
		t.timer(every, 0.02, push)
	}
	if d.refreshing {
		t.chance(0.1, push)
	}
	n := 3
	hand := func(at float64) {
		digits := len(fmt.Sprint(n))
		n++
		t.say(at, true, share+digits)
		answer := reply + digits
		if t.r.IntN(60) == 0 {
			answer += t.size(15, 40) // refused
		}
		t.say(at+delay*t.between(0.7, 1.6), false, answer)
	}
	if !vary {
		for range workers {
			t.chance(rate, hand)
		}
	} else {
		now := 25.0
		for at := 1 + t.r.ExpFloat64()*60/now; at < lasts; at += t.r.ExpFloat64() * 60 / now {
			hand(at)
			if at > 60 && now > rate {
				now = max(rate, now/3)
				push(at + 0.5) // the new difficulty
			}
		}
	}
	if d.rateReport {
		t.timer(60, 0.01, func(at float64) { t.say(at, true, 170); t.say(at+delay, false, reply) })
	}
	if alive {
		t.keepAlive(t.size(62, 102), reply, delay)
	}
}

// keepAlive says so after each minute in which the client said nothing.
func (t *tape) keepAlive(n, reply int, delay float64) {
	var at []float64
	for _, m := range t.said {
		if m[1] == 1 {
			at = append(at, float64(m[0])/1000)
		}
	}
	slices.Sort(at)
	last, back := 0.2, reply+t.r.IntN(14)
	for _, next := range append(at, lasts) {
		for next-last > 60 {
			last += 60
			t.say(last, true, n)
			t.say(last+delay, false, back)
		}
		last = max(last, next)
	}
}

func miners() (all []kind) {
	any := func(t *tape) dialect { return speaking[t.r.IntN(len(speaking))] }
	for _, d := range speaking {
		all = append(all, kind{"dialect " + d.name, true, func(t *tape) { mine(t, d, t.between(1, 20), 1, false, false, d.alive(t)) }})
	}
	for _, rate := range []float64{0.2, 0.5, 1, 2, 4, 8, 15, 20, 40} {
		all = append(all, kind{fmt.Sprintf("%g shares a minute", rate), true, func(t *tape) { mine(t, any(t), rate, 1, false, false, false) }})
	}
	return append(all,
		kind{"difficulty varied", true, func(t *tape) { mine(t, any(t), t.between(2, 6), 1, true, false, false) }},
		kind{"proxy of 20 workers", true, func(t *tape) { mine(t, any(t), t.between(0.5, 3), 20, false, false, false) }},
		kind{"padded", true, func(t *tape) { mine(t, any(t), t.between(2, 15), 1, false, true, false) }},
		kind{"slow and kept alive", true, func(t *tape) { mine(t, speaking[0], t.between(0.4, 2), 1, false, false, true) }},
		kind{"kept alive", true, func(t *tape) { mine(t, speaking[0], t.between(2, 8), 1, false, false, true) }},
		kind{"node polled for templates", true, func(t *tape) {
			request, template := t.size(140, 260), t.size(1500, 9000)
			t.timer(t.between(1, 10), 0.02, func(at float64) { t.say(at, true, request); t.say(at+0.05, false, template+t.r.IntN(30)) })
		}},
	)
}
