package ebpf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

const (
	maxProcFile = 64 << 10 // read of one file of /proc
	maxArgs     = 8192     // as bpf/process.bpf.c
)

// existing emits what ran before the programs were attached, parents before children. What started later is in the ring.
func (r *run) existing(attached uint64) {
	found, err := processes(attached)
	if err != nil {
		r.env.Log.Error("list the processes that already run", "error", err)
		r.emit(minewarden.Event{Time: time.Now(), Data: &minewarden.Lost{N: 1, Where: "existing processes"}})
	}
	at := r.clock.at(attached)
	for _, p := range found {
		r.emit(minewarden.Event{Time: at, Process: &minewarden.Process{Key: p.key}, Data: p.exec})
	}
}

type process struct {
	key  minewarden.ProcessKey
	ppid int32
	exec *minewarden.Exec
}

// processes reads /proc. Those that end meanwhile are left out, and so are those started at or after the given time.
func processes(before uint64) ([]process, error) {
	pids, err := listPIDs()
	if err != nil {
		return nil, err
	}
	var found []process
	byPID := map[int32]int{}
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil || p.key.Start >= before/tickNanos {
			continue
		}
		byPID[pid] = len(found)
		found = append(found, p)
	}
	depth := make([]int, len(found))
	for i := range found {
		for at, ok := i, true; ok && depth[i] <= len(found); depth[i]++ {
			at, ok = byPID[found[at].ppid]
		}
		if j, ok := byPID[found[i].ppid]; ok {
			found[i].exec.Parent = found[j].key
			found[i].exec.ParentName = found[j].exec.Name
		}
	}
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(depth[a], depth[b]) })
	sorted := make([]process, len(found))
	for i, j := range order {
		sorted[i] = found[j]
	}
	return sorted, nil
}

func listPIDs() ([]int32, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int32
	for _, name := range names {
		if pid, err := strconv.ParseInt(name, 10, 32); err == nil {
			pids = append(pids, int32(pid))
		}
	}
	return pids, nil
}

func readProcess(pid int32) (process, error) {
	dir := "/proc/" + strconv.Itoa(int(pid)) + "/"
	text, err := readProc(dir + "stat")
	if err != nil {
		return process{}, err
	}
	st, err := parseStat(text)
	if err != nil {
		return process{}, fmt.Errorf("%sstat: %w", dir, err)
	}
	e := &minewarden.Exec{Existing: true, Name: st.comm, Kernel: st.flags&pfKthread != 0}
	p := process{key: minewarden.ProcessKey{PID: pid, Start: st.start}, ppid: st.ppid, exec: e}
	if text, err = readProc(dir + "status"); err == nil {
		e.UID, e.GID = realIDs(text)
	}
	if text, err = readProc(dir + "cgroup"); err == nil {
		e.Cgroup = host.ParseCgroup(strings.NewReader(text))
	}
	if e.Kernel {
		return p, nil
	}
	// For some processes, such as pid 1 in a container, even root may not follow these links.
	if exe, err := os.Readlink(dir + "exe"); err == nil {
		setExe(e, exe)
	}
	if cwd, err := os.Readlink(dir + "cwd"); err == nil {
		e.Cwd = cwd
	}
	if info, err := os.Stat(dir + "exe"); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			e.Inode = minewarden.Inode{Dev: st.Dev, Ino: st.Ino, Mtime: st.Mtim.Nano()}
		}
	}
	if text, err = readProc(dir + "cmdline"); err == nil && text != "" {
		if len(text) > maxArgs {
			text, e.ArgsTruncated = text[:maxArgs], true
		}
		e.Args = splitArgs([]byte(text))
	}
	if text, err = readProc(dir + "environ"); err == nil {
		for v := range strings.SplitSeq(text, "\x00") {
			if value, ok := strings.CutPrefix(v, "LD_PRELOAD="); ok {
				e.Preload = value
				break
			}
		}
	}
	return p, nil
}

// complete asks /proc for a path that was too deep to walk, if the process still runs.
func complete(k minewarden.ProcessKey, e *minewarden.Exec) {
	deepExe, deepCwd := strings.HasPrefix(e.Exe, cutMark), strings.HasPrefix(e.Cwd, cutMark)
	if !deepExe && !deepCwd {
		return
	}
	now, err := readProcess(k.PID)
	if err != nil || now.key.Start != k.Start {
		return
	}
	if deepExe && now.exec.Inode.Ino == e.Inode.Ino && now.exec.Exe != "" {
		e.Exe = now.exec.Exe
	}
	if deepCwd && now.exec.Cwd != "" {
		e.Cwd = now.exec.Cwd
	}
}

// setExe reads the target of /proc/PID/exe, where the kernel marks what has no name.
func setExe(e *minewarden.Exec, exe string) {
	name, deleted := strings.CutSuffix(exe, " (deleted)")
	if deleted && strings.HasPrefix(name, "/memfd:") {
		e.Exe, e.Memfd = name[1:], true
		return
	}
	e.Exe, e.Deleted = name, deleted
}

func readProc(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	return string(b), err
}

const pfKthread = 0x00200000

type stat struct {
	comm  string
	ppid  int32
	flags uint64
	start uint64
}

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads /proc/PID/stat, in which the name may hold blanks and brackets.
func parseStat(line string) (stat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	f := strings.Fields(line[end+1:]) // from field 3 on
	if len(f) < 20 {
		return stat{}, errStat
	}
	ppid, err := strconv.ParseInt(f[1], 10, 32)
	flags, err2 := strconv.ParseUint(f[6], 10, 64)
	start, err3 := strconv.ParseUint(f[19], 10, 64)
	if err != nil || err2 != nil || err3 != nil {
		return stat{}, errStat
	}
	return stat{comm: line[open+1 : end], ppid: int32(ppid), flags: flags, start: start}, nil
}

// realIDs reads the first of the four ids in Uid and Gid of /proc/PID/status.
func realIDs(status string) (uid, gid uint32) {
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 && (name == "Uid" || name == "Gid") {
			id, err := strconv.ParseUint(f[0], 10, 32)
			if err != nil {
				continue
			}
			if name == "Uid" {
				uid = uint32(id)
			} else {
				gid = uint32(id)
			}
		}
	}
	return uid, gid
}

// alive tells whether the process of that key still runs under its pid.
func alive(k minewarden.ProcessKey) (bool, error) {
	text, err := readProc("/proc/" + strconv.Itoa(int(k.PID)) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	st, err := parseStat(text)
	return err == nil && st.start == k.Start, err
}
