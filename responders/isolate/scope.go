package isolate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// A Scope is all that stays when a host is isolated: enough to write the rules.
type Scope struct {
	Ports   []uint16         `json:"ports"`             // where sshd and the console listen
	Peers   []netip.Prefix   `json:"peers,omitempty"`   // who may reach Ports
	Flows   []netip.AddrPort `json:"flows,omitempty"`   // the far ends of present management connections, whatever port they came in by
	Probes  []netip.AddrPort `json:"probes,omitempty"`  // whose answer says that the operator can be reached
	DNS     []netip.Addr     `json:"dns,omitempty"`     // resolvers
	DHCP    bool             `json:"dhcp,omitempty"`    //
	Allow   []Allowed        `json:"allow,omitempty"`   // what else the host itself may talk to
	Devices []string         `json:"devices,omitempty"` // on which packets are dropped before any bridge, macvlan or flow table sees them
}

// Bounds of what comes from an action that was stored.
const (
	maxFlows   = 64
	maxDevices = 128
)

// check refuses a scope that no plan of ours would hold.
func (s *Scope) check() error {
	if len(s.Ports) == 0 || len(s.Ports) > 2*maxPorts || len(s.Peers) > 2*maxPeers || len(s.Flows) > maxFlows || len(s.Allow) > 2*maxAllow ||
		len(s.Probes) > maxPeers || len(s.DNS) > maxAllow || len(s.Devices) > maxDevices {
		return fmt.Errorf("what would stay is more than a plan holds")
	}
	for _, p := range s.Peers {
		if q, err := parsePrefix(p.String()); err != nil || q != p {
			return fmt.Errorf("peer %s is not valid", p)
		}
	}
	for _, a := range s.Allow {
		if b, err := parseAllow(a.String()); err != nil || a != b {
			return fmt.Errorf("%s is not valid", a)
		}
	}
	for _, f := range slices.Concat(s.Flows, s.Probes) {
		if !f.IsValid() || f.Port() == 0 || f.Addr().Is4In6() || f.Addr().Zone() != "" {
			return fmt.Errorf("%s is not valid", f)
		}
	}
	for _, a := range s.DNS {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("resolver %s is not valid", a)
		}
	}
	for _, d := range s.Devices {
		if !validDevice(d) {
			return fmt.Errorf("device %q is not valid", d)
		}
	}
	return nil
}

// validDevice is stricter than the kernel: the name stands in rules that people read.
func validDevice(name string) bool {
	return name != "" && len(name) < unix.IFNAMSIZ && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == '"' || r == '\\' || r == ':'
	})
}

// managed reports whether the scope has anybody who could take the isolation back from afar.
func (s *Scope) managed() bool { return len(s.Peers)+len(s.Flows)+len(s.Probes) > 0 }

// keeps reports whether the rules let a socket talk on.
func (s *Scope) keeps(k *sockets.Socket) bool {
	local, remote := k.Local.Addr(), k.Remote.Addr().WithZone("")
	if local.IsLoopback() || remote.IsLoopback() || local == k.Remote.Addr() {
		return true
	}
	far := netip.AddrPortFrom(remote, k.Remote.Port())
	tcp := k.Proto == unix.IPPROTO_TCP
	if tcp && (slices.Contains(s.Flows, far) || slices.Contains(s.Probes, far)) {
		return true
	}
	if tcp && slices.Contains(s.Ports, k.Local.Port()) && slices.ContainsFunc(s.Peers, func(p netip.Prefix) bool { return p.Contains(remote) }) {
		return true
	}
	if far.Port() == 53 && slices.Contains(s.DNS, remote) {
		return true
	}
	return slices.ContainsFunc(s.Allow, func(a Allowed) bool {
		return a.Prefix.Contains(remote) && (a.Port == 0 || (a.Port == far.Port() && protoNumber(a.Proto) == k.Proto))
	})
}

// A chainSpec is one chain; hook is nil for those that others jump to.
type chainSpec struct {
	name   string
	hook   *nftables.ChainHook
	where  string // the hook as nft writes it
	device string
	rules  []rule
}

// A tableSpec is our table in one family.
type tableSpec struct {
	table  *nftables.Table
	family string
	armed  *nftables.Set
	keys   [][]byte // what stands in armed
	names  []string // the same, as nft writes it
	ports  *nftables.Set
	list   []uint16
	chains []chainSpec
}

// Set ids are ours, for the library's counter is shared by all of the process without a lock; they need to differ within a
// transaction alone.
const (
	idArmed = 1
	idPorts = 2
)

func newTable(family nftables.TableFamily, name string) *tableSpec {
	t := &tableSpec{table: &nftables.Table{Name: tableName, Family: family}, family: name, names: []string{"ip", "ip6"}}
	key := nftables.TypeEtherType
	t.keys = [][]byte{be16(unix.ETH_P_IP), be16(unix.ETH_P_IPV6)}
	if family == nftables.TableFamilyINet {
		key = nftables.TypeNFProto
		t.keys, t.names = [][]byte{{unix.NFPROTO_IPV4}, {unix.NFPROTO_IPV6}}, []string{"ipv4", "ipv6"}
	}
	t.armed = &nftables.Set{Table: t.table, ID: idArmed, Name: setArmed, KeyType: key, HasTimeout: true}
	return t
}

func (t *tableSpec) hook(name, where string, h *nftables.ChainHook, device string, rules ...rule) {
	t.chains = append(t.chains, chainSpec{name: name, hook: h, where: where, device: device, rules: rules})
}

// inward and outward are the two chains that others jump to.
func (t *tableSpec) ways(s *Scope) {
	t.ports, t.list = &nftables.Set{Table: t.table, ID: idPorts, Name: setPorts, KeyType: nftables.TypeInetService}, s.Ports
	for _, w := range []way{{false, t.table.Family}, {true, t.table.Family}} {
		name := chainIn
		if w.out {
			name = chainOut
		}
		t.chains = append(t.chains, chainSpec{name: name, rules: append(w.passes(s, t.ports), join(counter(), drop()))})
	}
}

// inet is the table that every kernel with nftables takes: what comes in, goes out or through.
func (s *Scope) inet() *tableSpec {
	t := newTable(nftables.TableFamilyINet, "inet")
	t.ways(s)
	w := way{family: t.table.Family}
	t.hook("prerouting", "prerouting", nftables.ChainHookPrerouting, "", join(w.armed(t.armed, false), jump(chainIn)))
	t.hook("forward", "forward", nftables.ChainHookForward, "", join(w.armed(t.armed, false), counter(), drop()))
	t.hook("output", "output", nftables.ChainHookOutput, "", join(w.armed(t.armed, false), jump(chainOut)))
	return t
}

// bridge cuts frames from port to port of a bridge, which no other hook must see.
func (s *Scope) bridge() *tableSpec {
	t := newTable(nftables.TableFamilyBridge, "bridge")
	t.hook("forward", "forward", nftables.ChainHookForward, "", join(way{family: t.table.Family}.armed(t.armed, false), counter(), drop()))
	return t
}

// netdev looks at packets where they enter and leave the host: before bridges, macvlans and flow tables, and after packet
// sockets. out: also where they leave, which Linux has since 5.16.
func (s *Scope) netdev(out bool) *tableSpec {
	t := newTable(nftables.TableFamilyNetdev, "netdev")
	t.ways(s)
	w := way{family: t.table.Family}
	for i, d := range s.Devices {
		t.hook(fmt.Sprintf("ingress%d", i), "ingress", nftables.ChainHookIngress, d, join(w.armed(t.armed, false), jump(chainIn)))
		if out {
			t.hook(fmt.Sprintf("egress%d", i), "egress", nftables.ChainHookEgress, d, join(w.armed(t.armed, false), jump(chainOut)))
		}
	}
	return t
}

// text is the table in nft's language.
func (t *tableSpec) text(timeout time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", t.family, tableName)
	kind := "ether_type"
	if t.table.Family == nftables.TableFamilyINet {
		kind = "nf_proto"
	}
	ms := timeout.Milliseconds()
	var armed []string
	for _, n := range t.names {
		armed = append(armed, fmt.Sprintf("%s timeout %dms", n, ms))
	}
	fmt.Fprintf(&b, "\tset %s {\n\t\ttype %s\n\t\tflags timeout\n\t\telements = { %s }\n\t}\n", setArmed, kind, strings.Join(armed, ", "))
	if t.ports != nil {
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype inet_service\n\t\telements = { %s }\n\t}\n", setPorts, portList(t.list))
	}
	for _, c := range t.chains {
		fmt.Fprintf(&b, "\tchain %s {\n", c.name)
		if c.hook != nil {
			device := ""
			if c.device != "" {
				device = fmt.Sprintf(" device %q", c.device)
			}
			fmt.Fprintf(&b, "\t\ttype filter hook %s%s priority %d; policy accept;\n", c.where, device, priority)
		}
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// Rules is all that Do gives to the kernel, in nft's language.
func (s *Scope) Rules(timeout time.Duration) string {
	text := s.inet().text(timeout) + s.bridge().text(timeout)
	if len(s.Devices) > 0 {
		text += s.netdev(true).text(timeout)
	}
	return text
}

// sorted returns each of list once, in order.
func sorted[T comparable](list []T, order func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, order)
	return slices.Compact(list)
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
