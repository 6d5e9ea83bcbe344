// Package flow sees what connections say by their number, rhythm and length: scans, floods, beacons, and sessions that have the
// shape of mining where the protocol is not known.
package flow

import (
	_ "embed"
	"net/netip"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/flowfilter"
	"github.com/minewarden/minewarden/internal/shape"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleRate    = "flow/connection-rate"
	ruleScan    = "flow/scan"
	rulePorts   = "flow/port-scan"
	ruleBeacon  = "flow/beacon"
	ruleThin    = "flow/thin-session"
	rulePort    = "flow/pool-port"
	ruleShape   = "flow/mining-shape"
	ruleSession = "flow/mining-session"
	ruleFirst   = "flow/first-seen"
	ruleCountry = "flow/new-country"
	ruleUnusual = "flow/unexpected-country"
)

const look = "Look at the process that connects. "

var rules = []minewarden.Rule{
	{ID: ruleRate, Title: "Far more connections a minute than usual", Severity: minewarden.Low, Technique: []string{"T1046"}, Advice: look + "Scanners and spreading malware connect like this, and so do crawlers and load tests."},
	{ID: ruleScan, Title: "One port of many machines was tried, and few answered", Severity: minewarden.Low, Technique: []string{"T1046", "T1595.001"}, Advice: look},
	{ID: rulePorts, Title: "Many ports of one machine were tried, and few answered", Severity: minewarden.Low, Technique: []string{"T1046"}, Advice: look},
	{ID: ruleBeacon, Title: "Connections to one server come at a beat", Severity: minewarden.Low, Technique: []string{"T1071", "T1029"}, Advice: look + "Monitoring and updates keep a beat too."},
	{ID: ruleThin, Title: "A connection lasts long and carries little", Severity: minewarden.Informational, Technique: []string{"T1071"}, Advice: look},
	{ID: rulePort, Title: "A lasting connection to a port that mining pools use", Severity: minewarden.Informational, Technique: []string{"T1571"}, Advice: look + "The port alone proves nothing."},
	{ID: ruleShape, Title: "A session in an unknown protocol has the shape of mining", Severity: minewarden.Low, Technique: []string{"T1496.001", "T1095"}, Advice: look},
	{
		ID: ruleSession, Title: "A session in an unknown protocol has the shape of mining, at a port that pools use", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1095", "T1571"},
		Advice: look + "Stratum V2 and relays of miners look like this. If nobody here mines on purpose, stop it and block the server.",
	},
	{ID: ruleFirst, Title: "A program connects to a network for the first time", Severity: minewarden.Informational, Technique: []string{"T1071"}, Advice: look},
	{
		ID: ruleCountry, Title: "A connection to a country that was not seen before", Severity: minewarden.Informational, Technique: []string{"T1071"},
		Advice: look + "Content networks move between countries: the country alone proves nothing.",
	},
	{
		ID: ruleUnusual, Title: "A connection to a country that the configuration calls unexpected", Severity: minewarden.Low, Technique: []string{"T1071"},
		Advice: look + "Data that must not leave the country, or a server of somebody else's, may be the reason.",
	},
}

// Bounds of the memory.
const (
	maxTalkers  = 4096
	maxSessions = 4096
	maxBeats    = 8192
	maxTold     = 8192
	maxSeen     = 1 << 16 // pairs of program and network
)

// Thresholds.
const (
	naiveRate  = 50               // connections a minute that the common rule calls many
	coldRate   = 300              // the same before a baseline is known
	overUsual  = 5                // times the usual number
	warm       = 10               // minutes until a baseline is known
	scanHosts  = 25               // machines with one port within a minute
	scanPorts  = 40               // ports of one machine within a minute
	scanFailed = 0.7              // part of tries that failed
	lasting    = 10 * time.Minute // of a thin session
	thinRate   = 4096             // bytes a minute in either direction
	learning   = 6 * time.Hour    // until a first connection is news
	perHour    = 20               // first connections that are told in an hour
	again      = time.Hour        // until the same is told once more
)

// poolPorts are ports that pools offer by their own pages, without those that other services use more.
var poolPorts = map[uint16]bool{
	3333: true, 3334: true, 3335: true, 3336: true, 4444: true, 5555: true, 6666: true, 7777: true, 9999: true, 10001: true, 10002: true, 10128: true, 10343: true, 13333: true, 14433: true, 14444: true, 15555: true,
	16666: true, 17777: true, 18888: true, 19999: true, 20128: true, 20535: true, 33333: true, 34254: true, 34255: true, 44444: true, 45560: true, 45700: true,
}

type detector struct {
	talkers  map[who]*talker
	recent   *talker // that was looked up last; nil: none
	sessions map[minewarden.FlowKey]*session
	filter   flowfilter.Filter // of the keys of sessions
	order    []minewarden.FlowKey
	next     int
	beats    map[beatKey]*beat
	told     map[toldKey]time.Time
	seen     map[string]bool
	start    time.Time
	hour     time.Time
	firsts   int
	lands    lands
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(env minewarden.Env) (minewarden.Detector, error) {
	var cfg Config
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	unexpected, err := cfg.unexpected()
	if err != nil {
		return nil, err
	}
	return &detector{
		lands:   lands{unexpected: unexpected, seen: map[string]bool{}},
		talkers: map[who]*talker{}, sessions: map[minewarden.FlowKey]*session{}, beats: map[beatKey]*beat{}, told: map[toldKey]time.Time{}, seen: map[string]bool{},
	}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "flow", Title: "number, rhythm and shape of connections", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindConnect, minewarden.KindFlow}
}

// Observe implements minewarden.Detector. Connections are counted for a process where a sensor says whose they are, and for
// an address where they were seen on the wire.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if d.start.IsZero() {
		d.start = ev.Time
	}
	switch x := ev.Data.(type) {
	case *minewarden.Connect:
		if ev.Process == nil || x.Remote.Addr().IsLoopback() || x.Proto != "tcp" {
			return nil
		}
		found := d.count(ev, who{process: ev.Process.Key}, x.Remote, x.Result)
		found = append(found, d.first(ev, x.Remote.Addr())...)
		return append(found, d.country(ev, who{process: ev.Process.Key}, minewarden.ProcessSubject(ev.Process), x.Remote.Addr())...)
	case *minewarden.Flow:
		return d.flow(ev, x)
	}
	return nil
}

// A session is a flow that is followed for its shape.
type session struct {
	msgs   []minewarden.Message
	shaped bool
}

func (d *detector) flow(ev *minewarden.Event, x *minewarden.Flow) []minewarden.Finding {
	if x.Key.Proto != "tcp" || x.Key.Server.Addr().IsLoopback() {
		return nil
	}
	var found []minewarden.Finding
	client := who{addr: x.Key.Client.Addr()}
	switch x.State {
	case minewarden.FlowOpen:
		if !x.Joined {
			found = d.count(ev, client, x.Key.Server, "")
			found = append(found, d.beat(ev, x)...)
		}
		if ev.Country != "" {
			found = append(found, d.country(ev, client, minewarden.FlowSubject(x.Key), x.Key.Server.Addr())...)
		}
	case minewarden.FlowEnd:
		if x.ServerPackets == 0 || x.Ended == "rst" && x.ServerBytes == 0 {
			found = d.fail(ev, client, x.Key.Server)
		}
	}
	return append(found, d.lasting(ev, x)...)
}

// lasting judges a conversation that goes on: where it goes, how little it carries, and its shape.
func (d *detector) lasting(ev *minewarden.Event, x *minewarden.Flow) []minewarden.Finding {
	if x.State == minewarden.FlowOpen {
		return d.shape(ev, x, poolPorts[x.Key.Server.Port()])
	}
	var found []minewarden.Finding
	lasted := x.Last.Sub(x.Start)
	if x.Last.IsZero() {
		lasted = ev.Time.Sub(x.Start)
	}
	port := poolPorts[x.Key.Server.Port()]
	pair := func(rule string) toldKey { return toldKey{rule, who{addr: x.Key.Client.Addr()}, x.Key.Server} }
	if port && lasted > time.Minute && x.ClientBytes > 0 && x.ServerBytes > 0 && d.news(pair(rulePort), ev.Time) {
		found = append(found, d.finding(ev, x, rulePort, 0.2, "port", strconv.Itoa(int(x.Key.Server.Port()))))
	}
	if lasted >= lasting && x.ClientBytes > 0 && x.ServerBytes > 0 &&
		float64(x.ClientBytes) < thinRate*lasted.Minutes() && float64(x.ServerBytes) < thinRate*lasted.Minutes() && public(x.Key.Server.Addr()) && d.news(pair(ruleThin), ev.Time) {
		found = append(found, d.finding(ev, x, ruleThin, 0.2, "carried", strconv.FormatUint(x.ClientBytes, 10)+" bytes out, "+strconv.FormatUint(x.ServerBytes, 10)+" back in "+lasted.Round(time.Second).String()))
	}
	return append(found, d.shape(ev, x, port)...)
}

// shape follows sessions in protocols that nobody knows; those in TLS are judged by the tls detector.
func (d *detector) shape(ev *minewarden.Event, x *minewarden.Flow, port bool) []minewarden.Finding {
	var s *session
	if d.filter.May(&x.Key) {
		s = d.sessions[x.Key]
	}
	if s != nil && x.State == minewarden.FlowEnd {
		delete(d.sessions, x.Key)
		d.filter.Remove(&x.Key)
	}
	if x.App != "" || x.Joined || len(x.Messages) == 0 && s == nil {
		return nil
	}
	if s == nil {
		s = &session{}
		if x.State != minewarden.FlowEnd {
			d.follow(x.Key, s)
		}
	}
	s.msgs = shape.Keep(s.msgs, x.Messages)
	if s.shaped || len(s.msgs) == 0 || s.msgs[len(s.msgs)-1].At < shape.Earliest {
		return nil
	}
	features, ok := shape.Extract(s.msgs)
	if !ok {
		return nil
	}
	p := shape.Score(&features)
	if p < shape.Threshold {
		return nil
	}
	s.shaped = true
	rule, confidence := ruleShape, 0.5*p
	if port {
		rule, confidence = ruleSession, 0.8*p
	}
	f := d.finding(ev, x, rule, confidence, "probability", strconv.FormatFloat(p, 'f', 3, 64))
	f.Evidence = append(f.Evidence, minewarden.Evidence{Key: "messages", Value: strconv.Itoa(len(s.msgs)) + " in " + s.msgs[len(s.msgs)-1].At.Round(time.Second).String()})
	return []minewarden.Finding{f}
}

func (d *detector) follow(key minewarden.FlowKey, s *session) {
	d.sessions[key] = s
	d.filter.Add(&key)
	if len(d.order) < maxSessions {
		d.order = append(d.order, key)
		return
	}
	if old := d.order[d.next]; d.sessions[old] != nil {
		delete(d.sessions, old)
		d.filter.Remove(&old)
	}
	d.order[d.next] = key
	d.next = (d.next + 1) % maxSessions
}

// first tells of a program's first connection to a network, once there was time to learn where it usually connects.
func (d *detector) first(ev *minewarden.Event, to netip.Addr) []minewarden.Finding {
	if !public(to) {
		return nil
	}
	bits := 24
	if to.Is6() && !to.Is4In6() {
		bits = 48
	}
	network, err := to.Unmap().Prefix(bits)
	if err != nil {
		return nil
	}
	key := ev.Process.Base() + " " + network.String()
	if d.seen[key] {
		return nil
	}
	if len(d.seen) >= maxSeen {
		clear(d.seen)
		d.start = ev.Time // learn anew
	}
	d.seen[key] = true
	if ev.Time.Sub(d.start) < learning {
		return nil
	}
	if ev.Time.Sub(d.hour) > time.Hour {
		d.hour, d.firsts = ev.Time, 0
	}
	if d.firsts++; d.firsts > perHour {
		return nil
	}
	return []minewarden.Finding{{
		Time: ev.Time, Rule: ruleFirst, Subject: minewarden.ProcessSubject(ev.Process), Confidence: 0.2, Process: ev.Process,
		Evidence: []minewarden.Evidence{{Key: "network", Value: network.String()}, {Key: "program", Value: ev.Process.Base()}},
	}}
}

// A toldKey is a claim: about whom, and about which server where that matters.
type toldKey struct {
	rule   string
	who    who
	server netip.AddrPort
}

// news says whether key was not told of lately.
func (d *detector) news(key toldKey, now time.Time) bool {
	if at, ok := d.told[key]; ok && now.Sub(at) < again {
		return false
	}
	if len(d.told) >= maxTold {
		clear(d.told)
	}
	d.told[key] = now
	return true
}

func (d *detector) finding(ev *minewarden.Event, x *minewarden.Flow, rule string, confidence float64, what, value string) minewarden.Finding {
	return minewarden.Finding{Time: ev.Time, Rule: rule, Subject: minewarden.FlowSubject(x.Key), Confidence: confidence, Evidence: []minewarden.Evidence{{Key: what, Value: value}}, Process: ev.Process}
}

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
