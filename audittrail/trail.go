package audittrail

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Names in the data directory.
const (
	logName  = "audit-trail.jsonl"
	headName = "audit-trail.head"
	keyName  = "audit-trail.key"
	lockName = "audit-trail.lock"
)

const (
	defaultMaxSize = 4 << 20 // bytes of a file before it is put aside; reading one backwards holds it in memory
	maxGroup       = 256     // entries written and synced together
)

// What entries the trail writes about itself are of.
const (
	whatBegun    = "trail.begun"         // the first entry: its detail has the public key
	whatKey      = "trail.key"           // a new key, after the old was lost
	whatTorn     = "trail.torn"          // a killed writer left part of a line
	whatUnsigned = "trail.unsigned"      // entries that the signed head did not count
	whatBroken   = "trail.broken"        // what was there before could not be continued
	whatHead     = "trail.head"          // the signed head was renewed
	trailItself  = "minewarden"          // who writes these
	reasonKilled = "a writer was killed" // why, of what is no damage
)

// A Trail appends to the log of one data directory. It is safe for concurrent use, also by several processes.
type Trail struct {
	dir     string
	maxSize int64
	now     func() time.Time

	queue struct {
		sync.Mutex
		waiting []*request
	}
	write sync.Mutex // held by the one that writes for all who wait
	state            // guarded by write
}

type request struct {
	entry Entry
	done  bool
	err   error
}

// state is what a writer knows of the files; another process may have changed them since.
type state struct {
	lock *os.File
	key  ed25519.PrivateKey
	head headFile
	log  *os.File
	size int64
	seq  uint64
	hash string
}

// Options tune Open. Zero is what the agent uses.
type Options struct {
	MaxSize int64            // bytes of a file before it is put aside
	Now     func() time.Time // nil: time.Now
}

// Open opens or begins the trail of the data directory dir. What a killed writer left is mended, and an entry says so. A damaged
// trail is continued, with an entry that says where it broke: losing sight of the old must not hide the new.
func Open(dir string, o Options) (*Trail, error) {
	t := &Trail{dir: dir, maxSize: o.MaxSize, now: o.Now}
	if t.maxSize <= 0 {
		t.maxSize = defaultMaxSize
	}
	if t.now == nil {
		t.now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	t.lock = lock
	t.write.Lock()
	defer t.write.Unlock()
	if err := t.locked(func() error { return t.commit(nil) }); err != nil {
		return nil, errors.Join(err, t.closeFiles(), lock.Close())
	}
	return t, nil
}

// Close gives the files back. An Append after it fails.
func (t *Trail) Close() error {
	t.write.Lock()
	defer t.write.Unlock()
	if t.lock == nil {
		return nil
	}
	err := errors.Join(t.closeFiles(), t.lock.Close())
	t.lock = nil
	return err
}

func (t *Trail) closeFiles() error {
	var errs []error
	for _, f := range []**os.File{&t.log, &t.head.f} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// Append writes e down. It is on the disk when Append returns nil; else nothing of it is, and the change that it tells of is not
// to be made.
func (t *Trail) Append(e Entry) error {
	if e.Who == "" || e.What == "" {
		return errors.New("an entry of the audit trail needs to say who did what")
	}
	if strings.HasPrefix(e.What, "trail.") {
		return fmt.Errorf("an entry of the audit trail cannot be %q: the trail says that of itself", e.What)
	}
	r := &request{entry: e.tidy()}
	t.queue.Lock()
	t.queue.waiting = append(t.queue.waiting, r)
	t.queue.Unlock()

	t.write.Lock()
	defer t.write.Unlock()
	for !r.done {
		t.queue.Lock()
		n := min(len(t.queue.waiting), maxGroup)
		group := t.queue.waiting[:n:n]
		t.queue.waiting = t.queue.waiting[n:]
		t.queue.Unlock()
		entries := make([]Entry, n)
		for i := range group {
			entries[i] = group[i].entry
		}
		err := t.locked(func() error { return t.commit(entries) })
		for i := range group {
			group[i].done, group[i].err = true, err
		}
	}
	return r.err
}

// locked runs f while no other process writes or looks where the files end.
func (t *Trail) locked(f func() error) (err error) {
	if t.lock == nil {
		return errors.New("audit trail: it was closed")
	}
	for {
		if err = unix.Flock(int(t.lock.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock the audit trail: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Flock(int(t.lock.Fd()), unix.LOCK_UN)) }()
	return f()
}

// commit writes entries after what is there, all or none.
func (t *Trail) commit(entries []Entry) error {
	own, err := t.sync()
	if err != nil {
		return fmt.Errorf("audit trail in %s: %w", t.dir, err)
	}
	if len(own)+len(entries) == 0 {
		return nil
	}
	if t.size >= t.maxSize {
		if err := t.rotate(); err != nil {
			return fmt.Errorf("audit trail in %s: %w", t.dir, err)
		}
	}
	if err := t.put(append(own, entries...)); err != nil {
		// Whatever is known of the files is looked up anew by the next that writes.
		return fmt.Errorf("audit trail in %s: %w", t.dir, errors.Join(err, t.closeFiles()))
	}
	return nil
}

// put appends to the log, then signs the new head. What could not be done whole is taken back.
func (t *Trail) put(entries []Entry) error {
	seq, hash, buf := t.seq, t.hash, []byte(nil)
	for _, e := range entries {
		seq++
		e.Seq, e.Prev, e.Time = seq, hash, t.now().UTC().Round(0)
		line, err := e.seal()
		if err != nil {
			return err
		}
		hash = e.Hash
		buf = append(append(buf, line...), '\n')
	}
	_, err := t.log.WriteAt(buf, t.size)
	if err == nil {
		err = unix.Fdatasync(int(t.log.Fd()))
	}
	if err == nil {
		if err = t.head.write(seq, hash); err != nil {
			err = errors.Join(err, t.head.write(t.seq, t.hash)) // the same place: else the head would count what is taken back
		}
	}
	if err != nil {
		if cut := t.log.Truncate(t.size); cut != nil {
			return errors.Join(err, cut)
		}
		return errors.Join(err, t.log.Sync())
	}
	t.size += int64(len(buf))
	t.seq, t.hash = seq, hash
	return nil
}

// sync learns where the trail ends, if that is not known, and returns what is to be said about how it was found.
func (t *Trail) sync() ([]Entry, error) {
	if t.log != nil {
		same, err := t.unchanged()
		if err != nil || same {
			return nil, err
		}
	}
	if err := t.closeFiles(); err != nil {
		return nil, err
	}
	own, err := t.open()
	if err != nil {
		err = errors.Join(err, t.closeFiles())
	}
	return own, err
}

// unchanged tells whether the file is still the one, and ends where this writer left it.
func (t *Trail) unchanged() (bool, error) {
	mine, err := t.log.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(filepath.Join(t.dir, logName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return err == nil && os.SameFile(mine, there) && there.Size() == t.size, nil
}

// rotate puts the file aside and begins the next. A crash between the two leaves no current file, which is begun by who comes next.
func (t *Trail) rotate() error {
	first, err := firstOf(t.log)
	if err != nil {
		return err
	}
	if err := t.putAside(first); errors.Is(err, fs.ErrExist) { // a trail begun anew beside the rest of an old one
		_, err = aside(filepath.Join(t.dir, logName), t.dir, "broken")
		return errors.Join(err, t.begin())
	} else if err != nil {
		return err
	}
	return t.begin()
}

func (t *Trail) putAside(first uint64) error {
	to := filepath.Join(t.dir, rotatedName(first))
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("put the log aside as %s: %w", to, fs.ErrExist), err)
	}
	if err := os.Rename(filepath.Join(t.dir, logName), to); err != nil {
		return fmt.Errorf("put the log aside: %w", err)
	}
	return syncDir(t.dir)
}

// begin makes an empty current file.
func (t *Trail) begin() error {
	f, err := os.OpenFile(filepath.Join(t.dir, logName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	var old error
	if t.log != nil {
		old = t.log.Close()
	}
	t.log, t.size = f, 0
	return errors.Join(old, syncDir(t.dir))
}

func rotatedName(first uint64) string { return fmt.Sprintf("audit-trail-%012d.jsonl", first) }

// firstOf returns the number of the first entry of a file.
func firstOf(r io.ReaderAt) (uint64, error) {
	e, _, err := newLines(io.NewSectionReader(r, 0, maxLine)).next()
	if err != nil {
		return 0, fmt.Errorf("first entry of the log: %w", err)
	}
	return e.Seq, nil
}

func said(what string, detail map[string]string) Entry {
	return Entry{Who: trailItself, What: what, Detail: detail}
}

func (t *Trail) keyDetail() map[string]string {
	return map[string]string{"key": hex.EncodeToString(public(t.key))}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
