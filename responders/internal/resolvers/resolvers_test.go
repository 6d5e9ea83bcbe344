package resolvers

import (
	"strings"
	"testing"
)

func FuzzResolvers(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range parse(strings.NewReader(s)) {
			if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
				t.Fatalf("%q gives %s", s, a)
			}
		}
	})
}
