package dns

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/dga"
)

// A miss is a name that a client asked for and that does not exist.
type miss struct {
	at     time.Time
	domain uint32 // hash of what would have been registered
	score  float32
	name   string
}

// maxMisses is how many are kept for each client.
const maxMisses = 40

// A client is what is known of who asks.
type client struct {
	seen     time.Time
	misses   [maxMisses]miss
	n        int // misses kept
	next     int
	answered int // answers since the window began
	missed   int
	began    time.Time
	parents  map[string]*parent
}

// A parent is a domain of which a client asks for names.
type parent struct {
	began    time.Time
	asked    int
	long     int // with much before the domain
	bytes    int // before the domain
	entropy  float64
	odd      int // asked for records that carry free data
	back     int // bytes of answers
	last     uint32
	repeated int
}

// Bounds of what is told.
const (
	window      = 10 * time.Minute // in which misses are counted together
	minMisses   = 30               // different names that do not exist, in a window
	minPart     = 0.5              // of a client's answers that are misses
	tunnelTime  = 5 * time.Minute
	minTunnel   = 40  // names under one domain within tunnelTime
	longName    = 24  // letters before the domain: words of host names are shorter
	minEntropy  = 3.2 // bits a letter: data in base32 has 4 and more, words 3
	minCarried  = 2 << 10
	minReturned = 50 // bytes of an answer: an address needs 16
)

// client returns the state of who asks. The one that was silent longest among a few goes when there are too many.
func (d *detector) client(a netip.Addr, now time.Time) *client {
	c := d.clients[a]
	if c == nil {
		if len(d.clients) >= maxClients {
			d.evict()
		}
		c = &client{began: now, parents: map[string]*parent{}}
		d.clients[a] = c
	}
	c.seen = now
	return c
}

// evict drops the client that was silent longest. The choice depends on all of them, so that a recording replays alike.
func (d *detector) evict() {
	var oldest netip.Addr
	var at time.Time
	for a, c := range d.clients {
		if !oldest.IsValid() || c.seen.Before(at) || c.seen.Equal(at) && a.Less(oldest) {
			oldest, at = a, c.seen
		}
	}
	delete(d.clients, oldest)
}

func (d *detector) answer(ev *minewarden.Event, x *minewarden.DNS, c *client) []minewarden.Finding {
	if ev.Time.Sub(c.began) > window {
		c.began, c.answered, c.missed = ev.Time, 0, 0
	}
	c.answered++
	found := d.carried(ev, x, c)
	if x.Code != "NXDOMAIN" {
		return found
	}
	c.missed++
	label, suffix, _ := dga.Split(x.Name)
	if len(label) < 4 || strings.Contains(label, "_") {
		return found
	}
	domain := fnv(registered(x.Name, suffix))
	for i := range c.n {
		if c.misses[i].domain == domain {
			return found // asked again, or many names below one domain: lists of senders are asked like that
		}
	}
	c.misses[c.next] = miss{ev.Time, domain, d.model.Score(x.Name), x.Name}
	c.next = (c.next + 1) % maxMisses
	c.n = min(c.n+1, maxMisses)
	return append(found, d.burst(ev, x, c)...)
}

// burst judges the names that do not exist together: one may be a slip, several are a habit.
func (d *detector) burst(ev *minewarden.Event, x *minewarden.DNS, c *client) []minewarden.Finding {
	var found []minewarden.Finding
	recent := 0
	var buf [dga.MaxBurst]float32
	scores := buf[:0] // the newest first
	var names []string
	for i := range c.n {
		m := &c.misses[(c.next+maxMisses-1-i)%maxMisses]
		if ev.Time.Sub(m.at) > window {
			break
		}
		recent++
		if len(scores) < dga.MaxBurst {
			scores = append(scores, m.score)
		}
		if len(names) < 4 {
			names = append(names, short(m.name))
		}
	}
	subject := minewarden.Subject{Type: minewarden.SubjectHost, ID: x.Key.Client.Addr().String()}
	who := x.Key.Client.Addr().String()
	examples := strings.Join(names, " ")
	if v, ok := d.model.Judge(scores); ok && d.news(ruleBurst+who, ev.Time) {
		found = append(found, minewarden.Finding{
			Time: ev.Time, Rule: ruleBurst, Subject: subject, Confidence: 0.85, Process: ev.Process,
			Evidence: []minewarden.Evidence{
				{Key: "names", Value: examples},
				{Key: "judged", Value: strconv.Itoa(v.N) + " names together"},
				{Key: "mean_score", Value: number(float64(v.Mean))},
				{Key: "cut", Value: number(float64(v.Cut))},
				{Key: "window", Value: window.String()},
			},
		})
	}
	if recent >= minMisses && float64(c.missed) >= minPart*float64(c.answered) && d.news(ruleMissing+who, ev.Time) {
		found = append(found, minewarden.Finding{
			Time: ev.Time, Rule: ruleMissing, Subject: subject, Confidence: 0.6, Process: ev.Process,
			Evidence: []minewarden.Evidence{{Key: "missing", Value: strconv.Itoa(recent) + " names in " + window.String()}, {Key: "names", Value: examples}},
		})
	}
	return found
}

// carried judges whether names below one domain carry data: many, long, never the same, and answered with much.
func (d *detector) carried(ev *minewarden.Event, x *minewarden.DNS, c *client) []minewarden.Finding {
	_, suffix, _ := dga.Split(x.Name)
	domain := registered(x.Name, suffix)
	if len(domain) >= len(x.Name) {
		return nil
	}
	before := x.Name[:len(x.Name)-len(domain)-1]
	p := c.parents[domain]
	if p == nil {
		if len(before) < longName {
			return nil
		}
		if len(c.parents) >= maxParents {
			c.evict()
		}
		p = &parent{began: ev.Time}
		c.parents[domain] = p
	}
	if ev.Time.Sub(p.began) > tunnelTime {
		*p = parent{began: ev.Time}
	}
	h := fnv(before)
	if h == p.last {
		p.repeated++
		return nil
	}
	p.last = h
	p.asked++
	p.bytes += len(before)
	if len(before) >= longName {
		p.long++
	}
	p.entropy += dga.Entropy(before)
	switch x.Type {
	case "TXT", "NULL", "CNAME", "MX", "SRV", "KEY":
		p.odd++
	}
	p.back += int(x.TextBytes)
	for _, n := range x.Names {
		p.back += len(n)
	}
	n := float64(p.asked)
	if p.asked < minTunnel || float64(p.long) < 0.8*n || p.entropy/n < minEntropy || p.bytes < minCarried || float64(p.odd) < 0.5*n && float64(p.back)/n < minReturned {
		return nil
	}
	if !d.news(ruleTunnel+x.Key.Client.Addr().String()+domain, ev.Time) {
		return nil
	}
	return []minewarden.Finding{{
		Time: ev.Time, Rule: ruleTunnel, Subject: minewarden.FlowSubject(x.Key), Confidence: 0.8, Process: ev.Process,
		Evidence: []minewarden.Evidence{
			{Key: "domain", Value: short(domain)},
			{Key: "names", Value: strconv.Itoa(p.asked) + " different in " + ev.Time.Sub(p.began).Round(time.Second).String()},
			{Key: "carried", Value: strconv.Itoa(p.bytes) + " letters out, " + strconv.Itoa(p.back) + " bytes back"},
			{Key: "entropy", Value: number(p.entropy/n) + " bits a letter"},
			{Key: "example", Value: short(x.Name)},
		},
	}}
}

// evict drops the domain of which least was asked.
func (c *client) evict() {
	least, name := math.MaxInt, ""
	for d, p := range c.parents {
		if p.asked < least || p.asked == least && d < name {
			least, name = p.asked, d
		}
	}
	delete(c.parents, name)
}

// registered returns what somebody registered: the suffix and the label before it.
func registered(name, suffix string) string {
	rest := strings.TrimSuffix(name[:max(0, len(name)-len(suffix))], ".")
	return name[strings.LastIndexByte(rest, '.')+1:]
}

func fnv(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
