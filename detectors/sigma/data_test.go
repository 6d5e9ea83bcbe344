package sigma

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// dataDir is where the shared development data lies, outside the repository.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sigma")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data is missing: %v", err)
		}
		t.Skipf("the shared data is missing: %v", err)
	}
	return dir
}

// sigmaHQ loads SigmaHQ's rules.
func sigmaHQ(t testing.TB, placeholders map[string][]string) *Set {
	t.Helper()
	set, err := Load(placeholders, Folder{"sigma", os.DirFS(filepath.Join(dataDir(t), "sigma"))})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// readEvents reads recorded events, one JSON object a line.
func readEvents(t testing.TB, name string, limit int) []*minewarden.Event {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []*minewarden.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() && len(events) < limit {
		ev := new(minewarden.Event)
		if err := json.Unmarshal(lines.Bytes(), ev); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		events = append(events, ev)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

func TestSigmaHQRuns(t *testing.T) {
	set := sigmaHQ(t, nil)
	rest := 0
	for _, p := range set.Problems() {
		t.Log(p)
		if !strings.Contains(p.Reason, "placeholder") {
			rest++
		}
	}
	t.Logf("%d files, %d run", set.Files(), len(set.Rules()))
	if got := len(set.Rules()) + len(set.Problems()); got < set.Files() {
		t.Errorf("%d files, but %d rules run and %d are explained", set.Files(), len(set.Rules()), len(set.Problems()))
	}
	if 1000*rest > 5*set.Files() {
		t.Errorf("%d of %d rules cannot run for other reasons than a missing placeholder: want at most 0.5 %%", rest, set.Files())
	}
}

// Each recording that is labelled as the positive case of a rule must fire that rule.
func TestLabelledFilesFireTheirRule(t *testing.T) {
	dir := os.Getenv("MINEWARDEN_EVENTS")
	if dir == "" {
		t.Skip("MINEWARDEN_EVENTS names no folder with recorded events (*.jsonl)")
	}
	m := sigmaHQ(t, nil).NewMatcher()
	labels, err := os.ReadFile(filepath.Join(dataDir(t), "labels_evtx.csv"))
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for line := range strings.Lines(string(labels)) {
		col := strings.Split(line, ",")
		if len(col) < 3 || col[1] != "sigma_match" {
			continue
		}
		files++
		_, id, _ := strings.Cut(col[2], " id=")
		fired := false
		name := strings.ReplaceAll(strings.TrimPrefix(col[0], "evtx/"), "/", "__") + ".jsonl"
		for _, ev := range readEvents(t, filepath.Join(dir, name), 1<<20) {
			for _, r := range m.Match(ev) {
				fired = fired || r.ID == strings.TrimSpace(id)
			}
		}
		if !fired {
			t.Errorf("%s does not fire %s", col[0], id)
		}
	}
	t.Logf("%d files", files)
}
