// Package consul finds out whether strangers can run commands through a Consul agent: over its API, from its configuration
// and command line, and from the checks that it keeps on disk.
package consul

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
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
	return &auditor{now: now, cves: list, judge: intruder.New()}
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "consul", Title: "Consul: commands by strangers through checks, ACL, TLS, checks left behind", Doc: readme}
}

func (a *auditor) Rules() []minewarden.Rule { return rules() }

func (a *auditor) Audit(ctx context.Context, t minewarden.Target) (minewarden.Verdict, error) {
	switch t.Kind {
	case minewarden.TargetService:
		if t.Product != "consul" {
			return minewarden.Verdict{}, nil
		}
		return a.service(ctx, t)
	case minewarden.TargetFile:
		return a.file(t)
	case minewarden.TargetHost:
		return a.host(ctx, t)
	}
	return minewarden.Verdict{}, fmt.Errorf("consul: target kind %q is not known", t.Kind)
}

func setToken(h http.Header, secret string) { h.Set("X-Consul-Token", secret) }
