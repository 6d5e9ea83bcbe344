package ebpf

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/minewarden/minewarden"
)

// hidden compares the kernel's own list of processes with /proc.
type hidden struct {
	every time.Duration
	next  time.Time
	told  map[minewarden.ProcessKey]bool
}

const (
	maxTasks = 1 << 22 // PID_MAX_LIMIT
	listSize = 16      // struct listed of bpf/tasks.bpf.c
	initPIDs = "pid:[4026531836]"
)

// newHidden returns nil where /proc shows another pid namespace than the kernel's first: there most of them are missing rightly.
func newHidden(every time.Duration) *hidden {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != initPIDs {
		return nil
	}
	return &hidden{every: every, told: map[minewarden.ProcessKey]bool{}}
}

// reportHidden tells once of every process that /proc does not show, twice looked for: one that starts or ends between two
// looks is not hidden.
func (r *run) reportHidden() {
	h := r.hidden
	if h == nil || time.Now().Before(h.next) {
		return
	}
	h.next = time.Now().Add(h.every)
	missing, err := r.missing(nil)
	if err == nil && len(missing) > 0 {
		missing, err = r.missing(missing)
	}
	if err != nil {
		r.env.Log.Error("look for hidden processes", "error", err)
		return
	}
	for k := range h.told {
		if !missing[k] {
			delete(h.told, k)
		}
	}
	for k := range missing {
		if !h.told[k] {
			h.told[k] = true
			r.emit(minewarden.Event{
				Time:    time.Now(),
				Process: &minewarden.Process{Key: k},
				Data:    &minewarden.Hidden{How: "iter/task"},
			})
		}
	}
}

// missing returns the processes, of those given or of all, that the kernel lists and /proc does not.
func (r *run) missing(of map[minewarden.ProcessKey]bool) (map[minewarden.ProcessKey]bool, error) {
	all, err := r.kernel.tasks()
	if err != nil {
		return nil, err
	}
	names, err := listPIDs()
	if err != nil {
		return nil, err
	}
	listed := make(map[int32]bool, len(names))
	for _, pid := range names {
		listed[pid] = true
	}
	missing := map[minewarden.ProcessKey]bool{}
	for _, k := range all {
		if of != nil && !of[k] {
			continue
		}
		there, err := alive(k)
		if err != nil || !there || !listed[k.PID] {
			missing[k] = true
		}
	}
	return missing, nil
}

// tasks returns every process that the kernel has.
func (k *kernel) tasks() ([]minewarden.ProcessKey, error) {
	iter, err := link.AttachIter(link.IterOptions{Program: k.list})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	defer iter.Close()
	file, err := iter.Open()
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxTasks*listSize))
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	return decodeTasks(raw), nil
}

func decodeTasks(raw []byte) []minewarden.ProcessKey {
	keys := make([]minewarden.ProcessKey, 0, len(raw)/listSize)
	for ; len(raw) >= listSize; raw = raw[listSize:] {
		keys = append(keys, key(binary.LittleEndian.Uint32(raw[8:]), binary.LittleEndian.Uint64(raw)))
	}
	return keys
}
