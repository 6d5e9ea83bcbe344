// Package evidence collects what proves an incident, before it is gone: processes with their memory and files, sockets,
// containers, persistence, logs.
package evidence

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/packets"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence/vault"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

//go:embed README.md
var doc string

// Name is the name of the responder; Collect is what Action.Op says.
const (
	Name    = "evidence"
	Collect = "collect"
)

// Params of an action that the caller may set before Do.
const (
	ParamWho    = "who"
	ParamWhy    = "why"
	ParamMemory = "memory" // none, exec or whole
	ParamHold   = "hold"   // "yes": each process stands still while it is read
	ParamPath   = "path"   // a directory, file or disk to collect as well: an absolute path
)

const paramTargets = "targets" // JSON of targets

// Responder collects evidence. It is safe for concurrent use; one collection runs at a time.
type Responder struct {
	turn    chan struct{} // holds one token: unlike a mutex, waiting for it ends with the context
	log     *slog.Logger
	now     func() time.Time
	config  Config
	vault   vault.Vault
	journal journal.Journal[record]
	grace   time.Duration
	kept    string // where the capture sensor keeps packets

	mu     sync.Mutex
	recent []minewarden.Incident // last planned for: they are kept with the evidence
}

// maxRecent bounds the incidents that are remembered between Plan and Do.
const maxRecent = 16

var _ minewarden.Responder = (*Responder)(nil)

// New returns a responder that keeps its journal in env.Data, and what it collects in the agent's data directory.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{turn: make(chan struct{}, 1), log: env.Log, now: env.Now, config: DefaultConfig(), grace: grace}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := env.Config(&r.config); err != nil {
		return nil, err
	}
	if err := r.config.Validate(); err != nil {
		return nil, err
	}
	if env.Data != "" {
		r.vault = Vault(DataOf(env.Data), r.config)
		r.journal.Dir = filepath.Join(env.Data, "journal")
		r.kept = packets.Dir(DataOf(env.Data))
	}
	return r, nil
}

// Vault returns where evidence of the agent with this data directory is kept.
func Vault(data string, c Config) vault.Vault {
	v := vault.Beside(data)
	if c.Dir != "" {
		v.Dir = c.Dir
	}
	return v
}

// DataOf returns the agent's data directory from that of this module, which is DATA/responders/evidence. Any other directory is
// taken for the whole.
func DataOf(dir string) string {
	if up := filepath.Dir(dir); filepath.Base(dir) == Name && filepath.Base(up) == "responders" {
		return filepath.Dir(up)
	}
	return dir
}

// Vault returns where this responder keeps what it collects.
func (r *Responder) Vault() vault.Vault { return r.vault }

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "collects evidence, signed, before it is gone", Doc: doc}
}

// Plan implements minewarden.Responder: one action for all that can be collected.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	boot, err := proc.Boot()
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	t := targetsOf(&inc, boot)
	live, err := t.live(r.config.MaxProcesses)
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	talks, err := r.talks(&t)
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	if len(live.take) == 0 && len(t.Files) == 0 && len(t.Containers) == 0 && !talks {
		return nil, ctx.Err()
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	r.remember(inc)
	return []minewarden.Action{{
		ID: Collect + "-" + rand.Text(), Responder: Name, Op: Collect, Incident: inc.ID, Target: inc.Subject,
		Summary: fmt.Sprintf("collect evidence of incident %s into %s", inc.ID, r.vault.Dir),
		Blast:   t.describe(&live), Refused: live.refused, Params: map[string]string{paramTargets: string(b), ParamMemory: r.config.Memory},
	}}, ctx.Err()
}

func (r *Responder) remember(inc minewarden.Incident) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.recent {
		if r.recent[i].ID == inc.ID {
			r.recent[i] = inc
			return
		}
	}
	if len(r.recent) >= maxRecent {
		r.recent = r.recent[1:]
	}
	r.recent = append(r.recent, inc)
}

func (r *Responder) recall(id string) *minewarden.Incident {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.recent {
		if r.recent[i].ID == id {
			inc := r.recent[i]
			return &inc
		}
	}
	return nil
}

// grace is how long after its deadline a collection may take to end: it writes what it holds, and signs. One that hangs longer
// waits for something that a hostile process keeps from answering.
const grace = 10 * time.Second

// Do implements minewarden.Responder. It returns when the collection is sealed, or, whatever a process does to delay it, soon
// after the deadline; then the next start seals what is there.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	if a.Responder != Name || a.Op != Collect {
		return minewarden.Receipt{}, fmt.Errorf("action %s: evidence cannot do %q of %q", a.ID, a.Op, a.Responder)
	}
	w, err := r.wishes(&a)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return minewarden.Receipt{}, fmt.Errorf("action %s: another collection is running: %w", a.ID, context.Cause(ctx))
	}
	started := r.now()
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: started, Boot: w.boot, Action: &a})
	if err != nil {
		<-r.turn
		if errors.Is(err, journal.ErrExists) {
			return r.again(a)
		}
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Deadline, fmt.Errorf("its time of %s is over", r.config.Deadline))
	type outcome struct {
		receipt minewarden.Receipt
		err     error
	}
	ended := make(chan outcome, 1)
	go func() { // on a thread of its own, which ends with it
		defer func() { <-r.turn }()
		defer cancel()
		receipt, err := r.collect(ctx, &a, w, entry, started)
		ended <- outcome{receipt, errors.Join(err, entry.Close())}
	}()
	select {
	case o := <-ended:
		return o.receipt, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-ended:
		return o.receipt, o.err
	case <-time.After(r.grace):
	}
	return minewarden.Receipt{
		Action: a, Started: started, Done: r.now(), Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		Result: "it hangs: something that is read does not answer; the next start of the agent seals what there is",
	}, fmt.Errorf("action %s: %w, and something that is read does not answer", a.ID, context.Cause(ctx))
}

// wishes are what a caller asked for.
type wishes struct {
	targets targets
	memory  string
	hold    bool
	path    string
	boot    string
}

func (r *Responder) wishes(a *minewarden.Action) (*wishes, error) {
	w := &wishes{memory: a.Params[ParamMemory], path: a.Params[ParamPath]}
	if err := json.Unmarshal([]byte(a.Params[paramTargets]), &w.targets); err != nil {
		return nil, fmt.Errorf("read its targets: %w", err)
	}
	if w.memory == "" {
		w.memory = r.config.Memory
	}
	if err := checkMemory(w.memory); err != nil {
		return nil, err
	}
	switch a.Params[ParamHold] {
	case "yes":
		w.hold = true
	case "", "no":
	default:
		return nil, fmt.Errorf("hold %q: use yes or no", a.Params[ParamHold])
	}
	if w.path != "" && (!filepath.IsAbs(w.path) || filepath.Clean(w.path) != w.path) {
		return nil, fmt.Errorf("%q is not a clean absolute path", w.path)
	}
	var err error
	if w.boot, err = proc.Boot(); err != nil {
		return nil, err
	}
	return w, nil
}

// again answers an action that was begun before.
func (r *Responder) again(a minewarden.Action) (minewarden.Receipt, error) {
	lines, err := r.journal.Load(a.ID)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	s := summarize(lines)
	if s.receipt == nil {
		return minewarden.Receipt{Action: a}, fmt.Errorf("action %s: it runs, or hangs", a.ID)
	}
	return *s.receipt, nil
}
