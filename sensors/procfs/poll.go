package procfs

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
)

// young is how long after it was found a process is looked at in each poll: a fork execs soon.
const young = 2 * time.Second

// poll finds processes that were made since the last poll. While the kernel gave out no pid, it reads one line.
func (w *watch) poll() error {
	now := w.now()
	last, ok := w.newestPid()
	if ok && last == w.lastPid {
		w.pollYoung(now)
		return nil
	}
	w.lastPid = last
	pids, err := w.tree.list()
	if err != nil && !errors.Is(err, errMany) { // look reports the limit
		return err
	}
	for _, pid := range pids {
		if _, ok := w.known[pid]; ok {
			continue
		}
		if s, err := w.tree.stat(pid, 0); err == nil && !s.dead() {
			w.meet(now, pid, s, false).round = w.round
		}
	}
	w.pollYoung(now)
	return nil
}

// pollYoung looks again at processes that were found a moment ago.
func (w *watch) pollYoung(now time.Time) {
	for pid, p := range w.known {
		if p.kernel || p.who.Existing || now.Sub(p.found) > young || p.found.Equal(now) {
			continue
		}
		if s, err := w.tree.stat(pid, 0); err == nil && !s.dead() {
			w.meet(now, pid, s, false).round = w.round
		}
	}
}

// newestPid returns the pid that the kernel gave out last, to a process or a thread: the end of loadavg.
func (w *watch) newestPid() (uint64, bool) {
	text, err := w.tree.read("loadavg")
	if err != nil {
		return 0, false
	}
	text = bytes.TrimRight(text, "\n ")
	n, length := number(text[bytes.LastIndexByte(text, ' ')+1:])
	return n, length > 0
}

// missed reports how many processes, or threads, came and went unseen: the kernel counts what it makes.
func (w *watch) missed(now time.Time, made uint64) {
	tasks := uint64(0)
	for _, p := range w.known {
		if !p.kernel && p.tasks > 1 && p.found.Equal(now) {
			tasks += uint64(p.tasks - 1)
		}
	}
	if found := w.seen + tasks; made > found {
		w.send(now, nil, &minewarden.Lost{N: made - found, Where: "processes or threads between two polls, at most"})
	}
}

func digits(n int32) string { return strconv.Itoa(int(n)) }

// Snapshot looks once: an Exec for each process, a Connect for each of its outgoing connections. proc is where the proc
// file system is.
func Snapshot(env minewarden.Env, proc string) ([]minewarden.Event, error) {
	cfg := Default()
	cfg.Proc, cfg.Processes = proc, true
	if env.Now == nil {
		env.Now = time.Now
	}
	s := &sensor{env: env, cfg: cfg}
	var all []minewarden.Event
	w, err := s.watch(func(e minewarden.Event) { all = append(all, e) })
	if err != nil {
		return nil, err
	}
	err = w.look()
	w.lookSockets(w.now())
	return all, errors.Join(err, w.tree.close())
}
