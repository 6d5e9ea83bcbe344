package stratum

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"

	"github.com/minewarden/minewarden/internal/wallet"
)

// mining judges a method of the mining.* family. Nothing else uses these names in JSON-RPC, so every known one is certain; the
// shapes of parameters say which kind of the family it is.
func (t *talk) mining(name string, params at) (verdict, bool) {
	m, s := t.m, t.s
	switch name {
	case "subscribe":
		t.subscribe(params)
		return login, true
	case "hello":
		s.dialect = dialectEth2
		if a := m.field(params, "agent"); len(a) > 0 {
			s.agent = short(a)
		}
		return login, true
	case "authorize", "auth":
		user := m.str(m.item(params, 0))
		if user == nil {
			user = m.field(params, "user")
		}
		s.dialect = orDialect(s.dialect, dialectV1)
		s.login(user)
		if bytes.HasPrefix(user, []byte("kaspa:")) {
			s.dialect = dialectKaspa
		}
		return login, true
	case "notify":
		return t.notify(params), false
	case "subscribed", "wait_for_work", "disconnect":
		s.dialect = dialectIronFish
		return session_, false
	case "submitted":
		s.dialect = dialectIronFish
		s.answerOldest(t.ev.Time, m.kind(m.get(params, "result")) == kindTrue)
		return session_, false
	case "submit":
		t.shape(params)
		if m.size(params) < 2 {
			return nothing, true
		}
		return submit, true
	case "set_difficulty":
		s.dialect = orDialect(s.dialect, dialectV1)
		if v, ok := m.num(m.item(params, 0)); ok && v > 0 {
			t.difficulty(v)
		}
		return session_, false
	case "set_target":
		target := m.str(m.item(params, 0))
		if target == nil {
			target = m.field(params, "target")
		}
		if m.kind(m.item(params, 0)) == kindNumber {
			s.dialect = orDialect(s.dialect, dialectV1)
			return session_, false
		}
		if isHex(target, 64, 64) {
			s.dialect = orDialect(s.dialect, dialectV1)
			s.perShare = hashesOfTarget(target)
			return session_, false
		}
	case "set":
		s.dialect = dialectEth2
		return session_, false
	case "set_extranonce", "set_version_mask":
		s.dialect = orDialect(s.dialect, dialectV1)
		return session_, false
	case "configure", "extranonce.subscribe", "suggest_difficulty", "suggest_target", "multi_version", "capabilities", "get_transactions", "noop", "bye", "ping", "pong":
		s.dialect = orDialect(s.dialect, dialectV1)
		return session_, true
	}
	return nothing, true
}

func (t *talk) subscribe(params at) {
	m, s := t.m, t.s
	s.dialect = orDialect(s.dialect, dialectV1)
	agent := m.str(m.item(params, 0))
	if user := m.field(params, "publicAddress"); user != nil {
		s.dialect = dialectIronFish
		s.login(user)
		agent = m.field(params, "agent")
	}
	if coinOf(agent) != "" { // some give the wallet here
		s.login(agent)
		agent = nil
	}
	if len(agent) > 0 {
		s.agent = short(agent)
	}
	second, third := m.str(m.item(params, 1)), m.str(m.item(params, 2))
	switch n := m.size(params); {
	case bytes.HasPrefix(agent, []byte("NiceHash/")):
		s.dialect = dialectNiceHash
	case bytes.HasPrefix(second, []byte("EthereumStratum/1")):
		s.dialect = dialectEth1
	case n == 4 && len(third) > 0 && bytes.Contains(bytes.ToLower(agent), []byte("equihash")):
		s.dialect = dialectEquihash
	}
}

// difficulty turns a difficulty into hashes for a share. The unit differs: 2^32 hashes for SHA-256 and Ethash pools, 2^16 for
// scrypt. The
// words are the same for both, so the unit is known only where the wallet tells the coin.
func (t *talk) difficulty(v float64) {
	s := t.s
	s.perShare = 0
	switch {
	case s.dialect == dialectEth1, s.dialect == dialectBitcoin && s.address.Coin == wallet.Bitcoin:
		s.perShare = v * math.Exp2(32)
	case s.dialect == dialectBitcoin && (s.address.Coin == "litecoin" || s.address.Coin == "dogecoin"):
		s.perShare = v * math.Exp2(16)
	}
	s.difficulty = v
}

// notify tells the kinds of work apart by the number and the lengths of its parts.
func (t *talk) notify(params at) verdict {
	m, s := t.m, t.s
	s.worked = true
	if m.get(params, "miningRequestId") != nowhere && isHex(m.field(params, "header"), 64, 2048) {
		s.dialect = dialectIronFish
		return job
	}
	if o := m.item(params, 0); isHex(m.field(o, "headerBlob"), 64, 8192) && m.field(o, "targetBlob") != nil {
		s.dialect = dialectAlephium
		return job
	}
	if m.kind(params) == kindObject { // EthereumStratum/2.0.0 has objects in some pools
		s.dialect = orDialect(s.dialect, dialectEth2)
		return job
	}
	n := m.size(params)
	str := func(i int) []byte { return m.str(m.item(params, i)) }
	was := s.dialect
	switch {
	case n >= 7 && m.kind(m.item(params, 1)) == kindNumber && isHex(str(2), 64, 64):
		s.dialect = orDialect(s.dialect, dialectV1)
		s.algorithm, s.hinted = "autolykos2", "ergo"
	case n == 5 && isHex(str(1), 64, 64) && m.kind(m.item(params, 2)) == kindNumber && isHex(str(3), 64, 64):
		s.dialect = orDialect(s.dialect, dialectV1)
		s.algorithm, s.hinted = "eaglesong", "nervos"
	case n == 4 && number(str(1)) && isHex(str(2), 64, 64) && isHex(str(3), 64, 64):
		s.dialect = orDialect(s.dialect, dialectV1)
		s.algorithm, s.hinted = "octopus", "conflux"
		s.perShare = hashesOfTarget(str(3))
	case n >= 9 && isHex(str(1), 64, 64) && m.kind(m.item(params, 4)) == kindArray:
		if s.dialect != dialectNiceHash {
			s.dialect = dialectBitcoin
		}
		s.bits = bits(str(6))
		s.height = coinbaseHeight(str(2))
	case n >= 8 && isHex(str(1), 8, 8) && isHex(str(2), 64, 64) && isHex(str(3), 64, 64) && isHex(str(4), 64, 64):
		s.dialect = dialectEquihash
		s.bits = bits(str(6))
	case n >= 6 && isHex(str(1), 64, 64) && isHex(str(2), 64, 64) && isHex(str(3), 64, 64):
		s.dialect = dialectKawPow
		s.perShare = hashesOfTarget(str(3))
		if v, ok := m.num(m.item(params, 5)); ok && v > 0 && v < 1<<40 {
			s.height = uint64(v)
		}
		s.bits = bits(str(6))
	case n >= 3 && isHex(str(1), 64, 64) && isHex(str(2), 64, 64):
		s.dialect = dialectEth1
	case (n == 2 || n == 3) && (m.kind(m.item(params, 1)) == kindArray && m.size(m.item(params, 1)) == 4 || isHex(str(1), 64, 80)):
		s.dialect = dialectKaspa
	case n >= 3 && isHex(str(1), 8, 80):
		s.dialect = orDialect(s.dialect, dialectV1)
	case n == 0:
		return nothing
	default:
		s.dialect = orDialect(s.dialect, dialectV1)
	}
	if s.dialect != was && s.difficulty > 0 {
		t.difficulty(s.difficulty)
	}
	return job
}

// shape tells the kind from a share, for captures that began after the work was given.
func (t *talk) shape(params at) {
	m, s := t.m, t.s
	str := func(i int) []byte { return m.str(m.item(params, i)) }
	s.dialect = orDialect(s.dialect, dialectV1)
	if m.kind(params) == kindArray && s.user == "" {
		s.login(str(0))
	}
	if s.dialect != dialectV1 {
		return
	}
	switch n := m.size(params); {
	case n >= 5 && isHex(str(2), 8, 8) && isHex(str(4), 200, 8192):
		s.dialect = dialectEquihash
	case n >= 5 && isHex(str(3), 64, 64) && isHex(str(4), 64, 64):
		s.dialect = dialectKawPow
	case n >= 5 && isHex(str(3), 8, 8) && isHex(str(4), 8, 8):
		s.dialect = dialectBitcoin
	case n == 3 && isHex(str(2), 6, 16):
		s.dialect = dialectEth1
	}
}

// number says that s is a decimal number, of a height.
func number(s []byte) bool {
	return len(s) > 0 && len(s) < 12 && len(bytes.Trim(s, "0123456789")) == 0
}

func bits(s []byte) uint32 {
	v, err := strconv.ParseUint(string(s), 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// coinbaseHeight reads the height that BIP 34 puts first into the script of a coinbase's input; 0 where it is not there.
func coinbaseHeight(coinb1 []byte) uint64 {
	const script = 8 + 2 + 64 + 8 + 2 // version, count, previous output, index and script length, in hexadecimal digits
	for _, at := range [...]int{script, script + 8, script + 4} {
		if len(coinb1) < at+8 || string(coinb1[at-10:at-2]) != "ffffffff" {
			continue
		}
		b, err := hex.DecodeString(string(coinb1[at : at+8]))
		if err == nil && b[0] == 3 {
			return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16
		}
	}
	return 0
}
