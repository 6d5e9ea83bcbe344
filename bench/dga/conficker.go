package main

import (
	"math"
	"time"
)

// wormNames returns the names that Conficker B asks for on a day (UTC), by what has been published of it: 250 names of five to
// eleven letters, from a generator that is seeded with the day and computes in doubles, whose bits are its next state.
func wormNames(day time.Time) []string {
	const (
		epoch  = 11_644_473_600 // seconds from 1601, when Windows counts from, to 1970
		week   = 7 * 24 * 3600 * 10_000_000
		perDay = 250
	)
	endings := [...]string{"cc", "cn", "ws", "com", "net", "org", "info", "biz"}
	state := uint64(day.Truncate(24*time.Hour).Unix()+epoch)*10_000_000*0x352C94565/week + 0xA3596526
	next := func() int32 {
		x := float64(state)
		y := float64((float64(state*0x53125624) + math.Sin(x)) * x)
		state = math.Float64bits(float64((y+0.626454564)*x) + math.Log(x))
		return int32(state)
	}
	names := make([]string, perDay)
	for i := range names {
		b := make([]byte, 8+next()%4)
		for j := range b {
			letter := int64(next())
			b[j] = byte('a' + max(letter, -letter)%26)
		}
		names[i] = string(b) + "." + endings[next()&7]
	}
	return names
}
