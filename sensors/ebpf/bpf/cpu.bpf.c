// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What threads compute: the floating-point rounding mode at moments that they do not choose, and the code they run.
#include "event.h"

char LICENSE[] SEC("license") = "GPL";

#define CODE 256
#define MIN_CPU 50000000ULL       // ns that a thread must have run before a nearest-only one is kept account of
#define WINDOW 1000000000ULL      // ns over which hits are counted
#define FIRST_SAMPLES 96          // of a thread that begins to burn CPU
#define MORE_SAMPLES 3            // and then again: often, so that what must last for seconds is seen to
#define MORE_EVERY 2500000000ULL  // ns

// Set before loading: the agent itself, and how many hits in the last one to two windows mean that a thread burns CPU.
const volatile u32 self_tgid;
const volatile u32 burning_hits = 7;

struct thread {
	u64 start; // the thread's own, to know a tid that is used again
	u64 leader_start;
	u64 cpu; // ns that it ran in all, when last seen
	u64 window;
	u64 more_at;
	u32 tgid;
	u32 on_cpu;
	u32 modes[4]; // near, down, up, zero
	u32 ftz;
	u32 hits;
	u32 window_hits;
	u32 last_hits;
	u32 grant;
	u32 gone;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct thread);
} threads SEC(".maps");

// How many entries the table ever got. Those that user space has neither removed nor still sees were forgotten.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} made SEC(".maps");

struct sample {
	struct head head;
	u64 ip;
	u32 len;
	u32 anon; // 1: the code lies in no file; 2: not known
	u8 code[CODE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sample);
} scratch SEC(".maps");

static __always_inline struct thread *thread_of(u32 tid, struct task_struct *task, u64 cpu)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct thread fresh;
	u32 zero = 0;
	u64 *n;

	if (t && t->start == BPF_CORE_READ(task, start_boottime))
		return t;
	__builtin_memset(&fresh, 0, sizeof(fresh));
	fresh.start = BPF_CORE_READ(task, start_boottime);
	fresh.leader_start = BPF_CORE_READ(task, group_leader, start_boottime);
	fresh.tgid = BPF_CORE_READ(task, tgid);
	fresh.cpu = cpu;
	fresh.grant = FIRST_SAMPLES;
	if (!t && bpf_map_update_elem(&threads, &tid, &fresh, BPF_NOEXIST) == 0) {
		n = bpf_map_lookup_elem(&made, &zero);
		if (n)
			*n += 1;
	} else if (t) {
		bpf_map_update_elem(&threads, &tid, &fresh, BPF_ANY);
	}
	return bpf_map_lookup_elem(&threads, &tid);
}

#if defined(__TARGET_ARCH_x86)

union fpregs_state {
	u8 bytes[1];
};

struct fpstate {
	union fpregs_state regs;
} CORE;

struct fpu {
	struct fpstate *fpstate;
} CORE;

struct fpu___515 { // up to 5.15
	union fpregs_state state;
} CORE;

struct thread_struct___614 { // up to 6.14
	struct fpu fpu;
} CORE;

struct task_struct___614 {
	struct thread_struct___614 thread;
} CORE;

#define FXSAVE_MXCSR 24
#define XSAVE_BV 512
#define XFEATURE_SSE_AVX 6 // the state components that make the saved MXCSR valid

// control reads the saved MXCSR of a task that is not running. It returns false where there is none.
static __always_inline int control(struct task_struct *task, u32 *mode, u32 *ftz)
{
	struct task_struct___614 *old = (void *)task;
	struct fpu *fpu;
	void *area;
	u32 mxcsr = 0;
	u64 used = 0;

	if (bpf_core_field_exists(old->thread.fpu))
		fpu = (void *)task + bpf_core_field_offset(struct task_struct___614, thread.fpu);
	else
		fpu = (void *)task + bpf_core_type_size(struct task_struct);

	if (bpf_core_field_exists(fpu->fpstate)) {
		if (bpf_probe_read_kernel(&area, sizeof(area), (void *)fpu + bpf_core_field_offset(struct fpu, fpstate)))
			return 0;
		area += bpf_core_field_offset(struct fpstate, regs);
	} else {
		area = (void *)fpu + bpf_core_field_offset(struct fpu___515, state);
	}
	if (bpf_probe_read_kernel(&mxcsr, sizeof(mxcsr), area + FXSAVE_MXCSR))
		return 0;
	*mode = mxcsr >> 13 & 3;
	*ftz = (mxcsr & 0x8040) == 0x8040;
	if (*mode == 0 && !*ftz)
		return 1;
	// A state that is all initial is not written: then an old MXCSR still lies there.
	if (bpf_probe_read_kernel(&used, sizeof(used), area + XSAVE_BV) == 0 && !(used & XFEATURE_SSE_AVX))
		*mode = *ftz = 0;
	return 1;
}

#else

struct user_fpsimd_state {
	u32 fpcr;
} CORE;

struct uw {
	struct user_fpsimd_state fpsimd_state;
} CORE;

struct thread_struct___arm {
	struct {
		struct user_fpsimd_state fpsimd_state;
	} uw;
} CORE;

struct task_struct___arm {
	struct thread_struct___arm thread;
} CORE;

// control reads the saved FPCR. RMode is 0 nearest, 1 up, 2 down, 3 zero: down and up change places against MXCSR.
static __always_inline int control(struct task_struct *task, u32 *mode, u32 *ftz)
{
	struct task_struct___arm *t = (void *)task;
	u32 fpcr, rmode;

	if (!bpf_core_field_exists(t->thread.uw.fpsimd_state.fpcr))
		return 0;
	fpcr = BPF_CORE_READ(t, thread.uw.fpsimd_state.fpcr);
	rmode = fpcr >> 22 & 3;
	*mode = rmode == 1 ? 2 : rmode == 2 ? 1 : rmode;
	*ftz = fpcr >> 24 & 1;
	return 1;
}

#endif

SEC("tp_btf/sched_switch")
int on_switch(u64 *ctx)
{
	struct task_struct *next = (void *)ctx[2];
	u32 mode = 0, ftz = 0, tid;
	struct thread *t;
	u64 cpu;

	if (next->flags & PF_KTHREAD)
		return 0;
	tid = next->pid;
	if (!tid || next->tgid == self_tgid)
		return 0;
	cpu = next->se.sum_exec_runtime;
	if (!control(next, &mode, &ftz))
		return 0;
	if (cpu < MIN_CPU && mode == 0 && !ftz)
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t || t->start != next->start_boottime) {
		t = thread_of(tid, next, cpu);
		if (!t)
			return 0;
	}
	t->modes[mode & 3]++;
	t->ftz += ftz;
	t->cpu = cpu;
	return 0;
}

// A thread's last counts are still to be read after its end; user space removes them.
SEC("tp_btf/sched_process_exit")
int on_thread_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 tid = task->pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (t)
		t->gone = 1;
	return 0;
}

struct vm_area_struct {
	struct file *vm_file;
} CORE;

static long is_anon(struct task_struct *task, struct vm_area_struct *vma, u32 *anon)
{
	*anon = vma->vm_file == 0;
	return 0;
}

// The registers as the kernel shows them to a perf_event program: user interface, the same everywhere.
struct clock_context {
#if defined(__TARGET_ARCH_x86)
	u64 other[16];
	u64 ip;
	u64 cs;
#else
	u64 other[32];
	u64 ip;
	u64 pstate;
#endif
};

static __always_inline int in_user_mode(struct clock_context *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return (ctx->cs & 3) != 0;
#else
	return (ctx->pstate & 0xf) == 0;
#endif
}

static __always_inline int sample(struct clock_context *ctx, int find)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id, zero = 0, n;
	u64 now, cpu, ip;
	struct thread *t;
	struct sample *s;

	if (!tid || id >> 32 == self_tgid || BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return 0;
	cpu = BPF_CORE_READ(task, se.sum_exec_runtime);
	t = thread_of(tid, task, cpu);
	if (!t)
		return 0;
	now = bpf_ktime_get_boot_ns();
	t->hits++;
	t->cpu = cpu;
	t->on_cpu = bpf_get_smp_processor_id();
	if (now - t->window >= WINDOW) {
		t->last_hits = now - t->window < 2 * WINDOW ? t->window_hits : 0;
		t->window_hits = 0;
		t->window = now;
	}
	t->window_hits++;
	if (t->window_hits + t->last_hits < burning_hits)
		return 0;
	if (t->grant == 0) {
		if (now < t->more_at)
			return 0;
		t->grant = MORE_SAMPLES;
	}

	if (!in_user_mode(ctx))
		return 0;
	ip = ctx->ip;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	n = CODE;
	if (bpf_probe_read_user(s->code, CODE, (void *)ip)) {
		n = 4096 - (ip & 4095); // the next page is not there
		if (n >= CODE || bpf_probe_read_user(s->code, n & (CODE - 1), (void *)ip))
			return 0;
	}
	if (--t->grant == 0)
		t->more_at = now + MORE_EVERY;
	fill_head(&s->head, KIND_SAMPLE, task);
	s->ip = ip;
	s->len = n;
	s->anon = 2;
	if (find) {
		u32 anon = 2;

		bpf_find_vma((void *)bpf_get_current_task_btf(), ip, is_anon, &anon, 0);
		s->anon = anon;
	}
	send(s, sizeof(*s));
	return 0;
}

SEC("perf_event")
int on_clock(struct clock_context *ctx)
{
	return sample(ctx, 1);
}

// For kernels without bpf_find_vma (before 5.17).
SEC("perf_event")
int on_clock_plain(struct clock_context *ctx)
{
	return sample(ctx, 0);
}
