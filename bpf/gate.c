/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Stand in front of programs of another layout while these take over (docs/pipeline.md, section 16): on every device, and they
 * let everything by until one entry of a map says that all go by the new programs, at the same moment. A flow that came in by
 * new programs and whose answer met old ones, or the reverse, would be refused.
 */
#include "lib/verdict.h"

static __inline int gate(struct __sk_buff *skb, __u32 prog)
{
	if (bpf_map_lookup_elem(&behind, &zero))
		bpf_tail_call(skb, &jump, prog);
	return TC_ACT_UNSPEC;
}

SEC("tc/gate_instance")
int gate_instance(struct __sk_buff *skb)
{
	return gate(skb, P_FROM_INSTANCE);
}

SEC("tc/gate_overlay")
int gate_overlay(struct __sk_buff *skb)
{
	return gate(skb, P_FROM_OVERLAY);
}

SEC("tc/gate_physical")
int gate_physical(struct __sk_buff *skb)
{
	return gate(skb, P_FROM_PHYSICAL);
}
