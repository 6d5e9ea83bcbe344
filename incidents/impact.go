package incidents

import (
	"time"

	"github.com/minewarden/minewarden"
)

// saveImpact is how often what an incident costs is saved when nothing else changes: a crash loses no more than that.
const saveImpact = 30 * time.Second

// machine is the newest HostUsage, and how many came before it.
type machine struct {
	usage minewarden.HostUsage
	count uint64
}

// hostUsage remembers what the machine does, for the members' part in it.
func (c *Correlator) hostUsage(u *minewarden.HostUsage) {
	c.machine.usage = *u
	c.machine.count++
}

// spend adds what a member used to what its incident costs. Weak members are not meant: they may be anybody.
func (c *Correlator) spend(s *story, m *minewarden.Member, u *minewarden.Usage, at time.Time) {
	if m.Weak || u.CPU <= 0 {
		return
	}
	i := &s.inc.Impact
	if i.Since.IsZero() {
		i.Since = at.Add(-u.Interval)
	}
	i.Until = at
	i.CPU += u.CPU
	host := &c.machine.usage
	if host.Busy > 0 {
		i.Joules += host.Joules * min(1, float64(u.CPU)/float64(host.Busy))
	}
	if c.machine.count > s.counted {
		s.counted = c.machine.count
		i.CPUs = host.CPUs
		i.Measured += host.Interval
		i.Host += host.Busy
		i.Stalled += host.Stalled
	}
	if at.Sub(s.costSaved) >= saveImpact || at.Before(s.costSaved) {
		s.costSaved = at
		c.touch(s)
	}
}

// addImpact joins two measurements of different times.
func addImpact(a, b minewarden.Impact) minewarden.Impact {
	switch {
	case b.Since.IsZero():
		return a
	case a.Since.IsZero():
		return b
	}
	if b.Since.Before(a.Since) {
		a.Since = b.Since
	}
	if b.Until.After(a.Until) {
		a.Until = b.Until
	}
	a.CPU += b.CPU
	a.Measured += b.Measured
	a.Host += b.Host
	a.Stalled += b.Stalled
	a.Joules += b.Joules
	a.CPUs = max(a.CPUs, b.CPUs)
	return a
}

// A Cost is what one incident cost, and whether it was one.
type Cost struct {
	Verdict string
	Impact  minewarden.Impact
}

// Costs returns those of the incidents in memory, which hold all that are not closed.
func (k *Keeper) Costs() []Cost {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Cost
	for _, s := range k.c.all {
		if s.inc.Impact.CPU > 0 {
			all = append(all, Cost{s.inc.Verdict, s.inc.Impact})
		}
	}
	return all
}
