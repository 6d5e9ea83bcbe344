package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden/config"
)

var known = map[string]bool{"sensors/ebpf": true, "detectors/pow": true, "responders/process": true}

// module stands for a module's own configuration.
type module struct {
	Threshold float64  `yaml:"threshold"`
	Names     []string `yaml:"names"`
}

// load does what the program does: read, check the modules' names, let the modules decode their sections.
func load(path string) error {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	if err := c.Check(known); err != nil {
		return err
	}
	m := module{Threshold: 0.5}
	return c.Section("detectors", "pow")(&m)
}

func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			err := load(file)
			if strings.HasSuffix(file, ".good.yaml") {
				if err != nil {
					t.Error(err)
				}
				return
			}
			text, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			want, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# want: "), "\n")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
}

func TestSectionKeepsDefaults(t *testing.T) {
	c, err := config.Parse([]byte("detectors:\n  pow:\n    names: [a]\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := module{Threshold: 0.5}
	if err := c.Section("detectors", "pow")(&m); err != nil {
		t.Fatal(err)
	}
	if m.Threshold != 0.5 || len(m.Names) != 1 {
		t.Errorf("got %+v, want the default threshold and one name", m)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("respond: contain\ndetectors:\n  pow: {threshold: 1}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := config.Parse(in)
		if err == nil && c.Validate() != nil {
			t.Error("accepted what does not validate")
		}
	})
}
