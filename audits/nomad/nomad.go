// Package nomad finds out whether strangers, or jobs, can make a Nomad cluster mine for them: over its API, from its
// configuration and command line, and from job files.
package nomad

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/cve"
	"github.com/minewarden/minewarden/internal/intruder"
)

//go:embed README.md
var readme string

type auditor struct {
	now   func() time.Time
	cves  *cve.List
	judge *intruder.Judge
	hint  *regexp.Regexp // of an HCL file that may be Nomad's
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the audit. It reads no file: the vulnerability list is the shipped one unless WithCVE replaces it.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	list, err := cve.Shipped()
	if err != nil {
		return nil, err
	}
	return NewWithCVE(env, list), nil
}

// NewWithCVE is New with another list of vulnerable versions.
func NewWithCVE(env minewarden.Env, list *cve.List) minewarden.Auditor {
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &auditor{now: now, cves: list, judge: intruder.New(), hint: hintPattern()}
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "nomad", Title: "Nomad: job submission by strangers, drivers, TLS, jobs left behind", Doc: readme}
}

func (a *auditor) Rules() []minewarden.Rule { return rules() }

func (a *auditor) Audit(ctx context.Context, t minewarden.Target) (minewarden.Verdict, error) {
	switch t.Kind {
	case minewarden.TargetService:
		if t.Product != "nomad" {
			return minewarden.Verdict{}, nil
		}
		return a.service(ctx, t)
	case minewarden.TargetFile:
		return a.file(t)
	case minewarden.TargetHost:
		return a.host(ctx, t)
	}
	return minewarden.Verdict{}, fmt.Errorf("nomad: target kind %q is not known", t.Kind)
}

func setToken(h http.Header, secret string) { h.Set("X-Nomad-Token", secret) }
