package isolate

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/resolvers"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// A channel is one present management connection.
type channel struct {
	local, remote netip.AddrPort
	who           string // the process that has it, for people
	guilty        int32  // the process of the incident that runs below it; 0: none
}

func (c channel) String() string {
	return fmt.Sprintf("%s from %s to port %d", c.who, c.remote, c.local.Port())
}

// view is what a plan needs to know of the host.
type view struct {
	all   map[int32]proc.Stat
	own   map[uint32]int32 // who holds a socket, by inode
	ports []uint16
	list  []channel // management connections
	socks []sockets.Socket
}

// sshd are the programs whose ports are management ports, if root runs them.
var sshd = []string{"sshd", "sshd-session", "sshd-auth", "dropbear"}

// look reads processes and sockets of this network namespace.
func (r *Responder) look() (*view, error) {
	v := &view{ports: slices.Clone(r.config.Management.Ports)}
	var err error
	if v.all, err = proc.All(); err != nil {
		return nil, err
	}
	pids := make([]int32, 0, len(v.all))
	for pid := range v.all {
		pids = append(pids, pid)
	}
	v.own = sockets.Holders(pids)
	d, err := sockets.Open()
	if err != nil {
		return nil, err
	}
	listeners := map[int32]bool{}
	err = d.List(sockets.Listening, false, func(k sockets.Socket) {
		pid, ok := v.own[k.Inode]
		if !ok || slices.Contains(v.ports, k.Local.Port()) || len(v.ports) >= 2*maxPorts {
			return
		}
		if _, known := listeners[pid]; !known {
			listeners[pid] = isSSH(pid)
		}
		if listeners[pid] {
			v.ports = append(v.ports, k.Local.Port())
		}
	})
	if err == nil {
		err = d.List(sockets.Talking, true, func(k sockets.Socket) { v.socks = append(v.socks, k) })
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	v.ports = sorted(v.ports, cmp.Compare)
	for i := range v.socks {
		k := &v.socks[i]
		if k.Proto == syscall.IPPROTO_TCP && slices.Contains(v.ports, k.Local.Port()) && !k.Remote.Addr().IsLoopback() && !k.Local.Addr().IsLoopback() {
			v.list = append(v.list, channel{local: k.Local, remote: netip.AddrPortFrom(k.Remote.Addr().WithZone(""), k.Remote.Port()), who: v.name(k.Inode)})
		}
	}
	return v, nil
}

// isSSH asks for the program and its owner: anybody can call himself sshd.
func isSSH(pid int32) bool {
	dir := "/proc/" + strconv.Itoa(int(pid))
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 {
		return false
	}
	exe, err := os.Readlink(dir + "/exe")
	return err == nil && slices.Contains(sshd, filepath.Base(strings.TrimSuffix(exe, " (deleted)")))
}

const maxTitle = 64

// name is a socket's process as a person would know it. What it calls itself is quoted: it may hold anything.
func (v *view) name(inode uint32) string {
	pid, ok := v.own[inode]
	if !ok {
		return "somebody"
	}
	title := v.all[pid].Comm
	if b, err := proc.ReadSmall("/proc/" + strconv.Itoa(int(pid)) + "/cmdline"); err == nil && len(b) > 0 {
		title = strings.TrimRight(strings.ReplaceAll(string(b), "\x00", " "), " ")
	}
	if len(title) > maxTitle {
		title = title[:maxTitle] + "…"
	}
	return fmt.Sprintf("%s (pid %d)", printable(title), pid)
}

// printable keeps a name that a process gave itself from acting on a terminal.
func printable(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

// blame marks the connections below which processes of the incident run: an intruder's session is no operator's.
func (v *view) blame(inc *minewarden.Incident, boot string) {
	holds := map[int32][]int{} // channels by the process that holds them
	for i, c := range v.list {
		for k := range v.socks {
			s := &v.socks[k]
			if s.Local != c.local || netip.AddrPortFrom(s.Remote.Addr().WithZone(""), s.Remote.Port()) != c.remote {
				continue
			}
			if pid, ok := v.own[s.Inode]; ok {
				holds[pid] = append(holds[pid], i)
			}
		}
	}
	for _, m := range inc.Members {
		if m.Weak || (m.Key.Boot != boot && m.Key.Boot != "") {
			continue
		}
		s, ok := v.all[m.Key.PID]
		if !ok || s.Start != m.Key.Start {
			continue
		}
		seen := map[int32]bool{}
		for pid := s.PID; pid > 1 && !seen[pid]; pid = v.all[pid].PPID {
			seen[pid] = true
			for _, i := range holds[pid] {
				v.list[i].guilty = s.PID
			}
		}
	}
}

// scope is what would stay, with what a person should know about it.
func (r *Responder) scope(v *view) (*Scope, []string, error) {
	c := &r.config
	s := &Scope{Ports: v.ports, DHCP: c.DHCP}
	var remarks []string
	var peers []netip.Prefix
	for _, p := range c.Management.Peers {
		q, err := parsePrefix(p)
		if err != nil {
			return nil, nil, err
		}
		peers = append(peers, q)
	}
	s.Peers = slices.Clone(peers)
	for _, k := range v.list {
		inside := slices.ContainsFunc(peers, func(p netip.Prefix) bool { return p.Contains(k.remote.Addr()) })
		switch {
		case k.guilty != 0:
			remarks = append(remarks, fmt.Sprintf("%s is cut: pid %d of the incident runs below it", k, k.guilty))
			continue
		case len(peers) > 0 && !inside:
			remarks = append(remarks, fmt.Sprintf("%s is cut: it comes from none of management.peers", k))
			continue
		case !c.Management.Automatic && !inside:
			remarks = append(remarks, fmt.Sprintf("%s is cut: management.automatic is off", k))
			continue
		case len(s.Flows) >= maxFlows:
			remarks = append(remarks, fmt.Sprintf("%s is cut: there are more than %d", k, maxFlows))
			continue
		}
		s.Flows = append(s.Flows, k.remote)
		if !inside && !slices.Contains(s.Peers, single(k.remote.Addr())) {
			s.Peers = append(s.Peers, single(k.remote.Addr()))
		}
	}
	for _, p := range c.Management.Probe {
		a, err := netip.ParseAddrPort(p)
		if err != nil {
			return nil, nil, fmt.Errorf("management.probe: %w", err)
		}
		s.Probes = append(s.Probes, netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
	}
	for _, a := range c.Allow {
		k, err := parseAllow(a)
		if err != nil {
			return nil, nil, err
		}
		s.Allow = append(s.Allow, k)
	}
	controllers, unreached := r.outside.reach()
	s.Allow, remarks = append(s.Allow, controllers...), append(remarks, unreached...)
	if c.DNS == dnsResolvers {
		list, err := resolvers.Read(r.root)
		if err != nil {
			return nil, nil, err
		}
		for _, a := range list {
			if !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && len(s.DNS) < maxAllow {
				s.DNS = append(s.DNS, a)
			}
		}
	}
	s.Peers, s.DNS = sorted(s.Peers, comparePrefix), sorted(s.DNS, netip.Addr.Compare)
	s.Flows, s.Probes = sorted(s.Flows, netip.AddrPort.Compare), sorted(s.Probes, netip.AddrPort.Compare)
	more, err := s.devices()
	return s, append(remarks, more...), err
}

// tunnels are devices whose packets travel inside of others, which would be cut.
var tunnels = []string{"wireguard", "tuntap", "vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "ppp"}

// devices picks the devices to drop on: those by which peers are reached and routes lead first, containers' last.
func (s *Scope) devices() (remarks []string, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the network devices: %w", err)
	}
	rank := map[string]int{}
	left := 0
	for _, l := range links {
		a := l.Attrs()
		switch {
		case a.Flags&net.FlagLoopback != 0:
		case !validDevice(a.Name):
			left++
		case l.Type() == "veth" && a.MasterIndex != 0:
			rank[a.Name] = 2
		default:
			rank[a.Name] = 1
		}
		if slices.Contains(tunnels, l.Type()) && s.reachedBy(a.Index) {
			remarks = append(remarks, fmt.Sprintf("an operator is reached by the tunnel %s: what carries it is cut too, unless it is in allow", a.Name))
		}
	}
	for name := range rank {
		s.Devices = append(s.Devices, name)
	}
	slices.SortFunc(s.Devices, func(a, b string) int { return cmp.Or(cmp.Compare(rank[a], rank[b]), cmp.Compare(a, b)) })
	if len(s.Devices) > maxDevices {
		left += len(s.Devices) - maxDevices
		s.Devices = s.Devices[:maxDevices]
	}
	if left > 0 {
		remarks = append(remarks, fmt.Sprintf("%d devices have no hooks of their own: only what is routed or bridged is cut there", left))
	}
	return remarks, nil
}

func (s *Scope) reachedBy(index int) bool {
	return slices.ContainsFunc(s.Peers, func(p netip.Prefix) bool {
		routes, err := netlink.RouteGet(p.Addr().AsSlice())
		return err == nil && slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.LinkIndex == index })
	})
}
