package minewarden

import (
	"context"
	"io/fs"
)

// An Auditor checks one way a host could be taken over. It reads only through root, so it works alike on a running host,
// a container image, a mounted disk and a fixture. "Could not look" is an error, never a pass.
type Auditor interface {
	Info() Info
	Rules() []Rule
	Audit(ctx context.Context, root fs.FS) (Verdict, error)
}

// A Verdict is what an audit found.
type Verdict struct {
	Applies  bool // false: the product is not there
	Findings []Finding
}
