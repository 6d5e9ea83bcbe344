// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What these programs read of the kernel, beside its stable interface. Fields are found by name (CO-RE).
#ifndef MINEWARDEN_BLOCK_H
#define MINEWARDEN_BLOCK_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

// From the kernel's user interface: numbers that never change.
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_F_NO_PREALLOC = 1,
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

// The context of connect and sendmsg: stable, and read only in whole words.
struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port;
	u32 family;
	u32 type;
	u32 protocol;
};

struct task_struct {
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_boottime;
} __attribute__((preserve_access_index));

#endif
