// Package indicators holds known-bad values in normal form and finds them fast: pool names and addresses, hashes, wallets.
//
// A Set is built once from lists and then only read, so it needs no locks; a new list makes a new Set.
package indicators

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The types of minewarden.Indicator.
const (
	Domain   = "domain"  // "pool.example"; meets its subdomains too
	IP       = "ip"      // "192.0.2.1"
	CIDR     = "cidr"    // "192.0.2.0/24", host bits zero
	Endpoint = "ip:port" // "192.0.2.1:3333", "[2001:db8::1]:3333"
	URL      = "url"     // scheme and host lower case, no fragment
	SHA256   = "sha256"  // lower case
	Wallet   = "wallet"  // as written: the letter case of most addresses counts
)

// maxValue bounds one value: the longest URL that servers commonly take.
const maxValue = 8192

// Normal returns the normal form of a value and its type, which may be empty to be told from the value. It undoes the usual
// defanging (hxxp, [.]).
func Normal(typ, value string) (string, string, error) {
	v := strings.TrimSpace(value)
	if (typ == "" || typ == Domain) && plainName(v) { // most values of most lists
		return Domain, v, nil
	}
	v = refang(v)
	if v == "" {
		return "", "", fmt.Errorf("empty value")
	}
	if len(v) > maxValue || !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", "", fmt.Errorf("not a value: too long or not text")
	}
	if typ == "" {
		typ = guess(v)
	}
	n, err := normalAs(typ, v)
	if err != nil {
		return "", "", err
	}
	return typ, n, nil
}

func normalAs(typ, v string) (string, error) {
	switch typ {
	case Domain:
		return normalDomain(v)
	case IP:
		a, err := netip.ParseAddr(strings.Trim(v, "[]"))
		if err != nil {
			return "", fmt.Errorf("%q is not an address", v)
		}
		var buf [64]byte
		if b := a.WithZone("").Unmap().AppendTo(buf[:0]); string(b) != v {
			v = string(b)
		}
		return v, nil
	case CIDR:
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return "", fmt.Errorf("%q is not a CIDR", v)
		}
		return p.Masked().String(), nil
	case Endpoint:
		a, err := netip.ParseAddrPort(v)
		if err != nil {
			return "", fmt.Errorf("%q is not ADDRESS:PORT", v)
		}
		return netip.AddrPortFrom(a.Addr().WithZone("").Unmap(), a.Port()).String(), nil
	case URL:
		return normalURL(v)
	case SHA256:
		if b, err := hex.DecodeString(v); err != nil || len(b) != 32 {
			return "", fmt.Errorf("%q is not a SHA-256", v)
		}
		return strings.ToLower(v), nil
	case Wallet:
		if strings.ContainsAny(v, " \t") {
			return "", fmt.Errorf("%q is not a wallet address", v)
		}
		return v, nil
	}
	return "", fmt.Errorf("unknown type %q: use domain, ip, cidr, ip:port, url, sha256 or wallet", typ)
}

func refang(v string) string {
	if !strings.ContainsAny(v, "[hH") {
		return v
	}
	v = strings.NewReplacer("[.]", ".", "[:]", ":", "(.)", ".", "[dot]", ".").Replace(v)
	if len(v) > 4 && strings.EqualFold(v[:4], "hxxp") {
		v = "http" + v[4:]
	}
	return v
}

func guess(v string) string {
	if len(v) < 16 && v[0] <= '9' { // before what is dearer: an address of IPv4 as most are written
		if _, err := netip.ParseAddr(v); err == nil {
			return IP
		}
	}
	if strings.Contains(v, "://") {
		return URL
	}
	if len(v) == 64 {
		if _, err := hex.DecodeString(v); err == nil {
			return SHA256
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
		return IP
	}
	if strings.Contains(v, "/") {
		return CIDR
	}
	if _, err := netip.ParseAddrPort(v); err == nil {
		return Endpoint
	}
	if strings.Contains(v, ".") {
		return Domain
	}
	return Wallet
}

// normalDomain accepts "*.pool.example" and a port, which lists of pools often carry.
func normalDomain(v string) (string, error) {
	v = strings.TrimPrefix(strings.TrimSuffix(v, "."), "*.")
	if host, port, ok := strings.Cut(v, ":"); ok {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", fmt.Errorf("%q is not a name", v)
		}
		v = strings.TrimSuffix(host, ".")
	}
	if plainDomain(v) {
		return v, nil
	}
	a, err := idna.Lookup.ToASCII(v)
	if err != nil {
		// Names with underscores exist and are not in the lookup profile.
		if a, err = idna.ToASCII(strings.ToLower(v)); err != nil {
			return "", fmt.Errorf("%q is not a name: %w", v, err)
		}
	}
	if !plainDomain(a) {
		return "", fmt.Errorf("%q is not a name", v)
	}
	return a, nil
}

// plainName reports whether v can be nothing but a name in normal form: its last label is no number.
func plainName(v string) bool {
	if len(v) == 0 || v[len(v)-1] < 'a' || v[len(v)-1] > 'z' {
		return false
	}
	return plainDomain(v)
}

// plainDomain reports whether v is a name in normal form already.
func plainDomain(v string) bool {
	if len(v) == 0 || len(v) > 253 || v[0] == '.' || v[len(v)-1] == '.' {
		return false
	}
	label, dots := 0, 0
	for i := range len(v) {
		c := v[i]
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			dots++
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return dots > 0
}

func normalURL(v string) (string, error) {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%q is not a URL", v)
	}
	u.Scheme, u.Host, u.Fragment, u.User = strings.ToLower(u.Scheme), strings.ToLower(u.Host), "", nil
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}
