package network

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of what is remembered of DNS answers.
const (
	maxNames    = 65_536 // of each map
	maxAnswered = 64     // addresses of one name
	benignFor   = time.Hour
)

// follow remembers names: those that are blocked, and what others were answered. It is not safe for concurrent use.
type follow struct {
	blocked map[string][]hold
	answers map[string][]netip.Addr  // newest last
	benign  map[netip.Addr]time.Time // last answered for a name that nobody lists
}

func (f *follow) hold(names []string, h hold) {
	if f.blocked == nil {
		f.blocked = map[string][]hold{}
	}
	for _, n := range names {
		if len(f.blocked) < maxNames || f.blocked[n] != nil {
			f.blocked[n] = append(slices.DeleteFunc(f.blocked[n], func(o hold) bool { return o.owner == h.owner }), h)
		}
	}
}

func (f *follow) release(gone func(hold) bool) {
	for n, holds := range f.blocked {
		if holds = slices.DeleteFunc(holds, gone); len(holds) == 0 {
			delete(f.blocked, n)
		} else {
			f.blocked[n] = holds
		}
	}
}

// holds returns who blocks name, or a name above it.
func (f *follow) holds(name string) []hold {
	if len(f.blocked) == 0 {
		return nil
	}
	var out []hold
	for {
		out = append(out, f.blocked[name]...)
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return out
		}
		name = rest
	}
}

func (f *follow) answered(name string, addrs []netip.Addr) {
	if f.answers == nil {
		f.answers = map[string][]netip.Addr{}
	}
	old, known := f.answers[name]
	if !known && len(f.answers) >= maxNames {
		for n := range f.answers { // any: all were answered for nothing so far
			delete(f.answers, n)
			break
		}
	}
	for _, a := range addrs {
		if !slices.Contains(old, a) {
			old = append(old, a)
		}
	}
	f.answers[name] = old[max(0, len(old)-maxAnswered):]
}

// addrs returns what name and the names below it were answered.
func (f *follow) addrs(name string) []netip.Addr {
	out := slices.Clone(f.answers[name])
	for n, addrs := range f.answers {
		if strings.HasSuffix(n, "."+name) {
			out = append(out, addrs...)
		}
	}
	return out
}

func (f *follow) harmless(addrs []netip.Addr, now time.Time) {
	if f.benign == nil {
		f.benign = map[netip.Addr]time.Time{}
	}
	for _, a := range addrs {
		if _, known := f.benign[a]; !known && len(f.benign) >= maxNames {
			for old := range f.benign {
				delete(f.benign, old)
				break
			}
		}
		f.benign[a] = now
	}
}

func (f *follow) shared(a netip.Addr, now time.Time) bool {
	t, ok := f.benign[a]
	return ok && now.Sub(t) < benignFor
}
