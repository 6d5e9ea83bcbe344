package account

import (
	"crypto/hmac"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/minewarden/minewarden/console/access"
)

// Cookies. The prefix makes a browser take them only from this very host, over TLS.
const (
	cookieName = "__Host-mw"
	deviceName = "__Host-mw-device"
)

// CSRFHeader carries the token of GET /session with every request that changes something.
const CSRFHeader = "X-CSRF-Token"

// What one identity, and one address that nobody has logged in from, may ask.
const (
	identityRate, identityBurst = 50, 300
	addressRate, addressBurst   = 5, 30
)

// Authenticate tells who sends a request: by a token in its Authorization header or, without one, by the session's cookie. Where a
// browser says that the request comes from elsewhere, or one that changes something lacks its CSRF token, it is forbidden.
func (s *Service) Authenticate(r *http.Request) (id access.Identity, err error) {
	secret := ""
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		scheme, token, _ := strings.Cut(h[0], " ")
		if len(h) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return id, access.ErrAnonymous
		}
		id, err = s.bearer(r.Context(), strings.TrimSpace(token))
	} else {
		secret = cookie(r, cookieName)
		if secret == "" {
			return id, access.ErrAnonymous
		}
		id, err = s.session(r.Context(), secret)
	}
	if err != nil {
		// What does not exist can be asked for without end: by address, so that it costs others nothing.
		if limit := s.rates.allow("address "+Address(r), addressRate, addressBurst); limit != nil {
			return access.Identity{}, limit
		}
		return access.Identity{}, err
	}
	if err := s.rates.allow(id.Via+" "+id.Name, identityRate, identityBurst); err != nil {
		return access.Identity{}, err
	}
	if secret != "" && !safe(r.Method) {
		if err := s.ours(r, secret); err != nil {
			return access.Identity{}, err
		}
	}
	return id, nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// ours checks that a request that changes something was made by a page of this console.
func (s *Service) ours(r *http.Request, secret string) error {
	if !hmac.Equal([]byte(r.Header.Get(CSRFHeader)), []byte(s.csrf(secret))) {
		return fmt.Errorf("%w: the %s header is missing or not of this session", access.ErrForbidden, CSRFHeader)
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return fmt.Errorf("%w: it comes from another site", access.ErrForbidden)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) {
			return fmt.Errorf("%w: it comes from another site", access.ErrForbidden)
		}
	}
	return nil
}

// cookie returns the value of a cookie; with two of a name, of which one may be planted, none.
func cookie(r *http.Request, name string) string {
	all := r.CookiesNamed(name)
	if len(all) != 1 || len(all[0].Value) > 200 {
		return ""
	}
	return all[0].Value
}

// Address returns by what a client is counted: its address, or of IPv6 the network of 64 bits that one subscriber has. What a
// proxy says of others is not heeded: anybody can say it.
func Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "socket"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	if ip = ip.WithZone("").Unmap(); ip.Is4() || ip.IsLoopback() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return p.String()
}
