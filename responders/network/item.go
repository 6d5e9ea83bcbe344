package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden/indicators"
)

// A Kind says what an Item refuses.
type Kind string

// The kinds.
const (
	Address  Kind = "address" // and networks
	Endpoint Kind = "endpoint"
	Port     Kind = "port"
	Tree     Kind = "tree"   // a process and all below it
	Cgroup   Kind = "cgroup" // and all below it
)

// An Item is one thing that is refused. It is comparable, and holds only what its kind needs.
type Item struct {
	Kind   Kind         `json:"kind"`
	Prefix netip.Prefix `json:"prefix,omitzero"` // of address and endpoint; IPv4 is never mapped
	Port   uint16       `json:"port,omitempty"`
	PID    int32        `json:"pid,omitempty"`
	Start  uint64       `json:"start,omitempty"` // clock ticks since boot
	ID     uint64       `json:"id,omitempty"`    // of a cgroup: its inode
}

// String names it for people.
func (i Item) String() string {
	switch i.Kind {
	case Address:
		if i.Prefix.IsSingleIP() {
			return i.Prefix.Addr().String()
		}
		return i.Prefix.String()
	case Endpoint:
		return netip.AddrPortFrom(i.Prefix.Addr(), i.Port).String()
	case Port:
		return "port " + strconv.Itoa(int(i.Port))
	case Tree:
		return fmt.Sprintf("pid %d and all below it", i.PID)
	case Cgroup:
		return fmt.Sprintf("cgroup %d and all below it", i.ID)
	}
	return string(i.Kind)
}

// covers reports whether a connection to a meets the item.
func (i Item) covers(a netip.AddrPort) bool {
	switch i.Kind {
	case Address:
		return i.Prefix.Contains(a.Addr().Unmap())
	case Endpoint:
		return i.Prefix.Addr() == a.Addr().Unmap() && i.Port == a.Port()
	case Port:
		return i.Port == a.Port()
	}
	return false
}

func address(a netip.Addr) Item {
	a = a.Unmap().WithZone("")
	return Item{Kind: Address, Prefix: netip.PrefixFrom(a, a.BitLen())}
}

func endpoint(a netip.AddrPort) Item {
	i := address(a.Addr())
	i.Kind, i.Port = Endpoint, a.Port()
	return i
}

// narrowest networks that may be blocked: a wider one is a slip of the pen.
const (
	minBits4 = 8
	minBits6 = 16
)

// ParseTarget reads what a person wants to block: an address, a CIDR, "address:port", ":port" or a name. A name gives no Item.
func ParseTarget(s string) (Item, string, error) {
	s = strings.TrimSpace(s)
	if p, ok := strings.CutPrefix(s, ":"); ok && !strings.Contains(p, ":") {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Item{}, "", fmt.Errorf("%q is not a port", s)
		}
		return Item{Kind: Port, Port: uint16(n)}, "", nil
	}
	typ, v, err := indicators.Normal("", s)
	if err != nil {
		return Item{}, "", err
	}
	switch typ {
	case indicators.IP:
		a, err := netip.ParseAddr(v)
		return address(a), "", err
	case indicators.CIDR:
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return Item{}, "", err
		}
		p = unmap(p)
		if (p.Addr().Is4() && p.Bits() < minBits4) || (p.Addr().Is6() && p.Bits() < minBits6) {
			return Item{}, "", fmt.Errorf("%s is too wide: at least /%d, or /%d of IPv6", p, minBits4, minBits6)
		}
		return Item{Kind: Address, Prefix: p}, "", nil
	case indicators.Endpoint:
		a, err := netip.ParseAddrPort(v)
		return endpoint(a), "", err
	case indicators.Domain:
		return Item{}, v, nil
	}
	return Item{}, "", fmt.Errorf("%q is not an address, a CIDR, ADDRESS:PORT, :PORT or a name", s)
}

func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// A hold is one reason why an item is refused. The item is let go when the last one ends.
type hold struct {
	owner string    // action id, or the guard's
	until time.Time // zero: never ends
}

// table is what is refused, and why. It is not safe for concurrent use.
type table struct{ items map[Item][]hold }

// add returns whether the time until which the item is refused changed.
func (t *table) add(i Item, h hold) bool {
	if t.items == nil {
		t.items = map[Item][]hold{}
	}
	holds := t.items[i]
	before, had := end(holds), len(holds) > 0
	holds = slices.DeleteFunc(holds, func(o hold) bool { return o.owner == h.owner })
	t.items[i] = append(holds, h)
	return !had || !before.Equal(end(t.items[i]))
}

// drop takes back the holds that gone selects, and returns the items that changed: those in table still are held by others.
func (t *table) drop(gone func(Item, hold) bool) []Item {
	var changed []Item
	for i, holds := range t.items {
		n := len(holds)
		if holds = slices.DeleteFunc(holds, func(h hold) bool { return gone(i, h) }); len(holds) == n {
			continue
		}
		changed = append(changed, i)
		if len(holds) == 0 {
			delete(t.items, i)
		} else {
			t.items[i] = holds
		}
	}
	return changed
}

// end is when the last of holds ends; zero: never.
func end(holds []hold) time.Time {
	var last time.Time
	for _, h := range holds {
		if h.until.IsZero() {
			return time.Time{}
		}
		if h.until.After(last) {
			last = h.until
		}
	}
	return last
}
