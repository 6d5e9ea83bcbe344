// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the programs send to user space, and how. record.go reads it: change both.
#ifndef MINEWARDEN_EVENT_H
#define MINEWARDEN_EVENT_H

#include "core.h"

enum kind {
	KIND_EXEC = 1,
	KIND_FORK,
	KIND_EXIT,
	KIND_CONNECT,
	KIND_TUNE,
	KIND_ACCESS,
	KIND_SAMPLE,
	KIND_END,
};

// Every record begins with this. Times are nanoseconds after boot, suspend included.
struct head {
	u32 kind;
	u32 tgid;
	u32 tid;
	u32 flags;
	u64 start; // of the thread group's leader
	u64 time;
};

// One ring for all programs, so that events keep their order. The loader gives each object the same two maps.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

// Events that did not fit into the ring, by kind.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KIND_END);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

static __always_inline void count_lost(u32 kind)
{
	u64 *n = bpf_map_lookup_elem(&lost, &kind);

	if (n)
		*n += 1;
}

// The reader looks by the clock: waking it for an event costs the victim of the wake-up more than the event itself.
static __always_inline void send(void *data, u64 size)
{
	if (bpf_ringbuf_output(&events, data, size, BPF_RB_NO_WAKEUP))
		count_lost(*(u32 *)data);
}

static __always_inline void fill_head(struct head *h, u32 kind, struct task_struct *task)
{
	h->kind = kind;
	h->tgid = BPF_CORE_READ(task, tgid);
	h->tid = BPF_CORE_READ(task, pid);
	h->flags = 0;
	h->start = BPF_CORE_READ(task, group_leader, start_boottime);
	h->time = bpf_ktime_get_boot_ns();
}

#endif
