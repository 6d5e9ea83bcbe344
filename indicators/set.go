package indicators

import (
	"net/netip"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/minewarden/minewarden"
)

// A Set finds indicators. It is immutable and safe for concurrent use.
//
// A look-up asks the table for the number of the facts: what is said about a value, kept once for all of which the same is said. The
// table knows values by their hashes, and what is met was asked for, so that no look-up reads a text.
type Set struct {
	table          *table
	facts          []facts // the first are none's
	sources        []string
	networks       bart.Table[uint32] // numbers of facts
	sparedNetworks bart.Lite
	values         values
	n              int
	count          [len(kindNames)]int
	allowed        bool // there is at least one allow entry
}

// facts are what is said about a value.
type facts struct {
	expires uint32 // minutes since 1970; 0: never
	source  uint16
	sure    uint8 // confidence in 1/sureUnits
	flags   uint8
}

const (
	listed = 1 << iota // known to be bad
	spared             // on the allow-list
)

const sureUnits = 200

// allowance marks the kind of a value that is kept as one of the allow-list.
const allowance = 0x80

// with returns what is known of a value of which both are said.
func (f facts) with(more facts) facts {
	if more.flags&listed != 0 && (f.flags&listed == 0 || more.sure > f.sure || (more.sure == f.sure && more.expires == 0)) {
		more.flags |= f.flags
		return more
	}
	f.flags |= more.flags
	return f
}

// met reports whether a value of which f is said is known to be bad at a time.
func (f facts) met(now time.Time) bool {
	return f.flags&listed != 0 && (f.expires == 0 || now.Unix()/60 < int64(f.expires))
}

// The indexes of kindNames.
const (
	kindDomain = iota
	kindIP
	kindCIDR
	kindEndpoint
)

var kindNames = [...]string{Domain, IP, CIDR, Endpoint, URL, SHA256, Wallet}

func kindOf(typ string) (uint8, bool) {
	for i, n := range kindNames {
		if n == typ {
			return uint8(i), true
		}
	}
	return 0, false
}

// A Hit is an indicator that a look-up met. It is written out only for who wants to tell of it.
type Hit struct {
	set   *Set
	facts facts
	kind  uint8
	port  uint16
	text  string       // what is met; empty: the address is
	addr  netip.Prefix // of one address or more
}

// Confidence returns how sure the source of the indicator is.
func (h *Hit) Confidence() float64 { return float64(h.facts.sure) / sureUnits }

// Indicator writes the indicator out.
func (h *Hit) Indicator() minewarden.Indicator {
	ind := minewarden.Indicator{Type: kindNames[h.kind], Value: h.text, Source: h.set.sources[h.facts.source], Confidence: h.Confidence()}
	if h.text == "" {
		switch h.kind {
		case kindIP:
			ind.Value = h.addr.Addr().String()
		case kindEndpoint:
			ind.Value = netip.AddrPortFrom(h.addr.Addr(), h.port).String()
		case kindCIDR:
			ind.Value = h.addr.String()
		}
	}
	if h.facts.expires != 0 {
		ind.Expires = time.Unix(int64(h.facts.expires)*60, 0).UTC()
	}
	return ind
}

// Name finds the indicator that a domain name in normal form meets: its own or that of a parent, the longest first.
func (s *Set) Name(name string, now time.Time) (hit Hit, ok bool) {
	if s.count[kindDomain] == 0 {
		return hit, false
	}
	rest, dot := name, strings.IndexByte(name, '.')
	for {
		if number := s.table.find(kindDomain, rest); number != 0 {
			f := s.facts[number]
			if f.flags&spared != 0 {
				return Hit{}, false
			}
			if !ok && f.met(now) {
				hit.set, hit.facts, hit.kind, hit.text, ok = s, f, kindDomain, rest, true
			}
		}
		if ok && !s.allowed {
			return hit, true
		}
		if dot < 0 {
			return hit, ok
		}
		rest = rest[dot+1:]
		if dot = strings.IndexByte(rest, '.'); dot < 0 {
			return hit, ok // a top-level domain is nobody's
		}
	}
}

// Addr finds the indicator that an address meets: with its port, by itself, or by its network. Port 0 means unknown.
func (s *Set) Addr(a netip.Addr, port uint16, now time.Time) (hit Hit, ok bool) {
	if s.count[kindIP] == 0 && s.count[kindCIDR] == 0 && s.count[kindEndpoint] == 0 {
		return hit, false
	}
	a = a.WithZone("").Unmap()
	one := netip.PrefixFrom(a, a.BitLen())
	ip, endpoint := s.facts[s.table.findAddr(kindIP, a, 0)], facts{}
	if port != 0 && s.count[kindEndpoint] > 0 {
		endpoint = s.facts[s.table.findAddr(kindEndpoint, a, port)]
	}
	switch {
	case s.allowed && ((ip.flags|endpoint.flags)&spared != 0 || s.sparedNetworks.Lookup(a)):
		return hit, false
	case endpoint.met(now):
		hit.set, hit.facts, hit.kind, hit.addr, hit.port = s, endpoint, kindEndpoint, one, port
		return hit, true
	case ip.met(now):
		hit.set, hit.facts, hit.kind, hit.addr = s, ip, kindIP, one
		return hit, true
	case s.count[kindCIDR] == 0:
		return hit, false
	}
	if _, ok := s.networks.Lookup(a); ok {
		for p, number := range s.networks.Supernets(one) { // the longest first
			if f := s.facts[number]; f.met(now) {
				return Hit{set: s, facts: f, kind: kindCIDR, addr: p}, true
			}
		}
	}
	return hit, false
}

// Exact finds a value of the types that are met by equality: url, sha256, wallet, and cidr as a text.
func (s *Set) Exact(typ, value string, now time.Time) (hit Hit, ok bool) {
	kind, ok := kindOf(typ)
	if !ok || s.count[kind] == 0 {
		return hit, false
	}
	f := s.facts[s.table.findValue(kind, value)]
	if f.flags&spared != 0 || !f.met(now) {
		return hit, false
	}
	hit.set, hit.facts, hit.kind, hit.text = s, f, kind, value
	return hit, true
}

// Len returns how many indicators of each type there are, allow-list included.
func (s *Set) Len() map[string]int {
	out := map[string]int{}
	for kind, n := range s.count {
		if n > 0 {
			out[kindNames[kind]] = n
		}
	}
	return out
}

// All yields every indicator that is not on the allow-list, in the order in which they were added.
func (s *Set) All(yield func(minewarden.Indicator) bool) {
	s.values.all(func(kind uint8, text string) bool {
		if kind&allowance != 0 {
			return true
		}
		h := Hit{set: s, facts: s.facts[s.table.findValue(kind, text)], kind: kind, text: text}
		return yield(h.Indicator())
	})
}

// Allowances yields every value on the allow-list.
func (s *Set) Allowances(yield func(minewarden.Indicator) bool) {
	if !s.allowed {
		return
	}
	s.values.all(func(kind uint8, text string) bool {
		return kind&allowance == 0 || yield(minewarden.Indicator{Type: kindNames[kind&^allowance], Value: text, Source: "allow-list", Confidence: 1})
	})
}
