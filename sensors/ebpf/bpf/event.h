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

// One ring for all programs, so that events keep their order. The loader gives each object the same ring, losses and flag.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

// What was lost: by kind of event, those that did not fit into the ring; then by table, those for which it had no place.
enum {
	LOST_PROTECT = KIND_END, // memory made executable
	LOST_END,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_END);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

static __always_inline void count_lost(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&lost, &what);

	if (n)
		*n += 1;
}

// Not 0 while the reader sleeps until it is woken. Else it looks by the clock: waking it for every event costs the victim of
// the wake-up more than the event itself.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} asleep SEC(".maps");

static __always_inline void send(void *data, u64 size)
{
	u32 zero = 0, *sleeps = bpf_map_lookup_elem(&asleep, &zero);
	u64 flags = BPF_RB_NO_WAKEUP;

	if (sleeps && *sleeps) {
		*sleeps = 0; // the first event wakes it; two at once do no harm
		flags = BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_output(&events, data, size, flags))
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
