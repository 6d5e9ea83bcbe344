package main

// device is what reports and is answered, and is told things: when, how long, and how alike are up to each.
func device(period, jitter, pushes float64, up, ack, down [2]int, alike int) func(*tape) {
	return func(t *tape) {
		size, answer, told := t.size(up[0], up[1]), t.size(ack[0], ack[1]), t.size(down[0], down[1])
		p := period * t.between(0.7, 1.4)
		delay := t.between(0.01, 0.2)
		report := func(at float64) {
			t.say(at, true, size+t.r.IntN(alike))
			t.say(at+delay*t.between(0.8, 1.3), false, answer)
		}
		if jitter < 0 {
			t.chance(60/p, report)
		} else {
			t.timer(p, jitter, report)
		}
		if pushes > 0 {
			t.chance(pushes, func(at float64) {
				t.say(at, false, told+t.r.IntN(alike))
				if t.r.IntN(2) == 0 {
					t.say(at+delay, true, answer)
				}
			})
		}
	}
}

func honest() []kind {
	small, ack := [2]int{60, 400}, [2]int{4, 10}
	return []kind{
		{"mqtt telemetry, timer", false, device(30, 0.05, 0.5, small, ack, [2]int{60, 500}, 6)},
		{"mqtt telemetry, chance", false, device(20, -1, 1, small, ack, [2]int{60, 500}, 3)},
		{"mqtt telemetry, alike, told often", false, device(12, 0.3, 2, small, ack, [2]int{300, 600}, 1)},
		{"ocpp charger", false, device(30, 0.02, 0.5, [2]int{250, 600}, [2]int{16, 60}, [2]int{80, 300}, 12)},
		{"tracker, by movement", false, device(15, -1, 0.3, [2]int{90, 250}, [2]int{10, 40}, [2]int{40, 200}, 10)},
		{"tracker of JSON, by movement, asked back", false, device(15, -1, 0.8, [2]int{120, 260}, [2]int{30, 60}, [2]int{80, 300}, 14)},
		{"amqp heartbeat and deliveries", false, func(t *tape) {
			t.timer(30, 0.01, func(at float64) { t.say(at, true, 8); t.say(at+0.01, false, 8) })
			t.chance(6, func(at float64) { t.say(at, false, t.size(200, 1500)); t.say(at+0.05, true, 21) })
		}},
		{"amqp publisher with confirms", false, func(t *tape) {
			n := t.size(150, 600)
			t.chance(t.between(4, 20), func(at float64) { t.say(at, true, n+t.r.IntN(60)); t.say(at+0.01, false, 21) })
			t.timer(30, 0.01, func(at float64) { t.say(at, false, 8) })
		}},
		{"nats requests", false, func(t *tape) {
			n, m := t.size(60, 300), t.size(60, 300)
			t.chance(t.between(2, 20), func(at float64) { t.say(at, true, n+t.r.IntN(20)); t.say(at+0.02, false, m+t.r.IntN(30)) })
			t.timer(60, 0.01, func(at float64) { t.say(at, false, 6); t.say(at+0.01, true, 6) })
		}},
		{"push service", false, func(t *tape) {
			t.timer(45, 0.1, func(at float64) { t.say(at, true, 10); t.say(at+0.1, false, 10) })
			t.chance(1, func(at float64) { t.say(at, false, t.size(200, 2000)); t.say(at+0.1, true, 30) })
		}},
		{"remote write", false, func(t *tape) {
			n := t.size(2000, 12000)
			t.timer(15, 0.02, func(at float64) { t.say(at, true, n+t.r.IntN(400)); t.say(at+0.03, false, 160) })
		}},
		{"syslog", false, func(t *tape) { t.chance(t.between(2, 40), func(at float64) { t.say(at, true, t.size(90, 400)) }) }},
		{"game", false, func(t *tape) {
			t.timer(0.5, 0.1, func(at float64) { t.say(at, true, t.size(20, 60)) })
			t.timer(0.5, 0.1, func(at float64) { t.say(at, false, t.size(40, 300)) })
		}},
		{"ldap lookups", false, func(t *tape) {
			t.chance(t.between(2, 15), func(at float64) { t.say(at, true, t.size(70, 140)); t.say(at+0.01, false, t.size(100, 900)) })
		}},
		{"chat, heartbeat", false, func(t *tape) {
			t.timer(t.between(20, 45), 0.02, func(at float64) { t.say(at, true, 40); t.say(at+0.08, false, 36) })
			t.chance(t.between(1, 8), func(at float64) { t.say(at, false, t.size(180, 900)) })
			t.chance(t.between(0.5, 3), func(at float64) { t.say(at, true, t.size(80, 300)); t.say(at+0.1, false, t.size(90, 320)) })
		}},
		{"heartbeat and few events", false, func(t *tape) {
			beat, back := t.size(30, 120), t.size(30, 90)
			t.timer(60, 0.005, func(at float64) { t.say(at, true, beat); t.say(at+0.05, false, back) })
			t.chance(t.between(0.3, 2), func(at float64) { t.say(at, true, t.size(90, 400)); t.say(at+0.05, false, back) })
			t.chance(t.between(0.3, 2), func(at float64) { t.say(at, false, t.size(90, 600)) })
		}},
		{"sip registration and options", false, func(t *tape) {
			n := t.size(380, 600)
			t.timer(30, 0.02, func(at float64) { t.say(at, true, n); t.say(at+0.05, false, n+40) })
			t.timer(60, 0.02, func(at float64) { t.say(at, false, n+10); t.say(at+0.05, true, n+20) })
		}},
		{"ticker", false, func(t *tape) {
			n := t.size(120, 300)
			t.chance(60, func(at float64) { t.say(at, false, n+t.r.IntN(12)) })
			t.timer(20, 0.05, func(at float64) { t.say(at, true, 20); t.say(at+0.1, false, 20) })
		}},
		{"kubelet", false, func(t *tape) {
			lease := t.size(300, 500)
			t.timer(10, 0.04, func(at float64) { t.say(at, true, lease); t.say(at+0.02, false, lease+60) })
			t.chance(4, func(at float64) { t.say(at, false, t.size(400, 4000)) })
		}},
		{"queue worker", false, func(t *tape) {
			done, ok := t.size(80, 200), t.size(10, 40)
			t.chance(t.between(2, 12), func(at float64) {
				t.say(at, true, done+t.r.IntN(40))
				t.say(at+0.02, false, ok)
				t.say(at+1.2, false, t.size(200, 900)) // the next piece of work
			})
		}},
		{"home automation", false, func(t *tape) {
			t.chance(t.between(2, 10), func(at float64) { t.say(at, false, t.size(250, 420)) })
			t.chance(t.between(0.5, 3), func(at float64) { t.say(at, true, t.size(90, 160)); t.say(at+0.05, false, t.size(60, 80)) })
			t.timer(30, 0.01, func(at float64) { t.say(at, true, 26); t.say(at+0.03, false, 28) })
		}},
		{"trading by api", false, func(t *tape) {
			order, ok, fill := t.size(160, 260), t.size(120, 200), t.size(240, 420)
			t.chance(t.between(1, 10), func(at float64) { t.say(at, true, order+t.r.IntN(8)); t.say(at+0.02, false, ok+t.r.IntN(6)) })
			t.chance(t.between(1, 10), func(at float64) { t.say(at, false, fill+t.r.IntN(10)) })
		}},
		{"telemetry of JSON, acknowledged", false, device(10, -1, 0.5, [2]int{180, 320}, [2]int{30, 50}, [2]int{180, 500}, 24)},
	}
}
