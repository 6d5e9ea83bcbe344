package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence/vault"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

// collector fills one collection. It runs on one goroutine, bound to a thread.
type collector struct {
	ctx    context.Context //nolint:containedctx // of the one call that it lives for
	config *Config
	now    func() time.Time
	wish   *wishes
	inc    *minewarden.Incident // nil: not at hand

	dir    string
	m      *vault.Manifest
	entry  *journal.Entry[record]
	coder  *coder
	space  *space
	thread *thread
	read   int64
	seen   map[fileID]string // files that a part holds already
	hostNS string
	kept   string // where the capture sensor keeps packets
}

type fileID struct{ dev, ino uint64 }

// collect runs on a goroutine of its own.
func (r *Responder) collect(ctx context.Context, a *minewarden.Action, w *wishes, entry *journal.Entry[record], started time.Time) (minewarden.Receipt, error) {
	receipt := receiptOf(a)
	receipt.Started = started
	th := lower(r.config.Nice)
	m, dir, err := r.fill(ctx, a, w, entry, th)
	receipt.Done, receipt.OK = r.now(), err == nil
	if err != nil {
		receipt.Result = err.Error()
	} else {
		receipt.Result, receipt.State = resultOf(m), stateOf(m, dir)
		if m.Partial != "" {
			receipt.Result = "partial: " + m.Partial + "; " + receipt.Result
		}
	}
	if err := entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}); err != nil {
		return receipt, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), err)
	}
	return receipt, nil
}

func (r *Responder) fill(ctx context.Context, a *minewarden.Action, w *wishes, entry *journal.Entry[record], th *thread) (*vault.Manifest, string, error) {
	if err := r.room(); err != nil {
		return nil, "", err
	}
	col, err := r.vault.Begin(a.ID)
	if err != nil {
		return nil, "", err
	}
	bound := r.config.MaxSize << 20
	c := &collector{
		ctx: ctx, config: &r.config, now: r.now, wish: w, inc: r.recall(a.Incident), dir: col.Dir, entry: entry, thread: th,
		space: &space{dir: col.Dir, left: bound, bound: bound}, seen: map[fileID]string{}, m: r.manifest(a, w), kept: r.kept,
	}
	if err := c.space.take(chunkSize); err != nil { // for the manifest: without room for it there is no collection
		return nil, "", errors.Join(err, os.Remove(col.Dir))
	}
	if err := entry.Append(record{Phase: phaseBegin, At: r.now(), Manifest: c.m}); err != nil {
		return nil, "", errors.Join(err, os.Remove(col.Dir))
	}
	if c.coder, err = newCoder(); err != nil {
		return nil, "", err
	}
	err = c.run()
	if closeErr := c.coder.enc.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		return nil, "", err
	}
	if ctx.Err() != nil {
		c.m.Partial = context.Cause(ctx).Error()
	} else if c.space.full != nil {
		c.m.Partial = strings.TrimPrefix(c.space.full.Error(), errStop.Error()+": ")
	}
	c.m.Done = r.now().UTC()
	if err := col.Seal(c.m); err != nil {
		return nil, "", err
	}
	return c.m, col.Dir, nil
}

func (r *Responder) manifest(a *minewarden.Action, w *wishes) *vault.Manifest {
	m := &vault.Manifest{
		ID: a.ID, Tool: tool(), Boot: w.boot, Incident: a.Incident, Subject: a.Target, Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		Started: r.now().UTC(), Memory: w.memory, Parts: []vault.Part{},
	}
	if host, err := os.Hostname(); err == nil {
		m.Host = host
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Version[:]) +
			" " + unix.ByteSliceToString(u.Machine[:])
	}
	return m
}

// tool names the program with the version that it was built from.
func tool() string {
	s := "minewarden"
	if b, ok := debug.ReadBuildInfo(); ok {
		if b.Main.Version != "" {
			s += " " + b.Main.Version
		}
		for _, kv := range b.Settings {
			if kv.Key == "vcs.revision" {
				s += " " + kv.Value
			}
		}
	}
	return s
}

// room removes what is older than it is kept for, and refuses when there is too much all the same.
func (r *Responder) room() error {
	items, err := r.vault.List()
	if err != nil {
		return err
	}
	var total int64
	for _, i := range items {
		if r.config.Keep > 0 && !i.Open && i.Err == "" && i.Bytes > 0 && r.now().Sub(i.Manifest.Done) > r.config.Keep {
			if err := r.vault.Expire(i.Dir, "older than "+r.config.Keep.String()); err != nil {
				r.log.Error("evidence that is older than it is kept for cannot be removed", "id", i.Manifest.ID, "error", err)
			} else {
				continue
			}
		}
		size, err := onDisk(i.Dir)
		if err != nil {
			return err
		}
		total += size
	}
	if limit := r.config.MaxTotal << 20; total >= limit {
		return fmt.Errorf("all evidence together has %s, the most is %s (max_total): export and remove some", human(total), human(limit))
	}
	return nil
}

func onDisk(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			n += fi.Size()
		}
	}
	return n, nil
}

// run collects in the order in which things vanish. An error of one source is written down, and the next is read.
func (c *collector) run() error {
	if ns, err := os.Readlink("/proc/self/ns/mnt"); err == nil {
		c.hostNS = ns
	}
	live, err := c.wish.targets.live(c.config.MaxProcesses)
	if err != nil {
		c.skip("processes", err)
	}
	if live.more > 0 {
		c.skip(fmt.Sprintf("%d more processes", live.more), errors.New("there are more than max_processes"))
	}
	for i := range live.take {
		if err := c.process(&live.take[i]); err != nil {
			return err
		}
	}
	steps := []func() error{c.incident, c.containers, c.files, c.logs, c.packets}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if c.wish.memory == MemoryWhole {
		for i := range live.take {
			if err := c.wholeMemory(&live.take[i]); err != nil {
				return err
			}
		}
	}
	if c.wish.path != "" {
		return c.image()
	}
	return nil
}

// skip writes down that something was not collected.
func (c *collector) skip(what string, why error) {
	const maxSkips = 4096
	if len(c.m.Skipped) < maxSkips {
		c.m.Skipped = append(c.m.Skipped, vault.Skip{What: text(what), Why: text(why.Error())})
	}
}

// source is what a part is made of.
type source struct {
	what  string
	name  string // for people: where it was read
	ext   string // of the part's file, without the compression's
	pid   int32
	limit int64 // 0: max_file
	sums  bool  // also the hash of the content
	meta  *vault.Meta
}

// part makes a part of what read writes. Its error is one of the collection itself: it cannot be written. What goes wrong with the
// source is written down, and so is what had been read by then.
func (c *collector) part(s source, read func(io.Writer) error) error {
	what := s.what + " " + s.name
	if err := c.ctx.Err(); err != nil {
		c.skip(what, context.Cause(c.ctx))
		return nil
	}
	if c.space.full != nil {
		c.skip(what, c.space.full)
		return nil
	}
	name := fmt.Sprintf("%04d-%s", len(c.m.Parts)+1, s.what)
	if s.pid != 0 {
		name += fmt.Sprintf("-%d", s.pid)
	}
	if s.ext != "" {
		name += "." + s.ext
	}
	p := vault.Part{File: name + ".zst", What: s.what, Source: text(s.name), PID: s.pid, Time: c.now().UTC(), Coding: "zstd", Meta: s.meta}
	if s.limit == 0 {
		s.limit = c.config.MaxFile << 20
	}
	path := filepath.Join(c.dir, p.File)
	w, err := newPartWriter(c.ctx, path, c.coder, c.space, s.limit, s.sums)
	if err != nil {
		return fmt.Errorf("collect %s: %w", text(what), err)
	}
	readErr := read(w)
	finErr := w.finish()
	if err := w.f.Close(); err != nil {
		finErr = errors.Join(finErr, err)
	}
	if w.size == 0 && errors.Is(readErr, errNone) {
		return os.Remove(path)
	}
	if w.size == 0 && readErr != nil || finErr != nil && !errors.Is(finErr, errStop) {
		c.skip(what, errors.Join(readErr, finErr))
		return os.Remove(path)
	}
	if err := errors.Join(readErr, finErr); err != nil {
		p.Cut = text(strings.ReplaceAll(err.Error(), errStop.Error()+": ", ""))
	}
	c.read += w.size
	p.Size, p.Stored = w.size, w.written
	p.SHA256, p.Content = w.sums()
	if finErr != nil { // the last chunk found no room: the file has what was written before it
		p.Content = ""
	}
	c.m.Parts = append(c.m.Parts, p)
	return c.entry.Append(record{Phase: phasePart, At: c.now(), Part: &p})
}

// errNone says that a source has nothing to collect: that is no loss.
var errNone = errors.New("there is nothing of it")

// bytes makes a part of b.
func (c *collector) bytes(s source, b []byte) error {
	return c.part(s, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// incident keeps what made somebody collect.
func (c *collector) incident() error {
	if c.inc == nil {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	if err := enc.Encode(c.inc); err != nil {
		c.skip("incident "+c.inc.ID, err)
		return nil
	}
	return c.bytes(source{what: "incident", name: c.inc.ID, ext: "json"}, b.Bytes())
}

// text makes a name fit for the manifest without losing any of it: bytes that are no UTF-8 are written as escapes.
func text(s string) string {
	const most = 16 << 10
	s = s[:min(len(s), most)]
	if utf8.ValidString(s) {
		return s
	}
	return fmt.Sprintf("%+q", s)
}

// held stops a process for as long as it is read, if that is wished and it does not stand already, and says in which state it is.
// The function that it returns lets it go on.
func (c *collector) hold(h *proc.Handle) (state string, let func() error) {
	nothing := func() error { return nil }
	if still, err := proc.Still(h.PID, frozen(h.PID)); err == nil && still {
		return "frozen", nothing
	}
	if !c.wish.hold {
		return "running", nothing
	}
	key := minewarden.ProcessKey{Boot: c.wish.boot, PID: h.PID, Start: h.Start}
	if err := c.entry.Append(record{Phase: phaseHold, At: c.now(), Held: &key}); err != nil {
		c.skip(fmt.Sprintf("holding pid %d", h.PID), err)
		return "running", nothing
	}
	let = func() error {
		err := h.Signal(unix.SIGCONT)
		if errors.Is(err, proc.ErrGone) {
			err = nil
		}
		return errors.Join(err, c.entry.Append(record{Phase: phaseRelease, At: c.now(), Held: &key}))
	}
	if err := h.Signal(unix.SIGSTOP); err != nil {
		c.skip(fmt.Sprintf("holding pid %d", h.PID), err)
		return "running", let
	}
	const settle = 250 * time.Millisecond
	for deadline := time.Now().Add(settle); ; time.Sleep(time.Millisecond) {
		if still, err := proc.Still(h.PID, false); err == nil && still {
			return "held", let
		}
		if time.Now().After(deadline) {
			return "running", let
		}
	}
}

// frozen reports whether a cgroup holds the process.
func frozen(pid int32) bool {
	mounts, err := proc.CgroupMounts()
	if err != nil {
		return false
	}
	groups, err := mounts.Freezers(pid)
	if err != nil {
		return false
	}
	for _, g := range groups {
		file, want := "freezer.state", "FROZEN"
		if g.V2 {
			file, want = "cgroup.events", "frozen 1"
		}
		if b, err := proc.ReadSmall(filepath.Join(g.Dir, file)); err == nil && strings.Contains(string(b), want) {
			return true
		}
	}
	return false
}
