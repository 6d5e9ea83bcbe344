package isolate

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/minewarden/minewarden"
)

// plan offers to isolate this host at each controller.
func (o *outside) plan(inc *minewarden.Incident) ([]minewarden.Action, error) {
	var actions []minewarden.Action
	for _, name := range o.names {
		client := o.clients[name]
		addrs, err := o.addresses(name)
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(addrs)
		if err != nil {
			return nil, err
		}
		a := minewarden.Action{
			ID: outsidePrefix + rand.Text(), Responder: Name, Op: Isolate, Incident: inc.ID, Reversible: true,
			Target:  minewarden.Subject{Type: minewarden.SubjectHost, ID: inc.Host, Name: inc.Host},
			Params:  map[string]string{paramController: name, paramAddresses: string(b)},
			Summary: fmt.Sprintf("have the controller %s drop what comes from %s for %s", name, strings.Join(addrs, ", "), o.r.config.Expires),
			Refused: []string{"the rules of others at the controller: not touched"},
		}
		for _, addr := range addrs {
			ip, err := netip.ParseAddr(addr)
			if err != nil {
				return nil, err
			}
			text, err := client.Preview(a.ID, ip, o.r.config.Expires)
			if err != nil {
				return nil, err
			}
			a.Blast = append(a.Blast, "request: "+text)
		}
		a.Blast = append(a.Blast, "the way to the controller: if it leads through that network, the agent cannot take the rule back by itself")
		actions = append(actions, a)
	}
	return actions, nil
}

// addresses are those configured, or this host's own on the devices by which it reaches others.
func (o *outside) addresses(name string) ([]string, error) {
	for _, c := range o.r.config.Controllers {
		if c.Name == name && len(c.Address) > 0 {
			return c.Address, nil
		}
	}
	uplinks := map[int]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil {
			return nil, fmt.Errorf("read the routes: %w", err)
		}
		for i := range routes {
			d := routes[i].Dst
			if d == nil || d.IP.IsUnspecified() {
				uplinks[routes[i].LinkIndex] = true
			}
		}
	}
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read this host's addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, d := range devices {
		if len(uplinks) > 0 && !uplinks[d.Index] {
			continue
		}
		list, err := d.Addrs()
		if err != nil {
			return nil, fmt.Errorf("read this host's addresses: %w", err)
		}
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() {
					addrs = append(addrs, ip.Unmap())
				}
			}
		}
	}
	addrs = sorted(addrs, netip.Addr.Compare)
	if o.clients[name].Once() && len(addrs) > 1 {
		addrs = addrs[:1]
	}
	var out []string
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		out = append(out, a.String())
	}
	return out, nil
}

// read makes what an action says to do.
func (o *outside) read(a *minewarden.Action) (*outer, error) {
	h := &outer{client: o.clients[a.Params[paramController]], incident: a.Incident, rules: map[string]string{}, delay: o.again}
	if h.client == nil {
		return nil, fmt.Errorf("there is no controller %q", a.Params[paramController])
	}
	var addrs []string
	if err := json.Unmarshal([]byte(a.Params[paramAddresses]), &addrs); err != nil {
		return nil, fmt.Errorf("read what to isolate: %w", err)
	}
	if len(addrs) == 0 || len(addrs) > maxAddresses {
		return nil, fmt.Errorf("%d addresses; between 1 and %d can be isolated at once", len(addrs), maxAddresses)
	}
	for _, text := range addrs {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Is4In6() || ip.Zone() != "" || !ip.IsGlobalUnicast() {
			return nil, fmt.Errorf("%q is not the address of a host", text)
		}
		h.rules[text] = ""
	}
	return h, nil
}
