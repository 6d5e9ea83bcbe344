package pow

import (
	"fmt"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// A worker is a process that lives for a second and shows the same data five times in it.
type worker struct {
	inode  uint64
	cgroup string
	uid    uint32
	parent *minewarden.Process
	data   []minewarden.Data
	stays  bool
}

// work runs workers one after another, with pids from 100 on, and returns the findings.
func work(t *testing.T, d *detector, workers ...worker) (found []minewarden.Finding) {
	t.Helper()
	for i, w := range workers {
		p := &minewarden.Process{
			Key: minewarden.ProcessKey{Boot: "boot", PID: int32(100 + i), Start: 1}, Name: "w", Exe: "/opt/w", UID: w.uid, Cgroup: w.cgroup,
			Inode: minewarden.Inode{Dev: 1, Ino: w.inode}, Parent: w.parent,
		}
		at := start.Add(time.Duration(i) * time.Second)
		see := func(data minewarden.Data) {
			found = append(found, d.Observe(&minewarden.Event{Time: at, Process: p, Data: data})...)
		}
		for range 5 {
			for _, data := range w.data {
				see(data)
			}
			at = at.Add(180 * time.Millisecond)
		}
		if !w.stays {
			see(&minewarden.Exit{})
		}
	}
	return found
}

func many(n int, w worker) []worker {
	all := make([]worker, n)
	for i := range all {
		all[i] = w
	}
	return all
}

func TestShortLived(t *testing.T) {
	made := &minewarden.Process{Key: minewarden.ProcessKey{Boot: "boot", PID: 7, Start: 1}, Name: "w", Inode: minewarden.Inode{Dev: 1, Ino: 5}}
	shell := &minewarden.Process{Key: minewarden.ProcessKey{Boot: "boot", PID: 8, Start: 1}, Name: "sh", Inode: minewarden.Inode{Dev: 1, Ino: 6}}
	hop := func(n int) []worker { // each is the child of the one before
		all := many(n, worker{inode: 5, data: []minewarden.Data{generated}})
		parent := shell
		for i := range all {
			all[i].parent = parent
			parent = &minewarden.Process{
				Key: minewarden.ProcessKey{Boot: "boot", PID: int32(100 + i), Start: 1}, Name: "w", Inode: minewarden.Inode{Dev: 1, Ino: 5}, Parent: parent,
			}
		}
		return all
	}
	step := amd64("\x25\xf0\xff\x1f\x00\x48\xf7\xe2\x90\x90") // and eax, 0x1ffff0; mul rdx
	var wallet []worker
	for range 12 {
		wallet = append(wallet, worker{inode: 5, data: []minewarden.Data{step}})
		wallet = append(wallet, many(4, worker{inode: 9, data: []minewarden.Data{nothing}})...)
	}
	for _, tt := range []struct {
		name    string
		workers []worker
		want    string // rule and pid, of each finding
	}{
		{"two are too few", many(2, worker{inode: 5, data: []minewarden.Data{generated}}), ""},
		{"of the same program the maker is named", many(4, worker{inode: 5, parent: made, data: []minewarden.Data{generated}}), "pow/randomx 7 "},
		{"of another program the one that runs", many(4, worker{inode: 5, parent: shell, data: []minewarden.Data{generated}}), "pow/randomx 102 "},
		{"a maker that ended is not named", hop(4), "pow/randomx 102 "},
		{"rounding and code", many(4, worker{inode: 5, data: []minewarden.Data{hashing, generated}}), "pow/randomx 102 "},
		{"told again while it goes on", many(16, worker{inode: 5, parent: made, data: []minewarden.Data{generated}}), "pow/randomx 7 pow/randomx 7 "},
		{"cryptonight", many(9, worker{inode: 5, data: []minewarden.Data{step}}), "pow/cryptonight 106 "},
		{"a wallet that is opened every few seconds", wallet, ""},
		{"none has ended", many(9, worker{inode: 5, stays: true, data: []minewarden.Data{generated}}), ""},
		{"rounding modes alone, as a test suite's", many(30, worker{inode: 5, data: []minewarden.Data{hashing}}), ""},
		{"of unknown files", many(9, worker{data: []minewarden.Data{generated}}), ""},
		{"other code between", many(30, worker{inode: 5, data: []minewarden.Data{step, nothing, nothing, nothing, nothing, nothing}}), ""},
		{"two users", []worker{
			{inode: 5, uid: 1, data: []minewarden.Data{generated}},
			{inode: 5, uid: 2, data: []minewarden.Data{generated}},
			{inode: 5, uid: 1, data: []minewarden.Data{generated}},
			{inode: 5, uid: 2, data: []minewarden.Data{generated}},
		}, ""},
		{"many programs", []worker{
			{inode: 5, data: []minewarden.Data{generated}},
			{inode: 6, data: []minewarden.Data{generated}},
			{inode: 7, data: []minewarden.Data{generated}},
			{inode: 8, data: []minewarden.Data{generated}},
		}, ""},
		{"two containers", []worker{
			{inode: 5, cgroup: "/a", data: []minewarden.Data{generated}},
			{inode: 5, cgroup: "/b", data: []minewarden.Data{generated}},
			{inode: 5, cgroup: "/a", data: []minewarden.Data{generated}},
			{inode: 5, cgroup: "/b", data: []minewarden.Data{generated}},
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for _, f := range work(t, newDetector(t), tt.workers...) {
				got += fmt.Sprintf("%s %d ", f.Rule, f.Process.Key.PID)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestProgramsAreBounded(t *testing.T) {
	d := newDetector(t)
	for i := range uint64(3 * maxPrograms) {
		work(t, d, worker{inode: i + 1, data: []minewarden.Data{generated}})
	}
	if n := len(d.programs.byKey); n != maxPrograms || len(d.programs.order) != n {
		t.Errorf("%d programs kept, %d in order, want %d", n, len(d.programs.order), maxPrograms)
	}
}
