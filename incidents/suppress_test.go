package incidents

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

func suppressions(t *testing.T, file string, clock *time.Time) *Suppressions {
	t.Helper()
	s, err := LoadSuppressions(file, func() time.Time { return *clock })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuppressionFits(t *testing.T) {
	const hash = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	p := &minewarden.Process{Exe: "/opt/render/bin/blender", Package: "dpkg:blender", SHA256: hash, Container: minewarden.Container{ID: "c1"}}
	process := minewarden.Finding{Rule: "resource/busy", Process: p, Subject: minewarden.Subject{Type: minewarden.SubjectProcess, ID: "b/1@2", Name: "blender"}}
	file := minewarden.Finding{Rule: "file/miner-words", Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: "/srv/mirror/x"}, Evidence: []minewarden.Evidence{{Key: "sha256", Value: strings.ToUpper(hash)}}}
	flow := minewarden.Finding{Rule: "flow/pool-port", Subject: minewarden.Subject{Type: minewarden.SubjectFlow, ID: "tcp a > b", Client: "10.0.0.1:5", Server: "10.0.0.2:3333"}}
	for name, c := range map[string]struct {
		s    Suppression
		f    minewarden.Finding
		want bool
	}{
		"rule":                 {Suppression{Rule: "resource/busy"}, process, true},
		"rule prefix":          {Suppression{Rule: "resource/"}, process, true},
		"another rule":         {Suppression{Rule: "resource/bus"}, process, false},
		"subject":              {Suppression{Subject: "b/1@2"}, process, true},
		"a name is no subject": {Suppression{Subject: "blender"}, process, false},
		"container":            {Suppression{Subject: "c1"}, process, true},
		"server":               {Suppression{Subject: "10.0.0.2:3333"}, flow, true},
		"package":              {Suppression{Package: "dpkg:blender"}, process, true},
		"package of nothing":   {Suppression{Package: "dpkg:blender"}, flow, false},
		"path":                 {Suppression{Path: "/opt/render/bin/blender"}, process, true},
		"folder":               {Suppression{Path: "/opt/render/"}, process, true},
		"not a folder":         {Suppression{Path: "/opt/rend"}, process, false},
		"file below":           {Suppression{Path: "/srv/mirror/"}, file, true},
		"file out of it":       {Suppression{Path: "/srv/mirror/"}, minewarden.Finding{Subject: minewarden.Subject{Type: "file", ID: "/srv/mirror/../x"}}, false},
		"hash of a process":    {Suppression{SHA256: hash}, process, true},
		"hash of a file":       {Suppression{SHA256: hash}, file, true},
		"all must hold":        {Suppression{Rule: "resource/", Path: "/usr/"}, process, false},
		"all hold":             {Suppression{Rule: "resource/", Path: "/opt/", SHA256: hash}, process, true},
		"subject of another":   {Suppression{Subject: ""}, process, true},
	} {
		if got := c.s.fits(&c.f); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestSuppressionsAreKept(t *testing.T) {
	file, clock := filepath.Join(t.TempDir(), "suppressions.json"), t0
	s := suppressions(t, file, &clock)
	x, err := s.Add(Suppression{Rule: "pow/", Reason: "benchmark host", Who: "user ann", Expires: t0.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	co := New(Config{Host: "h", Rules: rules, Suppress: s.Match})
	tr := tree{}
	p := tr.chain("systemd", "xmrig")
	if id := co.Finding(finding("pow/code", 1, p)); id != "" {
		t.Error("a finding was not suppressed")
	}
	if id := co.Finding(finding("pow/randomx", 2, p)); id == "" {
		t.Error("critical proof of work was hidden without being said so")
	}
	if id := co.Finding(finding("stratum/login", 3, tr.chain("systemd", "xmrig#2"))); id == "" {
		t.Error("another rule's finding was hidden")
	}
	if got := s.All(); got[0].Count != 1 || got[0].Spared != 1 || got[0].Last.IsZero() || s.Hidden() != 1 {
		t.Errorf("%+v", got)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s = suppressions(t, file, &clock)
	if got := s.All(); len(got) != 1 || got[0].ID != x.ID || got[0].Count != 1 || got[0].Who != "user ann" || s.Hidden() != 1 {
		t.Errorf("read again: %+v", got)
	}
	if _, err := s.Remove("none", "user bob"); !errors.Is(err, minewarden.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Remove(x.ID, "user bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(x.ID, "user bob"); err == nil {
		t.Error("removed twice")
	}
	if _, hidden := s.Match(finding("pow/code", 1, p), rules[1]); hidden {
		t.Error("a removed one still hides")
	}
	even, err := s.Add(Suppression{Rule: "pow/", Reason: "test miner", Who: "user ann", Expires: t0.Add(time.Hour), EvenCritical: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, hidden := s.Match(finding("pow/randomx", 1, p), rules[0]); !hidden {
		t.Error("said explicitly, and not hidden")
	}
	if got := s.All(); len(got) != 2 || got[0].ID != even.ID || got[1].EndedBy != "user bob" {
		t.Errorf("history: %+v", got)
	}
}

// TestExpiredStaysExpired sets the clock back, with and without a restart.
func TestExpiredStaysExpired(t *testing.T) {
	file, clock := filepath.Join(t.TempDir(), "suppressions.json"), t0
	s := suppressions(t, file, &clock)
	if _, err := s.Add(Suppression{Rule: "pow/", Reason: "r", Who: "w", Expires: t0.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	f := finding("pow/code", 1, tree{}.chain("systemd", "xmrig"))
	hidden := func(s *Suppressions) bool { _, yes := s.Match(f, rules[1]); return yes }
	if !hidden(s) {
		t.Fatal("not in force")
	}
	clock = t0.Add(time.Hour)
	if hidden(s) {
		t.Error("in force at its end")
	}
	clock = t0
	if hidden(s) {
		t.Error("the clock went back, and it lives again")
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s = suppressions(t, file, &clock)
	if hidden(s) {
		t.Error("it lives again after a restart")
	}
	if got := s.All(); len(got) != 1 || got[0].Ended.IsZero() || got[0].Count != 1 {
		t.Errorf("history: %+v", got)
	}
}

func TestSuppressionRefused(t *testing.T) {
	clock := t0
	s := suppressions(t, "", &clock)
	good := Suppression{Rule: "pow/", Reason: "r", Who: "w", Expires: t0.Add(time.Hour)}
	for name, change := range map[string]func(*Suppression){
		"nothing":       func(x *Suppression) { x.Rule = "" },
		"no reason":     func(x *Suppression) { x.Reason = " " },
		"nobody":        func(x *Suppression) { x.Who = "" },
		"expired":       func(x *Suppression) { x.Expires = t0 },
		"for ever":      func(x *Suppression) { x.Expires = t0.Add(10 * MaxSuppression) },
		"hash":          func(x *Suppression) { x.SHA256 = "abc" },
		"rule":          func(x *Suppression) { x.Rule = "pow" },
		"relative path": func(x *Suppression) { x.Path = "tmp/x" },
		"odd path":      func(x *Suppression) { x.Path = "/tmp/../etc/" },
		"all files":     func(x *Suppression) { x.Path = "/" },
	} {
		x := good
		change(&x)
		if _, err := s.Add(x); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := s.Add(good); err != nil {
		t.Error(err)
	}
}

func TestDamagedSuppressionsAreSetAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "suppressions.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadSuppressions(file, nil)
	if err == nil || s == nil || len(s.All()) != 0 {
		t.Fatalf("%v, %v", s, err)
	}
	if _, err := os.Stat(file + ".bad"); err != nil {
		t.Error(err)
	}
}

func TestSuppressionWithoutADisk(t *testing.T) {
	clock := t0
	s := suppressions(t, filepath.Join(t.TempDir(), "gone", "suppressions.json"), &clock)
	if _, err := s.Add(Suppression{Rule: "pow/", Reason: "r", Who: "w", Expires: t0.Add(time.Hour)}); err == nil {
		t.Error("taken, and not on disk")
	}
	if len(s.All()) != 0 {
		t.Error("in force, and not on disk")
	}
}
