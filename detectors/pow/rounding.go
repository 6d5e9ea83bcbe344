package pow

import (
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
)

// The rounding rule: RandomX's CFROUND sets the floating-point rounding mode from the data, several times a millisecond.
const (
	minReads     = 10                      // found in 75 % of runs at 10 reads, in 97 % at 15
	minModes     = 3                       // honest maximum is 2 (interval arithmetic), test suites of math libraries apart
	minPerMode   = 2                       // reads, of each of these modes
	minRounding  = 1500 * time.Millisecond // from the first report with several modes to the last: a short self-test is none
	minReports   = 2                       // that show directed modes
	mixedReads   = 12                      // from which on a report of a hashing thread shows minModes modes, 19 times of 20
	mixedPercent = 80                      // of such reports must
)

// modes sums reports of threads.
type modes struct {
	reads   [4]uint32 // near, down, up, zero
	ftz     uint32
	reports uint32
	large   uint32 // reports with at least mixedReads, not all near
	mixed   uint32 // of these, with at least minModes modes
}

func (m *modes) add(r *minewarden.Rounding) {
	reads := [4]uint32{r.Near, r.Down, r.Up, r.Zero}
	seen := 0
	for i, n := range reads {
		m.reads[i] = addCapped(m.reads[i], n)
		if n > 0 {
			seen++
		}
	}
	m.ftz = addCapped(m.ftz, r.FTZ)
	m.reports++
	if total := sum(reads); total >= mixedReads && total > uint64(r.Near) {
		m.large++
		if seen >= minModes {
			m.mixed++
		}
	}
}

func (m *modes) merge(o *modes) {
	for i, n := range o.reads {
		m.reads[i] = addCapped(m.reads[i], n)
	}
	m.ftz = addCapped(m.ftz, o.ftz)
	m.reports += o.reports
	m.large += o.large
	m.mixed += o.mixed
}

// distinct counts the modes that were read often enough to be no accident.
func (m *modes) distinct() int {
	n := 0
	for _, reads := range m.reads {
		if reads >= minPerMode {
			n++
		}
	}
	return n
}

// random says that the modes look like CFROUND's: many, and mixed in every report. A program that goes through the modes
// one after another, each for longer than a report, is not.
func (m *modes) random() bool {
	return sum(m.reads) >= minReads && m.distinct() >= minModes && m.mixed*100 >= m.large*mixedPercent
}

func (m *modes) String() string {
	return fmt.Sprintf("%d/%d/%d/%d", m.reads[0], m.reads[1], m.reads[2], m.reads[3])
}

func sum(reads [4]uint32) uint64 {
	return uint64(reads[0]) + uint64(reads[1]) + uint64(reads[2]) + uint64(reads[3])
}

// addCapped keeps sums of absurd input from wrapping.
func addCapped(a, b uint32) uint32 {
	if s := a + b; s >= a {
		return s
	}
	return ^uint32(0)
}
