package minewarden

import "time"

// Exec says that the event's process runs a program. Existing ones are reported so at a sensor's start.
type Exec struct {
	Parent        ProcessKey `json:"parent"`                // who forked it; zero where unknown
	ParentName    string     `json:"parent_name,omitempty"` // comm of the parent at that moment; helps where the parent was never seen
	Name          string     `json:"name"`                  // comm
	Exe           string     `json:"exe"`                   // resolved path; "memfd:NAME" for memory files; empty for kernel threads
	Filename      string     `json:"filename,omitempty"`    // as given to execve
	Script        string     `json:"script,omitempty"`      // path of the script, where Exe is its interpreter
	Args          []string   `json:"args,omitempty"`
	ArgsTruncated bool       `json:"args_truncated,omitempty"` // Args stops at the sensor's stated limit
	Cwd           string     `json:"cwd,omitempty"`
	UID           uint32     `json:"uid"`
	GID           uint32     `json:"gid,omitempty"`
	CgroupID      uint64     `json:"cgroup_id,omitempty"` // v2 inode; 0: unknown
	Cgroup        string     `json:"cgroup,omitempty"`    // path; the pipeline finds it by CgroupID where empty
	Inode         Inode      `json:"inode,omitzero"`
	Memfd         bool       `json:"memfd,omitempty"`
	Deleted       bool       `json:"deleted,omitempty"`
	Kernel        bool       `json:"kernel,omitempty"`
	Existing      bool       `json:"existing,omitempty"` // it ran before the sensor looked
	Preload       string     `json:"preload,omitempty"`  // LD_PRELOAD of its environment
	Package       string     `json:"package,omitempty"`  // filled by the pipeline
}

// Kind implements Data.
func (*Exec) Kind() Kind { return KindExec }

// Fork says that the event's process made the process Child. Threads are not reported.
type Fork struct {
	Child ProcessKey `json:"child"`
}

// Kind implements Data.
func (*Fork) Kind() Kind { return KindFork }

// Exit says that the event's process ended.
type Exit struct {
	Code   int32 `json:"code"` // -1: unknown
	Signal int32 `json:"signal,omitempty"`
}

// Kind implements Data.
func (*Exit) Kind() Kind { return KindExit }

// Image says what the event's process runs: it follows an exec once the file was hashed.
type Image struct {
	Exe      string `json:"exe"`
	Inode    Inode  `json:"inode"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	Package  string `json:"package,omitempty"`
	Modified bool   `json:"modified,omitempty"` // differs from what its package installed
}

// Kind implements Data.
func (*Image) Kind() Kind { return KindImage }

// Usage is what the event's process used since the last look.
type Usage struct {
	Interval time.Duration `json:"interval"`          // ns
	CPU      time.Duration `json:"cpu"`               // user and system, all threads, within Interval
	Threads  []ThreadUsage `json:"threads,omitempty"` // the busiest, at most 64
	Tasks    int           `json:"tasks,omitempty"`   // number of threads
	RSS      uint64        `json:"rss"`               // bytes
	Swap     uint64        `json:"swap,omitempty"`
	GPU      time.Duration `json:"gpu,omitempty"`      // engine time within Interval, from DRM fdinfo
	GPUOpen  bool          `json:"gpu_open,omitempty"` // holds a GPU device
	Nice     int8          `json:"nice,omitempty"`
	Policy   string        `json:"policy,omitempty"` // "idle", "batch", "fifo"; empty: other
}

// ThreadUsage is one thread's share of a Usage.
type ThreadUsage struct {
	TID int32         `json:"tid"`
	CPU time.Duration `json:"cpu"`
}

// Kind implements Data.
func (*Usage) Kind() Kind { return KindUsage }

// Hidden says that the event's process runs but /proc does not list it.
type Hidden struct {
	How string `json:"how"` // "iter/task", "kill 0"
}

// Kind implements Data.
func (*Hidden) Kind() Kind { return KindHidden }

// Access says that the event's process reached into another process.
type Access struct {
	Target ProcessKey `json:"target"`
	How    string     `json:"how"` // ptrace_attach, ptrace_seize, process_vm_readv, process_vm_writev, proc_mem
}

// Kind implements Data.
func (*Access) Kind() Kind { return KindAccess }

// Tune says that the event's process asked the kernel for what miners ask for.
type Tune struct {
	What  string `json:"what"` // nice, affinity, policy, mlock, hugepages, msr, dmi, oom_score, watchdog
	Value string `json:"value,omitempty"`
}

// Kind implements Data.
func (*Tune) Kind() Kind { return KindTune }

// Protect says that the event's process made written memory executable, or executable memory writable again.
type Protect struct {
	Addr  uint64 `json:"addr"`
	Len   uint64 `json:"len"`
	Flips uint32 `json:"flips"`        // W^X changes of this process since it was last reported
	WX    bool   `json:"wx,omitempty"` // writable and executable at once
}

// Kind implements Data.
func (*Protect) Kind() Kind { return KindProtect }

// Memory is the shape of the event's process's memory.
type Memory struct {
	AnonExec uint64   `json:"anon_exec"`         // bytes of anonymous executable memory
	Huge     uint64   `json:"huge,omitempty"`    // bytes on huge pages
	Locked   uint64   `json:"locked,omitempty"`  // bytes
	Regions  []uint64 `json:"regions,omitempty"` // sizes of the largest anonymous regions, descending, at most 32
}

// Kind implements Data.
func (*Memory) Kind() Kind { return KindMemory }

// Rounding counts, for one thread since its last report, the floating-point rounding modes that were found at moments
// which the thread does not choose (it was switched in). On amd64 from MXCSR, on arm64 from FPCR.
type Rounding struct {
	TID  int32         `json:"tid"`
	Near uint32        `json:"near"`
	Down uint32        `json:"down"`
	Up   uint32        `json:"up"`
	Zero uint32        `json:"zero"`
	FTZ  uint32        `json:"ftz"`           // of these, with flush-to-zero and denormals-are-zero
	CPU  time.Duration `json:"cpu,omitempty"` // that the thread used meanwhile; 0: unknown
}

// Kind implements Data.
func (*Rounding) Kind() Kind { return KindRounding }

// Reads returns how often the mode was read.
func (r *Rounding) Reads() uint32 { return r.Near + r.Down + r.Up + r.Zero }

// Sample is code that a thread was running.
type Sample struct {
	TID  int32  `json:"tid"`
	Arch string `json:"arch"` // GOARCH
	IP   uint64 `json:"ip"`
	Code []byte `json:"code"`           // from IP on, at most 256 bytes
	Anon bool   `json:"anon,omitempty"` // IP lies in no file: generated code; meaningful where the sensor knows
}

// Kind implements Data.
func (*Sample) Kind() Kind { return KindSample }

// HostUsage is what the whole machine used since the last look.
type HostUsage struct {
	Interval time.Duration `json:"interval"`
	Busy     time.Duration `json:"busy"` // all CPUs
	CPUs     int           `json:"cpus"`
	Stalled  time.Duration `json:"stalled,omitempty"` // within Interval, while some task waited for a CPU (PSI); 0 where the kernel does not tell
	Joules   float64       `json:"joules,omitempty"`  // that the processor packages used (RAPL); 0: not known
}

// Kind implements Data.
func (*HostUsage) Kind() Kind { return KindHostUsage }
