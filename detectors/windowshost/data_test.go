package windowshost

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// Recorded events of the shared Windows logs, one file a log: what is found is listed with -v, the benign one must be quiet.
func TestRecordedLogs(t *testing.T) {
	dir := os.Getenv("MINEWARDEN_EVENTS")
	if dir == "" {
		t.Skip("MINEWARDEN_EVENTS names no folder with recorded events (*.jsonl)")
	}
	severity := map[string]minewarden.Severity{}
	for _, r := range rules[1:] {
		severity[r.ID] = r.Severity
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	hit := 0
	for _, file := range files {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		found := false
		for lines.Scan() {
			var ev minewarden.Event
			if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, f := range det.Observe(&ev) {
				found = true
				t.Log(filepath.Base(file), f.Rule, f.Confidence, f.Evidence)
				if strings.HasPrefix(filepath.Base(file), "plaso") && severity[f.Rule] >= minewarden.Medium {
					t.Errorf("%s is benign: %s %v", file, f.Rule, f.Evidence)
				}
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if found {
			hit++
		}
	}
	t.Logf("findings in %d of %d files", hit, len(files))
}
