// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Outgoing connections and how they ended. TCP is followed from its first packet to the answer, whichever call began it;
// the call's own result says the rest.
#include "event.h"

typedef struct {
	s64 counter;
} atomic64_t;

struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
} CORE;

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
} CORE;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	u16 sk_protocol;
} CORE;

struct socket {
	struct sock *sk;
} CORE;

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define EALREADY 114
#define EISCONN 106
#define ERESTARTSYS 512
#define S_IFMT 0170000
#define S_IFSOCK 0140000

struct connect {
	struct head head;
	u64 cookie;
	u32 family;
	u32 proto;
	s32 result; // 0 or an errno, negative; 1: not known yet
	u16 local_port;
	u16 remote_port;
	u8 local[16];
	u8 remote[16];
};

// TCP connections without an answer yet, by socket. Each leaves the table with its state, so it fills only while so many
// wait at once; then further ones are told of without their result.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct connect);
} pending SEC(".maps");

// Threads within connect(2) whose first packet was seen: the end of the call is no news. One forgotten here is told twice.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} dialing SEC(".maps");

static __always_inline u16 swap16(u16 v)
{
	return v >> 8 | v << 8;
}

static __always_inline void addresses(struct connect *c, struct sock *sk)
{
	c->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	c->proto = BPF_CORE_READ(sk, sk_protocol);
	c->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	c->remote_port = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (c->family == AF_INET) {
		bpf_core_read(c->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(c->remote, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_core_read(c->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(c->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

static __always_inline int state_changes(u64 *ctx, int with_cookie)
{
	struct sock *sk = (void *)ctx[0];
	int before = ctx[1], after = ctx[2];
	u64 id = ctx[0];

	if (after == TCP_SYN_SENT) {
		struct connect c;
		u32 tid = bpf_get_current_pid_tgid(), one = 1;

		if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
			return 0;
		__builtin_memset(&c, 0, sizeof(c));
		fill_head(&c.head, KIND_CONNECT, (void *)bpf_get_current_task());
		addresses(&c, sk);
		c.result = 1;
		c.cookie = with_cookie ? bpf_get_socket_cookie(sk) : (u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
		if (bpf_map_update_elem(&pending, &id, &c, BPF_ANY))
			send(&c, sizeof(c));
		bpf_map_update_elem(&dialing, &tid, &one, BPF_ANY);
	} else if (before == TCP_SYN_SENT && after != TCP_SYN_RECV) {
		struct connect *c = bpf_map_lookup_elem(&pending, &id);

		if (!c)
			return 0;
		c->result = after == TCP_ESTABLISHED ? 0 : -BPF_CORE_READ(sk, sk_err);
		if (after != TCP_ESTABLISHED && c->result == 0)
			c->result = -ERESTARTSYS; // given up by the process itself
		c->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		if (c->family == AF_INET)
			bpf_core_read(c->local, 4, &sk->__sk_common.skc_rcv_saddr);
		else
			bpf_core_read(c->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		c->head.time = bpf_ktime_get_boot_ns();
		send(c, sizeof(*c));
		bpf_map_delete_elem(&pending, &id);
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int on_state(u64 *ctx)
{
	return state_changes(ctx, 1);
}

// For kernels that give tracing programs no socket cookie (before 5.12).
SEC("tp_btf/inet_sock_set_state")
int on_state_plain(u64 *ctx)
{
	return state_changes(ctx, 0);
}

static __always_inline struct file *file_of(struct task_struct *task, u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = 0;

	if (fd >= BPF_CORE_READ(table, max_fds) || bpf_probe_read_kernel(&file, sizeof(file), &files[fd]))
		return 0;
	return file;
}

static __noinline int connect_ends(struct task_struct *task, u32 fd, u64 user_addr, long ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct connect c;
	struct file *file;
	struct socket *socket;
	struct sock *sk;
	u16 family;

	if (bpf_map_delete_elem(&dialing, &tid) == 0)
		return 0;
	if (ret == -EINPROGRESS || ret == -EALREADY || ret == -EISCONN || ret <= -ERESTARTSYS)
		return 0;
	file = file_of(task, fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk)
		return 0;
	__builtin_memset(&c, 0, sizeof(c));
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	addresses(&c, sk);
	if (ret == 0 && c.proto == IPPROTO_TCP)
		return 0; // the packets tell
	if (ret) { // the socket knows no remote end: take what was asked for
		family = 0;
		bpf_probe_read_user(&family, 2, (void *)user_addr);
		if (family == AF_INET)
			bpf_probe_read_user(c.remote, 4, (void *)user_addr + 4);
		else if (family == AF_INET6)
			bpf_probe_read_user(c.remote, 16, (void *)user_addr + 8);
		else
			return 0;
		bpf_probe_read_user(&c.remote_port, 2, (void *)user_addr + 2);
		c.remote_port = swap16(c.remote_port);
		if (c.family != family) {
			c.family = family;
			__builtin_memset(c.local, 0, sizeof(c.local));
		}
	} else if (c.remote_port == 0) {
		return 0; // AF_UNSPEC: the address was taken off
	}
	fill_head(&c.head, KIND_CONNECT, task);
	c.result = ret;
	c.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	send(&c, sizeof(c));
	return 0;
}
