// Package credentials takes away what a miner's lineage could log in with, and lists what it could read.
package credentials

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

//go:embed README.md
var doc string

// Name is the responder's name.
const Name = "credentials"

// What Action.Op says.
const (
	OpExpire     = "expire-password"
	OpLock       = "lock-account"
	OpRevoke     = "revoke-key"
	OpKnownHosts = "clean-known-hosts"
	OpRotate     = "rotate-credentials" // changes nothing: what a person must rotate, and how
)

// Params of an action. The caller may set who and why before Do.
const (
	ParamWho  = ledger.ParamWho
	ParamWhy  = ledger.ParamWhy
	ParamDiff = "diff"

	paramChange = "change" // JSON of change
)

// Config is the section "credentials" of the configuration.
type Config struct {
	// Root is the directory that is the / of the host.
	Root string `yaml:"root"`
	// Protect names accounts that are never locked or expired, beside root and who runs the agent.
	Protect []string `yaml:"protect"`
}

// DefaultConfig is what an empty section means.
func DefaultConfig() Config { return Config{Root: "/"} }

// A change is all that Do needs, and nothing secret.
type change struct {
	User  string      `json:"user,omitempty"`
	Was   []string    `json:"was,omitempty"` // the fields of shadow that are changed, but the password
	Path  string      `json:"path,omitempty"`
	SHA   string      `json:"sha256,omitempty"`
	Hunks []edit.Hunk `json:"hunks,omitempty"`
	List  []string    `json:"list,omitempty"`
}

// Responder changes accounts and keys. It is safe for concurrent use; one action runs at a time.
type Responder struct {
	conf Config
	root edit.Root
	book *ledger.Book
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	c := DefaultConfig()
	if err := env.Config(&c); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(c.Root) {
		return nil, fmt.Errorf("credentials: root: %q is not an absolute path", c.Root)
	}
	return &Responder{conf: c, root: edit.Root{Dir: filepath.Clean(c.Root)}, book: ledger.New(Name, env)}, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "takes away what the miner's lineage could log in with, and lists what it could read", Doc: doc}
}

// maxActions bounds the plan of one incident.
const maxActions = 128

type planner struct {
	*Responder
	inc     *minewarden.Incident
	facts   *facts
	all     []accounts.Account
	actions []minewarden.Action
	seen    map[string]bool
}

// Plan implements minewarden.Responder.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	p := &planner{Responder: r, inc: &inc, facts: gather(&inc), seen: map[string]bool{}}
	var err error
	if p.all, err = accounts.Read(r.root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a tree without accounts
	}
	if err != nil { // other responders' plans are not to be lost for that
		p.refuse(OpLock, minewarden.Subject{Type: minewarden.SubjectHost, ID: "accounts"}, fmt.Errorf("who has an account is not known: %w", err))
		return p.actions, nil
	}
	for _, step := range [...]func(){p.accounts, p.keys, p.knownHosts, p.rotate} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		step()
	}
	return p.actions, nil
}

func (p *planner) add(a minewarden.Action, c change, diff string) {
	key := a.Op + "\x00" + a.Target.ID
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
	a.Reversible = len(a.Blast) > 0 && a.Op != OpRotate
	p.actions = append(p.actions, a)
}

func (p *planner) refuse(op string, target minewarden.Subject, why error) {
	p.add(minewarden.Action{Op: op, Target: target, Summary: fmt.Sprintf("%s %s: %s", op, target.ID, why), Refused: []string{why.Error()}}, change{}, "")
}

// work returns what does an action.
func (r *Responder) work(a *minewarden.Action) (ledger.Work, error) {
	if len(a.Blast) == 0 {
		return nil, fmt.Errorf("action %s: the plan refused it: %s", a.ID, strings.Join(a.Refused, "; "))
	}
	switch a.Op {
	case OpExpire, OpLock:
		return shadow{r}, nil
	case OpRevoke, OpKnownHosts:
		return lines{r}, nil
	case OpRotate:
		return rotation{}, nil
	}
	return nil, fmt.Errorf("action %s: credentials cannot do %q", a.ID, a.Op)
}

func changeOf(a *minewarden.Action) (change, error) {
	var c change
	if err := json.Unmarshal([]byte(a.Params[paramChange]), &c); err != nil {
		return c, fmt.Errorf("action %s: read its change: %w", a.ID, err)
	}
	return c, nil
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	w, err := r.work(&a)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	return r.book.Do(ctx, a, w)
}

// Undo implements minewarden.Undoer.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	w, err := r.work(&receipt.Action)
	if err != nil {
		return err
	}
	return r.book.Undo(ctx, receipt, w)
}

// Recover finds out what became of actions that a killed agent had begun, and returns the receipts of all. Call it before the
// first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	return r.book.Recover(ctx, r.work)
}

// Records returns the receipts of actions that no incident asked for.
func (r *Responder) Records(context.Context) ([]minewarden.Receipt, error) { return r.book.Records() }

// rotation does what rotate-credentials does: nothing but leave a receipt, so that it is known that the list was taken up.
type rotation struct{}

// Do implements ledger.Work.
func (rotation) Do(_ context.Context, a minewarden.Action, _ func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	return ledger.Outcome{Result: fmt.Sprintf("credentials to be rotated by hand: %d; nothing was changed", len(c.List))}, err
}

// Look implements ledger.Work.
func (rotation) Look(context.Context, minewarden.Action, json.RawMessage) (ledger.Outcome, bool, error) {
	return ledger.Outcome{}, false, nil
}

// Undo implements ledger.Work.
func (rotation) Undo(context.Context, minewarden.Action, json.RawMessage, json.RawMessage) error {
	return errors.New("nothing was changed")
}
