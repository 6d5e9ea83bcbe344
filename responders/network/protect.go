package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/minewarden/minewarden/responders/internal/resolvers"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// never are blocked for nobody: a host without these falls over, and no pool is there.
var never = map[string]string{
	"127.0.0.0/8": "loopback", "::1/128": "loopback", "0.0.0.0/32": "unspecified", "::/128": "unspecified",
	"169.254.0.0/16": "link-local", "fe80::/10": "link-local", "224.0.0.0/4": "multicast", "ff00::/8": "multicast", "255.255.255.255/32": "broadcast",
}

// shield is what must not be blocked at the moment it was made.
type shield struct {
	why   map[netip.Prefix]string
	names []string
}

// newShield looks at the host. What it cannot see is an error: a block without it could lock everybody out.
func (r *Responder) newShield() (*shield, error) {
	c := &r.config
	s := &shield{why: map[netip.Prefix]string{}}
	for p, why := range never {
		s.why[netip.MustParsePrefix(p)] = why
	}
	for _, p := range c.Protect {
		prefix, name, err := parseProtect(p)
		if err != nil {
			return nil, err
		}
		if name != "" {
			s.names = append(s.names, name)
			continue
		}
		s.why[prefix] = "protected by the configuration"
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read this host's addresses: %w", err)
	}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.Unmap().IsLoopback() && (r.foreign == nil || !r.foreign(ip.Unmap())) {
			s.one(n.IP, "an address of this host")
		}
	}
	if err := s.gateways(); err != nil {
		return nil, err
	}
	if err := s.resolvers(r.root); err != nil {
		return nil, err
	}
	return s, s.management(c.Management)
}

func (s *shield) one(ip net.IP, why string) {
	if a, ok := netip.AddrFromSlice(ip); ok {
		a = a.Unmap()
		s.why[netip.PrefixFrom(a, a.BitLen())] = why
	}
}

func (s *shield) gateways() error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil {
			return fmt.Errorf("read the routes: %w", err)
		}
		for i := range routes {
			r := &routes[i]
			if r.Dst != nil {
				if ones, _ := r.Dst.Mask.Size(); ones != 0 {
					continue
				}
			}
			s.one(r.Gw, "the default gateway")
			for _, hop := range r.MultiPath {
				s.one(hop.Gw, "the default gateway")
			}
		}
	}
	return nil
}

// resolvers protects the DNS servers of resolv.conf, and those behind the stub of systemd-resolved.
func (s *shield) resolvers(root fs.FS) error {
	addrs, err := resolvers.Read(root)
	for _, a := range addrs {
		s.why[netip.PrefixFrom(a, a.BitLen())] = "a DNS server of this host"
	}
	return err
}

// management protects who is logged in over these ports now.
func (s *shield) management(ports []uint16) error {
	d, err := sockets.Open()
	if err != nil {
		return err
	}
	err = d.List(sockets.Talking, false, func(k sockets.Socket) {
		if slices.Contains(ports, k.Local.Port()) && !k.Remote.Addr().IsLoopback() {
			a := k.Remote.Addr().WithZone("")
			s.why[netip.PrefixFrom(a, a.BitLen())] = fmt.Sprintf("logged in on port %d", k.Local.Port())
		}
	})
	return errors.Join(err, d.Close())
}

// refuses returns why i is not blocked; empty: it may be.
func (s *shield) refuses(i Item) string {
	if i.Kind != Address && i.Kind != Endpoint {
		return ""
	}
	for p, why := range s.why {
		if p.Bits() <= i.Prefix.Bits() && p.Contains(i.Prefix.Addr()) {
			return why
		}
	}
	return ""
}

func (s *shield) covers(a netip.Addr) string {
	return s.refuses(address(a))
}

func (s *shield) refusesName(name string) bool {
	return slices.ContainsFunc(s.names, func(p string) bool { return name == p || strings.HasSuffix(name, "."+p) })
}

// prefixes are what the kernel lets through whatever else is blocked.
func (s *shield) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for p := range s.why {
		out = append(out, p)
	}
	return out
}
