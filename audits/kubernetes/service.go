package kubernetes

import (
	"context"

	"github.com/minewarden/minewarden"
)

func (a *auditor) host(_ context.Context, _ minewarden.Target) (minewarden.Verdict, error) {
	return minewarden.Verdict{}, nil
}

func (a *auditor) service(_ context.Context, _ minewarden.Target) (minewarden.Verdict, error) {
	return minewarden.Verdict{}, nil
}
