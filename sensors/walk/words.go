package walk

import (
	"slices"
	"strings"
)

// words are what miners and their configurations say, and hardly anything else does. Case does not matter. A word proves
// nothing by itself: detectors weigh what occurs together.
var words = [...]string{
	"stratum+tcp://", "stratum+ssl://", "stratum+tls://", "stratum+tcps://", "stratum1+tcp://", "stratum2+tcp://", "stratum+udp://",
	"ethproxy+tcp://", "daemon+http://", "daemon+https://", "zstratum",
	"mining.subscribe", "mining.authorize", "mining.submit", "mining.notify", "mining.set_difficulty", "mining.set_target",
	"eth_submitlogin", "eth_submitwork", "eth_getwork", "getblocktemplate", "ethereumstratum/", "nicehash",
	"randomx", "rx/0", "rx/wow", "rx/arq", "rx/graft", "rx/sfx", "cryptonight", "cn/r", "cn-heavy", "cn-lite", "cn/half", "cn-pico",
	"argon2/chukwa", "argon2/ninja", "kawpow", "progpow", "ethash", "etchash", "autolykos", "verushash", "ghostrider", "yespower",
	"astrobwt", "equihash", "minotaurx", "xelishash", "dynex", "qubic",
	"donate-level", "--donate", "donate.v2.xmrig.com", "donate-over-proxy", "xmrig", "xmr-stak", "minerd", "cpuminer", "ccminer",
	"cgminer", "bfgminer", "lolminer", "t-rex miner", "nbminer", "teamredminer", "gminer", "phoenixminer", "srbminer", "nanominer", "xmr.sh",
	"c3pool", "moneroocean", "supportxmr", "minexmr", "hashvault", "nanopool", "2miners", "unmineable", "f2pool", "herominers",
	"kryptex", "gulf.moneroocean", "xmrpool", "monerohash", "pool.minexmr", "dwarfpool", "pool.hashvault", "prohashing", "zergpool",
	"cpu-max-threads-hint", "max-threads-hint", "huge-pages-jit", "randomx-mode", "\"pools\"", "\"wallet\"", "--coin=monero", "\"rig-id\"", "--algo=rx", "--nicehash",
	"new job from", "accepted (", "failed to apply msr mod", "msr mod", "speed 10s/60s/15m", "max cpu usage", "no active pools", "use pool ",
	"hashrate", "monero", "cryptonote", "coinhive", "cryptoloot", "deepminer", "websocket miner", "kdevtmpfsi", "kinsing", "watchbog", "perfcc", "sysrv",
}

// tails are words that begin an address: what follows is kept too.
const tailed = "://"

const (
	maxTail  = 128 // bytes kept after a tailed word
	maxFound = 128 // strings of one file
	margin   = 256 // bytes that are held back so that a tail or an address is never cut
)

// matcher finds all words in one pass: an automaton with one step a byte. It is immutable and may be shared.
type matcher struct {
	class [256]uint8 // of a byte, the same for both cases; 0: in no word
	width uint32     // number of classes
	next  []uint32   // state + class → state; states are multiples of width
	hits  [][]uint16 // by (state - first)/width: the words that end there
	first uint32     // states from here on are the end of a word
}

func newMatcher(words []string) *matcher {
	m := &matcher{width: 1}
	for _, w := range words {
		for _, c := range []byte(w) {
			if m.class[c] == 0 {
				m.class[c] = uint8(m.width)
				if c >= 'a' && c <= 'z' {
					m.class[c-'a'+'A'] = uint8(m.width)
				}
				m.width++
			}
		}
	}
	type node struct {
		to   []int32
		fail int32
		hits []uint16
	}
	newNode := func() node { return node{to: slices.Repeat([]int32{-1}, int(m.width))} }
	nodes := []node{newNode()}
	for i, w := range words {
		at := int32(0)
		for _, c := range []byte(w) {
			k := m.class[c]
			if nodes[at].to[k] < 0 {
				nodes[at].to[k] = int32(len(nodes))
				nodes = append(nodes, newNode())
			}
			at = nodes[at].to[k]
		}
		nodes[at].hits = append(nodes[at].hits, uint16(i))
	}
	// Breadth first: what a missing step leads to is known from shorter ones.
	queue := []int32{}
	for k, to := range nodes[0].to {
		if to < 0 {
			nodes[0].to[k] = 0
		} else {
			queue = append(queue, to)
		}
	}
	for i := 0; i < len(queue); i++ {
		n := queue[i]
		fail := nodes[n].fail
		nodes[n].hits = append(nodes[n].hits, nodes[fail].hits...)
		for k, to := range nodes[n].to {
			if to < 0 {
				nodes[n].to[k] = nodes[fail].to[k]
			} else {
				nodes[to].fail = nodes[fail].to[k]
				queue = append(queue, to)
			}
		}
	}
	// States that end a word get the highest numbers: one comparison tells them.
	number := make([]uint32, len(nodes))
	n := uint32(0)
	for _, ends := range [...]bool{false, true} {
		if ends {
			m.first = n * m.width
		}
		for i := range nodes {
			if (len(nodes[i].hits) > 0) == ends {
				number[i] = n
				n++
			}
		}
	}
	m.next = make([]uint32, len(nodes)*int(m.width))
	m.hits = make([][]uint16, n-m.first/m.width)
	for i, node := range nodes {
		for k, to := range node.to {
			m.next[number[i]*m.width+uint32(k)] = number[to] * m.width
		}
		if len(node.hits) > 0 {
			m.hits[number[i]-m.first/m.width] = node.hits
		}
	}
	return m
}

// scan goes on from state over data and calls hit at the end of each word; it returns the state to go on from.
func (m *matcher) scan(state uint32, data []byte, hit func(word int, end int)) uint32 {
	next, class, first := m.next, &m.class, m.first
	for i, c := range data {
		state = next[state+uint32(class[c])]
		if state >= first {
			for _, w := range m.hits[(state-first)/m.width] {
				hit(int(w), i+1)
			}
		}
	}
	return state
}

// finder collects the strings of one file, which is given in pieces. It is used again after reset.
type finder struct {
	m     *matcher
	s     *sieve
	state uint32
	seen  [(len(words) + 63) / 64]uint64
	found []string
	set   map[string]bool
}

func newFinder(m *matcher, s *sieve) finder { return finder{m: m, s: s, set: map[string]bool{}} }

func (f *finder) reset() {
	f.state, f.seen, f.found = 0, [len(f.seen)]uint64{}, nil
	clear(f.set)
}

// add looks for all words in data[from:to]. The bytes before and after are there to complete what lies across.
func (f *finder) add(data []byte, from, to int) {
	f.state = f.m.scan(f.state, data[from:to], func(w, end int) { f.hit(w, data[from+end:]) })
	f.addresses(data[max(0, from-margin):min(len(data), to+margin)])
}

// skim is add for the longer words only, and several times as fast.
func (f *finder) skim(data []byte, from, to int) {
	start, end := max(0, from-margin/2), min(len(data), to+margin/2)
	f.s.scan(data[start:end], func(w, at int) { f.hit(w, data[start+at:]) })
	f.addresses(data[max(0, from-margin):min(len(data), to+margin)])
}

// hit keeps a word; rest is what follows it.
func (f *finder) hit(w int, rest []byte) {
	word := words[w]
	if strings.HasSuffix(word, tailed) {
		f.keep(word + tail(rest))
		return
	}
	if f.seen[w/64]&(1<<(w%64)) == 0 {
		f.seen[w/64] |= 1 << (w % 64)
		f.keep(word)
	}
}

func (f *finder) keep(s string) {
	if len(f.found) < maxFound && !f.set[s] {
		f.set[s] = true
		f.found = append(f.found, s)
	}
}

// tail returns what an address goes on with.
func tail(data []byte) string {
	n := 0
	for n < len(data) && n < maxTail {
		c := data[n]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\' || c == '`' || c == '%' {
			break
		}
		n++
	}
	return string(data[:n])
}

// The lengths of Monero's addresses, in Base58: of standard and subaddresses, and of those with a payment id.
const (
	addressLen    = 95
	integratedLen = 106
)

var base58 = func() (is [256]bool) {
	for _, c := range []byte("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz") {
		is[c] = true
	}
	return is
}()

// addresses keeps what has the shape of a Monero address. A run of that length covers every 95th byte: only these are
// looked at until one fits.
func (f *finder) addresses(data []byte) {
	for i := addressLen - 1; i < len(data); i += addressLen {
		if !base58[data[i]] {
			continue
		}
		start, end := i, i+1
		for start > 0 && base58[data[start-1]] && i-start < margin {
			start--
		}
		for end < len(data) && base58[data[end]] && end-start < 2*margin {
			end++
		}
		if n := end - start; (n == addressLen || n == integratedLen) && (data[start] == '4' || data[start] == '8') && mixed(data[start:end]) {
			f.keep(string(data[start:end]))
		}
		i = max(i, end-addressLen)
	}
}

// mixed tells a random-looking string from a word or number repeated: an address has letters of both cases and digits.
func mixed(s []byte) bool {
	var lower, upper, digit int
	for _, c := range s {
		switch {
		case c >= 'a':
			lower++
		case c >= 'A':
			upper++
		default:
			digit++
		}
	}
	return lower >= 10 && upper >= 10 && digit >= 3
}
