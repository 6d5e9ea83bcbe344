package playbooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	suffix  = ".json"
	maxFile = 16 << 20
)

// files keeps values of one type, a file each. What Put wrote is on the disk when it returns, whole: a crash leaves the old value
// or the new one.
type files[T any] struct{ dir string }

func (f files[T]) put(id string, v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", id, err)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", id, err)
	}
	return writeFile(filepath.Join(f.dir, id+suffix), append(b, '\n'))
}

func (f files[T]) remove(id string) error {
	if err := os.Remove(filepath.Join(f.dir, id+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	return nil
}

// load returns all. A file that cannot be read is set aside under another name and told: it must not keep the agent from starting.
func (f files[T]) load() (map[string]T, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]T{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]T{}
	var errs []error
	for _, e := range entries {
		name := filepath.Join(f.dir, e.Name())
		id, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || !e.Type().IsRegular() {
			if strings.HasSuffix(e.Name(), partial) { // a write that a crash cut
				errs = append(errs, os.Remove(name))
			}
			continue
		}
		v, err := readJSON[T](name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is set aside as %s.bad: %w", name, e.Name(), err), os.Rename(name, name+".bad"))
			continue
		}
		all[id] = v
	}
	return all, errors.Join(errs...)
}

func readJSON[T any](name string) (v T, err error) {
	f, err := os.Open(name)
	if err != nil {
		return v, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return v, err
	}
	if len(b) > maxFile {
		return v, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return v, json.Unmarshal(b, &v)
}

// partial ends the name of a file that is being written.
const partial = ".partial"

// writeFile replaces a file: synced, renamed, and its directory synced.
func writeFile(name string, content []byte) (err error) {
	f, err := os.OpenFile(name+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name+partial, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+partial))
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
