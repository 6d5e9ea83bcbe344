package edit

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// A Plan is a change of one file: of lines, or else of the mode.
type Plan struct {
	Path  string
	SHA   string // of the content that the change was planned for
	Hunks []Hunk
	Mode  uint32 // wanted permission bits, when Hunks is empty
}

// A State is what it takes to undo a change. It holds the file's content, so it belongs where only root reads.
type State struct {
	Before    Meta          `json:"before"`
	BeforeSHA string        `json:"before_sha256"`
	AfterSHA  string        `json:"after_sha256,omitempty"`
	After     []byte        `json:"after,omitempty"` // to find our lines among others' changes
	Back      []Hunk        `json:"back,omitempty"`
	Dir       unix.Timespec `json:"dir"` // when the directory was changed last, before
}

// A Left is what a change left, for Undo to know whether somebody else was there since.
type Left struct {
	Dir unix.Timespec `json:"dir"`
}

// Do makes the change, after save has kept what undoes it.
func (r Root) Do(id string, p Plan, save func(any) error) (left Left, err error) {
	f, err := r.Open(p.Path)
	if err != nil {
		return left, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.SHA != p.SHA {
		return left, fmt.Errorf("%s: %w: plan again", p.Path, ErrChanged)
	}
	s := State{Before: f.Meta, BeforeSHA: f.SHA}
	if s.Dir, err = r.DirTime(p.Path); err != nil {
		return left, err
	}
	if len(p.Hunks) == 0 {
		if err = save(s); err == nil {
			err = f.Chmod(p.Mode)
		}
	} else {
		if s.After, s.Back, err = Apply(f.Data, p.Hunks); err != nil {
			return left, fmt.Errorf("%s: %w", p.Path, err)
		}
		s.AfterSHA = Sum(s.After)
		if err = save(s); err == nil {
			err = f.Replace(id, s.After, f.Meta, false)
		}
	}
	if err == nil {
		left.Dir, err = r.DirTime(p.Path)
	}
	return left, err
}

// Look tells whether a change that was cut short was made, and tidies what it left.
func (r Root) Look(id string, p Plan, s State) (left Left, done bool, err error) {
	f, err := r.Open(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return left, false, nil
	}
	if err != nil {
		return left, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ours := f.SHA == s.BeforeSHA || f.SHA == s.AfterSHA
	switch {
	case len(p.Hunks) == 0:
		done = f.Meta.Mode&0o7777 == p.Mode&0o7777
		ours = true
	case f.SHA == s.AfterSHA:
		done = true
	case f.SHA != s.BeforeSHA: // somebody edited it since: ours was made if it could be taken back
		_, merr := Merge(s.After, f.Data, s.Back)
		done = merr == nil
	}
	if ours && f.Meta.Flags != s.Before.Flags {
		m := f.Meta
		m.Flags = s.Before.Flags
		err = f.SetMeta(m)
	}
	if len(p.Hunks) > 0 {
		err = errors.Join(err, r.Tidy(p.Path, id))
	}
	if err == nil {
		left.Dir, err = r.DirTime(p.Path)
	}
	return left, done, err
}

// Undo takes the change back: to the byte and with all times where nobody changed the file since, else among the others'
// changes, or not at all. left is zero where the change was cut short.
func (r Root) Undo(id string, p Plan, s State, left Left) (err error) {
	if len(p.Hunks) > 0 { // what an undo that was cut short left
		if err := r.Tidy(p.Path, id); err != nil {
			return err
		}
	}
	f, err := r.Open(p.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if len(p.Hunks) == 0 {
		switch f.Meta.Mode & 0o7777 {
		case s.Before.Mode & 0o7777:
			return nil
		case p.Mode & 0o7777:
			return f.Chmod(s.Before.Mode)
		}
		return fmt.Errorf("%s has mode %04o by now: somebody else gave it that", p.Path, f.Meta.Mode&0o7777)
	}
	switch f.SHA {
	case s.BeforeSHA:
		return nil
	case s.AfterSHA:
		data, _, err := Apply(f.Data, s.Back)
		if err == nil && Sum(data) != s.BeforeSHA {
			err = errors.New("what would be put back is not what was there")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Path, err)
		}
		m := f.Meta // who changed mode or owner meanwhile meant it
		m.Atime, m.Mtime = s.Before.Atime, s.Before.Mtime
		return r.DirBack(p.Path, left.Dir, s.Dir, func() error { return f.Replace(id, data, m, true) })
	}
	data, err := Merge(s.After, f.Data, s.Back)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return f.Replace(id, data, f.Meta, false)
}
