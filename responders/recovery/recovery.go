// Package recovery brings a machine back after an incident: it verifies packages, restores files that were damaged or taken away, and
// looks whether units are healthy.
package recovery

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

//go:embed README.md
var doc string

// Name is the name of the responder; the operations are what Action.Op says.
const (
	Name          = "recovery"
	VerifyPackage = "verify-package"
	RestoreFile   = "restore-file"
	CheckUnit     = "check-unit"
)

// Params of an action that the caller may set before Do.
const (
	ParamWho = "who"
	ParamWhy = "why"
)

const (
	paramPackage = "package" // "dpkg:bash", "rpm:bash"
	paramTarget  = "target"  // JSON of target
	paramUnit    = "unit"
)

// Config is the section "recovery" of the configuration.
type Config struct {
	Root     string   `yaml:"root"`     // of the host to recover
	Backup   []string `yaml:"backup"`   // directories that hold the host's files below their own paths: DIR/etc/crontab; the first that has one is taken
	Archives []string `yaml:"archives"` // directories with packages as apt keeps them
	Download bool     `yaml:"download"` // ask apt for a package that is in none of these
	Units    []string `yaml:"units"`    // systemd units that must be healthy
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Root: "/", Archives: []string{"/var/cache/apt/archives"}}
}

// Validate does no I/O.
func (c *Config) Validate() error {
	for _, dir := range slices.Concat([]string{c.Root}, c.Backup, c.Archives) {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("recovery: %q is no absolute path", dir)
		}
	}
	for _, u := range c.Units {
		if !isUnit(u) {
			return fmt.Errorf("recovery: %q is no name of a unit", u)
		}
	}
	return nil
}

// Responder recovers. It is safe for concurrent use; one action runs at a time.
type Responder struct {
	mu      sync.Mutex
	dir     string
	log     *slog.Logger
	now     func() time.Time
	config  Config
	root    tree
	journal journal.Journal[record]
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal, and the files that it replaces, in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{dir: env.Data, log: env.Log, now: env.Now, config: DefaultConfig()}
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
	r.root = tree{r.config.Root}
	if env.Data != "" {
		r.journal.Dir = filepath.Join(env.Data, "journal")
	}
	return r, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "verifies packages, restores files, checks units", Doc: doc}
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Responder != Name {
		return minewarden.Receipt{}, fmt.Errorf("action %s: recovery cannot do %q of %q", a.ID, a.Op, a.Responder)
	}
	receipt := minewarden.Receipt{Action: a, Started: r.now(), Who: a.Params[ParamWho], Why: a.Params[ParamWhy], State: map[string]string{}}
	var err error
	switch a.Op {
	case RestoreFile:
		return r.restore(ctx, a, receipt)
	case VerifyPackage:
		receipt.Result, err = r.verify(ctx, a.Params[paramPackage], receipt.State)
	case CheckUnit:
		receipt.Result, err = r.check(ctx, a.Params[paramUnit], receipt.State)
	default:
		return minewarden.Receipt{}, fmt.Errorf("action %s: recovery cannot do %q", a.ID, a.Op)
	}
	receipt.Done, receipt.OK = r.now(), err == nil
	if err != nil {
		receipt.Result = err.Error()
	}
	return receipt, nil
}

const maxDamaged = 256 // files that a receipt names

// verify compares a package's files with its database. What it finds is in state.
func (r *Responder) verify(ctx context.Context, name string, state map[string]string) (string, error) {
	var found []Difference
	checked := 0
	kind, id, ok := strings.Cut(name, ":")
	switch {
	case ok && kind == "dpkg":
		d := debian{r.root}
		packages, err := d.load([]string{id})
		if err != nil {
			return "", err
		}
		p := packages[id]
		if p == nil {
			return "", fmt.Errorf("package %s is not installed any more", id)
		}
		if checked, found, err = d.verify(ctx, p); err != nil {
			return "", fmt.Errorf("verify package %s: %w", id, err)
		}
	case ok && kind == "rpm":
		var err error
		if found, err = (red{r.config.Root}).verify(ctx, id); err != nil {
			return "", fmt.Errorf("verify package %s: %w", id, err)
		}
	default:
		return "", fmt.Errorf("%q is no package", name)
	}
	var damaged, conf []string
	for _, f := range found {
		if f.Conf {
			conf = append(conf, fmt.Sprintf("%q %s", f.Path, f.What))
		} else {
			damaged = append(damaged, fmt.Sprintf("%q %s", f.Path, f.What))
		}
	}
	b, err := json.Marshal(found[:min(len(found), maxDamaged)])
	if err != nil {
		return "", err
	}
	state["damaged"], state["checked"], state["healthy"] = string(b), fmt.Sprint(checked), fmt.Sprint(len(damaged) == 0)
	result := fmt.Sprintf("package %s: all its files are as it installed them", id)
	if len(damaged) > 0 {
		result = fmt.Sprintf("package %s: %d files are not as it installed them: %s", id, len(damaged), some(damaged))
	}
	if checked > 0 {
		result += fmt.Sprintf(" (%d looked at)", checked)
	}
	if len(conf) > 0 {
		result += fmt.Sprintf("; configuration that differs, as an administrator's may: %s", some(conf))
	}
	return result, nil
}

func some(all []string) string {
	const most = 8
	s := strings.Join(all[:min(len(all), most)], ", ")
	if len(all) > most {
		s += fmt.Sprintf(" and %d more", len(all)-most)
	}
	return s
}

func (r *Responder) old(id string) string { return filepath.Join(r.dir, "old", id) }

// restore puts a file back.
func (r *Responder) restore(ctx context.Context, a minewarden.Action, receipt minewarden.Receipt) (minewarden.Receipt, error) {
	var t target
	if err := json.Unmarshal([]byte(a.Params[paramTarget]), &t); err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: read its file: %w", a.ID, err)
	}
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: receipt.Started, Action: &a, Target: t})
	if errors.Is(err, journal.ErrExists) {
		lines, err := r.journal.Load(a.ID)
		if err != nil {
			return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
		}
		s := summarize(lines)
		if s.receipt == nil {
			if s, err = r.mend(a.ID, s); err != nil {
				return minewarden.Receipt{Action: a}, err
			}
		}
		if s.receipt == nil {
			return minewarden.Receipt{Action: a}, fmt.Errorf("action %s: it was cut off before it began: plan again", a.ID)
		}
		return *s.receipt, nil
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	sum, err := r.put(ctx, entry, a.ID, &t)
	receipt.Done, receipt.OK = r.now(), err == nil
	receipt.Result = fmt.Sprintf("%q is as in %s again, sha256 %s", t.Path, t.origin(), sum)
	receipt.State["path"], receipt.State["sha256"] = t.Path, sum
	if err != nil {
		receipt.Result = err.Error()
	}
	if err := errors.Join(entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}), entry.Close()); err != nil {
		return receipt, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), err)
	}
	return receipt, nil
}

// put stages the content, keeps what is there, and exchanges them in one step.
func (r *Responder) put(ctx context.Context, entry *journal.Entry[record], id string, t *target) (string, error) {
	from, err := r.content(ctx, t)
	if err != nil {
		return "", err
	}
	s, err := r.root.spot(t.Path)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.close() }() // what it holds is synced
	old, err := s.look(s.name)
	if err == nil && !old.same(t.Old) {
		err = fmt.Errorf("%q: %w", t.Path, errChanged)
	}
	if err != nil {
		return "", err
	}
	sum, placed, err := s.stage(ctx, id, from)
	if err != nil {
		return "", err
	}
	kept, err := s.keep(ctx, old, r.old(id))
	if err == nil {
		err = entry.Append(record{Phase: phaseKept, At: r.now(), Old: old, OldSum: kept, New: placed, NewSum: sum})
	}
	if err == nil {
		err = s.swap(id, old)
	}
	if err != nil {
		return "", errors.Join(err, s.drop(id), remove(r.old(id)))
	}
	return sum, s.drop(id)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Undo implements minewarden.Undoer: it puts back what was there before, if what was restored is there still.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := receipt.Action.ID
	if receipt.Action.Op != RestoreFile {
		return nil // it changed nothing
	}
	lines, err := r.journal.Load(id)
	if err != nil {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	s := summarize(lines)
	if s.undone || s.receipt == nil || !s.receipt.OK {
		return nil
	}
	if err := r.putBack(ctx, id, &s); err != nil {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	entry, err := r.journal.Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(record{Phase: phaseUndone, At: r.now()}), entry.Close())
	}
	if err == nil {
		err = remove(r.old(id))
	}
	if err != nil {
		return fmt.Errorf("undo action %s: the file is as it was, but: %w", id, err)
	}
	return nil
}

func (r *Responder) putBack(ctx context.Context, id string, sum *summary) error {
	s, err := r.root.spot(sum.target.Path)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()   // what it holds is synced
	if err := s.drop(id); err != nil { // of an attempt that was cut off
		return err
	}
	now, err := s.look(s.name)
	if err != nil {
		return err
	}
	if already, err := r.isOld(ctx, s, now, sum); err != nil || already {
		return err
	}
	if now == nil || !now.same(sum.placed) {
		return fmt.Errorf("%q: %w", sum.target.Path, errChanged)
	}
	switch old := sum.old; {
	case old == nil: // nothing had the name: the file is moved aside and looked at, then removed
		if err := unixRename(s, s.name, hidden(id)); err != nil {
			return err
		}
		if moved, err := s.look(hidden(id)); err != nil || !moved.same(sum.placed) {
			return errors.Join(err, errChanged, unixRename(s, hidden(id), s.name))
		}
		return s.drop(id)
	case old.Link != "":
		if err := s.putLink(id, old); err != nil {
			return errors.Join(err, s.drop(id))
		}
	default:
		from := fromKept(r.old(id), sum.oldSum, old)
		if _, _, err := s.stage(ctx, id, from); err != nil {
			return err
		}
	}
	if err := s.swap(id, sum.placed); err != nil {
		return errors.Join(err, s.drop(id))
	}
	if old := sum.old; old.Flags != 0 {
		if err := s.setFlags(s.name, old.Flags); err != nil {
			return err
		}
	}
	return s.drop(id)
}

// isOld reports whether an undo that was cut off had put back what was there.
func (r *Responder) isOld(ctx context.Context, s *spot, now *meta, sum *summary) (bool, error) {
	old := sum.old
	if now == nil || old == nil {
		return now == nil && old == nil, nil
	}
	if now.same(sum.placed) || now.Link != old.Link || now.Mode != old.Mode || now.UID != old.UID || now.GID != old.GID || now.Mtime != old.Mtime || now.Size != old.Size {
		return false, nil
	}
	if old.Link != "" {
		return true, nil
	}
	f, _, err := s.open(s.name)
	if err != nil {
		return false, err
	}
	got, err := shaOfFile(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil || got != sum.oldSum {
		return false, err
	}
	return true, s.setFlags(s.name, old.Flags)
}
