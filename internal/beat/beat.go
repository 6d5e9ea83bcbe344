// Package beat lets all that looks by the clock look at the same moments: a machine with nothing to do then wakes once for
// everything, not once for each.
package beat

import (
	"os"
	"time"
)

// Next returns how long it is from now to the next moment of that period, from more than nothing to all of it. Periods that
// are multiples of another meet it. The moments differ from process to process, so that machines which share a processor do
// not all wake at once.
func Next(now time.Time, every time.Duration) time.Duration {
	const stride = 1009 * time.Microsecond // a prime: neighbouring pids spread over a second
	phase := now.UnixNano() - int64(os.Getpid())*int64(stride)%int64(time.Second)
	return every - time.Duration(phase%int64(every))
}
