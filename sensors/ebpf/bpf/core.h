// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The kernel's types, as far as these programs read them. Every field is found by its name in the running kernel's own
// type information (CO-RE), so order and offsets here mean nothing and a field that is missing there can be asked for
// with bpf_core_field_exists. A suffix after ___ names a variant of a type in other kernel versions.
#ifndef MINEWARDEN_CORE_H
#define MINEWARDEN_CORE_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

// From the kernel's user interface: numbers that never change.
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define CORE __attribute__((preserve_access_index))

struct list_head {
	struct list_head *next;
} CORE;

struct hlist_node;

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
} CORE;

struct qstr {
	const unsigned char *name;
} CORE;

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
} CORE;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
} CORE;

struct inode {
	u16 i_mode;
	u32 i_nlink;
	u32 i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
	s64 i_mtime_sec;
	u32 i_mtime_nsec;
} CORE;

struct inode___66 { // 6.6 to 6.10
	struct timespec64 __i_mtime;
} CORE;

struct inode___65 { // up to 6.5
	struct timespec64 i_mtime;
} CORE;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} CORE;

struct vfsmount {
	struct dentry *mnt_root;
} CORE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} CORE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} CORE;

struct file {
	u32 f_mode;
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
} CORE;

struct fs_struct {
	struct path pwd;
} CORE;

struct fdtable {
	u32 max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct upid {
	int nr;
} CORE;

struct pid {
	u32 level;
	struct upid numbers[1];
} CORE;

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
} CORE;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	u32 flags;
} CORE;

typedef struct {
	u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
	kuid_t gid;
} CORE;

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
} CORE;

struct sched_entity {
	u64 sum_exec_runtime;
} CORE;

struct thread_info {
	unsigned long flags;
	u32 status;
} CORE;

struct thread_struct;

struct task_struct {
	struct thread_info thread_info;
	u32 flags;
	struct sched_entity se;
	struct mm_struct *mm;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct list_head ptraced;
	struct list_head ptrace_entry;
	struct pid *thread_pid;
	u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
} CORE;

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
} CORE;

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, r10, r8, orig_ax, ip, cs;
} CORE;
#define SYSCALL_NR(regs) ((long)(regs)->orig_ax)
#define ARG1(regs) ((regs)->di)
#define ARG2(regs) ((regs)->si)
#define ARG3(regs) ((regs)->dx)
#define ARG4(regs) ((regs)->r10)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	u64 regs[31];
	u64 pc;
	u64 pstate;
	u64 orig_x0;
	s32 syscallno;
} CORE;
#define SYSCALL_NR(r) ((long)(r)->syscallno)
#define ARG1(r) ((r)->orig_x0)
#define ARG2(r) ((r)->regs[1])
#define ARG3(r) ((r)->regs[2])
#define ARG4(r) ((r)->regs[3])
#else
#error "no register layout for this architecture"
#endif

#define PF_KTHREAD 0x00200000
#define EINPROGRESS 115

#endif
