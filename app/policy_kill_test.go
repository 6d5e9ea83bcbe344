package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/store/mem"
)

// collector is a responder of evidence that notes what was done before it, and may fail.
type collector struct {
	process *fake
	while   func()
	err     error
}

func (*collector) Info() minewarden.Info { return minewarden.Info{Name: evidence.Name} }

func (*collector) Plan(_ context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	return []minewarden.Action{{ID: "c", Responder: evidence.Name, Op: evidence.Collect, Incident: inc.ID, Blast: []string{"reads"}}}, nil
}

func (c *collector) Do(_ context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	c.process.done = append(c.process.done, a.Op)
	if c.while != nil {
		c.while()
	}
	return minewarden.Receipt{Action: a, OK: c.err == nil, Done: time.Now()}, c.err
}

func TestEvidenceBeforeKill(t *testing.T) {
	for name, tt := range map[string]struct {
		respond config.Respond
		err     error
		closes  bool // somebody closes the incident while evidence is collected
		want    string
	}{
		"kill":                          {config.Kill, nil, false, "[freeze collect kill]"},
		"what fails prevents nothing":   {config.Kill, errors.New("the disk is full"), false, "[freeze collect kill]"},
		"somebody says that it is over": {config.Kill, nil, true, "[freeze collect]"},
		"contain collects nothing":      {config.Contain, nil, false, "[freeze]"},
	} {
		t.Run(name, func(t *testing.T) {
			st := new(mem.Store)
			rule := minewarden.Rule{ID: "pow/randomx", Severity: minewarden.Critical}
			keeper := incidents.NewKeeper(st, incidents.Config{Host: "h", Rules: []minewarden.Rule{rule}}, nil, nil)
			f := &fake{blast: 1}
			c := &collector{process: f, err: tt.err}
			desk := &Desk{log: slog.New(slog.DiscardHandler), store: st, keeper: keeper, responders: []minewarden.Responder{f, c}}
			p := newPolicy(tt.respond, desk, desk.log)
			proc := &minewarden.Process{Key: minewarden.ProcessKey{Boot: "b", PID: 7, Start: 9}, Name: "x", Exe: "/tmp/x"}
			id := keeper.Finding(&minewarden.Finding{
				Time: time.Now(), Rule: rule.ID, Subject: minewarden.ProcessSubject(proc), Process: proc, Confidence: 0.99,
				Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}},
			})
			if tt.closes {
				c.while = func() {
					if err := keeper.Change(func(c *incidents.Correlator) error { return c.Close(id, "user", "mine", time.Now()) }); err != nil {
						t.Error(err)
					}
				}
			}
			p.act(t.Context(), id)
			if slices.Contains(f.done, "kill") {
				t.Error("killed before there is evidence")
			}
			over, end := context.WithCancel(t.Context())
			end()
			p.killAll(over)
			if got := fmt.Sprint(f.done); got != tt.want {
				t.Errorf("did %s, want %s", got, tt.want)
			}
		})
	}
}
