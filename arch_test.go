package minewarden_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the import path of the root.
const module = "github.com/minewarden/minewarden"

// catalogues are the folders of self-contained modules, each with a list of the same name.
var catalogues = []string{"sensors", "detectors", "audits", "responders", "drills"}

// notModules are folders of a catalogue that serve its modules and are no modules themselves.
var notModules = map[string]bool{
	"drills/drill":        true, // what drills are made of
	"responders/internal": true,
}

// folders returns the module folders of a catalogue: those with Go files directly in them.
func folders(t *testing.T, catalogue string) []string {
	t.Helper()
	entries, err := os.ReadDir(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "testdata" || notModules[catalogue+"/"+e.Name()] {
			continue
		}
		names = append(names, e.Name())
	}
	return names
}

func TestEveryModuleIsListed(t *testing.T) {
	for _, c := range catalogues {
		var list []byte
		files, err := filepath.Glob(c + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, text...)
		}
		for _, name := range folders(t, c) {
			if !strings.Contains(string(list), `"`+module+"/"+c+"/"+name+`"`) {
				t.Errorf("%s/%s is in no list of %s", c, name, c)
			}
		}
	}
}

func TestEveryModuleSaysWhatItMisses(t *testing.T) {
	want := []string{"## Why it works", "## What it misses", "## False positives"}
	for _, c := range catalogues {
		if c == "drills" {
			continue // a drill says it in its title: it is harmless and misses nothing
		}
		for _, name := range folders(t, c) {
			text, err := os.ReadFile(filepath.Join(c, name, "README.md"))
			if err != nil {
				t.Error(err)
				continue
			}
			if !strings.HasPrefix(string(text), "# "+name+"\n") {
				t.Errorf("%s/%s/README.md does not begin with # %s", c, name, name)
			}
			for _, h := range want {
				if !strings.Contains(string(text), "\n"+h+"\n") {
					t.Errorf("%s/%s/README.md has no %q", c, name, h)
				}
			}
		}
	}
}

// pkg is what this test wants of go list.
type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// TestImportArrows keeps the picture true: modules know the vocabulary and private helpers, never the road or each other.
func TestImportArrows(t *testing.T) {
	var wrong []string
	for _, p := range packages(t) {
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imp := range p.Imports {
			if from == "" && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				wrong = append(wrong, "the root imports "+imp)
			}
			if !strings.HasPrefix(imp, module) {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
			if !allowed(from, to) {
				wrong = append(wrong, from+" imports "+to)
			}
		}
	}
	sort.Strings(wrong)
	if diff := cmp.Diff([]string(nil), wrong); diff != "" {
		t.Errorf("imports against the arrows:\n%s", diff)
	}
}

// allowed says which arrows there are between packages of this module, by their paths below the root.
func allowed(from, to string) bool {
	top := func(p string) string { return strings.SplitN(p, "/", 2)[0] }
	switch {
	case to == "" || strings.HasPrefix(from, "bench/") || strings.HasSuffix(from, "test"):
		return true
	case top(from) == top(to):
		// A list imports its modules; a module imports only packages within itself, and what its catalogue's modules are made of.
		if notModules[to] || strings.HasPrefix(to, top(to)+"/internal/") {
			return true
		}
		return !isCatalogue(top(from)) || !strings.Contains(from, "/") || strings.HasPrefix(to, from+"/")
	case top(from) == "cmd" || top(from) == "app" || top(from) == "console":
		return true
	case top(to) == "internal":
		return true
	case top(to) == "rules": // Sigma rules, embedded
		return true
	case from == "responders/repair" && to == "posture/repair": // the edits that it applies and takes back
		return true
	case top(from) == "internal":
		return top(to) == "indicators"
	}
	switch top(from) {
	case "detectors", "responders", "sensors":
		return top(to) == "indicators"
	case "posture": // what serves the audits: walks repositories, finds services, repairs, scores
		return top(to) == "audits"
	case "fleet":
		return top(to) == "pipeline" || top(to) == "store" || top(to) == "incidents"
	}
	return false
}

func isCatalogue(name string) bool {
	for _, c := range catalogues {
		if c == name {
			return true
		}
	}
	return false
}

func TestReadmeBeginsWithThePictureAndTwoCommands(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{"sensors ──", "make up", "make test", "## What it sees", "## What it misses", "## What it costs"} {
		i := strings.Index(string(text), want)
		if i <= at {
			t.Errorf("README.md: %q is missing or out of order", want)
		}
		at = max(at, i)
	}
}

// TestProjectSpeaksOfItselfAlone keeps paths of a developer's machine out of what is shipped.
func TestProjectSpeaksOfItselfAlone(t *testing.T) {
	bad := regexp.MustCompile(`/work/(main|shared)|/tmp/w/|proxy\.golang\.org`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == ".cache" || d.Name() == "bin" || d.Name() == "dist") {
			return filepath.SkipDir
		}
		if d.IsDir() || path == "arch_test.go" || filepath.Ext(path) == ".o" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := bad.Find(text); m != nil {
			t.Errorf("%s names %s", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
