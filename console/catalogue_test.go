package console_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/minewarden/minewarden/console"
)

type twoRules []console.RuleDoc

func (twoRules) Modules() ([]console.ModuleDoc, error) { return nil, nil }
func (r twoRules) Rules() ([]console.RuleDoc, error)   { return r, nil }

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
