package wallet

import "bytes"

const charset32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

var digit32 = digits(charset32)

// segwitNames maps the human-readable part of segregated-witness addresses to the coin.
var segwitNames = map[string]string{
	"bc": Bitcoin, "ltc": "litecoin", "vtc": "vertcoin", "dgb": "digibyte", "btg": "bitcoingold", "grs": "groestlcoin",
	"sugar": "sugarchain", "mona": "monacoin", "via": "viacoin", "sys": "syscoin", "fc": "fairbrix", "mbc": "microbitcoin",
}

// schemes are those of the cashaddr form, whose checksum covers them.
var schemes = [...]struct{ name, coin string }{{"kaspa", "kaspa"}, {"bitcoincash", "bitcoincash"}}

// parseSegwit reads bech32 (witness version 0) and bech32m (1 and above) addresses, BIP 173 and 350.
func parseSegwit(s []byte) (coin, kind string, ok bool) {
	// The separator is the last 1: the alphabet of the rest has none.
	sep := bytes.LastIndexByte(s, '1')
	if sep < 2 || sep > 5 {
		return "", "", false
	}
	data := s[sep+1:]
	if len(data) < 8 || len(data) > 84 {
		return "", "", false
	}
	var low [90]byte
	upper := s[0] < 'a'
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			if !upper {
				return "", "", false
			}
			c += 'a' - 'A'
		} else if c >= 'a' && c <= 'z' && upper {
			return "", "", false
		}
		low[i] = c
	}
	coin, known := segwitNames[string(low[:sep])]
	if !known {
		return "", "", false
	}
	chk := uint32(1)
	step := func(v byte) {
		top := chk >> 25
		chk = chk&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	for _, c := range low[:sep] {
		step(c >> 5)
	}
	step(0)
	for _, c := range low[:sep] {
		step(c & 31)
	}
	for _, c := range low[sep+1 : len(s)] {
		d := digit32[c]
		if d < 0 {
			return "", "", false
		}
		step(byte(d))
	}
	version := digit32[low[sep+1]]
	program := (len(data) - 7) * 5 / 8
	switch {
	case version == 0 && chk == 1 && (program == 20 || program == 32):
		return coin, Segwit, true
	case version > 0 && version <= 16 && chk == 0x2bc830a3 && program >= 2 && program <= 40:
		return coin, Taproot, true
	}
	return "", "", false
}

// parseCash reads "scheme:payload" with the 40-bit checksum of cashaddr, which Kaspa uses too.
func parseCash(s []byte) (coin, kind string, ok bool) {
	name, data, _ := bytes.Cut(s, []byte(":"))
	for _, scheme := range schemes {
		if string(name) == scheme.name {
			coin = scheme.coin
		}
	}
	if coin == "" || len(data) < 34 || len(data) > 112 {
		return "", "", false
	}
	chk := uint64(1)
	step := func(v byte) {
		top := chk >> 35
		chk = chk&0x07ffffffff<<5 ^ uint64(v)
		for i, g := range [5]uint64{0x98f2bc8e61, 0x79b76d99e2, 0xf33e5fb3c4, 0xae2eabe2a8, 0x1e4f43e470} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	for _, c := range name {
		step(c & 31)
	}
	step(0)
	for _, c := range data {
		d := digit32[c]
		if d < 0 {
			return "", "", false
		}
		step(byte(d))
	}
	if chk != 1 {
		return "", "", false
	}
	if data[0] == 'p' { // the type is in the upper bits
		return coin, P2SH, true
	}
	return coin, P2PKH, true
}
