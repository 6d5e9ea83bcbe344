package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// FeedQueue is how many events may wait for one client.
const FeedQueue = feedQueue

// Overrun publishes n events to a client that takes none, and returns how many it is told to have lost.
func (f *Feed) Overrun(n int) int {
	c, _, _ := f.join("", "")
	for i := range n {
		f.Publish("finding", i)
	}
	return int(f.lost(c))
}

func TestEveryRouteNeedsARole(t *testing.T) {
	s := &Server{o: Options{}, mux: http.NewServeMux(), all: true}
	s.routes()
	n := 0
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range operations(item) {
			if op == nil {
				continue
			}
			n++
			need := access.Needed(op.Metadata)
			if need == 0 {
				t.Errorf("%s %s is for nobody: give it a role", method, path)
			}
			if need == access.Viewer && method != "GET" {
				t.Errorf("%s %s: a viewer may change nothing", method, path)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d operations were looked at", n)
	}
}

func operations(i *huma.PathItem) map[string]*huma.Operation {
	return map[string]*huma.Operation{"GET": i.Get, "POST": i.Post, "PUT": i.Put, "PATCH": i.Patch, "DELETE": i.Delete}
}

// TestParameters holds every operation to take each parameter that its path names: an embedded type that is not exported is
// overlooked without a word.
func TestParameters(t *testing.T) {
	s := &Server{mux: http.NewServeMux(), all: true}
	s.routes()
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range operations(item) {
			if op == nil {
				continue
			}
			have := map[string]bool{}
			for _, p := range op.Parameters {
				have[p.In+" "+p.Name] = true
			}
			for _, part := range strings.Split(path, "/") {
				if name, ok := strings.CutPrefix(part, "{"); ok && !have["path "+strings.TrimSuffix(name, "}")] {
					t.Errorf("%s %s does not read %s", method, path, part)
				}
			}
		}
	}
	list := s.api.OpenAPI().Paths["/incidents"].Get
	for _, want := range []string{"state", "severity", "host", "rule", "subject", "since", "until", "text", "after", "limit"} {
		if !slices.ContainsFunc(list.Parameters, func(p *huma.Param) bool { return p.Name == want }) {
			t.Errorf("incidents cannot be filtered by %s", want)
		}
	}
}
