// Package exposed asks services that miners enter by whether they answer a stranger.
package exposed

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// A service is one product: what is asked, and by which words an open one is known. Words of a body that is not the
// product's, such as a proxy's page, match nothing.
type service struct {
	name, path string
	open       []string // all of them in a 200 answer
	severity   minewarden.Severity
	why        string
}

func services() []service {
	return []service{
		{"jenkins", "/script", []string{"Script Console", "Groovy"}, minewarden.Critical, "The script console runs any command; miners were started through it since 2017."},
		{"ray", "/api/version", []string{"ray_version", "ray_commit"}, minewarden.Critical, "Whoever reaches Ray's dashboard submits jobs: ShadowRay mined on clusters found this way."},
		{"jupyter", "/api/contents?content=0", []string{"\"type\"", "\"directory\"", "\"writable\""}, minewarden.Critical, "A notebook server without a token is a shell."},
		{"selenium", "/wd/hub/status", []string{"\"ready\"", "\"value\""}, minewarden.High, "SeleniumGreed starts a browser that is a Python program, and that is a miner."},
		{"registry", "/v2/_catalog?n=1", []string{"\"repositories\""}, minewarden.High, "An open registry gives images away, and often takes changed ones."},
		{"etcd", "/v2/keys/?limit=1", []string{"\"action\"", "\"node\""}, minewarden.Critical, "Etcd holds the secrets of the cluster."},
		{"kubelet", "/pods", []string{"\"kind\":\"PodList\""}, minewarden.Critical, "Hildegard entered its first pod through an anonymous kubelet."},
		{"kubernetes", "/api/v1/namespaces?limit=1", []string{"NamespaceList"}, minewarden.Critical, "Who lists namespaces without a name has rights that nobody meant to give."},
		{"redis", "", nil, minewarden.Critical, "Redis without a password writes cron lines and ssh keys for whoever asks."},
		{"postgres", "", nil, minewarden.Critical, "PostgreSQL that trusts everyone runs programs through COPY: PG_MEM and others mine this way."},
	}
}

type auditor struct {
	now      func() time.Time
	services []service
	rules    []minewarden.Rule
}

var _ minewarden.Auditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	a := &auditor{now: env.Now, services: services()}
	for _, s := range a.services {
		a.rules = append(a.rules, minewarden.Rule{ID: rule(s.name), Title: s.name + " answers strangers", Advice: "require authentication, and bind it to the address that needs it",
			Severity: s.severity, Technique: []string{"T1190"}, Why: s.why, References: []string{"ATT&CK M1035", "D3FEND D3-ACH"}})
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
		if s.name == target.Product {
			sheet := verdict.New("exposed", target, a.now, a.rules)
			var err error
			switch s.name {
			case "redis":
				err = a.raw(ctx, sheet, target, s, []byte("PING\r\n"), redis)
			case "postgres":
				err = a.raw(ctx, sheet, target, s, startup(), postgres)
			default:
				err = a.http(ctx, sheet, target, s)
			}
			if err != nil {
				return minewarden.Verdict{}, fmt.Errorf("ask %s at %s: %w", s.name, target.URL, err)
			}
			return sheet.Verdict(), nil
		}
	}
	return minewarden.Verdict{}, nil
}

func subject(t minewarden.Target) minewarden.Subject {
	return minewarden.Subject{Type: minewarden.SubjectService, ID: t.URL, Name: t.Product}
}

func (a *auditor) http(ctx context.Context, s *verdict.Builder, target minewarden.Target, svc service) error {
	target.Access.Token, target.Access.Cert, target.Access.Key = "", nil, "" // the question is what a stranger gets
	c, err := probe.New(target.URL, target.Access, probe.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Get(ctx, svc.path)
	if err != nil {
		return err
	}
	open := r.Status == 200
	for _, word := range svc.open {
		open = open && strings.Contains(strings.ReplaceAll(string(r.Body), "\": \"", "\":\""), word)
	}
	switch {
	case open:
		s.Prove(rule(svc.name), subject(target), r.String()+" and showed what only its owner should see", nil, verdict.Evidence("request", "GET "+svc.path)...)
	case r.Status == 401 || r.Status == 403 || r.Redirect != "" && strings.Contains(strings.ToLower(r.Redirect), "login"):
		s.Pass(rule(svc.name), r.String()+": it asks who calls")
	default:
		s.Unknown(rule(svc.name), r.String()+": that is not how "+svc.name+" answers")
	}
	return nil
}

// raw sends one message and judges the answer.
func (a *auditor) raw(ctx context.Context, s *verdict.Builder, target minewarden.Target, svc service, message []byte, judge func([]byte) (open, known bool, says string)) error {
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
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(message); err != nil {
		return err
	}
	buf := make([]byte, 512)
	n, err := io.ReadAtLeast(conn, buf, 5)
	if err != nil && (n == 0 || !errors.Is(err, io.ErrUnexpectedEOF)) {
		return err
	}
	open, known, says := judge(buf[:n])
	switch {
	case open:
		s.Prove(rule(svc.name), subject(target), "it answered a stranger: "+says, nil, verdict.Evidence("answer", says)...)
	case known:
		s.Pass(rule(svc.name), "it asks who calls: "+says)
	default:
		s.Unknown(rule(svc.name), "that is not how "+svc.name+" answers")
	}
	return nil
}

func redis(b []byte) (open, known bool, says string) {
	line, _, _ := strings.Cut(string(b), "\r\n")
	switch {
	case line == "+PONG":
		return true, true, line
	case strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-DENIED"), strings.HasPrefix(line, "-WRONGPASS"):
		return false, true, line
	}
	return false, false, ""
}

// startup is the first message of PostgreSQL's protocol 3.0, as user postgres; no query follows.
func startup() []byte {
	body := []byte("\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func postgres(b []byte) (open, known bool, says string) {
	switch {
	case len(b) >= 9 && b[0] == 'R':
		method := binary.BigEndian.Uint32(b[5:9])
		return method == 0, true, fmt.Sprintf("authentication request %d", method)
	case len(b) >= 5 && b[0] == 'E' && strings.Contains(string(b), "28000"):
		return false, true, "no entry of pg_hba.conf for this host"
	}
	return false, false, ""
}
