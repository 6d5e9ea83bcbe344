package isolate

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden/responders/isolate/sdn"
)

// Config is the section "isolate" of the configuration.
type Config struct {
	// Expires is how long an isolation lasts at most.
	Expires time.Duration `yaml:"expires"`
	// Confirm is how long an isolation stands without a sign that the operator can still be reached.
	Confirm time.Duration `yaml:"confirm"`
	// Survive keeps an isolation when the agent ends or is started again, until it expires.
	Survive bool `yaml:"survive"`
	// Management says how the operator reaches this host.
	Management Management `yaml:"management"`
	// DNS is "none", or "resolvers": those of resolv.conf.
	DNS string `yaml:"dns"`
	// DHCP lets the host keep its address.
	DHCP bool `yaml:"dhcp"`
	// Allow lists what the host itself may still talk to: ADDRESS, CIDR, tcp/ADDRESS:PORT or udp/CIDR:PORT.
	Allow []string `yaml:"allow"`
	// Controllers are SDN controllers that can isolate this host from outside of it.
	Controllers []sdn.Config `yaml:"controllers"`
}

// Management is how the operator reaches this host.
type Management struct {
	// Ports are the local TCP ports of sshd and the console. Those that a running sshd of root has are added.
	Ports []uint16 `yaml:"ports"`
	// Peers are the networks that operators come from. They stay allowed on Ports; empty: only who is connected now.
	Peers []string `yaml:"peers"`
	// Automatic finds operators by their present connections to Ports; with Peers, only those within them.
	Automatic bool `yaml:"automatic"`
	// Probe are "ADDRESS:PORT" whose answer says that the operator can be reached. They are allowed.
	Probe []string `yaml:"probe"`
}

// The choices for DNS.
const (
	dnsNone      = "none"
	dnsResolvers = "resolvers"
)

// Bounds of the rules: more is a slip of the pen, and each is a line that a person must read.
const (
	maxAllow    = 64
	maxPeers    = 64
	maxPorts    = 16
	minConfirm  = 2 * time.Second
	maxExpires  = 31 * 24 * time.Hour
	minBits4    = 8 // of networks that are kept
	minBits6    = 16
	defaultKeep = 4 * time.Hour
)

// DefaultConfig is what an empty section means.
func DefaultConfig() Config {
	return Config{
		Expires: defaultKeep, Confirm: time.Minute, DNS: dnsNone, DHCP: true,
		Management: Management{Ports: []uint16{22, 7443}, Automatic: true},
	}
}

// Validate does no I/O.
func (c *Config) Validate() error {
	if c.Expires < time.Second || c.Expires > maxExpires {
		return fmt.Errorf("expires: %s is not between 1s and %s", c.Expires, maxExpires)
	}
	if c.Confirm < minConfirm || c.Confirm > c.Expires {
		return fmt.Errorf("confirm: %s is not between %s and expires", c.Confirm, minConfirm)
	}
	if c.DNS != dnsNone && c.DNS != dnsResolvers {
		return fmt.Errorf("dns: %q is neither %s nor %s", c.DNS, dnsNone, dnsResolvers)
	}
	m := &c.Management
	if len(m.Ports) > maxPorts || slices.Contains(m.Ports, 0) {
		return fmt.Errorf("management.ports: at most %d ports, none of them 0", maxPorts)
	}
	if len(m.Peers) > maxPeers || len(c.Allow) > maxAllow || len(m.Probe) > maxPeers {
		return fmt.Errorf("at most %d peers, %d probes and %d entries to allow", maxPeers, maxPeers, maxAllow)
	}
	for _, p := range m.Peers {
		if _, err := parsePrefix(p); err != nil {
			return fmt.Errorf("management.peers: %w", err)
		}
	}
	for _, p := range m.Probe {
		if a, err := netip.ParseAddrPort(p); err != nil || a.Port() == 0 {
			return fmt.Errorf("management.probe: %q is not ADDRESS:PORT", p)
		}
	}
	for _, a := range c.Allow {
		if _, err := parseAllow(a); err != nil {
			return fmt.Errorf("allow: %w", err)
		}
	}
	if len(c.Controllers) > maxAllow {
		return fmt.Errorf("more than %d controllers", maxAllow)
	}
	seen := map[string]bool{}
	for i := range c.Controllers {
		k := &c.Controllers[i]
		if err := k.Validate(); err != nil {
			return fmt.Errorf("controllers: %w", err)
		}
		if seen[k.Name] {
			return fmt.Errorf("controllers: two are called %q", k.Name)
		}
		seen[k.Name] = true
	}
	return nil
}

// An Allowed is what the host itself may talk to. Port 0 stands for all of Prefix, whatever the protocol.
type Allowed struct {
	Prefix netip.Prefix `json:"prefix"`
	Proto  string       `json:"proto,omitempty"` // tcp, udp
	Port   uint16       `json:"port,omitempty"`
}

// String writes it as the configuration has it.
func (a Allowed) String() string {
	text := prefixText(a.Prefix)
	if a.Port == 0 {
		return text
	}
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	return a.Proto + "/" + text + ":" + strconv.Itoa(int(a.Port))
}

func parseAllow(s string) (Allowed, error) {
	proto, rest, ok := strings.Cut(s, "/")
	if !ok || (proto != "tcp" && proto != "udp") {
		p, err := parsePrefix(s)
		return Allowed{Prefix: p}, err
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return Allowed{}, fmt.Errorf("%q: want %s/ADDRESS:PORT", s, proto)
	}
	host := rest[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return Allowed{}, fmt.Errorf("%q: a bracket is missing", s)
		}
	}
	port, err := strconv.ParseUint(rest[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Allowed{}, fmt.Errorf("%q: %q is not a port", s, rest[i+1:])
	}
	p, err := parsePrefix(host)
	return Allowed{Prefix: p, Proto: proto, Port: uint16(port)}, err
}

// parsePrefix reads an address or a CIDR. What is wider than any network of operators is refused.
func parsePrefix(s string) (netip.Prefix, error) {
	var p netip.Prefix
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(s); err != nil {
		return p, fmt.Errorf("%q is not an address or a CIDR", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%q is not an address or a CIDR", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	if (p.Addr().Is4() && p.Bits() < minBits4) || (p.Addr().Is6() && p.Bits() < minBits6) {
		return p, fmt.Errorf("%s is too wide to be kept: at least /%d, or /%d of IPv6", p, minBits4, minBits6)
	}
	if p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
		return p, fmt.Errorf("%s is nobody's address", p)
	}
	return p, nil
}

// prefixText leaves out the length of a single address, as nft does.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
