package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/minewarden/minewarden/console"
)

type twoRules []console.RuleDoc

func (twoRules) Modules() ([]console.ModuleDoc, error) {
	return []console.ModuleDoc{{Catalogue: "responders", Name: "process", Title: "freezes and kills the processes of an incident", Doc: "# process\n\n## What it misses\n\nA paragraph that nobody translated.\n"}}, nil
}

func (r twoRules) Rules() ([]console.RuleDoc, error) { return r, nil }

// TestRulesInTwoLanguages: a rule without a translation stays English, and one answer does not change the next.
func TestRulesInTwoLanguages(t *testing.T) {
	ask, _, _ := serve(t, console.Options{Catalogue: twoRules{
		{ID: "sigma/mine", Title: "Of the operator", Advice: "Look."},
		{ID: "stratum/login", Title: "A client logs in to a mining pool", Advice: "Block the pool."},
	}})
	for _, c := range []struct{ query, title, own string }{
		{"?lang=zh", "客户端登录矿池", "Of the operator"},
		{"", "A client logs in to a mining pool", "Of the operator"},
		{"?lang=en", "A client logs in to a mining pool", "Of the operator"},
	} {
		resp, body := ask("viewer", "GET", "/api/v1/rules"+c.query, "")
		var got struct{ Items []console.RuleDoc }
		if err := json.Unmarshal(body, &got); err != nil || len(got.Items) != 2 {
			t.Fatalf("%s: %s %v %s", c.query, resp.Status, err, body)
		}
		if got.Items[0].Title != c.own || got.Items[1].Title != c.title || (got.Items[1].Advice == "Block the pool.") != (c.query != "?lang=zh") {
			t.Errorf("%q: %+v", c.query, got.Items)
		}
	}
	if resp, body := ask("viewer", "GET", "/api/v1/rules?lang=fr", ""); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%s %s of a language that there is not", resp.Status, body)
	}
}

// TestTextsInChinese: modules come in the language asked for, and say what of them is English still; the table comes as a whole.
func TestTextsInChinese(t *testing.T) {
	ask, _, _ := serve(t, console.Options{Catalogue: twoRules{}})
	_, body := ask("viewer", "GET", "/api/v1/modules/responders/process?lang=zh", "")
	var m console.ModuleDoc
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	if m.Title != "冻结和终止事件中的进程" || m.Untranslated != 1 || !strings.Contains(m.Doc, "## 会漏掉什么\n") || !strings.Contains(m.Doc, "A paragraph that nobody translated.") {
		t.Errorf("%+v", m)
	}
	_, body = ask("viewer", "GET", "/api/v1/texts?lang=zh", "")
	var all struct{ Items []struct{ En, Zh string } }
	if err := json.Unmarshal(body, &all); err != nil || len(all.Items) < 400 || all.Items[0].En == "" || all.Items[0].Zh == "" {
		t.Errorf("%v %.300s", err, body)
	}
	if _, body = ask("viewer", "GET", "/api/v1/texts", ""); string(body) != `{"items":[]}`+"\n" {
		t.Errorf("English is not a translation: %.200s", body)
	}
}
