package files

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

// watch is the state of one Run. Its paths are below the root, without a leading slash.
type watch struct {
	env  minewarden.Env
	emit minewarden.Emit
	root *host.Root
	src  *source
	self int32

	dirs     map[string]*dir // what is watched
	waiting  map[string]bool // what is wanted and does not exist
	dropDirs int
	full     bool // the limit of watches was reported
	relist   bool // what is watched is listed again: something may have been missed
	short    bool // a directory found no place within the limit of drop places

	second time.Time // rate of drop places
	looked int
	lost   uint64
}

// dir is one watched directory.
type dir struct {
	places []host.Place
	drop   int // levels below it that are watched too, plus one; 0: no drop place
}

// places watches everything that should be watched and is not. What is watched already tells by itself what is made in it, so
// it is listed again only where something may have been missed, or where there was no room.
func (w *watch) places(missed bool) {
	w.relist = missed || w.short
	w.short = false
	defer func() { w.relist = false }()
	if w.dirs["home"] == nil {
		w.add("home") // for homes that are made later
	}
	for _, p := range host.Places(w.root) {
		w.place(p, false)
	}
	for _, d := range drops {
		w.drop(d, dropDeep+1, false)
	}
}

// place watches a directory of persistence, or else what must be made before it.
func (w *watch) place(p host.Place, fresh bool) {
	d := w.dirs[p.Dir]
	if d == nil {
		if d = w.add(p.Dir); d == nil {
			return
		}
	}
	known := false
	for i := range d.places {
		known = known || d.places[i].Deep == p.Deep && strings.Join(d.places[i].Names, "/") == strings.Join(p.Names, "/")
	}
	if !known {
		d.places = append(d.places, p)
	}
	if p.Deep == 0 && !fresh || known && !fresh && !w.relist {
		return
	}
	for _, e := range w.list(p.Dir) {
		name := path.Join(p.Dir, e.Name())
		switch {
		case e.IsDir() && p.Deep > 0:
			w.place(host.Place{Dir: name, Deep: p.Deep - 1}, fresh)
		case !e.IsDir() && fresh && p.Has(e.Name()): // written before the watch was there
			w.wrote(name, "create", 0, true)
		}
	}
}

// drop watches a directory that everybody may write to.
func (w *watch) drop(name string, levels int, fresh bool) {
	d := w.dirs[name]
	watched := d != nil && d.drop > 0
	if d == nil {
		if w.dropDirs >= maxDropDirs {
			w.lost++
			w.short = true
			return
		}
		if d = w.add(name); d == nil {
			return
		}
		w.dropDirs++
	}
	d.drop = levels
	if !fresh && (levels <= 1 || watched && !w.relist) {
		return
	}
	for _, e := range w.list(name) {
		switch {
		case e.IsDir() && levels > 1:
			w.drop(path.Join(name, e.Name()), levels-1, fresh)
		case fresh && e.Type().IsRegular():
			w.dropped(path.Join(name, e.Name()), "create", 0)
		}
	}
}

// add watches a directory, or its nearest ancestor that exists until it does itself.
func (w *watch) add(name string) *dir {
	if len(w.dirs) >= maxWatches {
		if !w.full {
			w.full = true
			w.send(nil, &minewarden.Lost{N: 1, Where: "directories beyond the limit of watches"})
		}
		return nil
	}
	err := w.src.add(w.root, name)
	if err == nil {
		delete(w.waiting, name)
		d := &dir{}
		w.dirs[name] = d
		return d
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		w.env.Log.Warn("directory cannot be watched", "dir", "/"+name, "err", err)
		return nil
	}
	if len(w.waiting) < maxWatches {
		w.waiting[name] = true
	}
	for up := path.Dir(name); ; up = path.Dir(up) {
		if w.dirs[up] != nil {
			return nil
		}
		if err := w.src.add(w.root, up); err == nil {
			w.dirs[up] = &dir{}
			return nil
		}
		if up == "." {
			return nil
		}
	}
}

func (w *watch) list(name string) []fs.DirEntry {
	entries, err := w.root.ReadDir(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.env.Log.Warn("directory cannot be read", "dir", "/"+name, "err", err)
	}
	return entries
}

// change handles one change.
func (w *watch) change(c change) {
	if c.lost {
		w.send(nil, &minewarden.Lost{N: 1, Where: "the kernel's queue, at least"})
		w.places(true)
		w.baseline() // what it is now, as what happened is not known
		return
	}
	if c.pid == w.self {
		return
	}
	d := w.dirs[c.dir]
	if d == nil {
		return
	}
	name := path.Join(c.dir, c.name)
	if c.isDir {
		w.dirChange(d, name, c)
		return
	}
	for i := range d.places {
		if d.places[i].Has(c.name) {
			w.wrote(name, c.op, c.pid, false)
			return
		}
	}
	if d.drop > 0 {
		w.dropped(name, c.op, c.pid)
	}
}

func (w *watch) dirChange(d *dir, name string, c change) {
	switch c.op {
	case "delete", "rename":
		w.forget(name)
		return
	case "create":
	default:
		return
	}
	for i := range d.places {
		if p := d.places[i]; p.Deep > 0 {
			w.place(host.Place{Dir: name, Deep: p.Deep - 1}, true)
		}
	}
	if d.drop > 1 && w.allowed() {
		w.drop(name, d.drop-1, true)
	}
	if w.wanted(name) || c.dir == "home" {
		for _, p := range host.Places(w.root) {
			if p.Dir == name || strings.HasPrefix(p.Dir, name+"/") {
				w.place(p, true)
			}
		}
	}
}

// wanted tells whether something at or below name is waited for.
func (w *watch) wanted(name string) bool {
	for p := range w.waiting {
		if p == name || strings.HasPrefix(p, name+"/") {
			return true
		}
	}
	return false
}

// forget drops a directory that went away, and all below it.
func (w *watch) forget(name string) {
	for d, x := range w.dirs {
		if d == name || strings.HasPrefix(d, name+"/") {
			if x.drop > 0 {
				w.dropDirs--
			}
			if len(x.places) > 0 && len(w.waiting) < maxWatches {
				w.waiting[d] = true
			}
			w.src.forget(d)
			delete(w.dirs, d)
		}
	}
}

// wrote reports a change where persistence lives.
func (w *watch) wrote(name, op string, pid int32, existing bool) {
	out := &minewarden.Write{Path: "/" + name, Op: op, Existing: existing}
	who := w.who(pid)
	var file *minewarden.File
	if op != "delete" && op != "rename" {
		if file = w.file(name); file != nil {
			out.Head, out.Mode = file.Head, file.Mode
		}
	}
	w.send(who, out)
	if file != nil && op != "chmod" {
		w.send(who, file)
	}
}

// dropped reports a file in a place that everybody may write to, if it is a program or speaks of mining.
func (w *watch) dropped(name, op string, pid int32) {
	if op == "delete" || op == "rename" || !w.allowed() {
		return
	}
	file := w.file(name)
	if file == nil || !suspicious(file) {
		return
	}
	who := w.who(pid)
	w.send(who, &minewarden.Write{Path: file.Path, Op: op, Mode: file.Mode})
	w.send(who, file)
}

// allowed bounds how many files of drop places are looked at: a compiler makes thousands a second.
func (w *watch) allowed() bool {
	now := w.env.Now()
	if since := now.Sub(w.second); since >= time.Second || since < 0 {
		if w.lost > 0 {
			w.send(nil, &minewarden.Lost{N: w.lost, Where: "files in directories that everybody may write to"})
		}
		w.second, w.looked, w.lost = now, 0, 0
	}
	if w.looked++; w.looked > maxPerSecond {
		w.lost++
		return false
	}
	return true
}

// minedWords are in configurations and scripts of miners; they only decide what is handed on.
var minedWords = [...]string{
	"stratum", `"pools"`, "donate-level", "xmrig", "randomx", "cryptonight", "wallet", "monero", "mining.", "minerd", "nicehash", "hashrate",
}

// suspicious tells whether a dropped file is worth handing on.
func suspicious(f *minewarden.File) bool {
	if f.Mode&0o111 != 0 || bytes.HasPrefix(f.Head, []byte("\x7fELF")) || bytes.HasPrefix(f.Head, []byte("#!")) || bytes.HasPrefix(f.Head, []byte("MZ")) {
		return true
	}
	lower := bytes.ToLower(f.Head)
	for _, word := range minedWords {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// file returns what the file is now, or nil where it is gone or no regular file.
func (w *watch) file(name string) *minewarden.File {
	head, info, err := host.ReadHead(w.root, name, headLen)
	if err != nil {
		return nil
	}
	f := &minewarden.File{Path: "/" + name, Size: info.Size(), Mode: uint32(info.Mode().Perm()), Head: head}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Mode, f.UID, f.GID = st.Mode, st.Uid, st.Gid
		f.Inode = minewarden.Inode{Dev: uint64(st.Dev), Ino: st.Ino, Mtime: st.Mtim.Nano()}
	}
	return f
}

// who returns the process of a pid; its start is 0 where it ended already.
func (w *watch) who(pid int32) *minewarden.Process {
	if pid <= 0 {
		return nil
	}
	start, err := host.StartOf("/proc/" + strconv.Itoa(int(pid)))
	if err != nil {
		start = 0
	}
	return &minewarden.Process{Key: minewarden.ProcessKey{PID: pid, Start: start}}
}

// baseline reports what is there where persistence lives.
func (w *watch) baseline() {
	n := 0
	seen := map[string]bool{}
	for name, d := range w.dirs {
		if len(d.places) == 0 {
			continue
		}
		for _, e := range w.list(name) {
			file := path.Join(name, e.Name())
			if e.IsDir() || seen[file] || !has(d.places, e.Name()) {
				continue
			}
			seen[file] = true
			if n++; n > maxBaseline {
				w.send(nil, &minewarden.Lost{N: 1, Where: "existing files beyond the limit, at least"})
				return
			}
			if f := w.file(file); f != nil {
				f.Existing = true
				w.send(nil, f)
			}
		}
	}
}

func has(places []host.Place, name string) bool {
	for i := range places {
		if places[i].Has(name) {
			return true
		}
	}
	return false
}

func (w *watch) send(who *minewarden.Process, data minewarden.Data) {
	w.emit(minewarden.Event{Time: w.env.Now(), Process: who, Data: data})
}
