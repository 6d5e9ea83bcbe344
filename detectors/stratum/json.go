package stratum

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of one JSON value. A job of any dialect stays below them; what is beyond is walked over, not kept.
const (
	maxNodes = 160 // kept values of one message
	maxItems = 48  // kept values of one array: more than any dialect has
	maxDepth = 5   // deeper values are not kept; the deepest field that we read is at 4
)

// A kind is the type of a JSON value.
type kind uint8

const (
	kindNone kind = iota
	kindObject
	kindArray
	kindString
	kindNumber
	kindTrue
	kindFalse
	kindNull
)

// A node is one value. Its children follow it; those of one parent have that parent's index.
type node struct {
	kind   kind
	parent int16
	depth  int16
	key    []byte // within an object; unescaped
	val    []byte // of strings, unescaped, and numbers
}

// A message is a parsed JSON value. Its slices point into the parsed bytes or into its own scratch, and die with the next parse.
type message struct {
	nodes   []node
	scratch []byte
	whole   bool // it was well-formed to its end
}

// parse reads one value from b without recursion: nesting costs a counter, not a stack. It keeps what it understood when b is
// cut off, and returns false where b is not JSON at all.
func (m *message) parse(b []byte) bool {
	m.nodes, m.scratch, m.whole = m.nodes[:0], m.scratch[:0], false
	var open [maxDepth + 1]int16 // node index of the containers that enclose the position
	depth, deep := 0, 0          // deep: containers open below maxDepth
	inObject := [maxDepth + 1]bool{}
	var items [maxDepth + 1]int
	var key []byte
	haveKey, strange := false, false // strange: nobody reads a field of this name, so it must not take the room of those after it
	wanted := func() bool {
		if deep > 0 || strange {
			return false
		}
		items[depth]++
		return depth == 0 || inObject[depth] || items[depth] <= maxItems
	}
	add := func(k kind, val []byte) {
		if !wanted() || len(m.nodes) == maxNodes {
			strange = false
			return
		}
		parent := int16(-1)
		if depth > 0 {
			parent = open[depth]
		}
		n := node{kind: k, parent: parent, depth: int16(depth), val: val}
		if haveKey {
			n.key = key
		}
		m.nodes = append(m.nodes, n)
	}
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',':
			i++
			if c == ',' && deep == 0 {
				haveKey, strange = false, false
			}
		case c == ':':
			i++
		case c == '{' || c == '[':
			if depth == maxDepth || !wanted() {
				deep++
				i++
				continue
			}
			k := kindObject
			if c == '[' {
				k = kindArray
			}
			at := len(m.nodes)
			if at == maxNodes {
				return len(m.nodes) > 0
			}
			items[depth]-- // it counts once
			add(k, nil)
			depth++
			open[depth], inObject[depth], items[depth] = int16(at), c == '{', 0
			haveKey = false
			i++
		case c == '}' || c == ']':
			i++
			if deep > 0 {
				if deep--; deep == 0 {
					strange = false
				}
				continue
			}
			if depth == 0 {
				return false
			}
			depth--
			haveKey = false
			if depth == 0 {
				m.whole = true
				return true
			}
		case c == '"':
			s, next, ok := m.text(b, i+1)
			if !ok {
				return len(m.nodes) > 0
			}
			i = next
			if deep == 0 && depth > 0 && inObject[depth] && !haveKey {
				key, haveKey, strange = s, true, !known(s)
				continue
			}
			add(kindString, s)
			haveKey = false
		default:
			end := i
			for end < len(b) && b[end] != ',' && b[end] != '}' && b[end] != ']' && b[end] > ' ' {
				end++
			}
			k := kindNumber
			switch word := b[i:end]; {
			case string(word) == "true":
				k = kindTrue
			case string(word) == "false":
				k = kindFalse
			case string(word) == "null":
				k = kindNull
			case c != '-' && (c < '0' || c > '9'):
				return false
			}
			add(k, b[i:end])
			haveKey = false
			i = end
		}
	}
	return len(m.nodes) > 0
}

// known says whether any dialect has a field of that name.
func known(key []byte) bool {
	switch string(key) {
	case "id", "method", "params", "result", "error", "code", "worker", "body", "api_key", "input", "output", "difficulty", "nonce", "identifier", "type", "message",
		"login", "pass", "agent", "rigid", "algo", "algos", "algorithm", "user", "wallet_address", "capabilities", "mode",
		"job", "job_id", "jobid", "jobId", "blob", "target", "height", "pow", "pre_pow", "edge_bits", "pool_wallet", "extra_nonce", "previous_block_hash", "seed",
		"data", "hash", "diff", "addr", "work", "new_job", "miner_work", "template", "mbl_blob", "blockhashing_blob",
		"blocktemplate_blob", "seed_hash", "previousblockhash", "bits", "curtime", "coinbasevalue", "coinbasetxn", "transactions",
		"headerBlob", "targetBlob", "header", "miningRequestId", "randomness", "publicAddress", "pow_hash",
		"pool", "userid", "site_key", "token", "hashes", "genesisHash", "address", "deviceId", "targetCompact", "extraData", "blockHeader", "payoutRequestActive":
		return true
	}
	return false
}

// text reads a string whose first byte is at i, and returns it without escapes, and where it ended.
func (m *message) text(b []byte, i int) (s []byte, next int, ok bool) {
	start := i
	for ; i < len(b); i++ {
		if b[i] == '"' {
			return b[start:i], i + 1, true
		}
		if b[i] == '\\' {
			break
		}
	}
	if i >= len(b) {
		return nil, i, false
	}
	if cap(m.scratch)-len(m.scratch) < len(b)-start {
		m.scratch = make([]byte, 0, 2*(len(b)-start)) // the old one stays alive through the nodes that use it
	}
	from := len(m.scratch)
	m.scratch = append(m.scratch, b[start:i]...)
	for ; i < len(b); i++ {
		switch c := b[i]; c {
		case '"':
			return m.scratch[from:], i + 1, true
		case '\\':
			i++
			if i >= len(b) {
				return nil, i, false
			}
			switch b[i] {
			case 'n':
				m.scratch = append(m.scratch, '\n')
			case 't':
				m.scratch = append(m.scratch, '\t')
			case 'r':
				m.scratch = append(m.scratch, '\r')
			case 'b', 'f':
				m.scratch = append(m.scratch, ' ')
			case 'u':
				r, n := unescape(b[i+1:])
				m.scratch = utf8.AppendRune(m.scratch, r)
				i += n
			default:
				m.scratch = append(m.scratch, b[i])
			}
		default:
			m.scratch = append(m.scratch, c)
		}
	}
	return nil, i, false
}

// unescape reads the four digits after \u, and the second half of a surrogate pair.
func unescape(b []byte) (r rune, n int) {
	hex := func(b []byte) (rune, bool) {
		if len(b) < 4 {
			return utf8.RuneError, false
		}
		v, err := strconv.ParseUint(string(b[:4]), 16, 16)
		return rune(v), err == nil
	}
	r, ok := hex(b)
	if !ok {
		return utf8.RuneError, 0
	}
	if utf16.IsSurrogate(r) && len(b) >= 10 && b[4] == '\\' && b[5] == 'u' {
		if low, ok := hex(b[6:]); ok {
			return utf16.DecodeRune(r, low), 10
		}
	}
	return r, 4
}

// An at is a place in a message; the zero place, and every place that does not exist, is -1.
type at = int

const nowhere at = -1

// get returns the value named key in the object o.
func (m *message) get(o at, key string) at {
	if o < 0 || m.nodes[o].kind != kindObject {
		return nowhere
	}
	for i := o + 1; i < len(m.nodes) && m.nodes[i].depth > m.nodes[o].depth; i++ {
		if int(m.nodes[i].parent) == o && string(m.nodes[i].key) == key {
			return i
		}
	}
	return nowhere
}

// item returns element n of the array a.
func (m *message) item(a at, n int) at {
	if a < 0 || m.nodes[a].kind != kindArray {
		return nowhere
	}
	for i := a + 1; i < len(m.nodes) && m.nodes[i].depth > m.nodes[a].depth; i++ {
		if int(m.nodes[i].parent) != a {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return nowhere
}

// size returns the number of kept elements of the array or object a.
func (m *message) size(a at) int {
	if a < 0 {
		return 0
	}
	n := 0
	for i := a + 1; i < len(m.nodes) && m.nodes[i].depth > m.nodes[a].depth; i++ {
		if int(m.nodes[i].parent) == a {
			n++
		}
	}
	return n
}

// str returns the string at i, or nil.
func (m *message) str(i at) []byte {
	if i < 0 || m.nodes[i].kind != kindString {
		return nil
	}
	if m.nodes[i].val == nil {
		return []byte{}
	}
	return m.nodes[i].val
}

// field returns the string named key in o.
func (m *message) field(o at, key string) []byte { return m.str(m.get(o, key)) }

// num returns the number at i, which may be written as a decimal string.
func (m *message) num(i at) (float64, bool) {
	if i < 0 || m.nodes[i].kind != kindNumber && m.nodes[i].kind != kindString || len(m.nodes[i].val) > 40 {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(m.nodes[i].val), 64)
	return v, err == nil
}

func (m *message) kind(i at) kind {
	if i < 0 {
		return kindNone
	}
	return m.nodes[i].kind
}

// id returns the value at "id" as text that tells two apart, cut to what an answer is matched by.
func (m *message) id() string {
	i := m.get(0, "id")
	switch m.kind(i) {
	case kindNumber, kindString:
		return string(m.nodes[i].val[:min(len(m.nodes[i].val), 20)])
	}
	return ""
}

// isHex says that s is hexadecimal, with or without 0x, of at least low and at most high digits.
func isHex(s []byte, low, high int) bool {
	if len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		s = s[2:]
	}
	if len(s) < low || len(s) > high {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
