package gitea

import (
	"context"

	mw "github.com/minewarden/minewarden"
)

func (a *auditor) Claims(name string, head []byte) bool { return false }

func (a *auditor) file(t mw.Target) (mw.Verdict, error) { return mw.Verdict{}, nil }

func (a *auditor) host(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	return mw.Verdict{}, nil
}
