package gate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// A walker meets every file below the paths once, in the order of names. It follows no symbolic link below a path, so no
// loop can hold it.
type walker struct {
	jobs    chan<- job
	files   int
	skipped []Skip
	lost    int
}

func (w *walker) skip(path, reason string) {
	if len(w.skipped) < maxListed {
		w.skipped = append(w.skipped, Skip{path, reason})
	} else {
		w.lost++
	}
}

func (w *walker) walk(ctx context.Context, arg string) error {
	root := arg
	if real, err := filepath.EvalSymlinks(arg); err == nil {
		root = real // a path that the user names is meant, also when it is a link
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		shown := filepath.ToSlash(path)
		if rel, e := filepath.Rel(root, path); e == nil {
			shown = filepath.ToSlash(filepath.Join(arg, rel))
		}
		if err != nil {
			if path == root {
				return fmt.Errorf("audit %s: %w", arg, err)
			}
			w.skip(shown, err.Error())
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch t := d.Type(); {
		case d.IsDir():
			switch d.Name() {
			case ".git", ".hg", ".svn":
				if path != root {
					w.skip(shown, "version control's own data")
					return fs.SkipDir
				}
			case "node_modules":
				w.skip(shown, "installed packages: audit package looks at these")
				return fs.SkipDir
			}
			return nil
		case t&fs.ModeSymlink != 0:
			w.files++
			w.skip(shown, "symbolic link, not followed")
			return nil
		case !t.IsRegular():
			w.files++
			w.skip(shown, "not a regular file")
			return nil
		}
		w.files++
		select {
		case w.jobs <- job{arg: arg, path: path, show: shown}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

type file struct {
	*os.File
	size int64
}

// open opens a regular file without following a link or waiting for the other end of a pipe that took its place.
func open(path string) (*file, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file any more", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{f, st.Size()}, nil
}

// head reads the beginning and tells binary files by their zero bytes. UTF-16, which some exports use, is text.
func (f *file) head() (head []byte, binary bool, err error) {
	head = make([]byte, min(f.size, minewarden.ClaimHead))
	n, err := io.ReadFull(f, head)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil // it shrank
	}
	head = head[:n]
	utf16 := bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff})
	return head, !utf16 && bytes.IndexByte(head, 0) >= 0, err
}

// rest returns the whole content, of which head was read already.
func (f *file) rest(head []byte, limit int64) ([]byte, error) {
	if f.size == int64(len(head)) {
		return head, nil
	}
	data := bytes.NewBuffer(make([]byte, 0, f.size+1))
	data.Write(head)
	if _, err := io.Copy(data, io.LimitReader(f, limit-int64(len(head))+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > limit {
		return nil, fmt.Errorf("grew past %d bytes while it was read", limit)
	}
	return data.Bytes(), nil
}
