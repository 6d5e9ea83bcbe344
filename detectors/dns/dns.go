// Package dns sees mining and its delivery in what names are asked for: pools, names made by algorithms, data carried out in
// names, and bursts of names that do not exist.
package dns

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/dga"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	rulePool     = "dns/pool"
	ruleSite     = "dns/pool-site"
	ruleResolver = "dns/pool-resolver"
	ruleBlocked  = "dns/pool-blocked"
	ruleBurst    = "dns/generated-burst"
	ruleTunnel   = "dns/tunnel"
	ruleMissing  = "dns/nxdomain-burst"
)

const look = "Look at the process that asks, or where only the address is known, at what runs on that machine. "

var rules = []minewarden.Rule{
	{ID: rulePool, Title: "A machine asks for the name of a mining pool", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1071.004"}, Advice: look},
	{
		ID: ruleSite, Title: "A machine asks for the name of a site that also runs a mining pool", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "People visit such sites. It matters where a server asks.",
	},
	{
		ID: ruleResolver, Title: "A resolver asks for the name of a mining pool on behalf of others", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "Look into the resolver's own log for who asked it.",
	},
	{
		ID: ruleBlocked, Title: "The name of a mining pool was asked for and refused", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "A blocker or the pool's own end answered with nothing. Who asks again and again may still carry a miner.",
	},
	{
		ID: ruleBurst, Title: "A machine asks for many names that an algorithm made", Severity: minewarden.Medium, Technique: []string{"T1568.002"},
		Advice: look + "Malware tries such names to find the one that its operator registered.",
	},
	{
		ID: ruleTunnel, Title: "Names carry data", Severity: minewarden.Medium, Technique: []string{"T1071.004", "T1048.003"},
		Advice: look + "Block the domain in the evidence at the resolver.",
	},
	{ID: ruleMissing, Title: "A machine asks for many names that do not exist", Severity: minewarden.Low, Technique: []string{"T1568"}, Advice: look},
}

// Bounds of the memory.
const (
	maxClients = 2048
	maxPending = 1024
	maxTold    = 4096
	maxParents = 16 // domains that are followed for each client
)

// patience is how long an answer to a question is waited for before it is told without.
const patience = 5 * time.Second

// again is when the same thing about the same client is told once more.
const again = time.Hour

// sure is the confidence of an indicator from which a name is a pool's own, and not one that people visit.
const sure = 0.8

type question struct {
	client netip.AddrPort
	id     uint16
	name   string
}

type waiting struct {
	at      time.Time
	key     minewarden.FlowKey
	match   minewarden.Match
	process *minewarden.Process
}

type detector struct {
	model   *dga.Model
	clients map[netip.Addr]*client
	pending map[question]waiting
	told    map[string]time.Time
}

var (
	_ minewarden.Detector = (*detector)(nil)
	_ minewarden.Ticker   = (*detector)(nil)
)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	model, err := dga.Load()
	if err != nil {
		return nil, fmt.Errorf("model of generated names: %w", err)
	}
	return &detector{model: model, clients: map[netip.Addr]*client{}, pending: map[question]waiting{}, told: map[string]time.Time{}}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "dns", Title: "pools, generated names and tunnels in DNS", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind { return []minewarden.Kind{minewarden.KindDNS} }

// Ports of name services that answer for the local network only.
const (
	portMDNS  = 5353
	portLLMNR = 5355
)

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	x, ok := ev.Data.(*minewarden.DNS)
	if !ok || x.Key.Server.Port() == portMDNS || x.Key.Server.Port() == portLLMNR {
		return nil
	}
	found := d.pool(ev, x)
	if local(x.Name) {
		return found
	}
	c := d.client(x.Key.Client.Addr(), ev.Time)
	if x.Response {
		return append(found, d.answer(ev, x, c)...)
	}
	return found
}

// Tick implements minewarden.Ticker: questions that nobody answered are told without an answer.
func (d *detector) Tick(now time.Time) []minewarden.Finding {
	if len(d.pending) == 0 {
		return nil
	}
	var late []question
	for q, w := range d.pending {
		if now.Sub(w.at) >= patience {
			late = append(late, q)
		}
	}
	slices.SortFunc(late, func(a, b question) int {
		return cmp.Or(a.client.Compare(b.client), cmp.Compare(a.id, b.id), strings.Compare(a.name, b.name))
	})
	var found []minewarden.Finding
	for _, q := range late {
		w := d.pending[q]
		delete(d.pending, q)
		found = d.tell(found, now, rulePool, w, q.name, "no answer was seen", 0.7)
	}
	return found
}

// pool judges a name on a list of pools by who asks, how sure the list is, and what the answer is.
func (d *detector) pool(ev *minewarden.Event, x *minewarden.DNS) []minewarden.Finding {
	if len(ev.Matches) == 0 {
		if x.Response && len(d.pending) > 0 {
			delete(d.pending, question{x.Key.Client, x.ID, x.Name})
		}
		return nil
	}
	m := ev.Matches[0]
	for _, other := range ev.Matches[1:] {
		if other.Indicator.Confidence > m.Indicator.Confidence {
			m = other
		}
	}
	w := waiting{ev.Time, x.Key, m, ev.Process}
	q := question{x.Key.Client, x.ID, x.Name}
	if asked, ok := d.pending[q]; ok {
		delete(d.pending, q)
		if w.process == nil {
			w.process = asked.process
		}
	}
	switch {
	case m.Indicator.Confidence < sure:
		return d.tell(nil, ev.Time, ruleSite, w, x.Name, "", m.Indicator.Confidence)
	case resolver(w.process) || x.Key.Client.Port() == 53:
		return d.tell(nil, ev.Time, ruleResolver, w, x.Name, "", 0.5)
	case !x.Response:
		if len(d.pending) < maxPending {
			d.pending[q] = w
			return nil
		}
		return d.tell(nil, ev.Time, rulePool, w, x.Name, "no answer was seen", 0.7)
	case refused(x):
		return d.tell(nil, ev.Time, ruleBlocked, w, x.Name, x.Code, 0.6)
	}
	return d.tell(nil, ev.Time, rulePool, w, x.Name, answers(x), m.Indicator.Confidence)
}

func (d *detector) tell(found []minewarden.Finding, now time.Time, rule string, w waiting, name, answer string, confidence float64) []minewarden.Finding {
	if !d.news(rule+w.key.Client.Addr().String()+w.match.Indicator.Value, now) {
		return found
	}
	ev := []minewarden.Evidence{{Key: "name", Value: short(name)}, {Key: "indicator", Value: w.match.Indicator.Value}, {Key: "source", Value: w.match.Indicator.Source}}
	if answer != "" {
		ev = append(ev, minewarden.Evidence{Key: "answer", Value: answer})
	}
	return append(found, minewarden.Finding{Time: now, Rule: rule, Subject: minewarden.FlowSubject(w.key), Confidence: max(0.05, confidence), Evidence: ev, Process: w.process})
}

// news says whether key was not told of lately.
func (d *detector) news(key string, now time.Time) bool {
	if at, ok := d.told[key]; ok && now.Sub(at) < again {
		return false
	}
	if len(d.told) >= maxTold {
		clear(d.told)
	}
	d.told[key] = now
	return true
}

// resolver knows programs that ask on behalf of others.
func resolver(p *minewarden.Process) bool {
	if p == nil {
		return false
	}
	switch p.Base() {
	case "dnsmasq", "unbound", "named", "pihole-FTL", "systemd-resolved", "systemd-resolve", "coredns", "AdGuardHome", "dnscrypt-proxy", "kresd", "pdns_recursor", "stubby", "nscd", "dnsdist", "blocky", "cloudflared", "smartdns", "connmand", "technitium":
		return true
	}
	return false
}

// refused says that the answer leads nowhere: the name does not exist, or a blocker answered.
func refused(x *minewarden.DNS) bool {
	if x.Code != "" && x.Code != "NOERROR" {
		return true
	}
	for _, a := range x.Addrs {
		if !a.IsUnspecified() && !a.IsLoopback() {
			return false
		}
	}
	return len(x.Addrs) > 0
}

func answers(x *minewarden.DNS) string {
	var b strings.Builder
	for i, a := range x.Addrs {
		if i == 4 {
			b.WriteString(" …")
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// local says that a name is not one of the public tree, or is an address or service turned into a name.
func local(name string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return true // single labels: search lists, and the probes of browsers
	}
	switch name[i+1:] {
	case "arpa", "local", "lan", "home", "internal", "corp", "localdomain", "intranet", "private", "test", "invalid", "onion":
		return true
	}
	return false
}

func short(name string) string { return name[:min(len(name), 200)] }

func number(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
