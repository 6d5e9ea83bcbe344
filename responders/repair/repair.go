// Package repair applies the repairs of failed checks to files, with a backup that Undo puts back to the byte.
package repair

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/posture/repair"
)

//go:embed README.md
var doc string

// Name is the responder's name.
const Name = "repair"

const opRepair = "repair"

// Config is the responder's section of the configuration.
type Config struct {
	// Dir holds the backups, one folder an action. It belongs to root alone, for the files may hold secrets. Empty is the
	// responder's own folder in the data directory.
	Dir string `yaml:"dir"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{} }

type responder struct {
	conf Config
	now  func() time.Time
}

var (
	_ minewarden.Responder = (*responder)(nil)
	_ minewarden.Undoer    = (*responder)(nil)
)

// New returns the responder.
func New(env minewarden.Env) (minewarden.Responder, error) {
	c := DefaultConfig()
	if err := env.Config(&c); err != nil {
		return nil, err
	}
	if c.Dir == "" && env.Data != "" {
		dir, err := filepath.Abs(env.Data)
		if err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
		c.Dir = dir
	}
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		return nil, fmt.Errorf("repair: dir %q is not an absolute path", c.Dir)
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &responder{conf: c, now: now}, nil
}

func (r *responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "hardened configuration in place of the weak one", Doc: doc}
}

// Plan returns nothing: an incident does not tell what to configure. Actions plans repairs from checks.
func (r *responder) Plan(context.Context, minewarden.Incident) ([]minewarden.Action, error) {
	return nil, nil
}

// A File is one file that repairs would change.
type File struct {
	Path   string // as the edits name it
	Diff   string // unified; for a change of mode or a removal a line that says so
	Rules  []string
	Action minewarden.Action
	Err    error // why it cannot be repaired by the program; Action is empty then
}

// Actions plans the repairs of checks, one action a file. Repairs that need something to be in place first, such as certificates,
// are left out unless prepared says that it is: a service that is configured by half does not start. root is the directory that a relative path of an edit is below: "/"
// for the host, "." for paths as the user named them. It reads the files and changes nothing.
func Actions(root string, checks []minewarden.Check, prepared bool, now time.Time) []File {
	var order []string
	edits := map[string][]minewarden.Edit{}
	rules := map[string][]string{}
	for _, c := range checks {
		if c.Repair == nil || c.Finding == nil || c.Repair.Needs != "" && !prepared {
			continue
		}
		for _, e := range c.Repair.Edits {
			if _, ok := edits[e.Path]; !ok {
				order = append(order, e.Path)
			}
			edits[e.Path] = append(edits[e.Path], e)
			if !slices.Contains(rules[e.Path], c.Rule) {
				rules[e.Path] = append(rules[e.Path], c.Rule)
			}
		}
	}
	out := make([]File, 0, len(order))
	for _, p := range order {
		f := File{Path: p, Rules: rules[p]}
		f.Diff, f.Action, f.Err = plan(root, p, edits[p], rules[p], now)
		out = append(out, f)
	}
	return out
}

func plan(root, name string, edits []minewarden.Edit, rules []string, now time.Time) (string, minewarden.Action, error) {
	real, err := resolve(root, name)
	if err != nil {
		return "", minewarden.Action{}, err
	}
	before, st, err := read(real)
	if errors.Is(err, fs.ErrNotExist) {
		st, err = nil, nil // a drop-in or a sysctl file that is not there yet
	}
	if err != nil {
		return "", minewarden.Action{}, err
	}
	w, err := want(before, st, edits)
	if err != nil {
		return "", minewarden.Action{}, err
	}
	diff := repair.Diff(name, before, w.data)
	if w.mode != nil && st != nil {
		diff += fmt.Sprintf("# chmod %04o %s (is %04o)\n", *w.mode, real, st.mode)
	}
	if w.remove {
		diff = repair.Diff(name, before, nil)
	}
	raw, err := json.Marshal(edits)
	if err != nil {
		return "", minewarden.Action{}, err
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", real, sum(before), raw, now.UnixNano()))
	return diff, minewarden.Action{
		ID: "repair-" + hex.EncodeToString(id[:8]), Responder: Name, Op: opRepair,
		Target:  minewarden.Subject{Type: minewarden.SubjectFile, ID: real},
		Summary: fmt.Sprintf("repair %s: %s", real, strings.Join(rules, " ")),
		Blast:   []string{real}, Reversible: true,
		Params: map[string]string{"path": real, "edits": string(raw), "sha256": sum(before), "exists": strconv.FormatBool(st != nil)},
	}, nil
}

// resolve returns the file that name means below root, links followed; the file itself need not exist.
func resolve(root, name string) (string, error) {
	p := name
	if !filepath.IsAbs(p) || root != "/" && root != "." {
		p = filepath.Join(root, name)
	}
	p, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(p)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(p))
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil // a drop-in's folder is made with it
		}
		return filepath.Join(dir, filepath.Base(p)), err
	}
	return real, err
}

type wanted struct {
	data   []byte
	mode   *uint32
	remove bool
}

func want(before []byte, st *state, edits []minewarden.Edit) (wanted, error) {
	w := wanted{data: before}
	var content []minewarden.Edit
	for _, e := range edits {
		switch {
		case e.Op == minewarden.EditRemove:
			w.remove = true
		case e.Format == minewarden.FormatMode:
			var text string
			if err := json.Unmarshal(e.Value, &text); err != nil {
				return w, fmt.Errorf("mode of %s: %w", e.Path, err)
			}
			m, err := strconv.ParseUint(text, 8, 12)
			if err != nil {
				return w, fmt.Errorf("mode of %s: %w", e.Path, err)
			}
			bits := uint32(m)
			if w.mode != nil {
				bits &= *w.mode
			}
			w.mode = &bits
		default:
			content = append(content, e)
		}
	}
	if st == nil && (w.mode != nil || w.remove) {
		return w, fmt.Errorf("%s is not there: %w", edits[0].Path, fs.ErrNotExist)
	}
	if st != nil && st.dir && (len(content) > 0 || w.remove) {
		return w, fmt.Errorf("%s is a directory: %w", edits[0].Path, repair.ErrByHand)
	}
	if len(content) > 0 {
		data, err := repair.Apply(before, content)
		if err != nil {
			return w, err
		}
		w.data = data
	}
	return w, nil
}

type state struct {
	mode     uint32 // permission bits with set-id and sticky
	uid, gid int
	dir      bool
}

// read returns a file's content and who owns it. A directory has no content.
func read(name string) ([]byte, *state, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close() // opened for reading
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	st := &state{mode: s.Mode & 0o7777, uid: int(s.Uid), gid: int(s.Gid)}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		st.dir = true
		return nil, st, nil
	case unix.S_IFREG:
	default:
		return nil, nil, fmt.Errorf("%s is not a regular file: %w", name, repair.ErrByHand)
	}
	data, err := io.ReadAll(io.LimitReader(f, repair.MaxSize+1))
	if err == nil && len(data) > repair.MaxSize {
		err = fmt.Errorf("%s is larger than %d bytes: %w", name, repair.MaxSize, repair.ErrByHand)
	}
	return data, st, err
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
