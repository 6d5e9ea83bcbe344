package playbooks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	maxJournal = 256 << 20
	maxLine    = 1 << 20
	slack      = 1000 // lines beyond twice what is kept, after which the file is written anew
)

// journal keeps values of one type in one file, a line for each change: however many change at once, the disk is waited for once.
// A crash leaves whole lines, and perhaps a beginning of one. It is not safe for concurrent use.
type journal[T any] struct {
	name  string
	ready bool // the file ends with a whole line that this journal wrote
	lines int
}

// A change is a line. Without a value it is not kept any more.
type change[T any] struct {
	ID    string `json:"id"`
	Value *T     `json:"value,omitempty"`
}

// load returns what is kept. Lines that cannot be read are told of; the file is kept under another name then, and the rest counts.
func (j *journal[T]) load() (map[string]*T, error) {
	all := map[string]*T{}
	f, err := os.Open(j.name)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, err
	}
	r := bufio.NewReader(io.LimitReader(f, maxJournal))
	bad := readLines(r, func(line []byte) error {
		var c change[T]
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		if c.Value == nil {
			delete(all, c.ID)
		} else {
			all[c.ID] = c.Value
		}
		return nil
	})
	if bad != nil {
		bad = fmt.Errorf("not all of %s can be read, it is kept as %s.bad: %w", j.name, filepath.Base(j.name), bad)
		if err := os.Link(j.name, j.name+".bad"); err != nil && !errors.Is(err, os.ErrExist) {
			bad = errors.Join(bad, err)
		}
	}
	return all, errors.Join(bad, f.Close())
}

// readLines returns the first error of f, and goes on after it. The last line counts only if it ends: else a crash cut it.
func readLines(r *bufio.Reader, f func([]byte) error) (first error) {
	for n := 1; ; n++ {
		var line []byte
		for {
			part, err := r.ReadSlice('\n')
			if len(line) <= maxLine {
				line = append(line, part...)
			}
			if errors.Is(err, io.EOF) {
				return first
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return errors.Join(first, err)
			}
			if err == nil {
				break
			}
		}
		err := errors.New("the line is too long")
		if len(line) <= maxLine {
			err = f(line)
		}
		if err != nil && first == nil {
			first = fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// write makes changes last: they are on the disk when it returns. all returns all that is kept, with the changes made; it is asked for
// when the file is to be written anew, as it is by the first write and the first after an error.
func (j *journal[T]) write(changes []change[T], all func() []change[T]) error {
	if !j.ready || j.lines > slack {
		kept := all()
		if !j.ready || j.lines > 2*len(kept)+slack {
			return j.rewrite(kept)
		}
	}
	j.ready = false
	f, err := os.OpenFile(j.name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	text, err := encode(changes)
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	j.ready = true
	j.lines += len(changes)
	return nil
}

func (j *journal[T]) rewrite(kept []change[T]) error {
	j.ready = false
	text, err := encode(kept)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(j.name), 0o700)
	}
	if err == nil {
		err = writeFile(j.name, text)
	}
	if err != nil {
		return err
	}
	j.ready, j.lines = true, len(kept)
	return nil
}

func encode[T any](changes []change[T]) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i := range changes {
		if err := enc.Encode(&changes[i]); err != nil {
			return nil, fmt.Errorf("write %s: %w", changes[i].ID, err)
		}
	}
	return b.Bytes(), nil
}
