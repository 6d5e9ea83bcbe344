// Package tls sees mining inside TLS: by the names of pools, by handshakes that no browser makes, and by the shape of the session.
package tls

import (
	_ "embed"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/flowfilter"
	"github.com/minewarden/minewarden/internal/shape"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleSession = "tls/mining-session"
	ruleShape   = "tls/mining-shape"
	rulePool    = "tls/pool"
	ruleSite    = "tls/pool-site"
	rulePort    = "tls/no-name-pool-port"
	ruleCert    = "tls/odd-certificate"
)

const look = "Find the process that holds the connection and look at what it is and at how much processor it uses. "

var rules = []minewarden.Rule{
	{
		ID: ruleSession, Title: "A TLS session has the shape of mining, and its handshake is a miner's too", Severity: minewarden.High, Technique: []string{"T1496.001", "T1573.002"},
		Advice: look + "If nobody here mines on purpose, stop it and block the server.",
	},
	{
		ID: ruleShape, Title: "A TLS session has the shape of mining", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1573.002"},
		Advice: look + "The shape alone can be that of another program that reports often and is told things.",
	},
	{ID: rulePool, Title: "A TLS connection names a mining pool", Severity: minewarden.High, Technique: []string{"T1496.001", "T1573.002"}, Advice: look},
	{
		ID: ruleSite, Title: "A TLS connection names a site that also runs a mining pool", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "People visit such sites. It matters where a server does so, or a session lasts.",
	},
	{
		ID: rulePort, Title: "A TLS connection to a port of mining pools does not say whom it wants", Severity: minewarden.Low, Technique: []string{"T1573.002", "T1571"},
		Advice: look + "Programs that are given an address instead of a name leave the name out as well.",
	},
	{
		ID: ruleCert, Title: "A server that was not asked for by name has a certificate that it made up", Severity: minewarden.Low, Technique: []string{"T1573.002", "T1587.003"},
		Advice: look + "Devices and services inside often have such certificates; servers outside seldom do.",
	},
}

// Bounds of the memory.
const (
	maxFlows = 8192 // sessions that are followed at once; the oldest goes
	maxTold  = 4096 // clients and names that were told of
)

// sureConfidence is the confidence of an indicator from which a name is a pool's own, and not one that people visit.
const sureConfidence = 0.8

// xmrig is the fingerprint of XMRig 6.26 as measured in our laboratory. Any client of OpenSSL 3 that gives neither the server's
// name nor a protocol has it as well, so it is evidence beside a shape and never alone.
const xmrig = "t13i310900_e8f1e7e78f70_1f22a2ca17c4"

// poolPorts are ports that pools offer TLS at, from their own pages.
var poolPorts = map[uint16]bool{
	3333: true, 3334: true, 3335: true, 4444: true, 5555: true, 6666: true, 7777: true, 8888: true, 9999: true, 10001: true, 10002: true, 10128: true, 10343: true, 13333: true,
	14433: true, 14444: true, 15555: true, 16666: true, 17777: true, 18888: true, 19999: true, 20128: true, 20535: true, 33333: true, 44444: true, 45700: true, 45560: true, 12222: true,
}

// A flow is what is known of one session.
type flow struct {
	hello   bool
	sni     string
	ja4     string
	alpn    bool
	self    bool   // the certificate is signed by itself
	cert    string // what is odd about it
	process *minewarden.Process
	msgs    []minewarden.Message // at most shape.MaxMessages
	told    bool
}

type detector struct {
	flows  map[minewarden.FlowKey]*flow
	filter flowfilter.Filter // of the keys of flows
	order  []minewarden.FlowKey
	next   int
	told   map[string]bool
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{flows: map[minewarden.FlowKey]*flow{}, told: map[string]bool{}}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "tls", Title: "mining inside TLS", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindTLS, minewarden.KindFlow}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	switch x := ev.Data.(type) {
	case *minewarden.TLS:
		return d.handshake(ev, x)
	case *minewarden.Flow:
		return d.flow(ev, x)
	}
	return nil
}

func (d *detector) handshake(ev *minewarden.Event, x *minewarden.TLS) []minewarden.Finding {
	found := d.names(ev, x)
	if x.QUIC {
		return found
	}
	f := d.get(x.Key)
	if f.process == nil {
		f.process = ev.Process
	}
	f.hello, f.sni, f.ja4, f.alpn = true, x.SNI, x.JA4, len(x.ALPN) > 0
	if x.Server && x.Cert != nil {
		f.self = x.Cert.SelfSigned
		f.cert = odd(x.Cert)
	}
	server := x.Key.Server
	switch {
	case !x.Server && x.SNI == "" && poolPorts[server.Port()] && d.once("port "+x.Key.Client.Addr().String()+server.String()):
		found = append(found, d.finding(ev, x.Key, f, rulePort, 0.3, "port", strconv.Itoa(int(server.Port()))))
	case x.Server && x.SNI == "" && f.self && f.cert != "" && d.once("cert "+x.Key.Client.Addr().String()+server.String()):
		found = append(found, d.finding(ev, x.Key, f, ruleCert, 0.3, "certificate", f.cert+": "+x.Cert.Subject))
	}
	return found
}

// names tells of indicators that the name or the certificate met.
func (d *detector) names(ev *minewarden.Event, x *minewarden.TLS) []minewarden.Finding {
	var found []minewarden.Finding
	for _, m := range ev.Matches {
		if !d.once("name " + x.Key.Client.Addr().String() + m.Indicator.Value) {
			continue
		}
		rule := ruleSite
		if m.Indicator.Confidence >= sureConfidence {
			rule = rulePool
		}
		name := x.SNI
		if m.Field != "sni" && x.Cert != nil {
			name = x.Cert.CommonName
		}
		found = append(found, minewarden.Finding{
			Time: ev.Time, Rule: rule, Subject: minewarden.FlowSubject(x.Key), Confidence: m.Indicator.Confidence, Process: ev.Process,
			Evidence: []minewarden.Evidence{{Key: m.Field, Value: name}, {Key: "indicator", Value: m.Indicator.Value}, {Key: "source", Value: m.Indicator.Source}},
		})
	}
	return found
}

// once says whether key was not told of yet.
func (d *detector) once(key string) bool {
	if d.told[key] {
		return false
	}
	if len(d.told) >= maxTold {
		clear(d.told)
	}
	d.told[key] = true
	return true
}

func (d *detector) get(key minewarden.FlowKey) *flow {
	if f := d.flows[key]; f != nil {
		return f
	}
	f := &flow{}
	d.flows[key] = f
	d.filter.Add(&key)
	if len(d.order) < maxFlows {
		d.order = append(d.order, key)
		return f
	}
	d.drop(&d.order[d.next])
	d.order[d.next] = key
	d.next = (d.next + 1) % maxFlows
	return f
}

func (d *detector) drop(key *minewarden.FlowKey) {
	if d.flows[*key] != nil {
		delete(d.flows, *key)
		d.filter.Remove(key)
	}
}

// Protocols as the sensor names them: TLS, and those that can carry it.
const (
	appTLS   = "tls"
	appSOCKS = "socks"
	appHTTP  = "http"
)

func (d *detector) flow(ev *minewarden.Event, x *minewarden.Flow) []minewarden.Finding {
	if x.App != appTLS && x.App != appSOCKS && x.App != appHTTP {
		return nil
	}
	var f *flow
	if d.filter.May(&x.Key) {
		f = d.flows[x.Key]
	}
	if f != nil && x.State == minewarden.FlowEnd {
		d.drop(&x.Key)
	}
	if x.App != appTLS && (f == nil || !f.hello) || len(x.Messages) == 0 && x.State != minewarden.FlowEnd {
		return nil
	}
	if f == nil {
		f = &flow{}
		if x.State != minewarden.FlowEnd {
			f = d.get(x.Key)
		}
	}
	if f.process == nil {
		f.process = ev.Process
	}
	if f.told {
		return nil
	}
	f.msgs = shape.Keep(f.msgs, x.Messages)
	if len(f.msgs) == 0 || ev.Time.Sub(x.Start) < shape.Earliest && f.msgs[len(f.msgs)-1].At < shape.Earliest || x.Joined && len(f.msgs) < minJoined {
		return nil
	}
	features, ok := shape.Extract(f.msgs)
	if !ok {
		return nil
	}
	p := shape.Score(&features)
	if p < shape.Threshold {
		return nil
	}
	f.told = true
	rule, confidence := ruleShape, 0.85*p
	if f.hello && f.sni == "" && (f.self || !f.alpn && (f.ja4 == xmrig || poolPorts[x.Key.Server.Port()])) {
		rule, confidence = ruleSession, 0.97*p
	}
	return []minewarden.Finding{d.shaped(ev, x, f, &features, rule, confidence, p)}
}

// minJoined is how many messages a session needs whose beginning was not seen: the first may be of any class.
const minJoined = 12

// shaped makes the finding of a shape, with the features that a person can check.
func (d *detector) shaped(ev *minewarden.Event, x *minewarden.Flow, f *flow, v *[shape.Features]float32, rule string, confidence, p float64) minewarden.Finding {
	one := func(i int) string { return strconv.FormatFloat(float64(v[i]), 'f', 2, 32) }
	evidence := []minewarden.Evidence{
		{Key: "probability", Value: strconv.FormatFloat(p, 'f', 3, 64)},
		{Key: "asked", Value: one(shape.ClientRate) + " times a minute, " + one(shape.ClientSame) + " of them as long as the others, " + one(shape.Answered) + " answered at once"},
		{Key: "pushed", Value: one(shape.PushRate) + " times a minute, " + one(shape.PushSame) + " as long as the others"},
		{Key: "lasted", Value: f.msgs[len(f.msgs)-1].At.Round(time.Second).String() + ", " + strconv.Itoa(len(f.msgs)) + " messages"},
	}
	out := d.finding(ev, x.Key, f, rule, confidence, "server_name", named(f))
	out.Evidence = append(evidence, out.Evidence...)
	return out
}

func named(f *flow) string {
	switch {
	case !f.hello:
		return "the handshake was not seen"
	case f.sni == "":
		return "none"
	}
	return f.sni
}

func (d *detector) finding(ev *minewarden.Event, key minewarden.FlowKey, f *flow, rule string, confidence float64, what, value string) minewarden.Finding {
	e := []minewarden.Evidence{{Key: what, Value: value}}
	if f.ja4 != "" {
		e = append(e, minewarden.Evidence{Key: "ja4", Value: f.ja4})
	}
	if f.cert != "" && what != "certificate" {
		e = append(e, minewarden.Evidence{Key: "certificate", Value: f.cert})
	}
	return minewarden.Finding{Time: ev.Time, Rule: rule, Subject: minewarden.FlowSubject(key), Confidence: confidence, Evidence: e, Process: f.process}
}

// tenYears is longer than any authority signs for.
const tenYears = 9 * 365 * 24 * time.Hour

// odd says what shows that a certificate was made up, or nothing.
func odd(c *minewarden.Certificate) string {
	label, _, _ := strings.Cut(c.CommonName, ".")
	switch {
	case !c.SelfSigned:
		return ""
	case c.Subject == "":
		return "no subject"
	case madeUp(label):
		return "a subject of chance"
	case c.CommonName == "localhost" || c.CommonName == "example.com":
		return "the subject of an example"
	case !c.NotBefore.IsZero() && c.NotAfter.Sub(c.NotBefore) > tenYears:
		if a, err := netip.ParseAddr(c.CommonName); err == nil && !a.IsPrivate() {
			return "an address as subject, for " + strconv.Itoa(int(c.NotAfter.Sub(c.NotBefore).Hours()/24/365)) + " years"
		}
	}
	return ""
}

// madeUp says that a label is hexadecimal digits, or letters and digits by turns, too long to be a word.
func madeUp(label string) bool {
	if len(label) < 8 {
		return false
	}
	hex, digits, changes := true, 0, 0
	for i := range len(label) {
		c := label[i] | 0x20
		digit := c >= '0' && c <= '9'
		if digit {
			digits++
		} else if c < 'a' || c > 'f' {
			hex = false
		}
		if i > 0 && digit != (label[i-1] >= '0' && label[i-1] <= '9') {
			changes++
		}
	}
	return hex && digits > 0 && digits < len(label) || changes >= 5 && changes*2 >= len(label)-4
}
