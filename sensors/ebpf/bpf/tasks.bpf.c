// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Every process, as the kernel itself lists them.
#include "core.h"

char LICENSE[] SEC("license") = "GPL";

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

struct listed {
	u64 start;
	u32 tgid;
	u32 pad;
};

SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct bpf_iter_meta *meta = ctx->meta;
	struct listed l = {};

	if (!task || !meta)
		return 0;
	if (task->pid != task->tgid)
		return 0;
	l.start = task->start_boottime;
	l.tgid = task->tgid;
	bpf_seq_write(meta->seq, &l, sizeof(l));
	return 0;
}
