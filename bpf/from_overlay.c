/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hook: what other hosts send, at the ingress of the VXLAN device (docs/pipeline.md, section 1). */
#include "lib/fast.h"
#include "lib/tunnel.h"

SEC("tc/from_overlay")
int from_overlay(struct __sk_buff *skb)
{
	struct ip vtep = {};
	struct fast x = {};
	struct flow_val *f;

	if (!tunnel_of(skb, &x.key.src, &vtep))
		goto slow;
	x.key.flags = FK_OVERLAY;
	if (!fast_parse(skb, &x))
		goto slow;
	f = bpf_map_lookup_elem(&flow, &x.key);
	if (!f || !ip_eq(&f->vtep, &vtep) || !fast_valid(f) || !fast_fits(skb, f, &x) || !fast_conns(f, &x) ||
	    !fast_rewrite(skb, f, &x))
		goto slow;
	fast_record(skb, f);
	return to_endpoint(skb, f->ifindex, f->flags & F_PEER);
slow:
	bpf_tail_call(skb, &jump, P_OVERLAY);
	count_drop(0, R_NOT_PROGRAMMED, skb->len);
	return TC_ACT_SHOT;
}
