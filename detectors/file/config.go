package file

import (
	"bytes"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/wallet"
)

// maxPairs bounds how many name-value pairs of one file are looked at.
const maxPairs = 4096

// config judges JSON by its pairs of names and strings, wherever they are nested. Miners accept comments, and the text may be cut, so
// it is not parsed as a whole.
func config(path string, head []byte, tell teller) []minewarden.Finding {
	// Nearly all JSON files hold none of the names: one search each leaves them.
	if !bytes.Contains(head, []byte(`"url"`)) && !bytes.Contains(head, []byte(`"user"`)) && !bytes.Contains(head, []byte(`"wallet`)) {
		return nil
	}
	var url, user, account string
	var coin wallet.Address
	poolURL, own := false, 0
	for name, value := range pairs(head) {
		switch name {
		case "url", "pool", "pool_address", "host":
			switch {
			case command.StratumURL(value), command.PoolHost(value):
				if url == "" || !poolURL {
					url = value
				}
				poolURL = true
			case url == "" && name == "url" && hostPort(value):
				url = value
			}
		case "user", "wallet", "wallet_address", "username", "address":
			for _, a := range wallet.Find([]byte(value)) {
				if a.Checked() && (coin.Text == "" || name == "user") {
					coin, user = a, value
				}
			}
			if account == "" && name != "address" {
				account = value
			}
		case "donate-level", "donate-over-proxy", "rig-id", "nicehash", "randomx", "self-select", "tls-fingerprint", "huge-pages", "max-threads-hint", "asm", "algo", "coin", "cn-lite/0", "cn/0", "rx/0", "cpu_threads_conf",
			"worksize", "gpu-threads", "thread-concurrency", "lookup-gap", "kernel", "intensity", "cpu-affinity", "argon2-impl", "retry-pause":
			own++
		}
	}
	const minOwn = 2 // names of settings that miners have: one may be a coincidence
	e := []minewarden.Evidence{{Key: "pool", Value: url}}
	switch {
	case url == "":
		return nil
	case example(path) && (poolURL || own >= minOwn):
		return tell(ruleTemplate, 0.6, e...)
	case coin.Text != "" && (poolURL || own >= minOwn):
		return tell(ruleConfig, 0.95, append(e, minewarden.Evidence{Key: "wallet", Value: coin.Text}, minewarden.Evidence{Key: "coin", Value: coin.Coin}, minewarden.Evidence{Key: "user", Value: strings.ToValidUTF8(user, "")})...)
	case poolURL && own >= minOwn && (strings.Contains(account, "YOUR_WALLET") || account == "" || strings.EqualFold(account, "x")), own >= 6 && strings.Contains(account, "YOUR_"):
		return tell(ruleTemplate, 0.6, e...)
	case poolURL && own >= minOwn, own >= 5 && account != "":
		return tell(rulePool, 0.7, append(e, minewarden.Evidence{Key: "user", Value: strings.ToValidUTF8(account, "")})...)
	}
	return nil
}

// example says that path is in documentation or test data, where configurations are shown and not used.
func example(path string) bool {
	for _, dir := range [...]string{"/doc/", "/docs/", "/test/", "/tests/", "/testdata/", "/examples/", "/node_modules/", "/site-packages/"} {
		if strings.Contains(path, dir) {
			return true
		}
	}
	return false
}

func hostPort(s string) bool {
	i := strings.LastIndexByte(s, ':')
	return i > 0 && len(s)-i <= 6 && strings.Trim(s[i+1:], "0123456789") == "" && !strings.HasPrefix(s, "http")
}

// pairs yields the names of JSON objects with the string after each, "" for values that are no strings. Escapes stay as they are.
func pairs(text []byte) func(func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		name := ""
		for n := 0; n < maxPairs; {
			i := bytes.IndexByte(text, '"')
			if i < 0 {
				return
			}
			text = text[i+1:]
			end := closingQuote(text)
			if end < 0 {
				return
			}
			s := text[:end]
			text = text[end+1:]
			rest := bytes.TrimLeft(text, " \t\r\n")
			if len(rest) > 0 && rest[0] == ':' {
				rest = bytes.TrimLeft(rest[1:], " \t\r\n")
				name = string(s)
				if len(rest) == 0 || rest[0] != '"' {
					n++
					if !yield(name, "") {
						return
					}
					name = ""
				}
				text = rest
				continue
			}
			if name != "" {
				n++
				if !yield(name, string(s[:min(len(s), 512)])) {
					return
				}
				name = ""
			}
		}
	}
}

func closingQuote(s []byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
