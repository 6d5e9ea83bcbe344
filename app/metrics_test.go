package app

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestBoardShowsWhatThereIs compares the names in Grafana's board with those that are described here.
func TestBoardShowsWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../packaging/grafana/minewarden.json")
	if err != nil {
		t.Fatal(err)
	}
	var board map[string]any
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range regexp.MustCompile(`minewarden_[a-z_]+`).FindAllString(string(text), -1) {
		seen++
		if own := strings.TrimPrefix(name, "minewarden_"); !strings.Contains(string(source), `desc("`+own+`"`) && name != "minewarden_info" {
			t.Errorf("the board asks for %s, which nobody exports", name)
		}
	}
	if seen < 10 {
		t.Errorf("%d names in the board", seen)
	}
}
