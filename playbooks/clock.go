package playbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// jumped is how far the clock on the wall and the steady one may part between two looks before it is a jump: a clock that is
// slewed moves by less than 0.05 %.
const jumped = 5 * time.Second

// saveClock is how often the state of the clocks is written, so that a jump while the agent is down is seen, too.
const saveClock = 10 * time.Minute

// clock notices when the clock on the wall is set.
type clock struct {
	dir    string
	now    func() time.Time
	steady func() (string, time.Duration)

	mu    sync.Mutex
	last  reading
	saved time.Duration
}

// reading is both clocks at one moment.
type reading struct {
	Wall   time.Time     `json:"wall"`
	Boot   string        `json:"boot"`
	Steady time.Duration `json:"steady"`
}

// clockFile is its name, without the suffix.
const clockFile = "clock"

func newClock(dir string, now func() time.Time, steady func() (string, time.Duration)) (*clock, error) {
	if steady == nil {
		steady = sinceBoot
	}
	c := &clock{dir: dir, now: now, steady: steady}
	last, err := readJSON[reading](filepath.Join(dir, clockFile+suffix))
	if err != nil && !os.IsNotExist(err) {
		return c, fmt.Errorf("read the last state of the clock: %w", err)
	}
	c.last = last
	return c, nil
}

// sinceBoot counts while the machine sleeps, and nobody can set it.
func sinceBoot() (string, time.Duration) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0
	}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return "", 0
	}
	return strings.TrimSpace(string(boot)), time.Duration(t.Nano())
}

// look returns by how much the clock was set since the last look; zero where it was not, or where that cannot be known. Over a
// restart of the machine only backwards can be seen.
func (c *clock) look() (now time.Time, by time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.now().Round(0)
	boot, steady := c.steady()
	if !c.last.Wall.IsZero() {
		passed := wall.Sub(c.last.Wall)
		switch {
		case boot == c.last.Boot:
			by = passed - (steady - c.last.Steady)
		case passed < 0:
			by = passed
		}
		if by.Abs() < jumped {
			by = 0
		}
	}
	fresh := c.last.Boot != boot || by != 0
	c.last = reading{wall, boot, steady}
	if fresh || steady-c.saved >= saveClock {
		if err = (files[reading]{c.dir}).put(clockFile, c.last); err == nil {
			c.saved = steady
		}
	}
	return wall, by, err
}

// signed writes a jump as "+72h" or "-5m".
func signed(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 0 {
		return "-" + Duration(-d).String()
	}
	return "+" + Duration(d).String()
}
