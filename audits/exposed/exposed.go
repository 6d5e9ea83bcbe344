// Package exposed asks services that miners enter by whether they answer a stranger.
package exposed

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

//go:embed README.md
var doc string

type auditor struct {
	now      func() time.Time
	services []Service
	rules    []minewarden.Rule
}

var _ minewarden.Auditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	a := &auditor{now: env.Now, services: Services()}
	for _, s := range a.services {
		a.rules = append(a.rules, minewarden.Rule{
			ID: rule(s.Name), Title: s.Name + " answers strangers", Advice: "require authentication, and bind it to the address that needs it",
			Severity: s.severity, Technique: []string{"T1190"}, Why: s.why, References: []string{"ATT&CK M1035", "D3FEND D3-ACH"},
		})
	}
	return a, nil
}

func rule(product string) string { return "exposed/" + product }

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "exposed", Title: "services that answer strangers", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

func (a *auditor) Audit(ctx context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	if target.Kind != minewarden.TargetService {
		return minewarden.Verdict{}, nil
	}
	for _, s := range a.services {
		if s.Name == target.Product {
			sheet := verdict.New("exposed", target, a.now, a.rules)
			var err error
			if s.Path == "" {
				err = a.raw(ctx, sheet, target, s)
			} else {
				err = a.http(ctx, sheet, target, s)
			}
			if err != nil {
				return minewarden.Verdict{}, fmt.Errorf("ask %s at %s: %w", s.Name, target.URL, err)
			}
			return sheet.Verdict(), nil
		}
	}
	return minewarden.Verdict{}, nil
}

func subject(t minewarden.Target) minewarden.Subject {
	return minewarden.Subject{Type: minewarden.SubjectService, ID: t.URL, Name: t.Product}
}

func (a *auditor) http(ctx context.Context, s *verdict.Builder, target minewarden.Target, svc Service) error {
	target.Access.Token, target.Access.Cert, target.Access.Key = "", nil, "" // the question is what a stranger gets
	c, err := probe.New(target.URL, target.Access, probe.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Get(ctx, svc.Path)
	if err != nil {
		return err
	}
	open, known := svc.Match(r)
	asked := "GET " + svc.Path
	if known && !open && svc.Confirm != nil {
		if r, open, err = svc.Confirm(ctx, c); err != nil {
			return err
		}
		asked = "the names of its keys"
	}
	switch {
	case open:
		s.Prove(rule(svc.Name), subject(target), r.String()+" and showed what only its owner should see", nil, verdict.Evidence("request", asked)...)
	case known && r.Status == 400 && r.Has("user name is empty"), r.Status == 401 || r.Status == 403, r.Redirect != "" && strings.Contains(strings.ToLower(r.Redirect), "login"):
		s.Pass(rule(svc.Name), r.String()+": it asks who calls")
	default:
		s.Unknown(rule(svc.Name), r.String()+": that is not how "+svc.Name+" answers")
	}
	return nil
}

// raw says the first words of a plain protocol and judges the answer.
func (a *auditor) raw(ctx context.Context, s *verdict.Builder, target minewarden.Target, svc Service) error {
	addr := target.URL
	if u, err := url.Parse(target.URL); err == nil && u.Host != "" {
		addr = u.Host
	}
	timeout := target.Access.Timeout
	if timeout <= 0 {
		timeout = probe.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close() // nothing is sent after the answer
	open, known, says, err := svc.Talk(ctx, conn)
	if err != nil {
		return err
	}
	switch {
	case open:
		s.Prove(rule(svc.Name), subject(target), "it answered a stranger: "+says, nil, verdict.Evidence("answer", says)...)
	case known:
		s.Pass(rule(svc.Name), "it asks who calls: "+says)
	default:
		s.Unknown(rule(svc.Name), "that is not how "+svc.Name+" answers")
	}
	return nil
}
