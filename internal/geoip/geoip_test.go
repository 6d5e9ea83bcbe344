package geoip

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden/internal/geoip/geoiptest"
)

func small() []byte {
	return geoiptest.Write(map[netip.Prefix]string{
		netip.MustParsePrefix("203.0.113.0/24"): "NL", netip.MustParsePrefix("198.51.100.0/25"): "FR", netip.MustParsePrefix("2001:db8::/32"): "DE",
	})
}

func TestCountry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	if err := os.WriteFile(path, small(), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"203.0.113.9": "NL", "198.51.100.127": "FR", "198.51.100.128": "", "2001:db8::1": "DE", "2001:db9::1": "", "::ffff:203.0.113.9": "NL",
		"10.0.0.1": "", "127.0.0.1": "", "fe80::1%eth0": "", "2001:db8::1%x": "DE",
	} {
		if got, err := db.Country(netip.MustParseAddr(addr)); got != want || err != nil {
			t.Errorf("country of %s is %q, %v, want %q", addr, got, err, want)
		}
	}
	if got, err := db.Country(netip.Addr{}); got != "" || err != nil {
		t.Errorf("no address is in %q, %v", got, err)
	}
}

func TestBroken(t *testing.T) {
	good := small()
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("not a database\n"), "cut": good[:len(good)-60], "headless": good[len(good)/2:],
		"of no countries": []byte(strings.Replace(string(good), "Test-Country", "Test-Numbers", 1)),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")); !os.IsNotExist(err) && err == nil {
		t.Errorf("missing: error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small())
	f.Fuzz(func(t *testing.T, b []byte) {
		db, err := Parse(b)
		if err != nil {
			return
		}
		for _, a := range []string{"203.0.113.9", "2001:db8::1", "255.255.255.254"} {
			if got, err := db.Country(netip.MustParseAddr(a)); got != "" && (len(got) != 2 || err != nil) {
				t.Errorf("country %q", got)
			}
		}
	})
}

func BenchmarkCountry(b *testing.B) {
	db, err := Parse(small())
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.9")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Country(a); err != nil {
			b.Fatal(err)
		}
	}
}
