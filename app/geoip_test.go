package app

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/geoip/geoiptest"
)

// A scan of one port: findings about the host. Then a session whose country the configuration calls unexpected.
const abroad = `{"time":"2026-11-03T09:00:00Z","kind":"net.flow","data":{"key":{"proto":"tcp","client":"10.1.0.6:40000","server":"203.0.113.7:443"},"state":"open","start":"2026-11-03T09:00:00Z","client_packets":1}}
{"time":"2026-11-03T09:00:01Z","kind":"net.connect","process":{"key":{"pid":70,"start":5},"name":"python3","exe":"/usr/bin/python3"},"data":{"proto":"tcp","remote":"[2001:db8::1]:443"}}
`

func TestReplayCountry(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	db := geoiptest.Write(map[netip.Prefix]string{netip.MustParsePrefix("203.0.113.0/24"): "NL", netip.MustParsePrefix("2001:db8::/32"): "DE"})
	file, events := put("countries.mmdb", db), put("events.jsonl", []byte(abroad))
	replay := func(text string) (all []minewarden.Finding, err error) {
		cfg, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		err = Replay(t.Context(), cfg, slog.New(slog.DiscardHandler), []string{events}, func(r Replayed) {
			if r.Err != nil {
				t.Error(r.Err)
			}
			all = append(all, r.Findings...)
		})
		return all, err
	}
	found, err := replay("geoip: " + file + "\ndetectors:\n  flow:\n    unexpected_countries: [nl, DE]\n")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, f := range found {
		if f.Rule == "flow/unexpected-country" {
			told[f.Evidence[0].Value] = f.Subject.Type
		}
	}
	if told["NL"] != minewarden.SubjectFlow || told["DE"] != minewarden.SubjectProcess || len(told) != 2 {
		t.Errorf("told %v of %+v", told, found)
	}
	if found, err := replay(""); len(found) != 0 || err != nil {
		t.Errorf("without a database: %+v, %v", found, err)
	}
	for name, bad := range map[string]string{"missing": filepath.Join(dir, "no.mmdb"), "cut": put("cut.mmdb", db[:len(db)-40]), "text": events} {
		if _, err := replay("geoip: " + bad + "\n"); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	if _, err := replay("detectors:\n  flow:\n    unexpected_countries: [Germany]\n"); err == nil || !strings.Contains(err.Error(), `"Germany"`) {
		t.Errorf("error %v, want one that names the wrong code", err)
	}
}
