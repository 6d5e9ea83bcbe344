package repair

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// ErrChanged is wrapped when a file is no longer what the action was planned for, or what the repair left.
var ErrChanged = errors.New("the file was changed meanwhile")

// A record is what Undo needs, kept beside the backup before the file is touched, so that a power cut loses neither.
type record struct {
	Action  minewarden.Action `json:"action"`
	Time    time.Time         `json:"time"`
	Path    string            `json:"path"`
	Existed bool              `json:"existed"`
	Mode    uint32            `json:"mode"`
	UID     int               `json:"uid"`
	GID     int               `json:"gid"`
	Before  string            `json:"before"`    // SHA-256
	After   string            `json:"after"`     // SHA-256; "" removed
	Dir     string            `json:"made_dir"`  // the folder that was made for the file
	NewMode uint32            `json:"new_mode"`  // of the file after the repair
	IsDir   bool              `json:"directory"` // Path is a directory: only its mode is changed

	Undone   time.Time `json:"undone,omitzero"`
	UndoneBy string    `json:"undone_by,omitempty"`
}

func (r *responder) folder(id string) (string, error) {
	if r.conf.Dir == "" {
		return "", errors.New("there is no folder for the backups: name one with dir or a data directory")
	}
	if id == "" || strings.ContainsAny(id, `/\`) || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("action id %q cannot name a folder", id)
	}
	return filepath.Join(r.conf.Dir, id), nil
}

// Do repairs the file of a, if it still is what it was when a was planned. A second call with the same action finds the
// record of the first and changes nothing.
func (r *responder) Do(_ context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	rc := minewarden.Receipt{Action: a, Started: r.now()}
	folder, err := r.folder(a.ID)
	if err != nil {
		return rc, err
	}
	path := a.Params["path"]
	if !filepath.IsAbs(path) {
		return rc, fmt.Errorf("repair %q: not an absolute path", path)
	}
	var edits []minewarden.Edit
	if err := json.Unmarshal([]byte(a.Params["edits"]), &edits); err != nil {
		return rc, fmt.Errorf("repair %s: the action's edits: %w", path, err)
	}
	if len(edits) == 0 {
		return rc, fmt.Errorf("repair %s: the action holds no edits", path)
	}
	before, st, err := read(path)
	if errors.Is(err, fs.ErrNotExist) && a.Params["exists"] == "false" {
		st, err = nil, nil
	}
	if err != nil {
		return rc, fmt.Errorf("repair: %w", err)
	}
	if old, err := readRecord(folder); err == nil && old.After == sum(before) {
		return r.done(rc, folder, "was repaired already"), nil
	}
	if sum(before) != a.Params["sha256"] {
		return rc, fmt.Errorf("repair %s: %w", path, ErrChanged)
	}
	w, err := want(before, st, edits)
	if err != nil {
		return rc, fmt.Errorf("repair %s: %w", path, err)
	}
	rec := record{Action: a, Time: rc.Started, Path: path, Existed: st != nil, Before: sum(before), After: sum(w.data)}
	if st != nil {
		rec.Mode, rec.UID, rec.GID, rec.IsDir = st.mode, st.uid, st.gid, st.dir
	} else {
		rec.Mode = 0o644
	}
	rec.NewMode = rec.Mode
	if w.mode != nil {
		rec.NewMode = *w.mode
	}
	if w.remove {
		rec.After = ""
	}
	if dir := filepath.Dir(path); !exists(dir) {
		rec.Dir = dir
	}
	if err := keep(folder, before, rec); err != nil {
		return rc, fmt.Errorf("keep a backup of %s: %w", path, err)
	}
	if err := change(path, w, st, rec); err != nil {
		return rc, fmt.Errorf("repair %s: %w", path, err)
	}
	return r.done(rc, folder, "repaired; the backup is in "+folder), nil
}

func (r *responder) done(rc minewarden.Receipt, folder, result string) minewarden.Receipt {
	rc.Done, rc.OK, rc.Result = r.now(), true, result
	rc.State = map[string]string{"backup": folder}
	return rc
}

func change(path string, w wanted, st *state, rec record) error {
	switch {
	case w.remove:
		return os.Remove(path)
	case st == nil:
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return replace(path, w.data, rec.NewMode, os.Getuid(), os.Getgid())
	case st.dir, w.mode != nil && sum(w.data) == rec.Before:
		return chmod(path, rec.NewMode)
	}
	return replace(path, w.data, rec.NewMode, st.uid, st.gid)
}

// chmod sets the bits as they are written, set-id and sticky included.
func chmod(path string, mode uint32) error {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return os.Chmod(path, m)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// keep writes backup and record, durably, before anything is touched.
func keep(folder string, before []byte, rec record) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := replace(filepath.Join(folder, "before"), before, 0o600, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	return writeRecord(folder, rec)
}

func writeRecord(folder string, rec record) error {
	raw, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(folder, "record.json"), append(raw, '\n'), 0o600, os.Getuid(), os.Getgid())
}

func readRecord(folder string) (record, error) {
	var rec record
	raw, err := os.ReadFile(filepath.Join(folder, "record.json"))
	if err != nil {
		return rec, err
	}
	return rec, json.Unmarshal(raw, &rec)
}

// replace puts data at path in one step: a reader sees the old file or the new one, and a crash leaves one of them.
func replace(path string, data []byte, mode uint32, uid, gid int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".minewarden-repair-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		if uid != os.Getuid() || gid != os.Getgid() {
			err = f.Chown(uid, gid)
		}
	}
	if err == nil {
		err = chmod(f.Name(), mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// Undo puts the file back to the byte, with its mode and owner, unless somebody changed it after the repair. rc.UndoneBy is
// kept with the record.
func (r *responder) Undo(_ context.Context, rc minewarden.Receipt) error {
	folder, err := r.folder(rc.Action.ID)
	if err != nil {
		return err
	}
	rec, err := readRecord(folder)
	if err != nil {
		return fmt.Errorf("undo %s: %w", rc.Action.ID, err)
	}
	if err := putBack(folder, rec); err != nil {
		return err
	}
	rec.Undone, rec.UndoneBy = r.now(), rc.UndoneBy
	if err := writeRecord(folder, rec); err != nil {
		return fmt.Errorf("undo %s: the file is as it was, but the record does not say so: %w", rec.Path, err)
	}
	return nil
}

func putBack(folder string, rec record) error {
	backup, err := os.ReadFile(filepath.Join(folder, "before"))
	if err != nil {
		return fmt.Errorf("undo %s: %w", rec.Path, err)
	}
	if sum(backup) != rec.Before {
		return fmt.Errorf("undo %s: the backup in %s is damaged", rec.Path, folder)
	}
	now, st, err := read(rec.Path)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return fmt.Errorf("undo %s: %w", rec.Path, err)
	}
	switch {
	case !rec.Existed && gone:
		return nil
	case rec.Existed && !gone && bytes.Equal(now, backup) && st.mode == rec.Mode:
		return nil
	case gone != (rec.After == ""), !gone && sum(now) != rec.After:
		return fmt.Errorf("undo %s: %w; the backup is in %s", rec.Path, ErrChanged, folder)
	case !rec.Existed:
		if err := os.Remove(rec.Path); err != nil {
			return fmt.Errorf("undo: %w", err)
		}
		if rec.Dir != "" {
			if left, err := os.ReadDir(rec.Dir); err == nil && len(left) == 0 {
				return os.Remove(rec.Dir)
			}
		}
		return nil
	case rec.IsDir || !gone && bytes.Equal(now, backup):
		return chmod(rec.Path, rec.Mode)
	}
	if err := replace(rec.Path, backup, rec.Mode, rec.UID, rec.GID); err != nil {
		return fmt.Errorf("undo %s: %w", rec.Path, err)
	}
	return nil
}

// maxRecords bounds how many repairs are listed: more than a person made.
const maxRecords = 10_000

// Records returns the receipts of the repairs whose backups are kept, the oldest first. A record that cannot be read is told
// beside the others.
func (r *responder) Records(ctx context.Context) ([]minewarden.Receipt, error) {
	d, err := os.Open(r.conf.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list repairs: %w", err)
	}
	names, err := d.Readdirnames(maxRecords + 1)
	err = errors.Join(err, d.Close())
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list repairs: %w", err)
	}
	var bad error
	if len(names) > maxRecords {
		names, bad = names[:maxRecords], fmt.Errorf("list repairs: %s holds more than %d; the others are not listed", r.conf.Dir, maxRecords)
	}
	var out []minewarden.Receipt
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		folder := filepath.Join(r.conf.Dir, name)
		rec, err := readRecord(folder)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("read repair %s: %w", name, err))
			continue
		}
		out = append(out, minewarden.Receipt{
			Action: rec.Action, Started: rec.Time, Done: rec.Time, OK: true,
			Result: "repaired; the backup is in " + folder, State: map[string]string{"backup": folder}, Who: rec.Action.Params["who"], Why: rec.Action.Params["why"],
			Undone: rec.Undone, UndoneBy: rec.UndoneBy,
		})
	}
	slices.SortFunc(out, func(a, b minewarden.Receipt) int {
		if c := a.Done.Compare(b.Done); c != 0 {
			return c
		}
		return strings.Compare(a.Action.ID, b.Action.ID)
	})
	return out, bad
}
