package network

import (
	"net/netip"
	"strings"
	"testing"
)

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.0/24", "::ffff:192.0.2.0/120", "192.0.2.1:3333", ":3333", "Pool.Example.", "[2001:db8::1]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, name, err := ParseTarget(s)
		if err != nil || name != "" {
			return
		}
		if err := i.check(); err != nil {
			t.Fatalf("%q gives an item that no map can hold: %v", s, err)
		}
		key(i)
		place(i)
	})
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.0/24 10.0.1.0/24 10.0.0.128/25", "10.0.0.0-10.0.1.255"},
		{"10.0.2.0/24 10.0.0.0/24", "10.0.0.0-10.0.0.255 10.0.2.0-10.0.2.255"},
		{"255.0.0.0/8 255.255.255.0/24", "255.0.0.0-255.255.255.255"},
		{"2001:db8::/32 2001:db8:1::/48", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		var in []netip.Prefix
		for _, p := range strings.Fields(tt.in) {
			in = append(in, netip.MustParsePrefix(p))
		}
		var got []string
		for _, s := range merge(in) {
			got = append(got, s.first.String()+"-"+s.last.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("merge(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}
