// Package sigma_test compares our Sigma matcher with the two Go libraries, on the same rules and events. Only this module
// links them.
//
//	MINEWARDEN_RULES=…/sigma MINEWARDEN_EVENTS=…/jsonl go test -v .
package sigma_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sigmago "github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"
	engine "github.com/markuskont/go-sigma-rule-engine"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors/sigma"
)

const perTool = 5 * time.Second // of measuring

type fields map[string]interface{}

func (f fields) Keywords() ([]string, bool)             { return nil, false }
func (f fields) Select(name string) (interface{}, bool) { v, ok := f[name]; return v, ok }

func TestSpeed(t *testing.T) {
	ruleDir, eventDir := os.Getenv("MINEWARDEN_RULES"), os.Getenv("MINEWARDEN_EVENTS")
	if ruleDir == "" || eventDir == "" {
		t.Skip("MINEWARDEN_RULES and MINEWARDEN_EVENTS name no folders")
	}
	set, err := sigma.Load(nil, sigma.Folder{Name: "sigma", FS: os.DirFS(ruleDir)})
	if err != nil {
		t.Fatal(err)
	}
	events, maps := load(t, eventDir)
	var ours []evaluator.RuleEvaluator
	var theirs []engine.RuleHandle
	files, parsed, accepted := 0, 0, 0
	err = filepath.WalkDir(ruleDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yml" {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		process := strings.Contains(string(text), "category: process_creation")
		if r, err := sigmago.ParseRule(text); err == nil {
			parsed++
			if process {
				ours = append(ours, *evaluator.ForRule(r))
			}
		}
		handles, err := engine.NewRuleList([]string{name}, true, false)
		if err == nil && len(handles) == 1 {
			if _, err := engine.NewTree(handles[0]); err == nil {
				accepted++
				if process {
					theirs = append(theirs, handles[0])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var trees []*engine.Tree
	for _, h := range theirs {
		tree, err := engine.NewTree(h)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	m := set.NewMatcher()
	t.Logf("%d rule files, %d process events", files, len(events))
	t.Logf("minewarden            runs %d, explains %d: %8.0f events/s", len(set.Rules()), len(set.Problems()),
		rate(len(events), func(i int) { m.Match(events[i]) }))
	failed, pairs := 0, 0
	t.Logf("sigma-go              parses %d, %d process rules: %8.0f events/s", parsed, len(ours), rate(len(events), func(i int) {
		for j := range ours {
			pairs++
			if _, err := ours[j].Matches(context.Background(), maps[i]); err != nil {
				failed++
			}
		}
	}))
	t.Logf("sigma-go              %d of %d rule-event pairs end in an error", failed, pairs)
	t.Logf("go-sigma-rule-engine  accepts %d, %d process rules: %8.0f events/s", accepted, len(trees), rate(len(events), func(i int) {
		for _, tree := range trees {
			tree.Match(fields(maps[i]))
		}
	}))
}

func rate(n int, match func(int)) float64 {
	start := time.Now()
	done := 0
	for time.Since(start) < perTool {
		match(done % n)
		done++
	}
	return float64(done) / time.Since(start).Seconds()
}

func load(t *testing.T, dir string) ([]*minewarden.Event, []map[string]interface{}) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var events []*minewarden.Event
	var maps []map[string]interface{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			ev := new(minewarden.Event)
			if err := json.Unmarshal(lines.Bytes(), ev); err != nil {
				t.Fatal(err)
			}
			r, ok := ev.Data.(*minewarden.Record)
			if !ok {
				continue
			}
			id, _ := r.Field("EventID")
			if id != "4688" && !(id == "1" && strings.Contains(r.Channel, "Sysmon")) {
				continue
			}
			values := map[string]interface{}{}
			for _, f := range r.Fields {
				values[f.Name] = f.Value
			}
			events, maps = append(events, ev), append(maps, values)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return events, maps
}
