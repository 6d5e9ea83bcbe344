package minewarden

import (
	"context"
	"time"
)

// A Responder acts on incidents. Plan changes nothing; dry run, the default, shows exactly what Do would do. Do first
// checks that the target is still the one planned for; twice is the same as once. Policy and approval are the caller's.
type Responder interface {
	Info() Info
	Plan(ctx context.Context, inc Incident) ([]Action, error)
	Do(ctx context.Context, a Action) (Receipt, error)
}

// An Undoer is a Responder that can take its actions back. Undoing what is undone already is no error.
type Undoer interface {
	Undo(ctx context.Context, r Receipt) error
}

// An Action is one thing that a responder would do. It holds all that Do needs, so it can be stored and done later.
type Action struct {
	ID         string            `json:"id"`        // unique; Do with the same id twice does it once
	Responder  string            `json:"responder"` // Info.Name
	Op         string            `json:"op"`        // freeze, kill, quarantine, block
	Incident   string            `json:"incident,omitempty"`
	Target     Subject           `json:"target"`
	Summary    string            `json:"summary"`           // one line for people
	Blast      []string          `json:"blast,omitempty"`   // each thing that will be touched, as a person would name it
	Refused    []string          `json:"refused,omitempty"` // what it will not touch, and why
	Reversible bool              `json:"reversible"`
	Params     map[string]string `json:"params,omitempty"`
}

// A Receipt is what an action did: the proof, and what Undo needs.
type Receipt struct {
	Action   Action            `json:"action"`
	Started  time.Time         `json:"started"`
	Done     time.Time         `json:"done"`
	Who      string            `json:"who"` // "policy contain", "user root", …
	Why      string            `json:"why"`
	OK       bool              `json:"ok"`
	Result   string            `json:"result"` // one line
	Undone   time.Time         `json:"undone,omitzero"`
	UndoneBy string            `json:"undone_by,omitempty"`
	State    map[string]string `json:"state,omitempty"` // for Undo
}
