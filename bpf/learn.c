/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Run by the agent with BPF_PROG_RUN: adds 1 to a counter of the map gens, whose place lies in the frame behind 16 bytes. For those
 * counters that programs raise, too (the epoch, and each network's of what was heard): a write from user space would lose theirs.
 */
#include "lib/lookup.h"

SEC("tc/raise")
int raise(struct __sk_buff *skb)
{
	__u32 gs, *g;

	if (bpf_skb_load_bytes(skb, 16, &gs, sizeof(gs)))
		return 0;
	g = bpf_map_lookup_elem(&gens, &gs);
	if (g)
		__sync_fetch_and_add(g, 1);
	return g != NULL;
}
