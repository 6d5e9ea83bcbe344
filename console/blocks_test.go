package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console"
)

type blocks struct {
	targets []string
	lasts   time.Duration
	why     string
}

func (b *blocks) PlanBlock(_ context.Context, targets []string, _ time.Duration) (minewarden.Action, error) {
	b.targets = targets
	return minewarden.Action{Op: "block"}, nil
}

func (b *blocks) Block(_ context.Context, targets []string, lasts time.Duration, _, why string) (minewarden.Receipt, error) {
	*b = blocks{targets, lasts, why}
	return minewarden.Receipt{OK: true}, nil
}

func TestBlock(t *testing.T) {
	var got blocks
	ask, _, _ := serve(t, console.Options{Blocks: &got})
	if resp, body := ask("responder", "POST", "/api/v1/blocks/plan", `{"targets":["203.0.113.7:443","pool.example"]}`); resp.StatusCode != http.StatusOK || len(got.targets) != 2 {
		t.Errorf("plan: %s %s: %+v", resp.Status, body, got)
	}
	if resp, body := ask("responder", "POST", "/api/v1/blocks", `{"targets":["203.0.113.7"],"seconds":7200,"why":"case 17"}`); resp.StatusCode != http.StatusOK ||
		strings.Join(got.targets, " ") != "203.0.113.7" || got.lasts != 2*time.Hour || got.why != "case 17" {
		t.Errorf("block: %s %s: %+v", resp.Status, body, got)
	}
	for _, wrong := range []string{`{"targets":[],"why":"x"}`, `{"why":"x"}`, `{"targets":["203.0.113.7"],"why":""}`} {
		if resp, body := ask("responder", "POST", "/api/v1/blocks", wrong); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s %s", wrong, resp.Status, body)
		}
	}
}
