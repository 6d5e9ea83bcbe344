package procfs

import (
	"bytes"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const (
	hiddenStep   = 4096 // pids tried in one look: about a millisecond
	hiddenLooks  = 3    // in a row, before a process counts as hidden
	maxSuspects  = 256
	mountsEvery  = 10 * time.Second
	maxMountInfo = 4 << 20
)

// hidden looks for processes that live but are not listed.
type hidden struct {
	enabled  bool
	next     int32
	suspects map[int32]*suspect
	mounts   time.Time
	reported map[minewarden.ProcessKey]bool
}

type suspect struct {
	looks int
	start uint64 // 0: unknown
	told  bool
}

// newHidden works only on this kernel's own processes as root sees them: signals reach no fixture, and a /proc that hides
// other users' processes would make all of them suspects.
func newHidden(proc string) *hidden {
	return &hidden{
		enabled: proc == "/proc" && os.Geteuid() == 0, next: 1,
		suspects: map[int32]*suspect{}, reported: map[minewarden.ProcessKey]bool{},
	}
}

// lookHidden tries a part of all pids, and the suspects again.
func (w *watch) lookHidden(now time.Time) {
	h := w.hidden
	if !h.enabled {
		return
	}
	if now.Sub(h.mounts) >= mountsEvery {
		h.mounts = now
		w.lookMounts(now)
	}
	for pid := range h.suspects {
		w.suspect(now, pid)
	}
	end := int32(min(w.lastPid+hiddenStep, 1<<22))
	for range hiddenStep {
		if h.next > end {
			h.next = 1
			break
		}
		pid := h.next
		h.next++
		if _, listed := w.known[pid]; listed || h.suspects[pid] != nil || !alive(pid) {
			continue
		}
		if len(h.suspects) < maxSuspects && !w.isThread(pid) {
			h.suspects[pid] = &suspect{}
		}
	}
}

func alive(pid int32) bool {
	err := unix.Kill(int(pid), 0)
	return err == nil || err == unix.EPERM //nolint:errorlint // an errno as it comes from the system call
}

// isThread tells whether the id is that of a thread: signals reach these too, and no listing has them.
func (w *watch) isThread(pid int32) bool {
	text, err := w.tree.read(w.tree.path(pid, 0, "status"))
	if err != nil {
		return false
	}
	group, ok := lineNumber(text, "Tgid:")
	return ok && group != uint64(pid)
}

// suspect looks again at a process that was alive and not listed.
func (w *watch) suspect(now time.Time, pid int32) {
	h := w.hidden
	x := h.suspects[pid]
	_, listed := w.known[pid]
	s, err := w.tree.stat(pid, 0)
	if listed || !alive(pid) || w.isThread(pid) || x.looks > 0 && x.start != s.start {
		delete(h.suspects, pid)
		return
	}
	if err == nil {
		x.start = s.start
	}
	if x.looks++; x.looks < hiddenLooks || x.told {
		return
	}
	x.told = true
	who := &minewarden.Process{Key: minewarden.ProcessKey{PID: pid, Start: x.start}, Name: string(s.name)}
	if err == nil {
		w.send(now, who, w.tree.describe(s))
	}
	w.send(now, who, &minewarden.Hidden{How: "kill 0"})
}

// lookMounts reports processes over whose directory something was mounted, for everybody but this sensor.
func (w *watch) lookMounts(now time.Time) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || len(text) > maxMountInfo {
		w.log.Debug("mounts could not be read", "bytes", len(text), "err", err)
		return
	}
	for _, pid := range procMounts(text) {
		s, err := w.tree.stat(pid, 0)
		if err != nil {
			continue
		}
		key := minewarden.ProcessKey{PID: pid, Start: s.start}
		if h := w.hidden; !h.reported[key] && len(h.reported) < maxSuspects {
			h.reported[key] = true
			w.send(now, &minewarden.Process{Key: key, Name: string(s.name)}, &minewarden.Hidden{How: "mount over /proc/" + digits(pid)})
		}
	}
}

// procMounts returns the pids over whose directories there is a mount.
func procMounts(mountinfo []byte) []int32 {
	var pids []int32
	for line := range bytes.Lines(mountinfo) {
		f := bytes.Fields(line)
		if len(f) < 5 {
			continue
		}
		rest, ok := strings.CutPrefix(string(f[4]), "/proc/")
		if !ok {
			continue
		}
		if n, length := number([]byte(rest)); length > 0 && length < 8 && (length == len(rest) || rest[length] == '/') && len(pids) < maxSuspects {
			pids = append(pids, int32(n))
		}
	}
	return pids
}
