package stratum

import (
	"bytes"
	"strings"
)

// Dialects, as findings name them.
const (
	dialectMonero    = "monero"                    // login, job, submit
	dialectV1        = "stratum v1"                // mining.subscribe and its kin, before the kind is known
	dialectBitcoin   = "stratum v1 (bitcoin)"      // jobs of nine parts with a coinbase
	dialectEquihash  = "stratum v1 (equihash)"     // set_target, solutions
	dialectKawPow    = "stratum v1 (kawpow)"       // header, seed and target
	dialectEth1      = "EthereumStratum/1.0.0"     // also of NiceHash
	dialectEth2      = "EthereumStratum/2.0.0"     // mining.hello
	dialectKaspa     = "stratum v1 (kaspa)"        // EthereumStratum with a numeric header
	dialectNiceHash  = "stratum v1 (nicehash)"     // a server that proves itself
	dialectEthProxy  = "eth-proxy"                 // eth_submitLogin, eth_getWork
	dialectGetwork   = "getwork"                   // Bitcoin's first
	dialectTemplate  = "getblocktemplate"          // BIP 22
	dialectDaemon    = "getblocktemplate (monero)" // solo to a CryptoNote node
	dialectGrin      = "grin"
	dialectBeam      = "beam"
	dialectBrowser   = "browser (coinhive)"
	dialectWebMiner  = "browser (webminerpool)"
	dialectStratumV2 = "stratum v2"
	dialectAlephium  = "stratum v1 (alephium)" // jobs of many chains at once
	dialectIronFish  = "stratum v1 (iron fish)"
	dialectDero      = "dero daemon"
	dialectXelis     = "xelis daemon"
	dialectXatum     = "xatum" // a word, a tilde and an object
	dialectNimiq     = "nimiq"
	dialectBare      = "lists of a pool's own" // submit and notify without names
)

// A verdict is what one message means.
type verdict uint8

const (
	nothing  verdict = iota
	hint             // happens in mining, and elsewhere
	session_         // only in mining, but neither of the next
	login            // the miner says who it is
	job              // the pool gives work
	submit           // the miner hands in a share
	getwork          // the miner asks for work by polling
	template         // the miner asks for a template
)

// Hints, each counted once.
const (
	hintLogin = 1 << iota
	hintKeep
	hintWork
	hintTemplate
	hintAuthorize
	hintShare
	hintNotify
	hintReconnect
)

// message judges one object.
func (t *talk) message(raw []byte) {
	m := &t.d.m
	if !m.parse(raw) || m.kind(0) != kindObject {
		return
	}
	t.m = m
	method := m.field(0, "method")
	params := m.get(0, "params")
	answers := m.get(0, "result") != nowhere || m.get(0, "error") != nowhere
	switch {
	case len(method) > 0:
		if answers && params == nowhere { // some name the method that they answer
			if v, up := t.reply(); v != nothing {
				t.judge(v, up)
				return
			}
		}
		t.judge(t.call(method, params))
	case answers && m.get(0, "identifier") == nowhere:
		t.judge(t.reply())
	default:
		t.judge(t.unnamed(params))
	}
}

// call judges a request or notification by its method and the shape of its parameters.
func (t *talk) call(method []byte, params at) (verdict, bool) {
	m, s := t.m, t.s
	switch name := string(method); name {
	case "login":
		return t.loginCall(params), true
	case "job", "getjobtemplate", "getjob":
		if v := t.job(params); v != nothing {
			return v, false
		}
		if m.field(0, "input") != nil && isHex(m.field(0, "input"), 16, 512) && m.get(0, "difficulty") != nowhere {
			s.dialect = dialectBeam
			return job, false
		}
		if name == "getjobtemplate" && m.kind(params) != kindArray {
			s.dialect = dialectGrin
			return session_, true
		}
	case "submit":
		return t.submitCall(params)
	case "solution":
		if isHex(m.field(0, "nonce"), 8, 32) && isHex(m.field(0, "output"), 64, 4096) {
			s.dialect = dialectBeam
			return submit, true
		}
	case "keepalived":
		if m.kind(params) == kindObject {
			return t.hint(hintKeep), true
		}
	case "getwork":
		s.dialect = orDialect(s.dialect, dialectGetwork)
		if isHex(m.str(m.item(params, 0)), 160, 1024) {
			return submit, true
		}
		s.templates++
		return getwork, true
	case "client.reconnect", "client.show_message", "client.get_version":
		if s.mining {
			return session_, false
		}
		return t.hint(hintReconnect), false
	case "notify":
		list := m.get(0, "result")
		if list == nowhere {
			list = params
		}
		return t.bare(list, hintNotify), false
	case "block_template":
		if isHex(m.field(params, "blob"), 152, maxObject) && m.get(params, "job_id") != nowhere {
			return session_, true
		}
	case "result":
		if s.dialect == dialectBeam {
			if code, ok := m.num(m.get(0, "code")); ok && s.answer(t.ev.Time, m.id(), code == 1) {
				return session_, false
			}
		}
	default:
		if rest, ok := strings.CutPrefix(name, "mining."); ok {
			if params == nowhere {
				params = m.get(0, "body")
			}
			if k := m.kind(params); k == kindArray || k == kindObject || k == kindNone || k == kindNull {
				return t.mining(rest, params)
			}
			return nothing, true
		}
		if coin, what, ok := strings.Cut(name, "_"); ok && len(coin) <= 6 {
			if v := t.proxied(what, params, coin == "eth"); v != nothing {
				if coin == "aqua" {
					s.hinted = "aquachain"
				}
				return v, true
			}
		}
		return t.node(name, params), true
	}
	return nothing, true
}

func orDialect(have, otherwise string) string {
	if have != "" {
		return have
	}
	return otherwise
}

func (t *talk) hint(which uint16) verdict {
	t.s.weak |= which
	if which != hintLogin { // any program logs in again after a failure
		t.s.hints++
	}
	return hint
}

// loginCall judges the login of CryptoNote, Grin and Beam. A name and a password alone are those of any program; the program's
// own name, a list of algorithms or a wallet beside them are a miner's.
func (t *talk) loginCall(params at) verdict {
	m, s := t.m, t.s
	if key := m.field(0, "api_key"); len(key) > 0 && params == nowhere {
		s.dialect = dialectBeam
		s.login(key)
		return login
	}
	user := m.field(params, "login")
	if m.kind(params) != kindObject || user == nil {
		return nothing
	}
	agent, algo, pass := m.field(params, "agent"), m.get(params, "algo"), m.field(params, "pass")
	s.login(user)
	if len(agent) > 0 {
		s.agent = short(agent)
	}
	if rig := m.field(params, "rigid"); len(rig) > 0 {
		s.worker = short(rig)
	}
	s.dialect = orDialect(s.dialect, dialectMonero)
	if bytes.Contains(bytes.ToLower(agent), []byte("grin")) {
		s.dialect = dialectGrin
	}
	if s.address.Text != "" || m.kind(algo) == kindArray || agent != nil && pass != nil {
		return login
	}
	return t.hint(hintLogin)
}

// job judges what may be work of CryptoNote or Grin: as the parameters of a notification, or within the answer to a login.
func (t *talk) job(o at) verdict {
	m, s := t.m, t.s
	if m.kind(o) != kindObject {
		return nothing
	}
	if pow := m.field(o, "pre_pow"); isHex(pow, 64, 4096) && m.get(o, "job_id") != nowhere {
		s.dialect = dialectGrin
		if v, ok := m.num(m.get(o, "difficulty")); ok {
			s.perShare = v
		}
		return job
	}
	blob, target := m.field(o, "blob"), m.field(o, "target")
	switch {
	case m.field(o, "pool_wallet") != nil && isHex(m.field(o, "extra_nonce"), 2, 128) && m.get(o, "job_id") != nowhere && isHex(target, 6, 64):
		s.dialect = orDialect(s.dialect, dialectMonero) // the miner takes the block from a node of its own
		s.perShare = hashesOfCompact(target)
		return job
	case isHex(m.field(o, "previous_block_hash"), 64, 64) && isHex(m.field(o, "seed"), 64, 64) && m.get(o, "job_id") != nowhere:
		s.dialect = orDialect(s.dialect, dialectMonero)
		s.algorithm, s.hinted = "tensority", "bytom"
		return job
	}
	if !isHex(blob, 64, 4096) || m.get(o, "job_id") == nowhere || !isHex(target, 6, 64) {
		return nothing
	}
	if s.dialect == "" || s.dialect == dialectV1 {
		s.dialect = dialectMonero
	}
	if algo := m.field(o, "algo"); len(algo) > 0 {
		s.algorithm = short(algo)
	}
	s.perShare = hashesOfCompact(target)
	return job
}

func (t *talk) submitCall(params at) (verdict, bool) {
	m, s := t.m, t.s
	if m.kind(params) == kindArray {
		return t.bare(params, hintShare), true
	}
	switch {
	case m.kind(params) != kindObject || m.get(params, "job_id") == nowhere && m.get(params, "height") == nowhere:
		return nothing, true
	case isHex(m.field(params, "nonce"), 8, 64) && isHex(m.field(params, "result"), 64, 64):
		s.dialect = orDialect(s.dialect, dialectMonero)
		if algo := m.field(params, "algo"); len(algo) > 0 && s.algorithm == "" {
			s.algorithm = short(algo)
		}
		return submit, true
	case m.kind(m.get(params, "pow")) == kindArray && m.get(params, "nonce") != nowhere:
		s.dialect = dialectGrin
		return submit, true
	case isHex(m.field(params, "nonce"), 8, 128) && m.get(params, "id") != nowhere:
		if s.mining {
			return submit, true
		}
		return t.hint(hintShare), true
	}
	return nothing, true
}

// templateCall judges a request for a block template. Wallets and explorers do not ask for one, but anything may probe: it is
// certain with what only mining software says in it.
func (t *talk) templateCall(params at) verdict {
	m, s := t.m, t.s
	s.templates++
	o := params
	if m.kind(params) == kindArray {
		o = m.item(params, 0)
	}
	if user := m.field(o, "wallet_address"); len(user) > 0 {
		s.dialect = dialectDaemon
		s.login(user)
		return template
	}
	if string(m.field(0, "method")) == "get_miner_data" { // only P2Pool asks for it
		s.dialect = dialectDaemon
		return template
	}
	s.dialect = orDialect(s.dialect, dialectTemplate)
	if m.kind(m.get(o, "capabilities")) == kindArray || s.templates > 1 || miner(s.httpAgent) {
		return template
	}
	return t.hint(hintTemplate)
}

// miner says that a client calls itself mining software.
func miner(agent string) bool {
	a := strings.ToLower(agent)
	return strings.Contains(a, "miner") || strings.Contains(a, "xmrig") || strings.Contains(a, "ethminer") || strings.Contains(a, "stratum")
}

// reply judges an answer: to a share, with work in it, or of a shape that only pools answer with.
func (t *talk) reply() (verdict, bool) {
	m, s := t.m, t.s
	result, failure := m.get(0, "result"), m.get(0, "error")
	failed := m.kind(failure) != kindNone && m.kind(failure) != kindNull && m.kind(failure) != kindFalse
	if len(s.pending) > 0 {
		ok := !failed && (m.kind(result) == kindTrue || m.kind(result) == kindObject || m.kind(result) == kindNull && s.dialect == dialectTemplate || string(m.str(result)) == "ok" || m.kind(result) == kindArray && m.kind(m.item(result, 0)) == kindTrue)
		if s.answer(t.ev.Time, m.id(), ok) {
			return session_, false
		}
	}
	switch m.kind(result) {
	case kindObject:
		if v := t.job(m.get(result, "job")); v != nothing {
			return v, false
		}
		if v := t.job(result); v != nothing {
			return v, false
		}
		return t.templateReply(result), false
	case kindArray:
		return t.arrayReply(result), false
	}
	return nothing, false
}

func (t *talk) templateReply(result at) verdict {
	m, s := t.m, t.s
	switch {
	case isHex(m.field(result, "pow_hash"), 64, 64) && isHex(m.field(result, "target"), 64, 64):
		s.dialect = orDialect(s.dialect, dialectEthProxy)
		s.perShare = hashesOfTarget(m.field(result, "target"))
		return job
	case isHex(m.field(result, "data"), 160, 512) && isHex(m.field(result, "target"), 64, 64):
		s.dialect = orDialect(s.dialect, dialectGetwork)
		return job
	case isHex(m.field(result, "blocktemplate_blob"), 64, maxObject):
		s.dialect = dialectDaemon
		if v, ok := m.num(m.get(result, "difficulty")); ok {
			s.perShare = v
		}
		if m.field(result, "seed_hash") != nil {
			s.algorithm = orDialect(s.algorithm, "randomx")
		}
		return template
	case isHex(m.field(result, "previousblockhash"), 64, 64) && m.get(result, "bits") != nowhere && m.get(result, "curtime") != nowhere &&
		(m.get(result, "coinbasevalue") != nowhere || m.get(result, "coinbasetxn") != nowhere || m.get(result, "transactions") != nowhere):
		s.dialect = orDialect(s.dialect, dialectTemplate)
		return template
	}
	return nothing
}

// arrayReply knows the work of eth-proxy, and the answer to mining.subscribe.
func (t *talk) arrayReply(result at) verdict {
	m, s := t.m, t.s
	first, n := m.item(result, 0), m.size(result)
	if n >= 3 && n <= 5 && isHex(m.str(first), 64, 64) && isHex(m.str(m.item(result, 1)), 64, 64) {
		target := bytes.TrimPrefix(m.str(m.item(result, 2)), []byte("0x"))
		if !isHex(target, 48, 64) {
			return nothing
		}
		// Other calls of a node answer with lists of hashes too: it is work when it was asked for, or when nobody asked, the third
		// is a target.
		asked := s.dialect == dialectEthProxy
		if !asked && (m.id() != "0" || len(target) != 64 || !bytes.HasPrefix(target, []byte("000000"))) {
			return nothing
		}
		s.dialect = dialectEthProxy
		s.perShare = hashesOfTarget(target)
		return job
	}
	if list := first; m.kind(list) == kindArray && n >= 2 && isHex(m.str(m.item(result, 1)), 2, 64) {
		for i := range min(m.size(list), 4) {
			e := m.item(list, i)
			if m.kind(e) == kindArray {
				e = m.item(e, 0)
			}
			if v := m.str(e); bytes.HasPrefix(v, []byte("mining.")) {
				s.dialect = orDialect(s.dialect, dialectV1)
				if bytes.HasPrefix(m.str(m.item(m.item(list, i), 2)), []byte("EthereumStratum/1")) {
					s.dialect = dialectEth1
				}
				return session_
			}
		}
		if bytes.HasPrefix(m.str(m.item(list, 2)), []byte("EthereumStratum/1")) {
			s.dialect = dialectEth1
			return session_
		}
	}
	return nothing
}
