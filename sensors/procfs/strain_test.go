package procfs

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParsePressure(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"some avg10=0.00 avg60=0.57 avg300=2.43 total=3218509434\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n": 3218509434 * time.Microsecond,
		"full avg10=0.00 total=7\n":          -1,
		"some avg10=0.00":                    -1,
		"some total=-5":                      -1,
		"some total=99999999999999999999999": -1,
		"":                                   -1,
	} {
		got, ok := parsePressure([]byte(text))
		if ok != (want >= 0) || (ok && got != want) {
			t.Errorf("%q: %v, %t", text, got, ok)
		}
	}
}

func TestEnergy(t *testing.T) {
	dir := t.TempDir()
	put := func(name, value string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"} {
		put(d+"/energy_uj", "1000000")
		put(d+"/max_energy_range_uj", "9000000")
	}
	r := newRapl(dir)
	if len(r.domains) != 2 {
		t.Fatalf("%d packages, want 2: parts of a package count once", len(r.domains))
	}
	if got := r.joules(); got != 0 {
		t.Errorf("%g J at the first look, want 0", got)
	}
	put("intel-rapl:0/energy_uj", "3500000")
	put("intel-rapl:1/energy_uj", "500000") // began again: 8 J to the limit, 0.5 J after
	if got := r.joules(); got != 2.5+8.5 {
		t.Errorf("%g J, want 11", got)
	}
	if got := newRapl(filepath.Join(dir, "none")).joules(); got != 0 {
		t.Errorf("%g J without counters", got)
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte("some avg10=0.00 avg60=0.57 avg300=2.43 total=3218509434\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := parsePressure(text); ok && d < 0 {
			t.Errorf("negative: %v", d)
		}
	})
}
