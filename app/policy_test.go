package app

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/store/mem"
)

// fake plans to stop as many processes as it is told to, and counts what it did.
type fake struct {
	blast int
	done  []string
}

func (*fake) Info() minewarden.Info { return minewarden.Info{Name: "process"} }

func (f *fake) Plan(_ context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	var all []minewarden.Action
	for _, op := range []string{"freeze", "kill"} {
		a := minewarden.Action{ID: fmt.Sprint(op, len(f.done)), Responder: "process", Op: op, Incident: inc.ID, Reversible: op == "freeze"}
		for i := range f.blast {
			a.Blast = append(a.Blast, fmt.Sprint("pid ", i))
		}
		all = append(all, a)
	}
	return all, nil
}

func (f *fake) Do(_ context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	f.done = append(f.done, a.Op)
	return minewarden.Receipt{Action: a, OK: true, Done: time.Now()}, nil
}

func TestPolicy(t *testing.T) {
	grave := minewarden.Rule{ID: "pow/randomx", Severity: minewarden.Critical}
	weak := minewarden.Rule{ID: "resource/busy", Severity: minewarden.Low}
	for _, tt := range []struct {
		name       string
		respond    config.Respond
		rule       string
		confidence float64
		blast      int
		container  string
		want       string
	}{
		{"observe does nothing", config.Observe, "pow/randomx", 0.99, 1, "", "[]"},
		{"contain freezes", config.Contain, "pow/randomx", 0.99, 3, "", "[freeze]"},
		{"kill freezes first", config.Kill, "pow/randomx", 0.99, 3, "", "[freeze kill]"},
		{"not sure enough", config.Contain, "pow/randomx", 0.7, 3, "", "[]"},
		{"not grave enough", config.Contain, "resource/busy", 0.99, 3, "", "[]"},
		{"too many processes wait for a person", config.Contain, "pow/randomx", 0.99, maxBlast + 1, "", "[]"},
		{"a container is stopped whole", config.Contain, "pow/randomx", 0.99, maxBlast + 1, "0123456789ab", "[freeze]"},
		{"nothing that may be touched", config.Contain, "pow/randomx", 0.99, 0, "", "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := new(mem.Store)
			keeper := incidents.NewKeeper(st, incidents.Config{Host: "h", Rules: []minewarden.Rule{grave, weak}}, nil, nil)
			f := &fake{blast: tt.blast}
			desk := &Desk{log: slog.New(slog.DiscardHandler), store: st, keeper: keeper, responders: []minewarden.Responder{f}}
			p := newPolicy(tt.respond, desk, desk.log)
			proc := &minewarden.Process{Key: minewarden.ProcessKey{Boot: "b", PID: 7, Start: 9}, Name: "x", Exe: "/tmp/x", Container: minewarden.Container{Runtime: "docker", ID: tt.container}}
			if tt.container == "" {
				proc.Container = minewarden.Container{}
			}
			id := keeper.Finding(&minewarden.Finding{
				Time: time.Now(), Rule: tt.rule, Subject: minewarden.ProcessSubject(proc), Process: proc, Confidence: tt.confidence,
				Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}},
			})
			for range 3 { // deciding again must not act again
				p.act(t.Context(), id)
			}
			if got := fmt.Sprint(f.done); got != tt.want {
				t.Errorf("did %s, want %s", got, tt.want)
			}
		})
	}
}
