// Package journal writes down what a responder is about to do before it does it, so that after kill -9 or a power cut the
// next start knows what was left half done. One file an action, one JSON line a step, each synced before Append returns.
package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/minewarden/minewarden"
)

const (
	suffix  = ".jsonl"
	maxSize = 16 << 20
	maxID   = 128
)

// A Journal is a directory of entries whose lines are of type T. It does no I/O until it is used.
type Journal[T any] struct{ Dir string }

// An Entry is one action's open file.
type Entry[T any] struct{ f *os.File }

// ErrExists is wrapped by Begin for an id that was begun before.
var ErrExists = errors.New("was begun before")

func (j Journal[T]) path(id string) (string, error) {
	if j.Dir == "" {
		return "", errors.New("there is no data directory to write down what is being done")
	}
	if id == "" || len(id) > maxID || id[0] == '.' || strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) {
		return "", fmt.Errorf("action id %q: want letters, digits, - _ and .", id)
	}
	return filepath.Join(j.Dir, id+suffix), nil
}

// Begin makes the entry of id with its first line.
func (j Journal[T]) Begin(id string, first T) (*Entry[T], error) {
	path, err := j.path(id)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		err = ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", id, err)
	}
	e := &Entry[T]{f}
	if err := errors.Join(e.Append(first), SyncDir(j.Dir)); err != nil {
		return nil, errors.Join(err, e.Close(), os.Remove(path))
	}
	return e, nil
}

// Resume opens the entry of id to append to it. A line that a crash cut is closed, so that the next begins afresh.
func (j Journal[T]) Resume(id string) (*Entry[T], error) {
	path, err := j.path(id)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", id, err)
	}
	e := &Entry[T]{f}
	last := make([]byte, 1)
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		if _, err = f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal of %s: %w", id, err), e.Close())
	}
	return e, nil
}

// Append writes line and syncs it.
func (e *Entry[T]) Append(line T) error {
	b, err := json.Marshal(line)
	if err == nil {
		if _, err = e.f.Write(append(b, '\n')); err == nil {
			err = e.f.Sync()
		}
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", filepath.Base(e.f.Name()), err)
	}
	return nil
}

// Close closes the file.
func (e *Entry[T]) Close() error { return e.f.Close() }

// Load reads the lines of id; os.ErrNotExist is wrapped where there is no such entry. Lines that a crash cut are left out.
func (j Journal[T]) Load(id string) ([]T, error) {
	path, err := j.path(id)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", id, err)
	}
	lines, err := Parse[T](f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("journal of %s: %w", id, err)
	}
	return lines, nil
}

// Parse reads lines from r; what is no whole line is left out: its step was not begun, for a step waits for its line.
func Parse[T any](r io.Reader) ([]T, error) {
	var out []T
	in := bufio.NewReader(io.LimitReader(r, maxSize))
	for {
		b, err := in.ReadBytes('\n')
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		var line T
		if json.Unmarshal(bytes.TrimSpace(b), &line) == nil {
			out = append(out, line)
		}
	}
}

// IDs returns all entries, in order of id.
func (j Journal[T]) IDs() ([]string, error) {
	if j.Dir == "" {
		return nil, nil
	}
	files, err := os.ReadDir(j.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var ids []string
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), suffix); ok && f.Type().IsRegular() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Receipts returns those that of makes of each entry's lines; nil is none. An entry that fails does not keep the others from their turn.
func (j Journal[T]) Receipts(ctx context.Context, of func(id string, lines []T) (*minewarden.Receipt, error)) ([]minewarden.Receipt, error) {
	ids, err := j.IDs()
	if err != nil {
		return nil, err
	}
	var receipts []minewarden.Receipt
	var errs []error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return receipts, errors.Join(append(errs, err)...)
		}
		var receipt *minewarden.Receipt
		lines, err := j.Load(id)
		if err == nil {
			receipt, err = of(id, lines)
		}
		if receipt != nil {
			receipts = append(receipts, *receipt)
		}
		errs = append(errs, err)
	}
	return receipts, errors.Join(errs...)
}

// SyncDir makes new and removed names in dir last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove forgets the entry of id. One that is not there is forgotten.
func (j Journal[T]) Remove(id string) error {
	path, err := j.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal of %s: %w", id, err)
	}
	return nil
}
