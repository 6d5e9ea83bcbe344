package files

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/internal/host"
)

// source brings changes of directories: from fanotify, and from inotify for the directories that fanotify refuses.
type source struct {
	base    string
	changes chan<- change
	failed  chan error
	ctx     context.Context //nolint:containedctx // of the Run that owns the source, for the readers
	readers sync.WaitGroup

	fan *os.File          // nil: there is none
	ino *fsnotify.Watcher // nil: not needed so far

	mu     sync.Mutex
	byFile map[string]string // handle → directory
	byDir  map[string]string // directory → handle
	byPath map[string]string // inotify's path → directory
}

func openSource(ctx context.Context, cfg Config, log *slog.Logger, changes chan<- change) (*source, error) {
	s := &source{
		base: cfg.Root, changes: changes, failed: make(chan error, 2), ctx: ctx,
		byFile: map[string]string{}, byDir: map[string]string{}, byPath: map[string]string{},
	}
	if !cfg.Inotify {
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
		if err == nil {
			s.fan = os.NewFile(uintptr(fd), "fanotify")
			s.readers.Go(s.readFan)
			return s, nil
		}
		log.Info("fanotify is not available: who writes is unknown", "err", err)
	}
	return s, s.openInotify()
}

func (s *source) openInotify() error {
	if s.ino != nil {
		return nil
	}
	w, err := fsnotify.NewBufferedWatcher(queued)
	if err != nil {
		return fmt.Errorf("open inotify: %w", err)
	}
	s.ino = w
	s.readers.Go(s.readInotify)
	return nil
}

func (s *source) close() error {
	var errs []error
	if s.fan != nil {
		errs = append(errs, s.fan.Close())
	}
	if s.ino != nil {
		errs = append(errs, s.ino.Close())
	}
	s.readers.Wait()
	return errors.Join(errs...)
}

// marks are what is wanted of a directory: nothing that could delay or forbid anything.
const marks = unix.FAN_CREATE | unix.FAN_CLOSE_WRITE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO | unix.FAN_ATTRIB |
	unix.FAN_ONDIR | unix.FAN_EVENT_ON_CHILD

// add watches the directory.
func (s *source) add(root *host.Root, name string) error {
	f, err := root.Dir(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if s.fan != nil {
		if err := s.addFan(f, name); err == nil {
			return nil
		}
	}
	if err := s.openInotify(); err != nil {
		return err
	}
	full := filepath.Join(s.base, name)
	s.mu.Lock()
	s.byPath[full] = name
	s.mu.Unlock()
	if err := s.ino.Add(full); err != nil {
		s.mu.Lock()
		delete(s.byPath, full)
		s.mu.Unlock()
		return fmt.Errorf("watch /%s: %w", name, err)
	}
	return nil
}

func (s *source) addFan(f *os.File, name string) error {
	h, _, err := unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("handle of /%s: %w", name, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("file system of /%s: %w", name, err)
	}
	key := handleKey(uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1]), uint32(h.Type()), h.Bytes())
	s.mu.Lock()
	defer s.mu.Unlock()
	// An O_PATH descriptor cannot be marked itself: its link in proc leads to the very same directory.
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.FanotifyMark(int(s.fan.Fd()), unix.FAN_MARK_ADD|unix.FAN_MARK_ONLYDIR, marks, unix.AT_FDCWD, path); err != nil {
		return fmt.Errorf("watch /%s: %w", name, err)
	}
	if _, ok := s.byFile[key]; !ok || s.byDir[s.byFile[key]] != key { // else the same directory by another name
		s.byFile[key] = name
	}
	s.byDir[name] = key
	return nil
}

// forget drops a directory; the kernel has dropped its mark if it was removed.
func (s *source) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.byDir[name]; ok {
		delete(s.byFile, key)
		delete(s.byDir, name)
	}
	delete(s.byPath, filepath.Join(s.base, name))
}

func handleKey(fsid0, fsid1, kind uint32, handle []byte) string {
	b := binary.NativeEndian.AppendUint32(nil, fsid0)
	b = binary.NativeEndian.AppendUint32(b, fsid1)
	b = binary.NativeEndian.AppendUint32(b, kind)
	return string(append(b, handle...))
}

func (s *source) send(c change) bool {
	select {
	case s.changes <- c: // while this waits, the kernel's queue takes what comes
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *source) readFan() {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.fan.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				s.failed <- fmt.Errorf("read fanotify: %w", err)
			}
			return
		}
		for _, e := range parseFan(buf[:n]) {
			if e.mask&unix.FAN_Q_OVERFLOW != 0 {
				if !s.send(change{lost: true}) {
					return
				}
				continue
			}
			s.mu.Lock()
			dir, ok := s.byFile[e.key]
			s.mu.Unlock()
			if !ok || e.name == "" || e.name == "." {
				continue
			}
			for _, op := range operations(e.mask) {
				if !s.send(change{dir: dir, name: e.name, op: op, isDir: e.mask&unix.FAN_ONDIR != 0, pid: e.pid}) {
					return
				}
			}
		}
	}
}

// operations names what a mask holds; the kernel merges what happened to one name in a row. A file that came by rename
// counts as made.
func operations(mask uint64) []string {
	var ops []string
	for _, m := range [...]struct {
		bits uint64
		op   string
	}{
		{unix.FAN_MOVED_FROM, "rename"},
		{unix.FAN_DELETE, "delete"},
		{unix.FAN_CREATE | unix.FAN_MOVED_TO, "create"},
		{unix.FAN_CLOSE_WRITE, "modify"},
		{unix.FAN_ATTRIB, "chmod"},
	} {
		if mask&m.bits != 0 {
			ops = append(ops, m.op)
		}
	}
	return ops
}

// fanEvent is one event of fanotify: what happened to name in the directory of key.
type fanEvent struct {
	mask uint64
	pid  int32
	key  string
	name string
}

// parseFan reads events as the kernel lays them out, each with records of information.
func parseFan(buf []byte) []fanEvent {
	const metaLen, infoLen = 24, 4
	ne := binary.NativeEndian
	var all []fanEvent
	for len(buf) >= metaLen {
		size, meta := int(ne.Uint32(buf)), int(ne.Uint16(buf[6:]))
		if size < metaLen || size > len(buf) || meta < metaLen || meta > size || buf[4] != unix.FANOTIFY_METADATA_VERSION {
			return all
		}
		e := fanEvent{mask: ne.Uint64(buf[8:]), pid: int32(ne.Uint32(buf[20:]))}
		for info := buf[meta:size]; len(info) >= infoLen; {
			n := int(ne.Uint16(info[2:]))
			if n < infoLen || n > len(info) {
				break
			}
			if info[0] == unix.FAN_EVENT_INFO_TYPE_DFID_NAME && n >= 20 {
				handle := int(ne.Uint32(info[12:]))
				if handle <= n-20 {
					e.key = handleKey(ne.Uint32(info[4:]), ne.Uint32(info[8:]), ne.Uint32(info[16:]), info[20:20+handle])
					name := info[20+handle : n]
					for i, c := range name {
						if c == 0 {
							name = name[:i]
							break
						}
					}
					e.name = string(name)
				}
			}
			info = info[n:]
		}
		all = append(all, e)
		buf = buf[size:]
	}
	return all
}

func (s *source) readInotify() {
	for {
		select {
		case e, ok := <-s.ino.Events:
			if !ok {
				return
			}
			s.mu.Lock()
			dir, known := s.byPath[filepath.Dir(e.Name)]
			s.mu.Unlock()
			if !known {
				continue
			}
			op := ""
			switch {
			case e.Has(fsnotify.Create):
				op = "create"
			case e.Has(fsnotify.Write):
				op = "modify"
			case e.Has(fsnotify.Remove):
				op = "delete"
			case e.Has(fsnotify.Rename):
				op = "rename"
			case e.Has(fsnotify.Chmod):
				op = "chmod"
			}
			info, err := os.Lstat(e.Name)
			isDir := err == nil && info.IsDir()
			if op == "delete" || op == "rename" {
				s.mu.Lock()
				_, isDir = s.byPath[e.Name]
				s.mu.Unlock()
			}
			if !s.send(change{dir: dir, name: filepath.Base(e.Name), op: op, isDir: isDir}) {
				return
			}
		case err, ok := <-s.ino.Errors:
			switch {
			case !ok:
				return
			case errors.Is(err, fsnotify.ErrEventOverflow):
				if !s.send(change{lost: true}) {
					return
				}
			default:
				s.failed <- fmt.Errorf("read inotify: %w", err)
				return
			}
		}
	}
}
