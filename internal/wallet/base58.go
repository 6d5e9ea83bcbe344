package wallet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"golang.org/x/crypto/sha3"
)

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// digit58 holds the value of each base58 digit, or -1.
var digit58 = digits(base58)

func digits(alphabet string) (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = int8(i)
	}
	return t
}

const (
	moneroLen           = 95
	moneroIntegratedLen = 106
	maxCryptoNote       = 80 // bytes: prefix of four, two keys, payment id, checksum
)

// blockBytes holds how many bytes a CryptoNote base58 block of that many digits stands for, or -1.
var blockBytes = [12]int{0, -1, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8}

// moneroStart says whether a Monero address may start with these two digits.
func moneroStart(a, b byte) bool {
	return (a == '4' || a == '8') && (b >= '0' && b <= '9' || b == 'A' || b == 'B' || a == '4' && b >= 'C' && b <= 'L')
}

// cryptoNotePrefixes names the networks by the number that their addresses start with, from the coins' own sources.
var cryptoNotePrefixes = map[uint64]struct{ coin, kind string }{
	18: {Monero, Standard}, 19: {Monero, Integrated}, 42: {Monero, Subaddress},
	53: {Monero, Test}, 54: {Monero, Test}, 63: {Monero, Test}, 24: {Monero, Test}, 25: {Monero, Test}, 36: {Monero, Test},
	6:        {"bytecoin", Standard},
	178:      {"aeon", Standard},
	90:       {"graft", Standard},
	91:       {"graft", Integrated},
	102:      {"graft", Subaddress},
	114:      {"oxen", Standard},
	115:      {"oxen", Integrated},
	116:      {"oxen", Subaddress},
	28:       {"masari", Standard},
	0x1032:   {"wownero", Standard},
	0x1a9a:   {"wownero", Integrated},
	0x2fb0:   {"wownero", Subaddress},
	0x2cca:   {"arqma", Standard},
	0x116bc7: {"arqma", Integrated},
	0x6847:   {"arqma", Subaddress},
	0x2bb39a: {"sumokoin", Standard},
	0x29339a: {"sumokoin", Integrated},
	0x8319a:  {"sumokoin", Subaddress},
	0x3bbb1d: {"turtlecoin", Standard},
	0x7ad4:   {"conceal", Standard},
	0x05af4:  {"haven", Standard},
	0x424200: {"townforge", Standard},
}

func parseCryptoNote(s []byte) (coin, kind string, ok bool) {
	var raw [maxCryptoNote + 8]byte
	n := 0
	for len(s) > 0 {
		block := s[:min(11, len(s))]
		s = s[len(block):]
		size := blockBytes[len(block)]
		if size < 0 {
			return "", "", false
		}
		var v uint64
		for _, c := range block {
			d := digit58[c]
			if d < 0 {
				return "", "", false
			}
			hi, lo := bits.Mul64(v, 58)
			sum, carry := bits.Add64(lo, uint64(d), 0)
			if hi != 0 || carry != 0 {
				return "", "", false
			}
			v = sum
		}
		if size < 8 && v>>(8*size) != 0 {
			return "", "", false
		}
		if n+size > maxCryptoNote {
			return "", "", false
		}
		var be [8]byte
		binary.BigEndian.PutUint64(be[:], v)
		n += copy(raw[n:], be[8-size:])
	}
	prefix, width := binary.Uvarint(raw[:n])
	if width <= 0 {
		return "", "", false
	}
	payload := n - width - 4
	if payload != 64 && payload != 72 {
		return "", "", false
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(raw[:n-4]) // never fails
	var sum [32]byte
	if h.Sum(sum[:0]); !bytes.Equal(sum[:4], raw[n-4:n]) {
		return "", "", false
	}
	if p, known := cryptoNotePrefixes[prefix]; known {
		return p.coin, p.kind, true
	}
	if payload == 72 {
		return CryptoNote, Integrated, true
	}
	return CryptoNote, Standard, true
}

// parseBase58Check reads addresses of Bitcoin's form: a version of one or two bytes, a hash of 20, and four bytes of the
// double SHA-256 of these. Coins that share a version byte cannot be told apart; the larger one is named.
func parseBase58Check(s []byte) (coin, kind string, ok bool) {
	var raw [26]byte // big-endian number, right-aligned
	for _, c := range s {
		d := digit58[c]
		if d < 0 {
			return "", "", false
		}
		carry := uint32(d)
		for i := len(raw) - 1; i >= 0; i-- {
			carry += uint32(raw[i]) * 58
			raw[i] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return "", "", false
		}
	}
	data := raw[:]
	if raw[0] == 0 {
		data = raw[1:]
	}
	// Each leading 1 stands for one leading zero byte, and nothing else does.
	ones, zeros := 0, 0
	for ones < len(s) && s[ones] == '1' {
		ones++
	}
	for zeros < len(data) && data[zeros] == 0 {
		zeros++
	}
	if ones != zeros {
		return "", "", false
	}
	body := data[:len(data)-4]
	switch {
	case len(body) == 22:
		switch binary.BigEndian.Uint16(body) {
		case 0x1cb8:
			coin, kind = "zcash", P2PKH
		case 0x1cbd:
			coin, kind = "zcash", P2SH
		}
	default:
		switch body[0] {
		case 0:
			coin, kind = Bitcoin, P2PKH
		case 5:
			coin, kind = Bitcoin, P2SH
		case 0x30:
			coin, kind = "litecoin", P2PKH
		case 0x32:
			coin, kind = "litecoin", P2SH
		case 0x1e:
			coin, kind = "dogecoin", P2PKH
		case 0x16:
			coin, kind = "dogecoin", P2SH
		case 0x3c:
			coin, kind = "ravencoin", P2PKH
		case 0x7a:
			coin, kind = "ravencoin", P2SH
		case 0x4c:
			coin, kind = "dash", P2PKH
		case 0x10:
			coin, kind = "dash", P2SH
		case 0x26:
			coin, kind = "bitcoingold", P2PKH
		case 0x47:
			coin, kind = "vertcoin", P2PKH
		case 0x52:
			coin, kind = "firo", P2PKH
		}
	}
	if coin == "" {
		return "", "", false
	}
	first := sha256.Sum256(body)
	second := sha256.Sum256(first[:])
	if !bytes.Equal(second[:4], data[len(body):]) {
		return "", "", false
	}
	return coin, kind, true
}

// parseEthereum checks the case of the letters, which is the checksum (EIP-55).
func parseEthereum(s []byte) (coin, kind string, ok bool) {
	var lower [40]byte
	upperSeen, lowerSeen := false, false
	for i, c := range s[2:] {
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'f':
			lowerSeen = true
		case c >= 'A' && c <= 'F':
			upperSeen = true
			c += 'a' - 'A'
		default:
			return "", "", false
		}
		lower[i] = c
	}
	if !upperSeen || !lowerSeen {
		return Ethereum, Unchecked, true
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(lower[:]) // never fails
	var sum [32]byte
	h.Sum(sum[:0])
	for i, c := range s[2:] {
		nibble := sum[i/2] >> (4 * (1 - i%2)) & 15
		if letter := c > '9'; letter && (c < 'a') != (nibble >= 8) {
			return "", "", false
		}
	}
	return Ethereum, Account, true
}
