package audittrail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// open opens the files and finds the last entry, mends what a killed writer left, and returns what is to be said about it.
func (t *Trail) open() (own []Entry, err error) {
	key, newKey, err := makeKey(t.dir)
	if err != nil {
		return nil, err
	}
	t.key = key
	if t.head.f, err = openHead(t.dir); err != nil {
		return nil, err
	}
	t.head.key = key
	signed, at, wrong := readHead(t.head.f, public(key))
	t.head.last = at
	if own, err = t.openLog(); err != nil {
		return nil, err
	}
	if wrong != nil {
		if err := t.wipeHead(); err != nil {
			return nil, err
		}
	}
	if t.seq == 0 && signed.Seq == 0 {
		return append([]Entry{said(whatBegun, t.keyDetail())}, own...), nil
	}
	if newKey {
		own = append(own, said(whatKey, t.keyDetail()))
	}
	if wrong != nil {
		own = append(own, said(whatHead, map[string]string{"reason": wrong.Error()}))
	}
	switch {
	case signed.Seq > t.seq || (signed.Seq == t.seq && signed.Hash != t.hash):
		own = append(own, said(whatBroken, map[string]string{
			"reason": "the log ends before the signed head, or with another entry", "signed": number(signed.Seq), "found": number(t.seq), "key": t.keyDetail()["key"],
		}))
		if err := t.setAside(); err != nil {
			return nil, err
		}
		t.seq, t.hash = signed.Seq, signed.Hash
	case signed.Seq > 0 && signed.Seq < t.seq:
		own = append(own, said(whatUnsigned, map[string]string{"from": number(signed.Seq + 1), "to": number(t.seq), "reason": reasonKilled}))
	}
	return own, nil
}

// wipeHead begins the places of the signed head anew: one of them holds what nobody here signed.
func (t *Trail) wipeHead() error {
	if err := t.head.f.Truncate(0); err != nil {
		return fmt.Errorf("signed head: %w", err)
	}
	if err := t.head.f.Close(); err != nil {
		return fmt.Errorf("signed head: %w", err)
	}
	t.head.last = 0
	f, err := openHead(t.dir)
	t.head.f = f
	return err
}

// openLog opens the current file, and finds the last entry in it or, where it is empty, in the one before.
func (t *Trail) openLog() (own []Entry, err error) {
	t.seq, t.hash = 0, zero
	t.log, err = os.OpenFile(filepath.Join(t.dir, logName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.log = nil
		err = t.begin()
	}
	if err != nil {
		return nil, err
	}
	st, err := t.log.Stat()
	if err != nil {
		return nil, err
	}
	t.size = st.Size()
	torn, err := t.mendTail()
	if err != nil {
		return nil, err
	}
	own = append(own, torn...)
	if t.size > 0 {
		e, err := lastOf(t.log, t.size)
		if err == nil {
			t.seq, t.hash = e.Seq, e.Hash
			return own, nil
		}
		own = append(own, said(whatBroken, map[string]string{"reason": "the last line " + err.Error()}))
		if err := t.setAside(); err != nil {
			return nil, err
		}
	}
	rotated, err := rotatedFiles(t.dir)
	if err != nil || len(rotated) == 0 {
		return own, err
	}
	f, err := os.Open(filepath.Join(t.dir, rotated[len(rotated)-1]))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		return nil, err
	}
	e, err := lastOf(f, st.Size())
	if err != nil {
		return append(own, said(whatBroken, map[string]string{"reason": "the last line of " + rotated[len(rotated)-1] + " " + err.Error()})), nil
	}
	t.seq, t.hash = e.Seq, e.Hash
	return own, nil
}

// setAside keeps a file that cannot be continued under a name that is read with the others, and begins a new one.
func (t *Trail) setAside() error {
	if t.size == 0 {
		return nil
	}
	if first, err := firstOf(t.log); err == nil && t.putAside(first) == nil {
		return t.begin()
	}
	if _, err := aside(filepath.Join(t.dir, logName), t.dir, "broken"); err != nil {
		return err
	}
	return t.begin()
}

// mendTail takes away what follows the last line's end, and keeps it in a file of its own.
func (t *Trail) mendTail() ([]Entry, error) {
	tail, err := readTail(t.log, t.size)
	if err != nil || len(tail) == 0 || tail[len(tail)-1] == '\n' {
		return nil, err
	}
	end := bytes.LastIndexByte(tail, '\n')
	if end < 0 && int64(len(tail)) < t.size {
		return nil, nil // no line is that long: lastOf says that it is broken
	}
	part := tail[end+1:]
	name, err := freeName(t.dir, "torn")
	if err != nil {
		return nil, err
	}
	if err := writeSynced(name, part); err != nil {
		return nil, fmt.Errorf("keep a torn line: %w", err)
	}
	if err := syncDir(t.dir); err != nil {
		return nil, err
	}
	t.size -= int64(len(part))
	if err := t.log.Truncate(t.size); err != nil {
		return nil, fmt.Errorf("take away a torn line: %w", err)
	}
	sum := sha256.Sum256(part)
	return []Entry{said(whatTorn, map[string]string{
		"bytes": strconv.Itoa(len(part)), "file": filepath.Base(name), "sha256": hex.EncodeToString(sum[:]), "reason": reasonKilled,
	})}, nil
}

// readTail returns the end of a file of that size: as much as the longest line.
func readTail(r io.ReaderAt, size int64) ([]byte, error) {
	from := max(0, size-maxLine-1)
	b := make([]byte, size-from)
	n, err := r.ReadAt(b, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// lastOf returns the last entry of a file that ends with a line's end.
func lastOf(r io.ReaderAt, size int64) (Entry, error) {
	tail, err := readTail(r, size)
	if err != nil {
		return Entry{}, err
	}
	tail, ended := bytes.CutSuffix(tail, []byte("\n"))
	if !ended {
		return Entry{}, errors.New("has no end")
	}
	return parse(tail[bytes.LastIndexByte(tail, '\n')+1:])
}

// aside renames a file to a name that says why.
func aside(path, dir, why string) (string, error) {
	name, err := freeName(dir, why)
	if err == nil {
		err = os.Rename(path, name)
	}
	if err != nil {
		return "", fmt.Errorf("put %s aside: %w", filepath.Base(path), err)
	}
	return name, syncDir(dir)
}

// maxAside bounds the files kept of torn lines: past it somebody has to look.
const maxAside = 1000

func freeName(dir, why string) (string, error) {
	for i := range maxAside {
		name := filepath.Join(dir, fmt.Sprintf("audit-trail-%s-%03d", why, i+1))
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("there are %d files audit-trail-%s-*: look at them and move them away", maxAside, why)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
