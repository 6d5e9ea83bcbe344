package recovery

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what dpkg keeps
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	toolWait     = 2 * time.Minute
	maxComplaint = 4 << 10
)

// content is what a source gives: it writes it to w, and says what the file is beside it.
type content func(ctx context.Context, w io.Writer) (*meta, error)

// fromDeb extracts one file of a package's archive, by dpkg-deb as a process of its own.
func fromDeb(deb, member, want string) content {
	return func(ctx context.Context, w io.Writer) (*meta, error) {
		ctx, cancel := context.WithTimeout(ctx, toolWait)
		defer cancel()
		cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
		cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		var complaint bytes.Buffer
		cmd.Stderr = &limited{w: &complaint, left: maxComplaint}
		cmd.WaitDelay = time.Second
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("read %s: %w", deb, err)
		}
		m, err := extract(out, member, want, w)
		// What follows the file is not needed. dpkg-deb's own child would wait for ever for somebody to read it, and Wait for that child.
		_ = out.Close()
		cancel()
		waitErr := cmd.Wait()
		if err != nil {
			if complaint.Len() > 0 {
				err = fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
			} else if waitErr != nil && errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.Join(err, waitErr)
			}
			return nil, fmt.Errorf("extract %s of %s: %w", member, deb, err)
		}
		return m, nil
	}
}

// extract copies a file of an archive, whose MD5 must be want.
func extract(r io.Reader, member, want string, w io.Writer) (*meta, error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the archive does not have it")
		}
		if err != nil {
			return nil, err
		}
		if filepath.Clean("/"+h.Name) != member {
			continue
		}
		if h.Typeflag != tar.TypeReg || h.Size > maxFile {
			return nil, fmt.Errorf("in the archive it is of type %q with %d bytes", h.Typeflag, h.Size)
		}
		sum := md5.New() //nolint:gosec // see the import
		if _, err := io.Copy(io.MultiWriter(w, sum), t); err != nil {
			return nil, err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != want {
			return nil, fmt.Errorf("the archive's file has MD5 %s, the database says %s: one of them was changed", got, want)
		}
		mtime, err := unix.TimeToTimespec(h.ModTime)
		if err != nil {
			return nil, err
		}
		return &meta{Mode: unix.S_IFREG | uint32(h.Mode&0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid), Mtime: mtime, Atime: mtime}, nil
	}
}

// fromBackup copies a file of a backup directory, whose SHA-256 must still be what was planned.
func fromBackup(path, want string) content {
	return func(ctx context.Context, w io.Writer) (*meta, error) {
		f, m, err := openFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the backup: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(io.MultiWriter(w, h), &bounded{ctx: ctx, r: f, left: maxFile})
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read the backup %s: %w", path, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			return nil, fmt.Errorf("the backup %s changed since it was planned for: plan again", path)
		}
		return m, nil
	}
}

func openFile(path string) (*os.File, *meta, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	m, err := metaOf(int(f.Fd()))
	if err == nil && m.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s: %w", path, errKind)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, m, nil
}

func shaOfFile(ctx context.Context, f io.Reader) (string, error) {
	return sumOf(ctx, sha256.New(), f)
}

func sumOf(ctx context.Context, h hash.Hash, r io.Reader) (string, error) {
	if _, err := io.Copy(h, &bounded{ctx: ctx, r: r, left: maxFile}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// download fetches a package's archive with apt, which checks its signature.
func download(ctx context.Context, dir string, p *pkg) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // apt reads it as another user
		return err
	}
	_, err := run(ctx, dir, "apt-get", "-q", "download", p.Name+":"+p.Arch+"="+p.Version)
	return err
}

// run runs a program of the host, and returns what it prints.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_COLORS=0"}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{w: &out, left: 1 << 20}, &limited{w: &complaint, left: maxComplaint}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// limited drops what is beyond left.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	k := min(len(b), l.left)
	l.left -= k
	if _, err := l.w.Write(b[:k]); err != nil {
		return 0, err
	}
	return len(b), nil
}
