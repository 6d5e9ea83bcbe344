package minewarden

import (
	"context"
	"errors"
	"iter"
)

// ErrNotFound is wrapped by Store.Get for an id that is not there.
var ErrNotFound = errors.New("not found")

// A Store keeps incidents. It is safe for concurrent use. storetest holds every implementation to this contract.
type Store interface {
	Put(ctx context.Context, inc Incident) error                       // inserts or replaces by ID; durable when it returns
	Get(ctx context.Context, id string) (Incident, error)              // may wrap ErrNotFound
	Incidents(ctx context.Context, q Query) iter.Seq2[Incident, error] // last updated first; ends after an error
}

// A Query selects incidents. Zero fields do not select.
type Query struct {
	States []State
	Limit  int
}
