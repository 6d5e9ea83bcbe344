package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

// The phases of an action.
const (
	phaseIntent  = "intent"
	phaseBegin   = "begin"   // Manifest is what is known before anything is collected
	phasePart    = "part"    // Part is on disk
	phaseHold    = "hold"    // Held is being stopped
	phaseRelease = "release" // and was let go on
	phaseDone    = "done"
)

// record is a line of the journal.
type record struct {
	Phase    string                 `json:"phase"`
	At       time.Time              `json:"at"`
	Boot     string                 `json:"boot,omitempty"`
	Action   *minewarden.Action     `json:"action,omitempty"`
	Manifest *vault.Manifest        `json:"manifest,omitempty"`
	Part     *vault.Part            `json:"part,omitempty"`
	Held     *minewarden.ProcessKey `json:"held,omitempty"`
	Receipt  *minewarden.Receipt    `json:"receipt,omitempty"`
}

type summary struct {
	action   *minewarden.Action
	boot     string
	began    time.Time
	manifest *vault.Manifest
	parts    []vault.Part
	held     *minewarden.ProcessKey
	receipt  *minewarden.Receipt
}

func summarize(lines []record) summary {
	var s summary
	for i := range lines {
		l := &lines[i]
		switch l.Phase {
		case phaseIntent:
			s.action, s.boot, s.began = l.Action, l.Boot, l.At
		case phaseBegin:
			s.manifest = l.Manifest
		case phasePart:
			if l.Part != nil {
				s.parts = append(s.parts, *l.Part)
			}
		case phaseHold:
			s.held = l.Held
		case phaseRelease:
			s.held = nil
		case phaseDone:
			s.receipt = l.Receipt
		}
	}
	return s
}

// Recover seals what an agent left that was killed while it collected, marked as partial, lets go on what it held, and returns the
// receipts of all. Call it before the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	return r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		s := summarize(lines)
		if s.receipt != nil {
			return s.receipt, nil
		}
		receipt, err := r.mend(ctx, id, s)
		if err != nil {
			err = fmt.Errorf("mend action %s: %w", id, err)
		}
		return receipt, err
	})
}

func (r *Responder) mend(ctx context.Context, id string, s summary) (*minewarden.Receipt, error) {
	if s.action == nil {
		return nil, r.journal.Remove(id)
	}
	if boot, err := proc.Boot(); err == nil && boot == s.boot && s.held != nil {
		if err := release(*s.held); err != nil {
			return nil, err
		}
	}
	receipt := receiptOf(s.action)
	receipt.Started, receipt.Result = s.began, "interrupted before anything was collected"
	dir, err := r.vault.Path(id)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); err == nil && s.manifest != nil {
		m, err := r.sealCut(ctx, id, s)
		if err != nil {
			return nil, err
		}
		receipt.OK, receipt.State = true, stateOf(m, dir)
		receipt.Result = "partial: " + m.Partial + "; " + resultOf(m)
	} else if err == nil { // made, but nothing was written down yet
		if err := os.Remove(dir); err != nil {
			return nil, err
		}
	}
	receipt.Done = r.now()
	r.log.Warn("mended an interrupted collection", "action", id, "result", receipt.Result)
	entry, err := r.journal.Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}), entry.Close())
	}
	return &receipt, err
}

// sealCut signs what is there. A part that was finished is compared with what was written down of it; what was not, is taken in as
// it is found.
func (r *Responder) sealCut(ctx context.Context, id string, s summary) (*vault.Manifest, error) {
	c, err := r.vault.Resume(id)
	if err != nil {
		return nil, err
	}
	if c.Sealed() {
		m, _, err := vault.ReadManifest(c.Dir)
		return &m, err
	}
	m := s.manifest
	m.Partial, m.Done = "the agent was ended while it collected; sealed at its next start", r.now().UTC()
	known := map[string]bool{vault.ManifestFile: true, vault.SignatureFile: true, vault.CustodyFile: true}
	for _, p := range s.parts {
		known[p.File] = true
		size, sum, err := vault.Hash(ctx, filepath.Join(c.Dir, p.File))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			m.Skipped = append(m.Skipped, vault.Skip{What: p.What + " " + p.Source, Why: "it was collected, but is gone: " + p.SHA256})
			continue
		case err != nil:
			return nil, err
		case size != p.Stored || sum != p.SHA256:
			p.Cut = fmt.Sprintf("it is not what was written down before the agent ended: %d bytes, sha256 %s", p.Stored, p.SHA256)
			p.Stored, p.SHA256, p.Content = size, sum, ""
		}
		m.Parts = append(m.Parts, p)
	}
	if err := takeIn(ctx, c.Dir, m, known); err != nil {
		return nil, err
	}
	return m, c.Seal(m)
}

// takeIn adds the files that no line of the journal tells of.
func takeIn(ctx context.Context, dir string, m *vault.Manifest, known map[string]bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(1 << 16)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if known[n] {
			continue
		}
		path := filepath.Join(dir, n)
		if n[0] == '.' { // a file of ours that was not whole
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		fi, err := os.Lstat(path)
		if err != nil {
			return err
		}
		size, sum, err := vault.Hash(ctx, path)
		if err != nil {
			return err
		}
		m.Parts = append(m.Parts, vault.Part{
			File: n, What: "unfinished", Source: "found after the agent ended", Time: fi.ModTime().UTC(), Size: size, Stored: size, SHA256: sum,
			Cut: "the agent ended while it was written",
		})
	}
	return nil
}

// release lets a held process go on, if it is still there.
func release(k minewarden.ProcessKey) error {
	h, err := proc.Open(k.PID, k.Start)
	if err == nil {
		err = errors.Join(h.Signal(unix.SIGCONT), h.Close())
	}
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}

func receiptOf(a *minewarden.Action) minewarden.Receipt {
	return minewarden.Receipt{Action: *a, Who: a.Params[ParamWho], Why: a.Params[ParamWhy]}
}

func stateOf(m *vault.Manifest, dir string) map[string]string {
	return map[string]string{"id": m.ID, "dir": dir}
}

// resultOf says in a line what was collected.
func resultOf(m *vault.Manifest) string {
	var stored, size int64
	for i := range m.Parts {
		stored += m.Parts[i].Stored
		size += m.Parts[i].Size
	}
	s := fmt.Sprintf("%d parts of %d processes, %s of %s read, signed", len(m.Parts), len(m.Processes), human(stored), human(size))
	if len(m.Skipped) > 0 {
		s += fmt.Sprintf("; %d things were left out, as the manifest says", len(m.Skipped))
	}
	return s
}
