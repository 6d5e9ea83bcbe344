package stratum

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/wallet"
)

// A talk is what one event adds to a session.
type talk struct {
	d          *detector
	s          *session
	ev         *minewarden.Event
	m          *message
	fromClient bool
	found      []minewarden.Finding
}

// judge draws the conclusion from a message. Up says that miners send it, and not pools.
func (t *talk) judge(v verdict, up bool) {
	s := t.s
	if v != nothing && t.quotes(up) {
		return
	}
	switch v {
	case nothing:
		return
	case hint:
		// A hint alone is no finding; two of different kinds, or one kept up, are.
		if s.mining || s.hints >= 4 || s.weak&(s.weak-1) != 0 {
			v = session_
		} else {
			return
		}
	}
	if !s.mining {
		s.mining = true
		s.quiet = t.d.quiet(s.key, t.ev.Time)
	}
	s.up.dull, s.down.dull = 0, 0
	s.reversed = up != t.fromClient
	if s.first.IsZero() && (v == job || v == login) {
		s.first = t.ev.Time
	}
	switch v {
	case submit:
		s.submit(t.ev.Time, t.m.id())
		if s.told&toldSubmit == 0 {
			s.told |= toldSubmit
			t.tell(ruleSubmit, 0.99)
		}
	case job:
		if s.first.IsZero() {
			s.first = t.ev.Time
		}
		if s.told&toldJob == 0 {
			s.told |= toldJob
			t.tell(ruleJob, 0.99)
			t.handsOut()
		}
	case login:
		// The user often comes in a message after the first. One finding is enough, at once: the work that follows says the
		// name, or the end of the session does. Where the work came before the name nothing else may.
		first := s.told&(toldLogin|toldHello) == 0 && (s.told&toldSession == 0 || s.user != "")
		late := s.told&toldLogin == 0 && s.told&toldJob != 0 && s.user != "" && !s.named
		if first || late {
			t.tell(ruleLogin, 0.97)
			s.told |= toldSession | toldHello
			if s.user != "" {
				s.told |= toldLogin
			}
		}
	case getwork, template:
		if s.told&(toldLogin|toldSession) == 0 {
			s.told |= toldLogin
			rule, confidence := ruleGetwork, 0.9
			if v == template {
				rule, confidence = ruleTemplate, 0.8
			}
			t.tell(rule, confidence)
		}
	case session_:
		if s.told == 0 {
			s.told |= toldSession
			t.tell(ruleSession, 0.9)
		}
	}
	t.milestone()
}

// maxProse is how many lines of other text may come before a message of mining. Some proxies send one.
const maxProse = 1

// quotes says that a message is not said but shown: a body of HTTP in which the server says what miners do is a file, and lines
// among prose are a mail or a chat, unless the other side talks of mining too.
func (t *talk) quotes(up bool) bool {
	s, half, side := t.s, &t.s.up, 0
	if !t.fromClient {
		half, side = &s.down, 1
	}
	if s.carrier == minewarden.CarrierHTTPBody && up != t.fromClient {
		s.quoted = true
	}
	s.said[side] = true
	return s.quoted || half.prose > maxProse && !s.said[1-side]
}

// milestone speaks again as shares add up.
func (t *talk) milestone() {
	s := t.s
	n := s.accepted
	if n == 0 {
		n = s.submitted
	}
	for _, m := range milestones {
		if n == m && s.toldAccepted < m {
			s.toldAccepted = m
			t.tell(ruleSubmit, 0.99)
		}
	}
}

// noise tells of the sizes of Stratum V2.
func (t *talk) noise(rule string) {
	t.s.dialect = orDialect(t.s.dialect, dialectStratumV2)
	confidence := 0.4
	if rule == ruleNoiseSession {
		confidence = 0.85
	}
	t.tell(rule, confidence)
}

// tell makes a finding with all that is known by now.
func (t *talk) tell(rule string, confidence float64) {
	s := t.s
	if s.quiet {
		return
	}
	coin, algorithm := s.name()
	s.coin = coin
	s.named = s.named || s.user != ""
	server, client := s.ends()
	var ev []minewarden.Evidence
	add := func(key, value string) {
		if value != "" {
			ev = append(ev, minewarden.Evidence{Key: key, Value: value})
		}
	}
	add("dialect", s.dialect)
	add("coin", coin)
	add("algorithm", algorithm)
	add("pool", t.d.pool(s, server))
	if s.address.Text != "" {
		add("wallet", s.address.Text)
		kind := s.address.Coin + " " + s.address.Kind
		if s.address.Checked() {
			kind += ", checksum right"
		}
		add("wallet_kind", kind)
	} else {
		add("user", s.user)
	}
	add("worker", s.worker)
	add("agent", orDialect(s.agent, s.httpAgent))
	add("http_user", s.httpUser)
	if s.carrier != "" && s.carrier != minewarden.CarrierTCP {
		add("carrier", s.carrier)
	}
	add("hidden_behind", s.behind(server))
	if s.reversed {
		add("miner", client.String())
	}
	if s.submitted > 0 || s.accepted > 0 {
		add("shares", strconv.Itoa(s.submitted)+" sent, "+strconv.Itoa(s.accepted)+" accepted, "+strconv.Itoa(s.rejected)+" rejected")
	}
	if rate, ok := s.hashRate(); ok {
		add("hash_rate", float(rate)+" H/s over "+s.last.Sub(s.first).Round(time.Second).String())
	}
	if coins, ok := s.earned(); ok {
		add("earned", float(coins)+" "+s.coin+" on average, before fees")
	}
	t.found = append(t.found, minewarden.Finding{Time: t.ev.Time, Rule: rule, Subject: minewarden.FlowSubject(s.key), Confidence: confidence, Evidence: ev, Process: s.process})
}

// ends returns the pool's end and the miner's.
func (s *session) ends() (pool, miner netip.AddrPort) {
	if s.reversed {
		return s.key.Client, s.key.Server
	}
	return s.key.Server, s.key.Client
}

// behind says which proxy carried the session.
func (s *session) behind(server netip.AddrPort) string {
	if s.target == "" {
		return ""
	}
	return server.String()
}

// pool names the pool: what was asked of a proxy or of HTTP, or the name that the address was found by.
func (d *detector) pool(s *session, server netip.AddrPort) string {
	switch {
	case s.target != "":
		return s.target
	case s.host != "":
		return s.host
	case d.names[server.Addr()] != "":
		return d.names[server.Addr()] + ":" + strconv.Itoa(int(server.Port()))
	}
	return server.String()
}

// coins names the coin that an algorithm is used for, where it is one.
var coins = map[string]string{
	"rx/0": wallet.Monero, "randomx": wallet.Monero, "rx/wow": "wownero", "rx/arq": "arqma", "rx/graft": "graft", "rx/sfx": "safex", "rx/keva": "kevacoin", "rx/xla": "scala",
	"panthera": "scala", "cn/upx2": "uplexa", "cn/gpu": "ryo", "cn-pico": "turtlecoin", "cn/ccx": "conceal", "cn-heavy/xhv": "haven", "ghostrider": "raptoreum", "kawpow": "ravencoin family",
	"argon2/chukwa": "turtlecoin", "argon2/chukwav2": "turtlecoin", "argon2/ninja": "ninjacoin", "cn/r": family, "cn/half": "masari",
	"cn-pico/trtl": "turtlecoin", "rx/yada": "yadacoin", "rx/xdag": "xdag", "rx/xeq": "equilibria", "tensority": "bytom", "astrobwt": "dero", "astrobwt/v2": "dero", "xel/0": "xelis", "xel/v1": "xelis", "xel/v2": "xelis",
}

// name returns coin and algorithm as far as they are known by now: what is known later may say otherwise.
func (s *session) name() (coin, algorithm string) {
	algorithm = s.algorithm
	ethash := s.dialect == dialectEth2 || s.dialect == dialectEthProxy || s.dialect == dialectEth1 && s.worked // others speak Eth1 too
	if algorithm == "" {
		switch {
		case s.dialect == dialectEquihash:
			algorithm = "equihash"
		case s.dialect == dialectKawPow:
			algorithm = "kawpow"
		case ethash && s.hinted == "nervos":
			algorithm = "eaglesong"
		case ethash && s.hinted == "":
			algorithm = "ethash"
		case s.dialect == dialectKaspa:
			algorithm = "kheavyhash"
		case s.dialect == dialectGrin:
			algorithm = "cuckatoo"
		case s.dialect == dialectBeam:
			algorithm = "beamhash"
		case s.dialect == dialectAlephium:
			algorithm = "blake3"
		case s.dialect == dialectIronFish:
			algorithm = "fishhash"
		case s.dialect == dialectDero:
			algorithm = "astrobwt"
		case s.dialect == dialectNimiq:
			algorithm = "argon2d"
		}
	}
	switch {
	case s.address.Coin != "" && s.address.Checked() && fits(s.address.Coin, s.dialect):
		return s.address.Coin, algorithm
	case s.hinted != "":
		return s.hinted, algorithm
	case coins[algorithm] != "":
		return coins[algorithm], algorithm
	}
	switch {
	case s.dialect == dialectKaspa:
		return "kaspa", algorithm
	case s.dialect == dialectAlephium:
		return "alephium", algorithm
	case s.dialect == dialectIronFish:
		return "iron fish", algorithm
	case s.dialect == dialectDero:
		return "dero", algorithm
	case s.dialect == dialectXelis || s.dialect == dialectXatum:
		return "xelis", algorithm
	case s.dialect == dialectGrin, s.dialect == dialectBeam, s.dialect == dialectNimiq:
		return s.dialect, algorithm
	case s.dialect == dialectMonero || s.dialect == dialectDaemon || strings.HasPrefix(s.dialect, "browser"):
		return family, algorithm
	case ethash:
		return "ethereum family", algorithm
	case s.dialect == dialectBitcoin:
		return "bitcoin family", algorithm
	case s.dialect == dialectEquihash:
		return "zcash family", algorithm
	}
	return "", algorithm
}

// family is what is said of CryptoNote work before its algorithm is known.
const family = "cryptonote family"

// A server is a machine that hands out work.
type server struct {
	clients  [maxClients]netip.Addr
	n        int
	told     bool
	upstream string // where it takes work from itself
}

// minProxied is the number of miners behind one machine inside that make it a pool or proxy: one alone can be a test.
const (
	minProxied = 3
	maxClients = 8
)

// handsOut counts whom a machine inside gives work to. One that also takes work from elsewhere is a proxy with its first client.
func (t *talk) handsOut() {
	pool, miner := t.s.ends()
	if private(miner.Addr()) && !private(pool.Addr()) {
		up := t.server(miner.Addr())
		up.upstream = pool.String()
		if up.n > 0 && !up.told {
			t.proxy(up, miner.Addr())
		}
	}
	if !private(pool.Addr()) || pool.Addr() == miner.Addr() {
		return
	}
	s := t.server(pool.Addr())
	for _, c := range s.clients[:s.n] {
		if c == miner.Addr() {
			return
		}
	}
	if s.n == maxClients {
		return
	}
	s.clients[s.n] = miner.Addr()
	if s.n++; !s.told && (s.n >= minProxied || s.upstream != "") {
		t.proxy(s, pool.Addr())
	}
}

func (t *talk) server(a netip.Addr) *server {
	if s := t.d.servers[a]; s != nil {
		return s
	}
	if len(t.d.servers) >= maxServers {
		clear(t.d.servers)
	}
	s := &server{}
	t.d.servers[a] = s
	return s
}

func (t *talk) proxy(s *server, at netip.Addr) {
	s.told = true
	names := make([]string, 0, s.n)
	for _, c := range s.clients[:s.n] {
		names = append(names, c.String())
	}
	ev := []minewarden.Evidence{{Key: "server", Value: at.String()}, {Key: "clients", Value: strings.Join(names, " ")}, {Key: "dialect", Value: t.s.dialect}}
	if s.upstream != "" {
		ev = append(ev, minewarden.Evidence{Key: "upstream", Value: "it mines at " + s.upstream + " itself"})
	}
	t.found = append(t.found, minewarden.Finding{Time: t.ev.Time, Rule: ruleProxy, Subject: minewarden.FlowSubject(t.s.key), Confidence: 0.9, Evidence: ev, Process: t.s.process})
}
