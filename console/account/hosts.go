package account

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Hosts answers 421 to requests for a name that this console does not have, so that a page of another name cannot make that name
// point here and then read the answers (DNS rebinding). Loopback names and addresses are always allowed: a name of somebody
// else is what the attack needs.
func Hosts(names []string, next http.Handler) http.Handler {
	allowed := map[string]bool{"localhost": true}
	for _, n := range names {
		allowed[hostName(n)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := hostName(r.Host)
		if !allowed[h] && !isAddress(h) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusMisdirectedRequest)
			const body = `{"title":"Misdirected Request","status":421,"detail":"this console has no such name: add it to its names in the configuration"}`
			if _, err := w.Write([]byte(body)); err != nil {
				return // the client is gone
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostName returns the name or address of a Host header, without port and final dot.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func isAddress(h string) bool {
	_, err := netip.ParseAddr(h)
	return err == nil
}
