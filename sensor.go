package minewarden

import "context"

// A Sensor turns one source of facts into events. Run reports what already exists, then what happens, until ctx is done,
// and then returns nil. It never retries: it returns the error. It calls emit from one goroutine at a time.
type Sensor interface {
	Info() Info
	Run(ctx context.Context, emit Emit) error
}

// Emit never blocks: when the pipeline is behind, the event is dropped and the loss counted and shown. A sensor that
// knows that it missed events emits Lost. Silence must never look like safety.
type Emit func(Event)

// A Patient sensor reads from what keeps events until they are taken: a file, or a connection whose sender waits. When the
// pipeline is behind, its emit waits for room instead of dropping.
type Patient interface {
	Sensor
	Patient() bool
}
