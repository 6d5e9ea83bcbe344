package source

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// files changes lines or the mode of one file.
type files struct{ *Responder }

func planOf(a *minewarden.Action) (edit.Plan, error) {
	c, err := changeOf(a)
	if err == nil && c.Kind == kindLines && len(c.Hunks) == 0 {
		err = fmt.Errorf("action %s: it names no lines", a.ID)
	}
	return edit.Plan{Path: c.Path, SHA: c.SHA, Hunks: c.Hunks, Mode: c.Mode}, err
}

// Do implements ledger.Work.
func (w files) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	p, err := planOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	left, err := w.root.Do(a.ID, p, save)
	if err != nil {
		return ledger.Outcome{}, err
	}
	return w.outcome(ctx, &a, &p, left)
}

func (w files) outcome(ctx context.Context, a *minewarden.Action, p *edit.Plan, left edit.Left) (ledger.Outcome, error) {
	out := ledger.Outcome{Show: map[string]string{"path": p.Path}, After: left}
	n := 0
	for _, h := range p.Hunks {
		n += h.N
	}
	out.Result = fmt.Sprintf("%s: lines taken out: %d; the journal keeps them", p.Path, n)
	if n == 0 {
		out.Result = fmt.Sprintf("%s: mode %04o, so it is not run", p.Path, p.Mode&0o7777)
	}
	if a.Op == OpDisableUnit {
		return out, w.reload(ctx)
	}
	return out, nil
}

// Look implements ledger.Work.
func (w files) Look(ctx context.Context, a minewarden.Action, state json.RawMessage) (ledger.Outcome, bool, error) {
	var s edit.State
	p, err := planOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	left, done, err := w.root.Look(a.ID, p, s)
	if err != nil || !done {
		return ledger.Outcome{}, done, err
	}
	out, err := w.outcome(ctx, &a, &p, left)
	return out, true, err
}

// Undo implements ledger.Work.
func (w files) Undo(ctx context.Context, a minewarden.Action, state, after json.RawMessage) error {
	var s edit.State
	var left edit.Left
	p, err := planOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err == nil && len(after) > 0 {
		err = json.Unmarshal(after, &left)
	}
	if err == nil {
		err = w.root.Undo(a.ID, p, s, left)
	}
	if err == nil && a.Op == OpDisableUnit {
		err = w.reload(ctx)
	}
	return err
}
