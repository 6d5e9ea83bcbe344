package cve

import (
	"errors"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	order := []string{"0", "0.9.5", "1.0.0-rc8", "1.0.0-rc9.0.20200122160610", "1.0.0-rc10", "1.0.0-rc93", "1.0.0", "1.4.0", "1.5.2", "1.9.17", "1.10.0", "1.10.5", "1.11.0-rc.1.0.20260512", "1.11.0", "1.26.0", "20.10.24", "25.0.6", "28.2.0"}
	for i := range order {
		for j := range order {
			a, err := Parse(order[i])
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse(order[j])
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%s against %s: got %d, want %d", order[i], order[j], got, want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in, same string
		distro   bool
	}{
		{"1.10.5+ent", "1.10.5", false},
		{"20.10.24+dfsg1", "20.10.24", true},
		{"5:20.10.24~3-0~debian-bookworm", "20.10.24", false},
		{"18.09.1-ce", "18.9.1", false},
		{"1.1.4-0ubuntu1.1", "1.1.4", true},
		{"1.1.12-r3", "1.1.12", true},
		{"v1.26.0", "1.26.0", false},
		{"1.26.0+dev-12-gabcdef", "1.26", false},
		{"1.1.12-1.el9", "1.1.12", true},
	} {
		v, err := Parse(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		w, err := Parse(tc.same)
		if err != nil {
			t.Fatal(err)
		}
		if v.Compare(w) != 0 || v.Distro != tc.distro {
			t.Errorf("%s: compare %d, distro %v", tc.in, v.Compare(w), v.Distro)
		}
	}
	for _, bad := range []string{"", "latest", "<html>", "-1"} {
		if _, err := Parse(bad); !errors.Is(err, ErrVersion) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestMatch(t *testing.T) {
	l, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		product, version, id string
		want                 bool
	}{
		{"nomad", "1.5.2", "CVE-2023-1782", true},
		{"nomad", "1.5.3", "CVE-2023-1782", false},
		{"nomad", "1.4.9", "CVE-2023-1782", false},
		{"nomad", "1.9.1", "CVE-2024-10975", true},
		{"nomad", "1.9.3", "CVE-2024-12678", true},
		{"nomad", "1.10.1", "CVE-2025-4922", true},
		{"nomad", "1.10.5", "CVE-2025-4922", false},
		{"nomad", "1.10.5", "CVE-2026-6959", true},
		{"consul", "1.20.0", "CVE-2024-10005", true},
		{"consul", "1.21.0", "CVE-2025-11374", true},
		{"consul", "1.22.5", "CVE-2026-2808", false},
		{"docker", "20.10.24+dfsg1", "CVE-2024-41110", true},
		{"docker", "27.1.1", "CVE-2024-41110", false},
		{"docker", "26.1.4", "CVE-2024-41110", true},
		{"runc", "1.1.11", "CVE-2024-21626", true},
		{"runc", "1.1.12", "CVE-2024-21626", false},
		{"runc", "1.3.2", "CVE-2025-31133", true},
		{"gitea", "1.4.0", "Gitea 1.4.0 LFS", true},
		{"gitea", "1.5.1", "CVE-2018-18926", true},
		{"gitea", "1.26.2", "CVE-2026-20896", true},
		{"gitea", "1.27.1", "CVE-2026-60004", true},
		{"gitea", "1.27.2", "CVE-2026-60004", false},
		{"gitea", "1.16.6", "CVE-2022-30781", true},
	} {
		ms, err := l.Match(tc.product, tc.version)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, m := range ms {
			got = got || m.ID == tc.id
		}
		if got != tc.want {
			t.Errorf("%s %s under %s: got %v, want %v", tc.product, tc.version, tc.id, got, tc.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"no JSON": "<html>", "other format": `{"format":"x","entries":[{}]}`, "no entries": `{"format":"minewarden-cve/1","entries":[]}`,
		"bad range":     `{"format":"minewarden-cve/1","entries":[{"product":"a","id":"b","ranges":["1.0-2.0"]}]}`,
		"unknown field": `{"format":"minewarden-cve/1","entries":[{"product":"a","id":"b","rang":["[0,1)"]}]}`,
	} {
		if _, err := Load(strings.NewReader(in)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1.2.3-rc1+dfsg1")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		if err == nil && v.Compare(v) != 0 {
			t.Errorf("%q differs from itself", s)
		}
	})
}
