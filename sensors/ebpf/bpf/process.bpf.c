// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Programs started, processes forked and ended.
#include "event.h"

char LICENSE[] SEC("license") = "GPL";

enum {
	FLAG_DETACHED = 1,  // the executable hangs in no directory: memfd
	FLAG_DELETED = 2,   // it had a name once
	FLAG_SCRIPT = 4,    // the file given was not the file run
	FLAG_ARGS_CUT = 8,  // args stop at the limit
	FLAG_ARGS_LOST = 16,
	FLAG_EXE_CUT = 32,  // the path is longer than we walk
	FLAG_CWD_CUT = 64,
};

#define MAX_PARTS 64    // of a path
#define MAX_NAME 256
#define MAX_PATH 4096
#define MAX_FILENAME 1024
#define MAX_ARGS 8192
#define MAX_ENV 96      // variables that are looked at
#define MAX_PRELOAD 512

struct exec {
	struct head head;
	u64 parent_start;
	u32 parent_tgid;
	u32 uid;
	u32 gid;
	u32 dev;
	u64 ino;
	s64 mtime;
	u64 cgroup;
	char comm[16];
	char parent_comm[16];
	u32 filename_len; // the lengths of what data holds, in this order
	u32 exe_len;      // parts of the path, last first, each ended by 0
	u32 cwd_len;
	u32 preload_len;
	u32 args_len;
	u32 args_total;
};

#define DATA_HALF 16384

struct exec_buffer {
	struct exec exec;
	char data[DATA_HALF + MAX_ARGS];
	u32 off; // where the next part of data goes; not sent
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_buffer);
} scratch SEC(".maps");

// walk appends the parts of a path to b->data at b->off, from the last to the first. The offset is kept in memory, where
// the verifier does not follow its values: else every way through the loop would be a case of its own.
static __noinline int walk(struct exec_buffer *b, struct dentry *dentry, struct vfsmount *vfs, u32 cut)
{
	struct dentry *root = BPF_CORE_READ(vfs, mnt_root);
	u32 first = b->off;

	for (int i = 0; i < MAX_PARTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		u32 off = b->off;
		long n;

		if (dentry == root) {
			struct mount *m = (void *)vfs - bpf_core_field_offset(struct mount, mnt);
			struct mount *up = BPF_CORE_READ(m, mnt_parent);

			if (up == m)
				return 0;
			dentry = BPF_CORE_READ(m, mnt_mountpoint);
			vfs = (void *)up + bpf_core_field_offset(struct mount, mnt);
			root = BPF_CORE_READ(vfs, mnt_root);
			continue;
		}
		if (off - first >= MAX_PATH)
			break;
		n = bpf_probe_read_kernel_str(&b->data[off & (DATA_HALF - 1)], MAX_NAME, BPF_CORE_READ(dentry, d_name.name));
		if (n < 0)
			break;
		b->off = off + n;
		if (dentry == parent) {
			if (cut == FLAG_EXE_CUT)
				b->exec.head.flags |= FLAG_DETACHED;
			return 0;
		}
		dentry = parent;
	}
	b->exec.head.flags |= cut;
	return 0;
}

static __always_inline s64 mtime_of(struct inode *inode)
{
	if (bpf_core_field_exists(inode->i_mtime_sec))
		return BPF_CORE_READ(inode, i_mtime_sec) * 1000000000LL + BPF_CORE_READ(inode, i_mtime_nsec);

	struct inode___66 *newer = (void *)inode;
	if (bpf_core_field_exists(newer->__i_mtime))
		return BPF_CORE_READ(newer, __i_mtime.tv_sec) * 1000000000LL + BPF_CORE_READ(newer, __i_mtime.tv_nsec);

	struct inode___65 *older = (void *)inode;
	if (bpf_core_field_exists(older->i_mtime))
		return BPF_CORE_READ(older, i_mtime.tv_sec) * 1000000000LL + BPF_CORE_READ(older, i_mtime.tv_nsec);
	return 0;
}

// preload finds LD_PRELOAD= in the new environment. The memory was just written, so reading it does not fault.
static __noinline u32 preload(struct exec_buffer *b, u32 off, unsigned long env, unsigned long env_end)
{
	char *to = &b->data[off & (DATA_HALF - 1)];

	for (int i = 0; i < MAX_ENV; i++) {
		long n;

		if (env >= env_end)
			return 0;
		n = bpf_probe_read_user_str(to, MAX_PATH, (void *)env);
		if (n <= 0)
			return 0;
		if (*(u64 *)to == 0x4f4c4552505f444cULL && *(u32 *)(to + 7) == 0x3d44414f) { // "LD_PRELO", "OAD="
			return n > MAX_PRELOAD ? MAX_PRELOAD : n;
		}
		env += n;
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *bprm = (void *)ctx[2];
	struct task_struct *parent;
	struct file *file;
	struct dentry *dentry;
	struct inode *inode;
	struct mm_struct *mm;
	const char *filename;
	unsigned long arg, total;
	u32 zero = 0, off;
	long n;

	struct exec_buffer *b = bpf_map_lookup_elem(&scratch, &zero);
	if (!b)
		return 0;
	fill_head(&b->exec.head, KIND_EXEC, task);

	parent = BPF_CORE_READ(task, real_parent);
	b->exec.parent_tgid = BPF_CORE_READ(parent, tgid);
	b->exec.parent_start = BPF_CORE_READ(parent, group_leader, start_boottime);
	bpf_probe_read_kernel(b->exec.parent_comm, 16, &parent->comm);
	bpf_probe_read_kernel(b->exec.comm, 16, &task->comm);
	b->exec.uid = BPF_CORE_READ(task, cred, uid.val);
	b->exec.gid = BPF_CORE_READ(task, cred, gid.val);
	b->exec.cgroup = bpf_get_current_cgroup_id();

	file = BPF_CORE_READ(bprm, file);
	dentry = BPF_CORE_READ(file, f_path.dentry);
	inode = BPF_CORE_READ(file, f_inode);
	b->exec.ino = BPF_CORE_READ(inode, i_ino);
	b->exec.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	b->exec.mtime = mtime_of(inode);
	if (!BPF_CORE_READ(dentry, d_hash.pprev))
		b->exec.head.flags |= FLAG_DELETED;

	filename = BPF_CORE_READ(bprm, filename);
	if (BPF_CORE_READ(bprm, interp) != filename)
		b->exec.head.flags |= FLAG_SCRIPT;
	n = bpf_probe_read_kernel_str(b->data, MAX_FILENAME, filename);
	b->off = n > 0 ? n : 0;
	b->exec.filename_len = b->off;

	walk(b, dentry, BPF_CORE_READ(file, f_path.mnt), FLAG_EXE_CUT);
	b->exec.exe_len = b->off - b->exec.filename_len;

	off = b->off;
	walk(b, BPF_CORE_READ(task, fs, pwd.dentry), BPF_CORE_READ(task, fs, pwd.mnt), FLAG_CWD_CUT);
	b->exec.cwd_len = b->off - off;

	mm = BPF_CORE_READ(task, mm);
	n = preload(b, b->off, BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	b->exec.preload_len = n;
	b->off += n;

	arg = BPF_CORE_READ(mm, arg_start);
	total = BPF_CORE_READ(mm, arg_end) - arg;
	b->exec.args_total = total;
	if (total > MAX_ARGS) {
		total = MAX_ARGS;
		b->exec.head.flags |= FLAG_ARGS_CUT;
	}
	off = b->off & (DATA_HALF - 1);
	if (total > 0 && bpf_probe_read_user(&b->data[off], total, (void *)arg)) {
		b->exec.head.flags |= FLAG_ARGS_LOST;
		total = 0;
	}
	b->exec.args_len = total;

	total += off + sizeof(struct exec);
	if (total > sizeof(b->exec) + sizeof(b->data))
		total = sizeof(b->exec) + sizeof(b->data);
	send(b, total);
	return 0;
}

struct fork {
	struct head head; // the maker
	u64 child_start;
	u32 child_tgid;
	u32 pad;
};

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct fork f = {};

	if (BPF_CORE_READ(child, tgid) != BPF_CORE_READ(child, pid))
		return 0;
	fill_head(&f.head, KIND_FORK, parent);
	f.child_tgid = BPF_CORE_READ(child, tgid);
	f.child_start = BPF_CORE_READ(child, start_boottime);
	send(&f, sizeof(f));
	return 0;
}

struct exit {
	struct head head;
	u32 code; // as wait(2) gives it
	u32 pad;
};

#define SIGNAL_GROUP_EXIT 4

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct exit e = {};

	if (BPF_CORE_READ(signal, live.counter) != 0)
		return 0;
	fill_head(&e.head, KIND_EXIT, task);
	e.code = BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT ? BPF_CORE_READ(signal, group_exit_code)
								  : BPF_CORE_READ(task, exit_code);
	send(&e, sizeof(e));
	return 0;
}
