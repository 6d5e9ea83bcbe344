package flow

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
)

// Who connects: a process, or an address.
type who struct {
	process minewarden.ProcessKey
	addr    netip.Addr
}

// subject names who connects; ev is of that process.
func (w who) subject(ev *minewarden.Event) minewarden.Subject {
	if w.addr.IsValid() || ev.Process == nil {
		return minewarden.Subject{Type: minewarden.SubjectHost, ID: w.addr.String()}
	}
	return minewarden.ProcessSubject(ev.Process)
}

// A talker is what is known of who connects. Its counts are of the minute that runs.
type talker struct {
	id      who
	began   time.Time
	last    time.Time
	opens   int
	failed  int
	usual   float64 // connections a minute, a mean that forgets
	minutes int     // that usual is made of
	ports   map[uint16]*spread
	hosts   map[netip.Addr]*spread
}

// A spread counts different values without keeping them: bits of a hash.
type spread struct {
	bits [4]uint64
}

func (s *spread) add(h uint32) int {
	h ^= h >> 16
	h *= 0x7feb352d
	h ^= h >> 15
	s.bits[h>>6&3] |= 1 << (h & 63)
	n := 0
	for _, b := range s.bits {
		for ; b != 0; b &= b - 1 {
			n++
		}
	}
	return n
}

// Bounds of one talker.
const (
	maxPorts = 64
	maxHosts = 64
)

// forget is the part of the usual number that each minute renews.
const forget = 0.1

func (d *detector) talker(id who, now time.Time) *talker {
	t := d.recent
	if t == nil || t.id != id {
		t = d.talkers[id]
	}
	if t == nil {
		if len(d.talkers) >= maxTalkers {
			d.evict()
		}
		t = &talker{id: id, began: now}
		d.talkers[id] = t
	}
	d.recent = t
	t.last = now
	if passed := now.Sub(t.began); passed >= time.Minute {
		t.usual += forget * (float64(t.opens) - t.usual)
		t.minutes++
		// Minutes without a connection count as such.
		for range min(int(passed/time.Minute)-1, 60) {
			t.usual -= forget * t.usual
			t.minutes++
		}
		t.began, t.opens, t.failed = now, 0, 0
		clear(t.ports)
		clear(t.hosts)
	}
	return t
}

// evict drops the quarter of talkers that were silent longest: by all of them, so that a recording replays alike.
func (d *detector) evict() {
	d.recent = nil
	times := make([]time.Time, 0, len(d.talkers))
	for _, t := range d.talkers {
		times = append(times, t.last)
	}
	slices.SortFunc(times, time.Time.Compare)
	cut := times[len(times)/4]
	for id, t := range d.talkers {
		if !t.last.After(cut) {
			delete(d.talkers, id)
		}
	}
}

// count notes a connection that was begun, and its failure where that is known already.
func (d *detector) count(ev *minewarden.Event, w who, to netip.AddrPort, result string) []minewarden.Finding {
	t := d.talker(w, ev.Time)
	t.opens++
	var found []minewarden.Finding
	limit := float64(coldRate)
	if t.minutes >= warm {
		limit = max(naiveRate, overUsual*t.usual)
	}
	if float64(t.opens) > limit && d.news(toldKey{rule: ruleRate, who: w}, ev.Time) {
		usual := "not known yet"
		if t.minutes >= warm {
			usual = strconv.FormatFloat(t.usual, 'f', 1, 64)
		}
		found = append(found, minewarden.Finding{
			Time: ev.Time, Rule: ruleRate, Subject: w.subject(ev), Confidence: 0.5, Process: ev.Process,
			Evidence: []minewarden.Evidence{{Key: "connections", Value: strconv.Itoa(t.opens) + " within a minute"}, {Key: "usual", Value: usual}},
		})
	}
	if failed(result) {
		found = append(found, d.fail(ev, w, to)...)
	}
	return found
}

// failed knows the results of a try that nobody answered or that was refused.
func failed(result string) bool {
	switch result {
	case "ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET":
		return true
	}
	return false
}

// fail notes a connection that came to nothing. Scans are told by these alone: who is answered is not scanning.
func (d *detector) fail(ev *minewarden.Event, w who, to netip.AddrPort) []minewarden.Finding {
	t := d.talker(w, ev.Time)
	t.failed++
	var found []minewarden.Finding
	tell := func(rule, what, value string) {
		if float64(t.failed) >= scanFailed*float64(max(t.opens, t.failed)) && d.news(toldKey{rule: rule, who: w}, ev.Time) {
			found = append(found, minewarden.Finding{
				Time: ev.Time, Rule: rule, Subject: w.subject(ev), Confidence: 0.7, Process: ev.Process,
				Evidence: []minewarden.Evidence{{Key: what, Value: value}, {Key: "failed", Value: strconv.Itoa(t.failed) + " of " + strconv.Itoa(max(t.opens, t.failed))}},
			})
		}
	}
	port := t.ports[to.Port()]
	if port == nil && len(t.ports) < maxPorts {
		if t.ports == nil {
			t.ports = map[uint16]*spread{}
		}
		port = &spread{}
		t.ports[to.Port()] = port
	}
	if port != nil && port.add(hash(to.Addr())) >= scanHosts {
		tell(ruleScan, "port", strconv.Itoa(int(to.Port())))
	}
	host := t.hosts[to.Addr()]
	if host == nil && len(t.hosts) < maxHosts {
		if t.hosts == nil {
			t.hosts = map[netip.Addr]*spread{}
		}
		host = &spread{}
		t.hosts[to.Addr()] = host
	}
	if host != nil && host.add(uint32(to.Port())*2654435761) >= scanPorts {
		tell(rulePorts, "host", to.Addr().String())
	}
	return found
}

func hash(a netip.Addr) uint32 {
	h := uint32(2166136261)
	b := a.As16()
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// A beatKey is one client's connections to one server.
type beatKey struct {
	client, server [16]byte
	port           uint16
}

// A beat keeps when the last connections began, in nanoseconds since 1970.
type beat struct {
	at   [beats]int64
	n    int
	next int
}

// Thresholds of beacons.
const (
	beats      = 12               // connections that are judged together
	minBeat    = 10 * time.Second // a shorter one is a program that retries
	minLasting = 10 * time.Minute // of all of them
	maxJitter  = 0.1              // mean distance of the intervals from their median, in parts of it
)

// beat judges whether connections to one server come regularly.
func (d *detector) beat(ev *minewarden.Event, x *minewarden.Flow) []minewarden.Finding {
	if !public(x.Key.Server.Addr()) {
		return nil
	}
	key := beatKey{x.Key.Client.Addr().As16(), x.Key.Server.Addr().As16(), x.Key.Server.Port()}
	b := d.beats[key]
	if b == nil {
		if len(d.beats) >= maxBeats {
			clear(d.beats)
		}
		b = &beat{}
		d.beats[key] = b
	}
	b.at[b.next] = ev.Time.UnixNano()
	b.next = (b.next + 1) % beats
	if b.n++; b.n < beats {
		return nil
	}
	lasted := time.Duration(b.at[(b.next+beats-1)%beats] - b.at[b.next])
	if lasted < minLasting {
		return nil
	}
	var steps [beats - 1]float64
	for i := range steps {
		steps[i] = time.Duration(b.at[(b.next+i+1)%beats] - b.at[(b.next+i)%beats]).Seconds()
	}
	sorted := steps
	slices.Sort(sorted[:])
	median := sorted[len(sorted)/2]
	away := 0.0
	for _, s := range steps {
		away += math.Abs(s-median) / float64(len(steps))
	}
	if median < minBeat.Seconds() || away > maxJitter*median || !d.news(toldKey{ruleBeacon, who{addr: x.Key.Client.Addr()}, x.Key.Server}, ev.Time) {
		return nil
	}
	score := 1 - away/median
	f := d.finding(ev, x, ruleBeacon, 0.4*score, "interval", strconv.FormatFloat(median, 'f', 1, 64)+" s, "+strconv.Itoa(beats)+" times in "+lasted.Round(time.Second).String())
	f.Evidence = append(f.Evidence, minewarden.Evidence{Key: "regularity", Value: strconv.FormatFloat(score, 'f', 2, 64)})
	return []minewarden.Finding{f}
}
