package isolate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// maxListed bounds the flows that a plan names; the others are counted.
const maxListed = 20

// Plan implements minewarden.Responder. It offers to isolate this host for incidents of high severity or more, and to release it
// while it is isolated.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	var actions []minewarden.Action
	if inc.State != minewarden.Closed && inc.Severity >= minewarden.High {
		a, err := r.PlanIsolate(inc)
		if err != nil {
			return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
		}
		actions = append(actions, a)
		outside, err := r.outside.plan(&inc)
		if err != nil {
			return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
		}
		actions = append(actions, outside...)
	}
	if a, ok := r.PlanRelease(inc); ok {
		actions = append(actions, a)
	}
	return actions, ctx.Err()
}

// PlanIsolate plans the isolation of this host for an incident, or for none. It changes nothing. What Do would refuse says so in
// Refused.
func (r *Responder) PlanIsolate(inc minewarden.Incident) (minewarden.Action, error) {
	a := minewarden.Action{
		ID: Isolate + "-" + rand.Text(), Responder: Name, Op: Isolate, Incident: inc.ID, Reversible: true,
		Target: minewarden.Subject{Type: minewarden.SubjectHost, ID: inc.Host, Name: inc.Host},
	}
	boot, err := proc.Boot()
	if err != nil {
		return a, err
	}
	v, err := r.look()
	if err != nil {
		return a, err
	}
	v.blame(&inc, boot)
	s, remarks, err := r.scope(v)
	if err != nil {
		return a, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return a, err
	}
	rules := s.Rules(r.timeout(r.config.Expires))
	a.Params = map[string]string{"boot": boot, paramScope: string(b), "rules": rules}
	a.Summary = fmt.Sprintf("isolate this host for %s: nothing passes but %s", r.config.Expires, s.kept())
	a.Refused = s.stays(v)
	if !s.managed() {
		a.Summary = "isolate this host: refused, for nobody could reach it any more"
		a.Refused = append(a.Refused, noManagement)
	}
	a.Blast = append(r.cut(s, v), remarks...)
	a.Blast = append(a.Blast, r.ends(s))
	for line := range strings.Lines(rules) {
		a.Blast = append(a.Blast, "rule: "+strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "  "))
	}
	return a, nil
}

// noManagement is why Do refuses; ParamBlind overrules it.
const noManagement = "no operator is connected and none is configured: it is isolated only if " + ParamBlind + " is \"yes\""

// PlanRelease plans the end of what the incident, or without one anybody, isolated; false: nothing.
func (r *Responder) PlanRelease(inc minewarden.Incident) (minewarden.Action, bool) {
	ids := r.held(inc.ID)
	if len(ids) == 0 {
		return minewarden.Action{}, false
	}
	return minewarden.Action{
		ID: Release + "-" + rand.Text(), Responder: Name, Op: Release, Incident: inc.ID,
		Target:  minewarden.Subject{Type: minewarden.SubjectHost, ID: inc.Host, Name: inc.Host},
		Summary: "release this host: what the isolation cut passes again",
		Blast:   []string{"takes back " + strings.Join(ids, ", ")},
		Params:  map[string]string{paramActions: strings.Join(ids, " ")},
	}, true
}

// kept names what stays, in short.
func (s *Scope) kept() string {
	kept := []string{"loopback"}
	if n := len(s.Flows); n > 0 {
		kept = append(kept, count(n, "management connection"))
	} else if len(s.Peers) > 0 {
		kept = append(kept, "the management ports")
	}
	if len(s.DNS) > 0 {
		kept = append(kept, "DNS")
	}
	if len(s.Allow) > 0 {
		kept = append(kept, "the allow-list")
	}
	return strings.Join(kept, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// stays are the lines about what is not touched, and why.
func (s *Scope) stays(v *view) []string {
	lines := []string{"loopback: stays"}
	for _, k := range v.list {
		if slices.Contains(s.Flows, k.remote) {
			lines = append(lines, k.String()+": stays, as management")
		}
	}
	for _, p := range s.Peers {
		lines = append(lines, fmt.Sprintf("%s: may reach the ports %s", prefixText(p), portList(s.Ports)))
	}
	for _, p := range s.Probes {
		lines = append(lines, p.String()+": stays, to see whether the operator can be reached")
	}
	for _, d := range s.DNS {
		lines = append(lines, d.String()+": stays, for DNS")
	}
	for _, a := range s.Allow {
		lines = append(lines, a.String()+": stays, by the allow-list")
	}
	link := "ARP, neighbour discovery"
	if s.DHCP {
		link += ", DHCP"
	}
	return append(lines, link+" and packet-too-big: stay, so that the host can be reached")
}

// cut are the lines about what Do ends.
func (r *Responder) cut(s *Scope, v *view) []string {
	var flows []string
	n := 0
	for i := range v.socks {
		k := &v.socks[i]
		if s.keeps(k) {
			continue
		}
		n++
		if len(flows) < maxListed {
			flows = append(flows, fmt.Sprintf("ends %s %s > %s of %s", protoName(k), k.Local, k.Remote, v.name(k.Inode)))
		}
	}
	lines := append([]string{fmt.Sprintf("all traffic of this host but what stays; %s end", count(n, "present connection"))}, flows...)
	if n > len(flows) {
		lines = append(lines, fmt.Sprintf("… and %d more", n-len(flows)))
	}
	return append(lines, containers()...)
}

func protoName(k *sockets.Socket) string {
	if k.Proto == 17 {
		return "udp"
	}
	return "tcp"
}

// containers are the lines about what is behind this host: it has no sockets here, and is cut all the same.
func containers() []string {
	var lines []string
	links, err := netlink.LinkList()
	if err != nil {
		return []string{"containers and what is routed by this host: all of it is cut"}
	}
	behind := map[int]int{}
	for _, l := range links {
		if m := l.Attrs().MasterIndex; m != 0 {
			behind[m]++
		}
	}
	for _, l := range links {
		if l.Type() == "bridge" {
			lines = append(lines, fmt.Sprintf("containers and machines on the bridge %s (%s): all of their traffic is cut", printable(l.Attrs().Name), count(behind[l.Attrs().Index], "port")))
		}
	}
	if n, err := forwarded(); err == nil && n > 0 {
		lines = append(lines, fmt.Sprintf("%s through this host, of containers or others: cut", count(n, "flow")))
	}
	return append(lines, "what is routed by this host: cut")
}

// forwarded counts the flows that conntrack knows of which neither end is ours.
func forwarded() (int, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return 0, err
	}
	own := map[string]bool{}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			own[n.IP.String()] = true
		}
	}
	n := 0
	for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		if err != nil {
			return n, err
		}
		for _, f := range flows {
			if !own[f.Forward.SrcIP.String()] && !own[f.Forward.DstIP.String()] {
				n++
			}
		}
	}
	return n, nil
}

// ends says how the isolation ends by itself.
func (r *Responder) ends(s *Scope) string {
	text := fmt.Sprintf("ends by itself: after %s, when the incident is closed, ", r.config.Expires)
	if s.managed() {
		text += fmt.Sprintf("when the operator was not heard for %s", r.config.Confirm)
	}
	if r.config.Survive {
		return text + "; it stays when the agent ends, and the kernel ends it then at the latest after " + r.config.Expires.String()
	}
	if s.managed() {
		text += ", "
	}
	return text + fmt.Sprintf("and when the agent ends: if it is killed, the kernel opens within %s", r.config.Confirm)
}

// timeout is how long the kernel holds the isolation without the agent, of one that lasts this long.
func (r *Responder) timeout(left time.Duration) time.Duration {
	if r.config.Survive {
		return max(left, time.Second)
	}
	return max(min(left, r.config.Confirm), time.Second)
}
