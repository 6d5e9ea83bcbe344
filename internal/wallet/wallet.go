// Package wallet finds cryptocurrency addresses in text and says which are real: all of its formats carry a checksum, so an
// address that merely looks like one is not reported. It serves the detectors that judge files, command lines and pool
// logins, and makes no claim about who owns an address.
package wallet

import "bytes"

// Kinds of addresses.
const (
	Standard   = "standard"   // CryptoNote main address
	Integrated = "integrated" // CryptoNote address with a payment id
	Subaddress = "subaddress"
	P2PKH      = "p2pkh"
	P2SH       = "p2sh"
	Segwit     = "segwit"  // bech32, witness version 0
	Taproot    = "taproot" // bech32m, witness version 1 and above
	Account    = "account" // Ethereum and its kin
	Test       = "test"    // of a test network
	// Unchecked is an Ethereum address in one case, which carries no checksum: any 20 bytes in hexadecimal look like that.
	Unchecked = "unchecked"
)

// Coins that callers name. Find returns others too.
const (
	Monero   = "monero"
	Bitcoin  = "bitcoin"
	Ethereum = "ethereum"
	// CryptoNote is the coin of an address that passes the CryptoNote checksum under a prefix that is not in our table.
	CryptoNote = "cryptonote"
)

// An Address is one found address.
type Address struct {
	Coin   string
	Kind   string
	Text   string // as written, without worker name or scheme other than those that are part of it ("kaspa:")
	Offset int    // of Text in the searched bytes
}

// Checked says that the address carries a checksum and passed it.
func (a Address) Checked() bool { return a.Kind != Unchecked }

const (
	minToken = 25      // the shortest base58check address
	maxToken = 128     // longer runs of letters and digits are searched for glued Monero addresses only
	maxFind  = 1024    // addresses returned by one Find
	maxText  = 4 << 20 // bytes of text looked at by one Find
)

// Parse reads s as exactly one address.
func Parse(s string) (Address, bool) {
	if len(s) > maxToken {
		return Address{}, false
	}
	var buf [maxToken]byte
	coin, kind, ok := parse(buf[:copy(buf[:], s)])
	if !ok {
		return Address{}, false
	}
	return Address{Coin: coin, Kind: kind, Text: s}, true
}

// Find returns the addresses in text, in order, at most 1024 of them in its first 4 MiB. Text may be binary. Addresses are
// taken out of what miners write around them: "COIN:address.worker+difficulty", JSON strings, URLs.
func Find(text []byte) []Address {
	var found []Address
	if len(text) > maxText {
		text = text[:maxText]
	}
	for i := 0; i < len(text) && len(found) < maxFind; {
		if !alnum[text[i]] {
			i++
			continue
		}
		end := i
		for end < len(text) && alnum[text[end]] {
			end++
		}
		if end-i >= minToken {
			found = find(found, text, i, end)
		}
		i = end
	}
	return found
}

// find appends the addresses within the run text[i:end] of letters and digits.
func find(found []Address, text []byte, i, end int) []Address {
	take := func(from, to int) bool {
		coin, kind, ok := parse(text[from:to])
		if ok {
			found = append(found, Address{Coin: coin, Kind: kind, Text: string(text[from:to]), Offset: from})
		}
		return ok
	}
	if end-i <= maxToken {
		// Cashaddr forms own a scheme, which the run does not include.
		for _, scheme := range schemes {
			if i >= len(scheme.name)+1 && text[i-1] == ':' && bytes.HasSuffix(text[:i-1], []byte(scheme.name)) && take(i-1-len(scheme.name), end) {
				return found
			}
		}
		if take(i, end) {
			return found
		}
		// An escape before the address glues its letters to it: "\n4…" and "%3A4…".
		if i > 0 && text[i-1] == '\\' && end-i > minToken && take(i+1, end) {
			return found
		}
		if i > 0 && text[i-1] == '%' && end-i > minToken+1 && take(i+2, end) {
			return found
		}
	}
	if end-i > moneroLen {
		// String tables of Go and Rust programs have no separators.
		for p := i; p+moneroLen <= end && len(found) < maxFind; p++ {
			if !moneroStart(text[p], text[p+1]) {
				continue
			}
			switch {
			case p+moneroIntegratedLen <= end && take(p, p+moneroIntegratedLen):
				p += moneroIntegratedLen - 1
			case take(p, p+moneroLen):
				p += moneroLen - 1
			}
		}
	}
	return found
}

// parse judges one token by the formats that its length and first letters allow, cheapest first.
func parse(s []byte) (coin, kind string, ok bool) {
	switch n := len(s); {
	case n < minToken:
		return "", "", false
	case n == 42 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		return parseEthereum(s)
	case n >= 95 && n <= 110:
		return parseCryptoNote(s)
	case bytes.IndexByte(s, ':') > 0:
		return parseCash(s)
	case n >= 38 && n <= 90:
		return parseSegwit(s)
	case n <= 36:
		return parseBase58Check(s)
	}
	return "", "", false
}

var alnum = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return t
}()
