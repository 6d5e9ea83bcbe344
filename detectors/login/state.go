package login

import (
	"math"
	"net/netip"
	"strings"
	"time"
)

const (
	fastHalf = 5 * time.Minute // half-life of the count that sees a burst
	slowHalf = 24 * time.Hour  // half-life of the count that sees a patient guesser
	maxPeers = 64              // that one counter tells apart
	maxNames = 5               // that evidence shows
	maxName  = 64              // bytes of a kept name
	sample   = 16              // counters that compete when one must go
)

var zeroAddr netip.Addr

// A key names who or what attempts are counted for: an address, a network, a local user, or an account of a host.
type key struct {
	addr netip.Addr
	bits uint8 // of a network
	name string
	host string
}

// group is the crowd to which a key belongs, for fair eviction.
func (k key) group() key {
	if k.addr.IsValid() {
		return network(k.addr)
	}
	return key{host: k.host}
}

// network returns the network that one party is likely to hold: /24 of IPv4, /48 of IPv6, where a single host has a /64.
func network(a netip.Addr) key {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return key{}
	}
	return key{addr: p.Addr(), bits: uint8(bits)}
}

// source returns the key of who tried: of IPv6 the /64, through which one host wanders freely.
func (a *attempt) source() key {
	if !a.addr.IsValid() {
		return key{name: a.local, host: a.host}
	}
	if a.addr.Is6() {
		if p, err := a.addr.Prefix(64); err == nil {
			return key{addr: p.Addr(), bits: 64}
		}
	}
	return key{addr: a.addr}
}

// A peer is a user that an address tried, or an address that tried a user.
type peer struct {
	id    uint64
	fails float32
}

// A counter counts the failures of one key. Counts fade, so that it needs no clock and no list of times.
type counter struct {
	key        key
	first, at  time.Time
	fast, slow float64
	total      uint32
	weak       uint32 // of total
	invalid    uint32 // of total: for accounts that do not exist
	peers      []peer // at most maxPeers, each once
	names      []string
	told       [numClaims]time.Time
	index      int
}

// fade brings the counts to now. After a long silence the counter starts anew.
func (c *counter) fade(now time.Time) {
	d := now.Sub(c.at)
	if d <= 0 {
		return
	}
	c.at = now
	c.fast *= math.Exp2(-float64(d) / float64(fastHalf))
	c.slow *= math.Exp2(-float64(d) / float64(slowHalf))
	if c.slow < 0.5 {
		c.first, c.total, c.weak, c.invalid = now, 0, 0, 0
		c.peers, c.names = c.peers[:0], nil
	}
}

// add counts n failures that concern the peer.
func (c *counter) add(n uint32, id uint64) {
	c.fast += float64(n)
	c.slow += float64(n)
	c.total += n
	if p := c.peer(id); p != nil {
		p.fails += float32(n)
	} else if len(c.peers) < maxPeers {
		c.peers = append(c.peers, peer{id, float32(n)})
	}
}

func (c *counter) peer(id uint64) *peer {
	for i := range c.peers {
		if c.peers[i].id == id {
			return &c.peers[i]
		}
	}
	return nil
}

// forgive takes the failures of a peer back: it has shown that it is who it said.
func (c *counter) forgive(id uint64) {
	for i := range c.peers {
		if c.peers[i].id == id {
			f := float64(c.peers[i].fails)
			c.fast, c.slow = max(0, c.fast-f), max(0, c.slow-f)
			c.total -= min(c.total, uint32(f))
			c.peers[i] = c.peers[len(c.peers)-1]
			c.peers = c.peers[:len(c.peers)-1]
			return
		}
	}
}

// name keeps a name for evidence.
func (c *counter) name(s string) {
	if s = clip(strings.TrimSpace(s)); len(c.names) == maxNames || s == "" {
		return
	}
	for _, have := range c.names {
		if have == s {
			return
		}
	}
	c.names = append(c.names, strings.Clone(s))
}

func clip(s string) string {
	if len(s) > maxName {
		return s[:maxName]
	}
	return s
}

// A table holds at most size counters. When it is full, one of a few taken by chance goes: the one from the largest crowd of
// neighbours with the fewest failures. A flood of addresses thus pushes out itself, not the patient attacker.
type table struct {
	size   int
	by     map[key]*counter
	all    []*counter
	crowd  map[key]int32
	random uint64
}

func newTable(size int) *table {
	return &table{size: size, by: map[key]*counter{}, crowd: map[key]int32{}, random: 0x9e3779b97f4a7c15}
}

// get returns the counter of k, faded to now.
func (t *table) get(k key, now time.Time) *counter {
	c := t.by[k]
	if c == nil {
		if len(t.all) >= t.size {
			t.evict()
		}
		k.name, k.host = strings.Clone(k.name), strings.Clone(k.host)
		c = &counter{key: k, first: now, at: now, index: len(t.all)}
		t.by[k] = c
		t.all = append(t.all, c)
		t.crowd[k.group()]++
		return c
	}
	c.fade(now)
	return c
}

// look returns the counter of k, faded to now, or nil.
func (t *table) look(k key, now time.Time) *counter {
	c := t.by[k]
	if c != nil {
		c.fade(now)
	}
	return c
}

func (t *table) evict() {
	var worst *counter
	score := -1.0
	for range sample {
		t.random ^= t.random << 13
		t.random ^= t.random >> 7
		t.random ^= t.random << 17
		c := t.all[t.random%uint64(len(t.all))]
		s := float64(t.crowd[c.key.group()]) / (1 + c.slow*c.slow)
		if s > score || s == score && c.at.Before(worst.at) {
			worst, score = c, s
		}
	}
	t.drop(worst)
}

func (t *table) drop(c *counter) {
	delete(t.by, c.key)
	last := t.all[len(t.all)-1]
	t.all[c.index], last.index = last, c.index
	t.all[len(t.all)-1] = nil
	t.all = t.all[:len(t.all)-1]
	g := c.key.group()
	if t.crowd[g]--; t.crowd[g] <= 0 {
		delete(t.crowd, g)
	}
}

// id returns the FNV-1a hash of s, with letters of ASCII folded.
func id(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func addrID(a netip.Addr) uint64 {
	b := a.As16()
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// A connection is one process of sshd. Its lines tell of the same attempts in several forms.
type connection struct {
	at    time.Time
	addr  netip.Addr
	user  string
	forms [numForms]uint32
	slot  int
}

type connectionKey struct {
	host string
	pid  int32
}

const maxConnections = 4096

// A connections is a ring: sshd's lines of one connection come close together.
type connections struct {
	by   map[connectionKey]*connection
	ring []connectionKey
	next int
}

// settle fills what an attempt's line leaves out from the other lines of its connection, and sets n to the attempts that no
// other line has told. It reports whether the source is known.
func (cs *connections) settle(a *attempt, now time.Time) bool {
	if a.pid == 0 || a.service != "ssh" {
		return a.addr.IsValid() || a.local != ""
	}
	k := connectionKey{a.host, a.pid}
	c := cs.by[k]
	if c == nil || now.Sub(c.at) > 10*time.Minute || now.Before(c.at.Add(-time.Minute)) || a.addr.IsValid() && c.addr.IsValid() && a.addr != c.addr {
		if c == nil {
			k.host = strings.Clone(k.host)
			c = &connection{}
			if len(cs.ring) < maxConnections {
				c.slot = len(cs.ring)
				cs.ring = append(cs.ring, k)
			} else {
				delete(cs.by, cs.ring[cs.next])
				cs.ring[cs.next], c.slot = k, cs.next
				cs.next = (cs.next + 1) % maxConnections
			}
			cs.by[k] = c
		} else {
			*c = connection{slot: c.slot}
		}
	}
	c.at = now
	if a.addr.IsValid() {
		c.addr = a.addr
	}
	if a.user != "" && c.user == "" {
		c.user = strings.Clone(clip(a.user))
	}
	a.addr = c.addr
	if a.user == "" {
		a.user = c.user
	}
	if a.out == failed {
		before := c.most()
		if a.form == formInvalid || a.form == formClosed || a.key {
			c.forms[a.form] = max(c.forms[a.form], 1) // an agent offers many keys in one login
		} else {
			c.forms[a.form] += a.n
		}
		if !c.addr.IsValid() {
			c.forms[a.form] -= min(c.forms[a.form], a.n)
			return false
		}
		a.n = c.most() - before
	}
	return c.addr.IsValid()
}

func (c *connection) most() uint32 {
	n := uint32(0)
	for _, f := range c.forms {
		n = max(n, f)
	}
	return n
}
