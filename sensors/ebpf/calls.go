package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const maxCalls = 512

// The classes of bpf/calls.bpf.c.
const (
	callConnect = 1 + iota
	callMprotect
	callMmap
	callOpen
	callOpenat
	callSetpriority
	callAffinity
	callScheduler
	callSchedattr
	callMlock
	callMlockall
	callPtrace
	callVMRead
	callVMWrite
)

// callClasses says, by number of the call on this architecture, which calls are looked at.
func callClasses() (class [maxCalls]uint8) {
	for nr, c := range map[int]uint8{
		unix.SYS_CONNECT:            callConnect,
		unix.SYS_MPROTECT:           callMprotect,
		unix.SYS_PKEY_MPROTECT:      callMprotect,
		unix.SYS_MMAP:               callMmap,
		unix.SYS_OPENAT:             callOpenat,
		unix.SYS_OPENAT2:            callOpenat,
		unix.SYS_SETPRIORITY:        callSetpriority,
		unix.SYS_SCHED_SETAFFINITY:  callAffinity,
		unix.SYS_SCHED_SETSCHEDULER: callScheduler,
		unix.SYS_SCHED_SETATTR:      callSchedattr,
		unix.SYS_MLOCK:              callMlock,
		unix.SYS_MLOCK2:             callMlock,
		unix.SYS_MLOCKALL:           callMlockall,
		unix.SYS_PTRACE:             callPtrace,
		unix.SYS_PROCESS_VM_READV:   callVMRead,
		unix.SYS_PROCESS_VM_WRITEV:  callVMWrite,
	} {
		class[nr] = c
	}
	oldCalls(&class)
	return class
}

// connectResult values that are no errno of connect(2).
const (
	resultUnknown = 1
	resultGivenUp = -512 // the process closed the socket before the answer
)

func decodeConnect(f *fields) *minewarden.Connect {
	c := &minewarden.Connect{Socket: f.u64()}
	family, proto, result := f.u32(), f.u32(), int32(f.u32())
	local, remote := f.u16(), f.u16()
	c.Local = addrPort(family, f.bytes(16), local)
	c.Remote = addrPort(family, f.bytes(16), remote)
	switch proto {
	case unix.IPPROTO_TCP:
		c.Proto = "tcp"
	case unix.IPPROTO_UDP:
		c.Proto = "udp"
	default:
		c.Proto = "ip/" + strconv.Itoa(int(proto))
	}
	switch {
	case result == 0:
		c.Result = "ok"
	case result == resultGivenUp:
		c.Result = "ECANCELED"
	case result < 0:
		c.Result = errno(-result)
	}
	return c
}

func errno(n int32) string {
	if name := unix.ErrnoName(syscall.Errno(n)); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(n))
}

func addrPort(family uint32, b []byte, port uint16) netip.AddrPort {
	if family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), port)
}

// The things asked for, of bpf/calls.bpf.c.
const (
	tuneNice = 1 + iota
	tuneAffinity
	tunePolicy
	tuneMlock
	tuneHugepages
	tuneMSR
	tuneDMI
	tuneOOM
	tuneWatchdog
)

func decodeTune(f *fields) *minewarden.Tune {
	value, what, result := f.u64(), f.u32(), int32(f.u32())
	text := f.bytes(128)
	t := &minewarden.Tune{}
	switch what {
	case tuneNice:
		t.What, t.Value = "nice", strconv.FormatInt(int64(value), 10)
	case tuneAffinity:
		t.What, t.Value = "affinity", cpuList(text)
	case tunePolicy:
		t.What, t.Value = "policy", policy(value)
	case tuneMlock:
		t.What, t.Value = "mlock", "all"
		if value > 0 {
			t.Value = strconv.FormatUint(value, 10)
		}
	case tuneHugepages: // of a mapping, in bytes; none: the system's number was opened for writing
		t.What, t.Value = "hugepages", "nr_hugepages"
		if value > 0 {
			t.Value = strconv.FormatUint(value, 10)
		}
	case tuneMSR:
		t.What, t.Value = "msr", "cpu "+strconv.FormatUint(value, 10)
		if result < 0 {
			t.Value = errno(-result)
		}
	case tuneDMI:
		t.What = "dmi"
	case tuneOOM:
		t.What = "oom_score"
	case tuneWatchdog:
		t.What = "watchdog"
	default:
		t.What = "unknown " + strconv.Itoa(int(what))
	}
	return t
}

func policy(n uint64) string {
	names := [...]string{"other", "fifo", "rr", "batch", "", "idle", "deadline", "ext"}
	const resetOnFork = 0x40000000
	if n &^= resetOnFork; n < uint64(len(names)) && names[n] != "" {
		return names[n]
	}
	return strconv.FormatUint(n, 10)
}

// cpuList writes a mask as "0-3,8".
func cpuList(mask []byte) string {
	var b strings.Builder
	for cpu := 0; cpu < len(mask)*8; cpu++ {
		if mask[cpu/8]&(1<<(cpu%8)) == 0 {
			continue
		}
		last := cpu
		for last+1 < len(mask)*8 && mask[(last+1)/8]&(1<<((last+1)%8)) != 0 {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpu))
		if last > cpu {
			b.WriteString("-" + strconv.Itoa(last))
		}
		cpu = last
	}
	return b.String()
}

// The ways into another process, of bpf/calls.bpf.c.
var accessNames = [...]string{"", "ptrace_attach", "ptrace_seize", "process_vm_readv", "process_vm_writev", "proc_mem"}

// decodeAccess leaves the target's start for the live process of that pid, where the kernel did not know it.
func decodeAccess(f *fields) *minewarden.Access {
	start, pid, how, level := f.u64(), f.u32(), f.u32(), f.u32()
	f.u32()
	a := &minewarden.Access{How: "unknown " + strconv.Itoa(int(how)), Target: key(pid, start)}
	if how > 0 && how < uint32(len(accessNames)) {
		a.How = accessNames[how]
	}
	switch {
	case start != 0 || f.short:
	case level == 0:
		a.Target = liveKey(int32(pid))
	default: // a pid within the caller's namespace says nothing here
		a.Target = minewarden.ProcessKey{}
	}
	return a
}

// liveKey names the process to which a thread belongs. Where it ended meanwhile only the pid is known.
func liveKey(tid int32) minewarden.ProcessKey {
	dir := "/proc/" + strconv.Itoa(int(tid)) + "/"
	k := minewarden.ProcessKey{PID: tid}
	if text, err := readProc(dir + "status"); err == nil {
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "Tgid:"); ok {
				if pid, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 32); err == nil {
					k.PID = int32(pid)
				}
				break
			}
		}
	}
	if text, err := readProc("/proc/" + strconv.Itoa(int(k.PID)) + "/stat"); err == nil {
		if st, err := parseStat(text); err == nil {
			k.Start = st.start
		}
	}
	return k
}

// calls follows the kernel's tables of memory made executable and of connections without an answer.
type calls struct {
	protects  map[callsProtectKey]*protected
	round     uint32
	waiting   map[uint64]uint64 // sockets that were told of, with the time of their begin
	keys      []callsProtectKey
	vals      []callsProtect
	sockets   []uint64
	connected []callsConnect
}

type protected struct {
	flips, both, round uint32
}

func newCalls() *calls {
	const batch = 256
	return &calls{
		protects:  map[callsProtectKey]*protected{},
		waiting:   map[uint64]uint64{},
		keys:      make([]callsProtectKey, batch),
		vals:      make([]callsProtect, batch),
		sockets:   make([]uint64, batch),
		connected: make([]callsConnect, batch),
	}
}

func (r *run) reportProtects() {
	if r.kernel.protects == nil {
		return
	}
	c, now := r.calls, time.Now()
	c.round++
	var gone []callsProtectKey
	err := batches(r.kernel.protects, c.keys, c.vals, func(k callsProtectKey, v *callsProtect) {
		p := c.protects[k]
		if p == nil {
			p = &protected{}
			c.protects[k] = p
		}
		p.round = c.round
		if v.Gone != 0 {
			gone = append(gone, k)
		}
		if v.Flips == p.flips {
			return
		}
		r.emit(minewarden.Event{
			Time:    now,
			Process: &minewarden.Process{Key: key(k.Tgid, k.Start)},
			Data:    &minewarden.Protect{Addr: v.Addr, Len: v.Len, Flips: v.Flips - p.flips, WX: v.Both != p.both},
		})
		p.flips, p.both = v.Flips, v.Both
	})
	if err != nil {
		r.env.Log.Error("read table of executable memory", "error", err)
		return
	}
	for _, k := range gone {
		delete(c.protects, k)
		if err := r.kernel.protects.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			r.env.Log.Error("forget a process", "pid", k.Tgid, "error", err)
		}
	}
	for k, p := range c.protects {
		if p.round != c.round {
			delete(c.protects, k)
		}
	}
}

// tellWaiting is how long a connection may be without an answer before it is told of without result.
const tellWaiting = 2 * time.Second

func (r *run) reportPending() {
	if r.kernel.pending == nil {
		return
	}
	c := r.calls
	now := bootNow()
	still := make(map[uint64]uint64)
	err := batches(r.kernel.pending, c.sockets, c.connected, func(sk uint64, v *callsConnect) {
		since := v.Head.Time
		if now-since < uint64(tellWaiting) {
			return
		}
		if still[sk] = since; c.waiting[sk] == since {
			return
		}
		ev, err := connectEvent(v, r.clock)
		if err != nil {
			r.env.Log.Error("read table of connections", "error", err)
			return
		}
		r.emit(ev)
	})
	if err != nil {
		r.env.Log.Error("read table of connections", "error", err)
	}
	c.waiting = still
}

func connectEvent(v *callsConnect, clock clock) (minewarden.Event, error) {
	local, remote := v.Local, v.Remote
	c := &minewarden.Connect{
		Proto:  "tcp",
		Local:  addrPort(v.Family, local[:], v.LocalPort),
		Remote: addrPort(v.Family, remote[:], v.RemotePort),
		Socket: v.Cookie,
	}
	if v.Result != resultUnknown {
		return minewarden.Event{}, fmt.Errorf("connection to %s has a result already", c.Remote)
	}
	return minewarden.Event{
		Time:    clock.at(v.Head.Time),
		Process: &minewarden.Process{Key: key(v.Head.Tgid, v.Head.Start)},
		Data:    c,
	}, nil
}
