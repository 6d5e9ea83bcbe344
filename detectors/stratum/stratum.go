// Package stratum sees mining on the wire: whoever logs in to a pool, is given work or hands in shares, in any dialect and on
// any port, by parsing what was said.
package stratum

import (
	"bytes"
	_ "embed"
	"net/netip"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/flowfilter"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleLogin    = "stratum/login"
	ruleJob      = "stratum/job"
	ruleSubmit   = "stratum/submit"
	ruleSession  = "stratum/session"
	ruleGetwork  = "stratum/getwork"
	ruleTemplate = "stratum/getblocktemplate"
	ruleProxy    = "stratum/proxy"
	ruleNoise    = "stratum/v2"

	ruleNoiseSession = "stratum/v2-session"
)

const cut = "Find the process that holds the connection, stop it and what starts it again, and block the pool. The wallet or user in the evidence joins this to other machines of the same operator."

var rules = []minewarden.Rule{
	{ID: ruleLogin, Title: "A client logs in to a mining pool", Severity: minewarden.High, Technique: []string{"T1496.001", "T1071"}, Advice: cut},
	{ID: ruleJob, Title: "A pool gives a client work to mine on", Severity: minewarden.High, Technique: []string{"T1496.001", "T1071"}, Advice: cut},
	{ID: ruleSubmit, Title: "A client hands in shares to a mining pool", Severity: minewarden.Critical, Technique: []string{"T1496.001", "T1071"}, Advice: cut},
	{ID: ruleSession, Title: "Parts of a mining session that began earlier", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1071"}, Advice: cut},
	{ID: ruleGetwork, Title: "A client asks for mining work by getwork", Severity: minewarden.High, Technique: []string{"T1496.001", "T1071.001"}, Advice: cut},
	{
		ID: ruleTemplate, Title: "A client asks a node for block templates to mine on", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1071.001"},
		Advice: "Only mining software and pools ask for templates. If nobody mines here on purpose: " + cut,
	},
	{
		ID: ruleProxy, Title: "A machine inside hands out mining work to others", Severity: minewarden.High, Technique: []string{"T1496.001", "T1090.001"},
		Advice: "It is a pool or a mining proxy. Look at every client named in the evidence: each of them mines.",
	},
	{
		ID: ruleNoise, Title: "A handshake has the sizes of Stratum V2", Severity: minewarden.Low, Technique: []string{"T1496.001", "T1573"},
		Advice: "Sizes alone prove little. Look at what process it is and at its use of the processor.",
	},
	{
		ID: ruleNoiseSession, Title: "A handshake, a setup and its answer have the sizes of Stratum V2", Severity: minewarden.Medium, Technique: []string{"T1496.001", "T1573"},
		Advice: "No other protocol is known to us whose first four messages are as long. What is said is encrypted: look at the process that holds the connection. " + cut,
	},
}

// Bounds of the memory.
const (
	maxSessions = 8192     // conversations that are looked into at once; the oldest goes
	maxSpare    = 64       // of those that ended, to be used again
	maxHeld     = 16 << 20 // bytes of unfinished objects over all of them
	maxNames    = 4096     // addresses of which a name is known
	maxServers  = 1024     // machines that hand out work
)

type sessionKey struct {
	flow    minewarden.FlowKey
	carrier string
}

type detector struct {
	sessions map[minewarden.FlowKey]*session // the first of a flow: others are behind it
	filter   flowfilter.Filter               // of the keys of sessions
	recent   *session                        // that was looked up last; nil: none
	count    int                             // of sessions, of all carriers
	spare    []*session                      // to be used again
	order    []sessionKey                    // a ring of the keys of sessions, oldest at next
	next     int
	held     int // bytes held in unfinished objects
	names    map[netip.Addr]string
	servers  map[netip.Addr]*server
	pairs    map[pair]*pairCount
	m        message
}

// A pair is a machine and what it connects to.
type pair struct {
	client netip.Addr
	server netip.AddrPort
}

// A pairCount counts the sessions between a pair that were told of.
type pairCount struct {
	since time.Time
	n     int
}

// Bounds of what is told: a miner whose pool hangs up connects again every few seconds, for days.
const (
	maxPairs   = 4096
	maxPerPair = 64
	pairWindow = time.Hour
)

// quiet says whether enough sessions between the ends of key were told of lately, and counts this one.
func (d *detector) quiet(key minewarden.FlowKey, now time.Time) bool {
	p := pair{key.Client.Addr(), key.Server}
	c := d.pairs[p]
	if c == nil || now.Sub(c.since) > pairWindow {
		if len(d.pairs) >= maxPairs {
			clear(d.pairs)
		}
		c = &pairCount{since: now}
		d.pairs[p] = c
	}
	c.n++
	return c.n > maxPerPair
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{sessions: map[minewarden.FlowKey]*session{}, names: map[netip.Addr]string{}, servers: map[netip.Addr]*server{}, pairs: map[pair]*pairCount{}}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "stratum", Title: "pool logins, work and shares on the wire", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindStream, minewarden.KindHTTP, minewarden.KindDNS, minewarden.KindFlow}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	switch x := ev.Data.(type) {
	case *minewarden.Stream:
		return d.stream(ev, x)
	case *minewarden.HTTP:
		if !x.Response {
			d.head(ev, x)
		}
	case *minewarden.DNS:
		d.name(x)
	case *minewarden.Flow:
		if x.State == minewarden.FlowEnd && x.Key.Proto == "tcp" && x.App != "tls" && x.App != "ssh" && len(d.sessions) > 0 {
			return d.end(ev, x)
		}
	}
	return nil
}

// name keeps what name an address was found by, so that findings can say which pool it is.
func (d *detector) name(x *minewarden.DNS) {
	if !x.Response || x.Name == "" {
		return
	}
	for _, a := range x.Addrs {
		if len(d.names) >= maxNames {
			clear(d.names)
		}
		d.names[a] = x.Name
	}
}

// head keeps what a request says of the client, for the body that follows.
func (d *detector) head(ev *minewarden.Event, x *minewarden.HTTP) {
	if x.Method != "POST" && x.Upgrade == "" || x.Agent == "" && x.User == "" {
		return
	}
	carrier := minewarden.CarrierHTTPBody
	if x.Upgrade != "" {
		carrier = minewarden.CarrierWebSocket
	}
	s := d.session(sessionKey{x.Key, carrier})
	if s.agent == "" {
		s.httpAgent = short([]byte(x.Agent))
	}
	if s.user == "" {
		s.httpUser = short([]byte(x.User))
	}
	s.host = short([]byte(x.Host))
}

func (d *detector) stream(ev *minewarden.Event, x *minewarden.Stream) []minewarden.Finding {
	s := d.find(&x.Key, x.Carrier)
	if s == nil {
		switch {
		case bytes.IndexByte(x.Data, '{') >= 0:
		case noiseHello(x):
		case x.Carrier != minewarden.CarrierHTTPBody && x.Carrier != minewarden.CarrierWebSocket && prose(x.Data): // what follows may be quoted
		default:
			return nil
		}
		s = d.session(sessionKey{x.Key, x.Carrier})
	}
	if s.process == nil {
		s.process = ev.Process
	}
	if s.target == "" {
		s.target = x.Target
	}
	t := talk{d: d, s: s, ev: ev, fromClient: x.FromClient}
	if rule := s.noise(x); rule != "" {
		t.noise(rule)
	}
	half := &s.up
	if !x.FromClient {
		half = &s.down
	}
	before := cap(half.buf)
	if x.Begin {
		half.begin()
	}
	half.feed(x.Data, x.Gap, t.message)
	d.held += cap(half.buf) - before
	if !half.inside && cap(half.buf) > 4<<10 || d.held > maxHeld {
		d.held -= cap(half.buf)
		half.buf, half.skip = nil, half.inside
	}
	return t.found
}

// end says a last word on a session that handed in shares, and forgets it.
func (d *detector) end(ev *minewarden.Event, x *minewarden.Flow) []minewarden.Finding {
	if !d.filter.May(&x.Key) {
		return nil
	}
	var found []minewarden.Finding
	for _, carrier := range carriers {
		s := d.find(&x.Key, carrier)
		if s == nil {
			continue
		}
		if s.accepted > s.toldAccepted && s.told&toldSubmit != 0 && s.accepted >= 3 {
			t := talk{d: d, s: s, ev: ev, fromClient: !s.reversed}
			t.tell(ruleSubmit, 0.99)
			found = append(found, t.found...)
		}
		if s.told&toldHello != 0 && s.user != "" && !s.named {
			t := talk{d: d, s: s, ev: ev, fromClient: !s.reversed}
			t.tell(ruleLogin, 0.97)
			found = append(found, t.found...)
		}
		d.drop(sessionKey{x.Key, carrier})
	}
	return found
}

var carriers = []string{"", minewarden.CarrierTCP, minewarden.CarrierHTTPBody, minewarden.CarrierWebSocket, minewarden.CarrierSOCKS, minewarden.CarrierConnect}

// find returns the state of a conversation, or nil.
func (d *detector) find(key *minewarden.FlowKey, carrier string) *session {
	s := d.recent
	if s == nil || s.key != *key {
		if !d.filter.May(key) {
			return nil
		}
		if s = d.sessions[*key]; s == nil {
			return nil
		}
		d.recent = s
	}
	for s != nil && s.carrier != carrier {
		s = s.next
	}
	return s
}

// session returns the state of a conversation, made when it is new; the oldest goes when there are too many.
func (d *detector) session(key sessionKey) *session {
	if s := d.find(&key.flow, key.carrier); s != nil {
		return s
	}
	if len(d.order) < maxSessions {
		d.order = append(d.order, key)
	} else {
		d.drop(d.order[d.next])
		d.order[d.next] = key
		d.next = (d.next + 1) % maxSessions
	}
	s := new(session)
	if i := len(d.spare); i > 0 {
		s, d.spare = d.spare[i-1], d.spare[:i-1]
	}
	*s = session{key: key.flow, carrier: key.carrier}
	if first := d.sessions[key.flow]; first != nil {
		s.next, first.next = first.next, s
	} else {
		d.sessions[key.flow] = s
		d.filter.Add(&key.flow)
	}
	d.count++
	return s
}

func (d *detector) drop(key sessionKey) {
	s := d.find(&key.flow, key.carrier)
	if s == nil {
		return
	}
	d.held -= cap(s.up.buf) + cap(s.down.buf)
	d.count--
	d.recent = nil
	switch first := d.sessions[key.flow]; {
	case first != s:
		for first.next != s {
			first = first.next
		}
		first.next = s.next
	case s.next != nil:
		d.sessions[key.flow] = s.next
	default:
		delete(d.sessions, key.flow)
		d.filter.Remove(&key.flow)
	}
	if len(d.spare) < maxSpare {
		d.spare = append(d.spare, s)
	}
}

// Sizes of the two first messages of a Stratum V2 connection by the specification: an encoded key, and a key, an encrypted key
// and a certificate. The first form of the specification had keys of 32 bytes.
const (
	noiseClient, noiseServer       = 64, 234
	oldNoiseClient, oldNoiseServer = 32, 170
	// A frame has an encrypted head of 22 bytes and 16 more than its payload. The client's setup has numbers and five texts; its
	// answer is of six bytes.
	leastSetup, mostSetup, setupAnswer = 22 + 16 + 16, 22 + 16 + 16 + 400, 22 + 16 + 6
)

func noiseHello(x *minewarden.Stream) bool {
	return x.FromClient && x.Offset == 0 && !x.Joined && (len(x.Data) == noiseClient || len(x.Data) == oldNoiseClient) && random(x.Data)
}

// random says that b has about as many different bytes as chance gives: of 64 random bytes 57 differ, of 32 there are 30.
func random(b []byte) bool {
	var seen [256]bool
	n, text := 0, 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
		if c >= ' ' && c < 0x7f {
			text++
		}
	}
	return n*5 >= min(len(b), 64)*4 && text*3 < len(b)*2
}

// prose says that b begins like a text that people and their protocols write.
func prose(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	for _, c := range b[:min(len(b), 16)] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// short copies what goes into evidence: printable, and no longer than a person reads.
func short(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), 160)]), "?"))
}
