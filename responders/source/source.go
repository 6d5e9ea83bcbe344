// Package source finds what started a miner, and stops it: a job, a check, a container, a hook, a cron line, a unit, a library, a
// key or a line of a shell profile. Each change is shown before, and is taken back to the byte.
package source

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

//go:embed README.md
var doc string

// Name is the responder's name.
const Name = "source"

// What Action.Op says.
const (
	OpStopJob           = "stop-job"
	OpDeregisterService = "deregister-service" // of Consul: a service or a check
	OpPauseContainer    = "pause-container"
	OpStopContainer     = "stop-container"
	OpRemoveContainer   = "remove-container"
	OpDisableHook       = "disable-hook"
	OpDisableCron       = "disable-cron"
	OpDisableUnit       = "disable-unit"
	OpRemovePreload     = "remove-preload"
	OpRemoveKey         = "remove-key"
	OpCleanProfile      = "clean-profile"
)

// Params of an action. The caller may set who and why before Do.
const (
	ParamWho  = ledger.ParamWho
	ParamWhy  = ledger.ParamWhy
	ParamDiff = "diff" // what would change, for people; secrets are hidden

	paramChange = "change" // JSON of change
)

// A change is all that Do needs, and nothing secret: it is stored and shown.
type change struct {
	Kind string `json:"kind"`

	// Of a file.
	Path  string      `json:"path,omitempty"`
	SHA   string      `json:"sha256,omitempty"`
	Hunks []edit.Hunk `json:"hunks,omitempty"`
	Mode  uint32      `json:"mode,omitempty"`

	// Of a unit.
	Unit  string      `json:"unit,omitempty"`
	Links []edit.Link `json:"links,omitempty"`
	User  bool        `json:"user,omitempty"` // of a user's systemd, which is not told

	// Of a service: which thing, and a mark by which Do knows that it is still the one that was planned for.
	ID        string `json:"id,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Mark      string `json:"mark,omitempty"`
}

// The kinds of change.
const (
	kindLines     = "lines"
	kindMode      = "mode"
	kindUnit      = "unit"
	kindContainer = "container"
	kindJob       = "job"
	kindCheck     = "check"
	kindService   = "service"
	kindGitHook   = "git-hook"
	kindWebHook   = "web-hook"
)

// Responder stops sources. It is safe for concurrent use; one action runs at a time.
type Responder struct {
	conf Config
	root edit.Root
	book *ledger.Book
	// systemd reports whether the host's systemd runs and is ours to ask: a mounted tree has none.
	systemd func() bool
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal, with the content that it took away, in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	c := DefaultConfig()
	if err := env.Config(&c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	r := &Responder{conf: c, root: edit.Root{Dir: filepath.Clean(c.Root)}, book: ledger.New(Name, env)}
	r.systemd = func() bool { return r.root.Dir == "/" && booted() }
	return r, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "stops what started the miner, and restores it", Doc: doc}
}

// Plan implements minewarden.Responder. What leads to a service that does not answer is an action that is refused, with the
// reason: it is not known to be clean.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	p := &planner{Responder: r, inc: &inc, facts: gather(&inc), seen: map[string]bool{}}
	for _, step := range [...]func(context.Context){p.containers, p.jobs, p.consul, p.gitea, p.files, p.units} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		step(ctx)
	}
	return p.actions, nil
}

// maxActions bounds the plan of one incident.
const maxActions = 128

// planner collects the actions for one incident.
type planner struct {
	*Responder
	inc     *minewarden.Incident
	facts   *facts
	actions []minewarden.Action
	seen    map[string]bool
}

// add adds an action once. Without blast it is one that is refused.
func (p *planner) add(a minewarden.Action, c change, diff string) {
	key := a.Op + "\x00" + a.Target.ID + "\x00" + c.Namespace
	if p.seen[key] || len(p.actions) >= maxActions {
		return
	}
	p.seen[key] = true
	raw, err := json.Marshal(c)
	if err != nil {
		a.Refused, a.Blast = append(a.Refused, err.Error()), nil
	}
	a.ID, a.Responder, a.Incident = a.Op+"-"+rand.Text(), Name, p.inc.ID
	a.Target.Host = p.inc.Host
	a.Params = map[string]string{paramChange: string(raw)}
	if diff != "" {
		a.Params[ParamDiff] = diff
	}
	if len(a.Blast) == 0 {
		a.Reversible = false
	}
	p.actions = append(p.actions, a)
}

// refuse adds an action that says why nothing can be done about what the incident leads to.
func (p *planner) refuse(op string, target minewarden.Subject, why error) {
	p.add(minewarden.Action{Op: op, Target: target, Summary: fmt.Sprintf("%s %s: %s", op, cmp.Or(target.Name, target.ID), why), Refused: []string{why.Error()}}, change{}, "")
}

// work returns what does an action of this kind. what is the kind of the change, empty where only op is known.
func (r *Responder) work(a *minewarden.Action) (ledger.Work, change, error) {
	var c change
	if err := json.Unmarshal([]byte(a.Params[paramChange]), &c); err != nil {
		return nil, c, fmt.Errorf("action %s: read its change: %w", a.ID, err)
	}
	switch c.Kind {
	case kindLines, kindMode:
		return files{r}, c, nil
	case kindUnit:
		return units{r}, c, nil
	case kindContainer:
		return containers{r}, c, nil
	case kindJob:
		return jobs{r}, c, nil
	case kindCheck, kindService:
		return consul{r}, c, nil
	case kindGitHook, kindWebHook:
		return gitea{r}, c, nil
	case "":
		return nil, c, errors.New(cmp.Or(first(a.Refused), "the plan has nothing to do"))
	}
	return nil, c, fmt.Errorf("action %s: there is no change of kind %q", a.ID, c.Kind)
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// changeOf reads the change of an action that work accepted.
func changeOf(a *minewarden.Action) (change, error) {
	var c change
	err := json.Unmarshal([]byte(a.Params[paramChange]), &c)
	return c, err
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	w, _, err := r.work(&a)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	return r.book.Do(ctx, a, w)
}

// Undo implements minewarden.Undoer.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	w, _, err := r.work(&receipt.Action)
	if err != nil {
		return err
	}
	return r.book.Undo(ctx, receipt, w)
}

// Recover finds out what became of actions that a killed agent had begun, and returns the receipts of all. Call it before the
// first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	return r.book.Recover(ctx, func(a *minewarden.Action) (ledger.Work, error) {
		w, _, err := r.work(a)
		return w, err
	})
}

// Records returns the receipts of actions that no incident asked for.
func (r *Responder) Records(context.Context) ([]minewarden.Receipt, error) { return r.book.Records() }
