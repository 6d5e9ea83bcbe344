package login

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
)

// Thresholds are of faded counts: 8 failures within a few minutes, or as many within a day that no success of the same user
// took back. People who forgot a password give up or ask after three to five.
const (
	few        = 4.5 // failures, with several accounts among them
	burst      = 7.5 // failures with a half-life of 5 minutes
	patient    = 12  // failures with a half-life of a day
	sustained  = 150 // failures with a half-life of a day
	weakLeast  = 100 // of answers 401 that nothing sent credentials for: pages that poll before the login do so too
	sprayUsers = 8   // accounts that one source tried
	sprayEach  = 3.5 // failures per account, at most
	netAddrs   = 4   // addresses of one network that failed
	manyAddrs  = 10  // addresses that failed for one account
	keyLeast   = 30  // failures before a login by key from the same address says anything: keys are not guessed
	fastPublic = 12  // as fastGuess, from outside
	fastGuess  = 20  // failures within a few minutes that no person and no service with an old password makes
	retell     = 24 * time.Hour
)

// fail counts a failure and tells when one of the counts says more than mistakes do.
func (d *detector) fail(a *attempt, now time.Time) {
	k := a.source()
	s := d.sources.get(k, now)
	s.add(a.n, id(a.user))
	s.name(a.user)
	if a.weak {
		s.weak += a.n
	}
	if a.invalid {
		s.invalid += a.n
	}
	if a.out == tried {
		if spread(s) {
			d.tell(claimSpray, 0.7, a, s, now)
		}
		return
	}
	strong := s.weak*2 <= s.total
	switch {
	case spread(s) && strong:
		d.tell(claimSpray, 0.8, a, s, now)
	case strong && (s.fast >= burst || s.slow >= patient), s.slow >= weakLeast:
		d.tell(claimForce, 0.85, a, s, now)
	}
	// A service with an old password fails for weeks: from inside, for one account, numbers alone say little.
	if strong && s.slow >= sustained && (len(s.peers) > 3 || public(a.addr)) {
		d.tell(claimSustained, 0.9, a, s, now)
	}
	if a.weak {
		return
	}
	if a.addr.IsValid() && public(a.addr) {
		n := d.networks.get(network(a.addr), now)
		n.add(a.n, addrID(s.key.addr))
		n.name(a.user)
		if len(n.peers) >= netAddrs && n.slow >= 2*patient {
			d.tell(claimNetwork, 0.8, a, n, now)
		}
	}
	if a.addr.IsValid() && a.user != "" {
		u := d.accounts.get(key{name: clip(a.user), host: a.host}, now)
		u.add(a.n, addrID(s.key.addr))
		u.name(a.addr.String())
		if len(u.peers) >= manyAddrs {
			d.tell(claimAccount, 0.8, a, u, now)
		}
	}
}

// spread says that the failures are spread over many accounts.
func spread(s *counter) bool {
	return len(s.peers) >= sprayUsers && (s.slow/float64(len(s.peers)) <= sprayEach || len(s.peers) == maxPeers)
}

func public(a netip.Addr) bool {
	return a.IsValid() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

// accept weighs a success by what its source did before.
func (d *detector) accept(a *attempt, now time.Time) {
	k := a.source()
	who := id(a.user)
	s := d.sources.look(k, now)
	if a.command != "" {
		d.sudo(a, now)
	}
	if s == nil || s.total == 0 {
		d.acceptOther(a, now)
		return
	}
	if confidence := d.guessed(a, s, who); confidence > 0 {
		d.tell(claimSuccess, confidence, a, s, now)
		d.welcome(a, now)
		return
	}
	if d.acceptOther(a, now) {
		return
	}
	if !a.key {
		// A person who mistyped: neither this address nor the account is to be suspected for that.
		s.forgive(who)
		if u := d.accounts.look(key{name: clip(a.user), host: a.host}, now); u != nil {
			u.forgive(addrID(s.key.addr))
		}
	}
}

// guessed returns how sure it is that the success was guessed, 0 for not.
func (d *detector) guessed(a *attempt, s *counter, who uint64) float64 {
	if s.weak*2 > s.total || a.service == "credentials" {
		return 0
	}
	most := max(s.fast, s.slow)
	if a.key {
		if most >= keyLeast && public(a.addr) {
			return 0.6
		}
		return 0
	}
	p := s.peer(who)
	others := len(s.peers)
	if p != nil {
		others--
	}
	foreign := s.total // failures for other accounts
	if p != nil {
		foreign -= min(foreign, uint32(p.fails))
	}
	switch {
	case most >= few && others >= 3 && (s.invalid >= 2 || foreign >= 4 && public(a.addr)):
		return 0.85
	case most < burst:
		return 0
	case others >= 5 && (public(a.addr) || s.invalid >= 3 || spread(s)):
		return 0.95
	case s.fast >= fastGuess || public(a.addr) && (s.fast >= fastPublic || most >= sustained):
		return 0.9
	case public(a.addr) && p != nil && most >= 2*burst:
		return 0.8
	case public(a.addr) && p != nil:
		return 0.6 // a person who forgot the password may do so
	case public(a.addr) && foreign >= 8:
		return 0.8
	case p != nil && p.fails >= 8 && s.fast >= burst:
		return 0.6
	}
	return 0
}

// acceptOther weighs a success by its network and its account: the source itself did little.
func (d *detector) acceptOther(a *attempt, now time.Time) bool {
	if !a.addr.IsValid() || a.key {
		return false
	}
	src := addrID(a.source().addr)
	if n := d.networks.look(network(a.addr), now); n != nil && public(a.addr) && len(n.peers) >= netAddrs && n.slow >= 2*patient {
		if u := d.accounts.look(key{name: clip(a.user), host: a.host}, now); u != nil && n.told[claimNetwork] != (time.Time{}) {
			d.tell(claimSuccess, 0.7, a, n, now)
			d.welcome(a, now)
			return true
		}
	}
	u := d.accounts.look(key{name: clip(a.user), host: a.host}, now)
	if u == nil || len(u.peers) < manyAddrs || u.peer(src) == nil {
		return false
	}
	if s := d.sources.look(a.source(), now); s != nil && len(s.peers) >= 3 && public(a.addr) {
		d.tell(claimSuccess, 0.8, a, s, now) // it tried others too
		d.welcome(a, now)
		return true
	}
	d.tell(claimUnder, 0.4, a, u, now)
	return false
}

// sudo looks at what a guest's account does with the rights of another, where only logs are to be had.
func (d *detector) sudo(a *attempt, now time.Time) {
	g := d.guests.account(a.host, a.local, now)
	if g == nil {
		return
	}
	facts := command.Text(a.command)
	switch {
	case facts.Acts.Has(command.Keys):
		d.add(claimKey, 0.8, now, g.subject(), nil, append(g.evidence(), minewarden.Evidence{Key: "command", Value: clip512(a.command)}))
	case facts.Acts.Has(bad):
		d.add(claimDownload, 0.8, now, g.subject(), nil, append(g.evidence(), minewarden.Evidence{Key: "command", Value: clip512(a.command)}))
	}
}

func clip512(s string) string {
	if len(s) > 512 {
		return s[:512]
	}
	return s
}

// tell adds a finding, each claim of a counter once a day; a success each time.
func (d *detector) tell(c claim, confidence float64, a *attempt, by *counter, now time.Time) {
	if t := by.told[c]; !t.IsZero() && now.Sub(t) < retell && c != claimSuccess {
		return
	}
	by.told[c] = now
	subject := minewarden.Subject{Type: minewarden.SubjectService, ID: a.service, Name: a.service, Host: a.host}
	if a.host != "" {
		subject.ID = a.service + "@" + a.host
	}
	if a.user != "" && (c == claimSuccess || c == claimUnder || c == claimAccount) {
		subject = account(a.user, a.host)
	}
	source := a.local
	if a.addr.IsValid() {
		source = a.addr.String()
	}
	if by.key.bits != 0 {
		source = netip.PrefixFrom(by.key.addr, int(by.key.bits)).String()
	}
	ev := []minewarden.Evidence{
		{Key: "source", Value: source},
		{Key: "service", Value: a.service},
		{Key: "failures", Value: strconv.Itoa(int(by.total))},
		{Key: "since", Value: by.first.UTC().Format(time.RFC3339)},
	}
	n := strconv.Itoa(len(by.peers))
	if len(by.peers) == maxPeers {
		n += " or more"
	}
	switch {
	case by.key.bits == 24 || by.key.bits == 48, by.key.addr == zeroAddr && by.key.name == clip(a.user) && (c == claimAccount || c == claimUnder):
		ev = append(ev, minewarden.Evidence{Key: "addresses", Value: n})
	default:
		ev = append(ev, minewarden.Evidence{Key: "accounts", Value: n})
	}
	if len(by.names) > 0 {
		ev = append(ev, minewarden.Evidence{Key: "among them", Value: strings.Join(by.names, ", ")})
	}
	if a.out == accepted {
		ev = append(ev, minewarden.Evidence{Key: "user", Value: clip(a.user)})
		if a.addr.IsValid() && by.key.addr != a.addr {
			ev = append(ev, minewarden.Evidence{Key: "address", Value: a.addr.String()})
		}
	}
	d.add(c, confidence, now, subject, nil, ev)
}

func account(user, host string) minewarden.Subject {
	s := minewarden.Subject{Type: minewarden.SubjectAccount, ID: clip(user), Name: clip(user), Host: host}
	if host != "" {
		s.ID += "@" + host
	}
	return s
}

func (d *detector) add(c claim, confidence float64, now time.Time, s minewarden.Subject, p *minewarden.Process, ev []minewarden.Evidence) {
	d.found = append(d.found, minewarden.Finding{Time: now, Rule: rules[c].ID, Subject: s, Confidence: confidence, Evidence: ev, Process: p})
}
