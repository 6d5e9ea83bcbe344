// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What threads ask of the kernel. One program looks at the end of every call; it leaves at once for all but those few whose
// class the loader has set. At the end of a call its arguments are still in the registers, and the result is known.
#include "connect.h"
#include "protect.h"

char LICENSE[] SEC("license") = "GPL";

// The classes, as in calls.go.
enum class {
	CALL_CONNECT = 1,
	CALL_MPROTECT,
	CALL_MMAP,
	CALL_OPEN,
	CALL_OPENAT,
	CALL_SETPRIORITY,
	CALL_AFFINITY,
	CALL_SCHEDULER,
	CALL_SCHEDATTR,
	CALL_MLOCK,
	CALL_MLOCKALL,
	CALL_PTRACE,
	CALL_VM_READ,
	CALL_VM_WRITE,
};

#define MAX_CALLS 512

// Set before loading.
const volatile u32 self_tgid;
const volatile u8 class_of[MAX_CALLS];

enum what {
	TUNE_NICE = 1,
	TUNE_AFFINITY,
	TUNE_POLICY,
	TUNE_MLOCK,
	TUNE_HUGEPAGES,
	TUNE_MSR,
	TUNE_DMI,
	TUNE_OOM,
	TUNE_WATCHDOG,
};

#define TEXT 128

struct tune {
	struct head head;
	u64 value;
	u32 what;
	s32 result;
	u8 text[TEXT]; // a CPU mask, or a name
};

enum how {
	HOW_PTRACE_ATTACH = 1,
	HOW_PTRACE_SEIZE,
	HOW_VM_READ,
	HOW_VM_WRITE,
	HOW_PROC_MEM,
};

struct access {
	struct head head;
	u64 target_start; // 0: not known
	u32 target;
	u32 how;
	u32 level; // of the caller's pid namespace, where target is a pid in that; else 0
	u32 pad;
};

// A process is told of once a second for each kind of thing it asks, and for each way into each process: how << 24 | pid.
// What is forgotten here is told again.
struct told_key {
	u32 tgid;
	u32 what;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct told_key);
	__type(value, u64);
} told SEC(".maps");

#define TELL_EVERY 1000000000ULL

static __always_inline int tell(u32 tgid, u32 what)
{
	struct told_key key = {tgid, what};
	u64 now = bpf_ktime_get_boot_ns();
	u64 *last = bpf_map_lookup_elem(&told, &key);

	if (last && now - *last < TELL_EVERY)
		return 0;
	bpf_map_update_elem(&told, &key, &now, BPF_ANY);
	return 1;
}

static __always_inline void tune(struct task_struct *task, u32 what, u64 value, long result)
{
	struct tune t;

	if (!tell(bpf_get_current_pid_tgid() >> 32, what))
		return;
	__builtin_memset(&t, 0, sizeof(t));
	fill_head(&t.head, KIND_TUNE, task);
	t.what = what;
	t.value = value;
	t.result = result;
	send(&t, sizeof(t));
}

#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define S_IFCHR 0020000
#define MSR_MAJOR 202
#define FMODE_WRITE 2
#define DEV_CPU 0x7570632f7665642fULL // "/dev/cpu"

// The names that are looked for, as little-endian numbers of their first eight characters.
#define NAME_MEM 0x6d656dULL                     // mem
#define NAME_ID 0x6469ULL                        // id
#define NAME_DMI 0x696d64ULL                     // dmi
#define NAME_TABLE 0x494d44ULL                   // DMI
#define NAME_SMBIOS 0x655f736f69626d73ULL        // smbios_e(ntry_point)
#define NAME_OOM_SCORE_ADJ 0x726f63735f6d6f6fULL // oom_scor(e_adj)
#define NAME_OOM_ADJ 0x6a64615f6d6f6fULL         // oom_adj
#define NAME_HUGEPAGES 0x70656775685f726eULL     // nr_hugep(ages)
#define NAME_WATCHDOG 0x637461775f696d6eULL      // nmi_watc(hdog)

static __always_inline u64 name_of(struct dentry *dentry)
{
	char name[16] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return *(u64 *)name;
}

// opened looks at what was opened, not at how it was called: links and racing writers to the path change nothing.
static __noinline int opened(struct task_struct *task, long fd, u64 path)
{
	struct file *file;
	struct inode *inode;
	struct dentry *dentry;
	u64 magic, name, wrote;
	u32 what = 0;

	if (fd < 0) {
		u64 begin = 0;

		// Asking for a register that the kernel does not offer tells as much as getting it.
		if (bpf_probe_read_user(&begin, sizeof(begin), (void *)path) == 0 && begin == DEV_CPU)
			tune(task, TUNE_MSR, ~0ULL, fd);
		return 0;
	}
	file = file_of(task, fd);
	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (magic != PROC_MAGIC && magic != SYSFS_MAGIC) {
		if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFCHR && BPF_CORE_READ(inode, i_rdev) >> 20 == MSR_MAJOR)
			tune(task, TUNE_MSR, BPF_CORE_READ(inode, i_rdev) & 0xfffff, 0);
		return 0;
	}
	dentry = BPF_CORE_READ(file, f_path.dentry);
	name = name_of(dentry);
	wrote = BPF_CORE_READ(file, f_mode) & FMODE_WRITE;
	if (magic == PROC_MAGIC && name == NAME_MEM) {
		struct proc_inode *proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
		struct pid *pid = BPF_CORE_READ(proc, pid);
		struct access a = {};

		a.target = BPF_CORE_READ(pid, numbers[0].nr);
		if (!pid || a.target == bpf_get_current_pid_tgid() >> 32)
			return 0;
		if (!tell(bpf_get_current_pid_tgid() >> 32, HOW_PROC_MEM << 24 | a.target))
			return 0;
		fill_head(&a.head, KIND_ACCESS, task);
		a.how = HOW_PROC_MEM;
		send(&a, sizeof(a));
		return 0;
	}
	if (name == NAME_HUGEPAGES && wrote)
		what = TUNE_HUGEPAGES;
	else if (name == NAME_WATCHDOG && wrote)
		what = TUNE_WATCHDOG;
	else if ((name == NAME_OOM_SCORE_ADJ || name == NAME_OOM_ADJ) && wrote)
		what = TUNE_OOM;
	else if (magic == SYSFS_MAGIC && (name == NAME_TABLE || name == NAME_SMBIOS))
		what = TUNE_DMI;
	else if (magic == SYSFS_MAGIC && name_of(BPF_CORE_READ(dentry, d_parent)) == NAME_ID &&
		 name_of(BPF_CORE_READ(dentry, d_parent, d_parent)) == NAME_DMI)
		what = TUNE_DMI;
	if (what)
		tune(task, what, 0, 0);
	return 0;
}

static __noinline int affinity(struct task_struct *task, u64 len, u64 mask)
{
	struct tune t;

	if (!tell(bpf_get_current_pid_tgid() >> 32, TUNE_AFFINITY))
		return 0;
	__builtin_memset(&t, 0, sizeof(t));
	if (len > TEXT)
		len = TEXT;
	if (bpf_probe_read_user(t.text, len, (void *)mask))
		return 0;
	fill_head(&t.head, KIND_TUNE, task);
	t.what = TUNE_AFFINITY;
	send(&t, sizeof(t));
	return 0;
}

struct sched_attr_head {
	u32 size;
	u32 policy;
	u64 flags;
	s32 nice;
	u32 priority;
};

static __noinline int schedattr(struct task_struct *task, u64 attr)
{
	struct sched_attr_head a = {};

	if (bpf_probe_read_user(&a, sizeof(a), (void *)attr))
		return 0;
	if (a.policy)
		tune(task, TUNE_POLICY, a.policy, 0);
	if (a.nice)
		tune(task, TUNE_NICE, (s64)a.nice, 0);
	return 0;
}

#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206

static __noinline int traced(struct task_struct *task, u64 request)
{
	struct access a = {};
	struct list_head *first;
	struct task_struct *target;

	if (request != PTRACE_ATTACH && request != PTRACE_SEIZE)
		return 0;
	// The newest tracee is the first of the list, whatever number it has in the caller's namespace.
	first = BPF_CORE_READ(task, ptraced.next);
	if (first == (void *)task + bpf_core_field_offset(struct task_struct, ptraced))
		return 0;
	target = (void *)first - bpf_core_field_offset(struct task_struct, ptrace_entry);
	fill_head(&a.head, KIND_ACCESS, task);
	a.how = request == PTRACE_ATTACH ? HOW_PTRACE_ATTACH : HOW_PTRACE_SEIZE;
	a.target = BPF_CORE_READ(target, tgid);
	a.target_start = BPF_CORE_READ(target, group_leader, start_boottime);
	if (!tell(a.head.tgid, a.how << 24 | a.target))
		return 0;
	send(&a, sizeof(a));
	return 0;
}

static __noinline int reached(struct task_struct *task, u32 how, u64 pid)
{
	struct access a = {};

	fill_head(&a.head, KIND_ACCESS, task);
	a.how = how;
	a.target = pid;
	a.level = BPF_CORE_READ(task, thread_pid, level);
	if ((a.level == 0 && a.target == a.head.tgid) || !tell(a.head.tgid, a.how << 24 | a.target))
		return 0;
	send(&a, sizeof(a));
	return 0;
}

#define MIN_MLOCK (1 << 20) // bytes; below, it is keys and passwords

// Calls of 32-bit programs have other numbers.
static __always_inline int is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread_info.status) & 2;
#else
	return BPF_CORE_READ(task, thread_info.flags) >> 22 & 1;
#endif
}

SEC("tp_btf/sys_exit")
int on_call(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	long ret = ctx[1], nr = SYSCALL_NR(regs);
	struct task_struct *task;
	u8 class;

	if ((u64)nr >= MAX_CALLS)
		return 0;
	class = class_of[nr];
	if (!class)
		return 0;
	if (class == CALL_MMAP) { // by far the most frequent, and hardly ever of interest
		u64 prot = ARG3(regs), flags = ARG4(regs);

		if (ret < 0 && ret > -4096)
			return 0;
		if ((prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC) && !(flags & MAP_HUGETLB))
			return 0;
	} else if (ret < 0 && class != CALL_CONNECT && class != CALL_OPEN && class != CALL_OPENAT) {
		return 0;
	}
	task = (void *)bpf_get_current_task();
	if (bpf_get_current_pid_tgid() >> 32 == self_tgid && class != CALL_CONNECT)
		return 0;
	if (is_compat(task))
		return 0;

	switch (class) {
	case CALL_CONNECT:
		return connect_ends(task, ARG1(regs), ARG2(regs), ret);
	case CALL_MPROTECT:
		return protect(task, ARG1(regs), ARG2(regs), ARG3(regs));
	case CALL_MMAP:
		if (ARG4(regs) & MAP_HUGETLB)
			tune(task, TUNE_HUGEPAGES, ARG2(regs), 0);
		if ((ARG3(regs) & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC))
			return protect(task, ret, ARG2(regs), ARG3(regs));
		return 0;
	case CALL_OPEN:
		return opened(task, ret, ARG1(regs));
	case CALL_OPENAT:
		return opened(task, ret, ARG2(regs));
	case CALL_SETPRIORITY:
		tune(task, TUNE_NICE, (s64)(s32)ARG3(regs), 0);
		return 0;
	case CALL_AFFINITY:
		return affinity(task, ARG2(regs), ARG3(regs));
	case CALL_SCHEDULER:
		if (ARG2(regs))
			tune(task, TUNE_POLICY, ARG2(regs), 0);
		return 0;
	case CALL_SCHEDATTR:
		return schedattr(task, ARG2(regs));
	case CALL_MLOCK:
		if (ARG2(regs) >= MIN_MLOCK)
			tune(task, TUNE_MLOCK, ARG2(regs), 0);
		return 0;
	case CALL_MLOCKALL:
		tune(task, TUNE_MLOCK, 0, 0);
		return 0;
	case CALL_PTRACE:
		return traced(task, ARG1(regs));
	case CALL_VM_READ:
		return reached(task, HOW_VM_READ, ARG1(regs));
	case CALL_VM_WRITE:
		return reached(task, HOW_VM_WRITE, ARG1(regs));
	}
	return 0;
}
