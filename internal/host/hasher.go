package host

import (
	"container/list"
	"context"
	"crypto/md5" //nolint:gosec // what dpkg keeps; it shows accidents and careless changes, SHA-256 is reported beside it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	hashQueue = 1024      // requests that wait; more are dropped and counted
	hashKept  = 4096      // results that are kept, some 150 bytes each
	hashChunk = 256 << 10 // bytes a read
	hashRate  = 256 << 20 // bytes a second, so that a storm of executions does not take the disk
	hashLimit = 1 << 30   // bytes; larger executables are not hashed, and counted
)

// A Hasher finds the SHA-256 of executables, each content once, in the background. It reads through /proc/PID/exe, so
// that it sees what runs even where the file was deleted or never had a name.
type Hasher struct {
	proc     string
	packages *Packages
	deliver  func(minewarden.ProcessKey, *minewarden.Image)
	queue    chan hashRequest

	dropped, failed, skipped atomic.Uint64

	// Only Run uses these.
	known map[fileID]*list.Element
	order *list.List // of *hashed, most recently used first
	buf   []byte
}

type hashRequest struct {
	key minewarden.ProcessKey
	exe string
}

// fileID names a file's content: a write changes the ctime, which nobody can set.
type fileID struct {
	dev, ino            uint64
	mtime, ctime, bytes int64
}

type hashed struct {
	id     fileID
	sha256 string
	md5    string
}

// NewHasher delivers results through deliver, which is called from Run's goroutine. proc is where /proc is mounted;
// packages may be nil.
func NewHasher(proc string, packages *Packages, deliver func(minewarden.ProcessKey, *minewarden.Image)) *Hasher {
	return &Hasher{
		proc: proc, packages: packages, deliver: deliver, queue: make(chan hashRequest, hashQueue),
		known: map[fileID]*list.Element{}, order: list.New(), buf: make([]byte, hashChunk),
	}
}

// Request asks for the hash of what the process runs; exe is its path for the result. It never blocks: when too many wait,
// the request is dropped and counted.
func (h *Hasher) Request(key minewarden.ProcessKey, exe string) {
	select {
	case h.queue <- hashRequest{key, exe}:
	default:
		h.dropped.Add(1)
	}
}

// Losses returns how many requests were dropped because too many waited, how many failed (most often because the process
// had ended before), and how many files were too large.
func (h *Hasher) Losses() (dropped, failed, tooLarge uint64) {
	return h.dropped.Load(), h.failed.Load(), h.skipped.Load()
}

// Run works until ctx is done.
func (h *Hasher) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-h.queue:
			img, err := h.image(ctx, r)
			switch {
			case errors.Is(err, errTooLarge):
				h.skipped.Add(1)
			case err != nil:
				h.failed.Add(1)
			default:
				h.deliver(r.key, img)
			}
		}
	}
}

var (
	errTooLarge = errors.New("executable is too large to hash")
	errOther    = errors.New("another process has this pid now")
)

func (h *Hasher) image(ctx context.Context, r hashRequest) (*minewarden.Image, error) {
	dir := h.proc + "/" + strconv.Itoa(int(r.key.PID))
	f, err := os.Open(dir + "/exe")
	if err != nil {
		return nil, fmt.Errorf("open executable: %w", err)
	}
	defer f.Close()
	// The pid may have been given to another process since the request; it was not before the open if it is not after.
	if start, err := StartOf(dir); err != nil {
		return nil, err
	} else if r.key.Start != 0 && start != r.key.Start {
		return nil, errOther
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat executable: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("stat executable: no inode")
	}
	id := fileID{uint64(st.Dev), st.Ino, st.Mtim.Nano(), st.Ctim.Nano(), st.Size}
	e, ok := h.known[id]
	if ok {
		h.order.MoveToFront(e)
	} else {
		res, err := h.sum(ctx, f, id)
		if err != nil {
			return nil, fmt.Errorf("hash %s: %w", r.exe, err)
		}
		e = h.keep(res)
	}
	res, _ := e.Value.(*hashed)
	img := &minewarden.Image{
		Exe: r.exe, Inode: minewarden.Inode{Dev: id.dev, Ino: id.ino, Mtime: id.mtime}, Size: id.bytes, SHA256: res.sha256,
	}
	if h.packages != nil {
		if pkg, ok := h.packages.OwnerOf(r.exe, id.dev, id.ino); ok {
			img.Package = pkg
			if want, ok := h.packages.MD5(r.exe); ok {
				img.Modified = want != res.md5
			}
		}
	}
	return img, nil
}

func (h *Hasher) sum(ctx context.Context, f io.ReaderAt, id fileID) (*hashed, error) {
	if id.bytes > hashLimit {
		return nil, errTooLarge
	}
	sha, weak := sha256.New(), md5.New() //nolint:gosec // see the import
	began := time.Now()
	for at := int64(0); at < id.bytes; {
		n, err := f.ReadAt(h.buf, at)
		for _, w := range [...]hash.Hash{sha, weak} {
			w.Write(h.buf[:n])
		}
		at += int64(n)
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, err
		}
		ahead := time.Duration(at)*time.Second/hashRate - time.Since(began)
		if ahead > 10*time.Millisecond {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(ahead):
			}
		}
	}
	return &hashed{id, hex.EncodeToString(sha.Sum(nil)), hex.EncodeToString(weak.Sum(nil))}, nil
}

func (h *Hasher) keep(res *hashed) *list.Element {
	e := h.order.PushFront(res)
	h.known[res.id] = e
	if last := h.order.Back(); h.order.Len() > hashKept && last != nil {
		if old, ok := h.order.Remove(last).(*hashed); ok {
			delete(h.known, old.id)
		}
	}
	return e
}

// StartOf reads the start time, 1/100 s after boot, of the process whose directory in proc is dir.
func StartOf(dir string) (uint64, error) {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read start time: %w", err)
	}
	return statStart(text)
}

func statStart(text []byte) (uint64, error) {
	for i := len(text) - 1; i >= 0; i-- { // the name may hold anything, also ")"
		if text[i] != ')' {
			continue
		}
		field := 2
		start := i + 1
		for j := i + 1; j <= len(text); j++ {
			if j == len(text) || text[j] == ' ' || text[j] == '\n' {
				if field == 22 {
					return strconv.ParseUint(string(text[start:j]), 10, 64)
				}
				field++
				start = j + 1
			}
		}
		break
	}
	return 0, errors.New("read start time: not a stat file")
}
