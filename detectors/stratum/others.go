package stratum

import (
	"bytes"
	"strings"

	"github.com/minewarden/minewarden/internal/wallet"
)

// unnamed judges messages that name no method: of miners in web pages, and of nodes and pools that have a form of their own.
func (t *talk) unnamed(params at) (verdict, bool) {
	m, s := t.m, t.s
	switch {
	case isHex(m.field(0, "blockhashing_blob"), 64, 512) && m.get(0, "jobid") != nowhere:
		s.dialect = dialectDero
		if v, ok := m.num(m.get(0, "difficulty")); ok {
			s.perShare = v
		}
		return job, false
	case isHex(m.field(0, "mbl_blob"), 64, 512) && m.get(0, "jobid") != nowhere:
		s.dialect = dialectDero
		return submit, true
	case m.kind(m.get(0, "new_job")) == kindObject:
		o := m.get(0, "new_job")
		if isHex(m.field(o, "miner_work"), 160, 1024) || isHex(m.field(o, "template"), 160, 1024) {
			s.dialect = dialectXelis
			t.algorithm(m.field(o, "algorithm"))
			return job, false
		}
	case isHex(m.field(0, "miner_work"), 160, 1024):
		s.dialect = dialectXelis
		return submit, true
	case m.kind(m.get(0, "algos")) == kindArray && m.field(0, "addr") != nil && m.field(0, "agent") != nil:
		s.dialect = dialectXatum
		s.agent = short(m.field(0, "agent"))
		s.login(m.field(0, "addr"))
		if w := m.field(0, "work"); len(w) > 0 {
			s.worker = short(w)
		}
		return login, true
	case len(m.field(0, "blob")) >= 100 && m.field(0, "algo") != nil && m.get(0, "diff") != nowhere:
		s.dialect = dialectXatum
		t.algorithm(m.field(0, "algo"))
		s.perShare = 0
		if v, ok := m.num(m.get(0, "diff")); ok {
			s.perShare = v
		}
		return job, false
	case s.dialect == dialectXatum && isHex(m.field(0, "hash"), 64, 64) && len(m.field(0, "data")) >= 100:
		return submit, true
	case m.field(0, "message") != nil:
		return t.nimiq()
	}
	return t.browser(params)
}

// nimiq judges the messages between a Nimiq pool and its miners.
func (t *talk) nimiq() (verdict, bool) {
	m, s := t.m, t.s
	switch string(m.field(0, "message")) {
	case "register":
		if m.field(0, "address") != nil && m.get(0, "deviceId") != nowhere && m.field(0, "genesisHash") != nil {
			s.dialect = dialectNimiq
			s.login(m.field(0, "address"))
			return login, true
		}
	case "settings":
		if m.get(0, "targetCompact") != nowhere && m.get(0, "extraData") != nowhere {
			s.dialect = dialectNimiq
			return job, false
		}
	case "new-block":
		if m.field(0, "blockHeader") != nil {
			s.dialect = orDialect(s.dialect, dialectNimiq)
			return job, false
		}
	case "share":
		if m.get(0, "nonce") != nowhere && (m.field(0, "blockHeader") != nil || s.mining) {
			s.dialect = orDialect(s.dialect, dialectNimiq)
			return submit, true
		}
	case "balance":
		if m.get(0, "payoutRequestActive") != nowhere {
			s.dialect = orDialect(s.dialect, dialectNimiq)
			s.answerOldest(t.ev.Time, true)
			return session_, false
		}
	}
	return nothing, true
}

func (t *talk) algorithm(name []byte) {
	if len(name) > 0 {
		t.s.algorithm = short(name)
	}
}

// proxied judges the methods that Ethereum's getwork left to its kin: eth_getWork, aqua_getWork, ckb_submitLogin.
func (t *talk) proxied(what string, params at, eth bool) verdict {
	m, s := t.m, t.s
	switch what {
	case "submitLogin", "login":
		user := m.str(m.item(params, 0))
		if user == nil {
			user = m.field(params, "login")
		}
		worker := m.field(0, "worker")
		if worker == nil {
			worker = m.field(params, "worker")
		}
		agent := m.field(params, "agent")
		if !eth && (user == nil || worker == nil && agent == nil && !isHex(user, 40, 40)) {
			return nothing
		}
		s.dialect = dialectEthProxy
		s.login(user)
		if len(worker) > 0 && s.worker == "" {
			s.worker = short(worker)
		}
		if len(agent) > 0 {
			s.agent = short(agent)
		}
		return login
	case "getWork":
		s.dialect = orDialect(s.dialect, dialectEthProxy)
		s.templates++
		if s.mining || s.templates > 1 || strings.Contains(s.httpAgent, "miner") {
			return getwork
		}
		return t.hint(hintWork)
	case "submitWork":
		if isHex(m.str(m.item(params, 0)), 8, 16) && isHex(m.str(m.item(params, 1)), 64, 64) || isHex(m.field(params, "pow_hash"), 64, 64) && isHex(m.field(params, "nonce"), 1, 32) {
			s.dialect = dialectEthProxy
			return submit
		}
	case "submitHashrate":
		if eth || isHex(m.str(m.item(params, 0)), 1, 64) || isHex(m.str(params), 1, 64) {
			s.dialect = dialectEthProxy
			return session_
		}
	}
	return nothing
}

// node judges what miners and pools ask of a coin's node, in whatever way the coin writes it.
func (t *talk) node(name string, params at) verdict {
	m := t.m
	switch strings.ReplaceAll(strings.ToLower(name), "_", "") {
	case "getblocktemplate", "getblocktemplatelight", "getminerdata", "createauxblock", "getauxblock", "getminingcandidate":
		return t.templateCall(params)
	case "submitblock", "submitminingsolution", "submitauxblock", "pprpcsb":
		for i := range min(m.size(params), 3) {
			if b := m.str(m.item(params, i)); isHex(b, 160, maxObject) {
				t.s.dialect = orDialect(t.s.dialect, dialectTemplate)
				return submit
			}
		}
		if t.s.mining && m.size(params) > 0 {
			return submit
		}
	}
	return nothing
}

// bare judges submit and notify with a list in place of an object, which some older pools have. Each alone is a hint.
func (t *talk) bare(list at, which uint16) verdict {
	m, digests := t.m, 0
	for i := range min(m.size(list), 8) {
		if isHex(m.str(m.item(list, i)), 64, 64) {
			digests++
		}
	}
	if digests < 2 || m.size(list) < 4 {
		return nothing
	}
	t.s.dialect = orDialect(t.s.dialect, dialectBare)
	if t.s.mining && which == hintShare {
		return submit
	}
	return t.hint(which)
}

// written are the beginnings of addresses that say the coin by themselves, though no checksum of theirs is known here.
var written = []struct {
	begin string
	least int // characters
	coin  string
}{
	{"ZEPH", 12, "zephyr"},
	{"SaLv", 12, "salvium"},
	{"SC1", 40, "salvium"},
	{"TRTL", 20, "turtlecoin"},
	{"hvx", 40, "haven"},
	{"dero1", 12, "dero"},
	{"deto1", 12, "dero"},
	{"xel:", 8, "xelis"},
	{"NQ", 36, "nimiq"},
	{"cfx:", 8, "conflux"},
	{"CFX:", 8, "conflux"},
	{"ckb1", 20, "nervos"},
	{"ckt1", 20, "nervos"},
	{"kaspa:", 8, "kaspa"},
	{"karlsen:", 8, "karlsen"},
	{"pyrin:", 8, "pyrin"},
	{"spectre:", 8, "spectre"},
	{"nexa:", 8, "nexa"},
	{"nexellia:", 8, "nexellia"},
	{"aleo1", 12, "aleo"},
	{"EQ", 46, "ton"},
	{"UQ", 46, "ton"},
	{"9", 50, "ergo"},
	{"t1", 35, "zcash"},
	{"qubic", 40, "qubic"},
	{"wart:", 8, "warthog"},
	{"Q01", 60, "quantum resistant ledger"},
	{"alph:", 8, "alephium"},
}

// coinOf names the coin by how a user's name is written.
func coinOf(user []byte) string {
	for _, p := range [...]string{"solo:", "SOLO:"} {
		user = bytes.TrimPrefix(user, []byte(p))
	}
	name := user
	if i := bytes.IndexAny(user, ".+/"); i > 0 {
		name = user[:i]
	}
	if isHex(name, 40, 64) { // of many coins
		return ""
	}
	for _, w := range written {
		if len(name) >= w.least && bytes.HasPrefix(name, []byte(w.begin)) {
			return w.coin
		}
	}
	if len(name) == 60 && len(bytes.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == 0 {
		return "qubic"
	}
	return ""
}

// fits says whether a wallet of coin can be paid by what is mined in dialect: some pools mine one coin and pay another.
func fits(coin, dialect string) bool {
	switch coin {
	case wallet.Ethereum: // is not mined any more: its addresses are those of the coins that are
		return false
	case wallet.Bitcoin, "litecoin", "dogecoin", "bitcoincash", "dash":
		return dialect == "" || dialect == dialectV1 || dialect == dialectBitcoin || dialect == dialectTemplate || dialect == dialectGetwork || dialect == dialectNiceHash
	case wallet.Monero:
		return dialect == "" || dialect == dialectMonero || dialect == dialectDaemon || strings.HasPrefix(dialect, "browser")
	case wallet.CryptoNote:
		return false // says less than the algorithm
	}
	return true
}
