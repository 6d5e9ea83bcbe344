// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Refuses connect() and sendmsg() to what the maps list, before a packet exists. What is exempt is never refused.
#include "block.h"

char LICENSE[] SEC("license") = "GPL";

#define MAX_PARENTS 32 // a deeper tree is followed no further
#define MAX_LEVELS 12  // of cgroups

// Why something was refused; the order is that of the names in kernel.go.
enum { BY_ADDRESS, BY_ENDPOINT, BY_PORT, BY_TREE, BY_CGROUP, REASONS };

// Bits of state.active: which maps hold anything.
enum { HAVE_ENDPOINTS = 1, HAVE_PORTS = 2, HAVE_TREES = 4, HAVE_CGROUPS = 8 };

struct prefix {
	u32 bits;
	u32 addr[4]; // network order; IPv4 as ::ffff:a.b.c.d
};

struct endpoint {
	u32 addr[4];
	u16 port; // host order
	u16 pad;
};

struct process {
	u32 tgid;
	u32 pad;
	u64 start; // clock ticks since boot, as /proc has it
};

struct state {
	u32 active;
	u32 pad;
	u64 refused[REASONS];
};

// Values are when the entry ends on CLOCK_BOOTTIME; 0: never.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, u64);
} blocked SEC(".maps"), exempt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint);
	__type(value, u64);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, u64);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct process);
	__type(value, u64);
} trees SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u64);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct state);
} state SEC(".maps");

// Set where the kernel takes them; where not, the code below is not there for the verifier.
const volatile u8 with_trees = 1;
const volatile u8 with_cgroups = 1;
const volatile u64 tick_ns = 10000000; // of the clock in /proc/PID/stat

static __always_inline int lives(u64 *until)
{
	return until && (*until == 0 || bpf_ktime_get_boot_ns() < *until);
}

static __always_inline int in_tree(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	for (int i = 0; i < MAX_PARENTS; i++) {
		struct task_struct *parent;
		struct process p = {};

		p.tgid = BPF_CORE_READ(t, tgid);
		if (p.tgid <= 1)
			return 0;
		p.start = BPF_CORE_READ(t, group_leader, start_boottime) / tick_ns;
		if (lives(bpf_map_lookup_elem(&trees, &p)))
			return 1;
		parent = BPF_CORE_READ(t, real_parent);
		if (!parent || parent == t)
			return 0;
		t = parent;
	}
	return 0;
}

static __always_inline int in_cgroup(void)
{
	for (int level = 0; level < MAX_LEVELS; level++) {
		u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return 0;
		if (lives(bpf_map_lookup_elem(&cgroups, &id)))
			return 1;
	}
	return 0;
}

static __always_inline int judge(struct prefix *p, u16 port, u32 active)
{
	if (lives(bpf_map_lookup_elem(&exempt, p)))
		return -1;
	if (lives(bpf_map_lookup_elem(&blocked, p)))
		return BY_ADDRESS;
	if (active & HAVE_ENDPOINTS) {
		struct endpoint e = {};

		e.addr[0] = p->addr[0];
		e.addr[1] = p->addr[1];
		e.addr[2] = p->addr[2];
		e.addr[3] = p->addr[3];
		e.port = port;
		if (lives(bpf_map_lookup_elem(&endpoints, &e)))
			return BY_ENDPOINT;
	}
	if (active & HAVE_PORTS) {
		u32 key = port;

		if (lives(bpf_map_lookup_elem(&ports, &key)))
			return BY_PORT;
	}
	if (with_trees && (active & HAVE_TREES) && in_tree())
		return BY_TREE;
	if (with_cgroups && (active & HAVE_CGROUPS) && in_cgroup())
		return BY_CGROUP;
	return -1;
}

// decide returns 1 to let it pass, 0 to refuse it with EPERM.
static __always_inline int decide(struct prefix *p, struct bpf_sock_addr *ctx)
{
	u16 port = __builtin_bswap16((u16)ctx->user_port);
	u32 zero = 0;
	struct state *s = bpf_map_lookup_elem(&state, &zero);
	int reason;

	if (!s)
		return 1;
	p->bits = 128;
	reason = judge(p, port, s->active);
	if (reason < 0 || reason >= REASONS)
		return 1;
	__sync_fetch_and_add(&s->refused[reason], 1);
	return 0;
}

static __always_inline int four(struct bpf_sock_addr *ctx)
{
	struct prefix p = {};

	p.addr[2] = __builtin_bswap32(0xffff);
	p.addr[3] = ctx->user_ip4;
	return decide(&p, ctx);
}

static __always_inline int six(struct bpf_sock_addr *ctx)
{
	struct prefix p = {};

	p.addr[0] = ctx->user_ip6[0];
	p.addr[1] = ctx->user_ip6[1];
	p.addr[2] = ctx->user_ip6[2];
	p.addr[3] = ctx->user_ip6[3];
	return decide(&p, ctx);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return four(ctx);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return six(ctx);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return four(ctx);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return six(ctx);
}
