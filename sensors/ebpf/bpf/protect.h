// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Memory made executable, counted by process; user space reads it about every second.
#include "event.h"

#define RANGES 4

struct range {
	u64 from, to;
};

struct protect {
	u64 addr;
	u64 len;
	u32 flips;
	u32 both; // of the flips: writable and executable at once
	u32 next;
	u32 gone; // the process ended; user space removes the entry
	struct range exec[RANGES]; // last made executable
};

struct protect_key {
	u64 start;
	u32 tgid;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct protect_key);
	__type(value, struct protect);
} protects SEC(".maps");

#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define MAP_HUGETLB 0x40000

static __noinline int protect(struct task_struct *task, u64 addr, u64 len, u64 prot)
{
	struct protect_key key = {};
	struct protect *p, fresh;

	key.tgid = bpf_get_current_pid_tgid() >> 32;
	key.start = BPF_CORE_READ(task, group_leader, start_boottime);
	p = bpf_map_lookup_elem(&protects, &key);
	if (!(prot & PROT_EXEC)) {
		if (!p)
			return 0;
		for (int i = 0; i < RANGES; i++) {
			if (addr < p->exec[i].to && p->exec[i].from < addr + len) {
				p->addr = addr;
				p->len = len;
				__sync_fetch_and_add(&p->flips, 1);
				p->exec[i].to = p->exec[i].from = 0;
				return 0;
			}
		}
		return 0;
	}
	if (!p) {
		__builtin_memset(&fresh, 0, sizeof(fresh));
		bpf_map_update_elem(&protects, &key, &fresh, BPF_NOEXIST);
		p = bpf_map_lookup_elem(&protects, &key);
		if (!p) {
			count_lost(LOST_PROTECT);
			return 0;
		}
	}
	p->addr = addr;
	p->len = len;
	__sync_fetch_and_add(&p->flips, 1);
	if (prot & PROT_WRITE)
		__sync_fetch_and_add(&p->both, 1);
	u32 i = p->next++ & (RANGES - 1);
	p->exec[i].from = addr;
	p->exec[i].to = addr + len;
	return 0;
}

// The last counts of a process are still to be read after its end.
SEC("tp_btf/sched_process_exit")
int on_protect_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct protect_key key = {};
	struct protect *p;

	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	key.tgid = BPF_CORE_READ(task, tgid);
	key.start = BPF_CORE_READ(task, group_leader, start_boottime);
	p = bpf_map_lookup_elem(&protects, &key);
	if (p)
		p->gone = 1;
	return 0;
}
