/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hook: what other hosts send, at the ingress of the VXLAN device (docs/pipeline.md, section 1). */
#include "lib/fast.h"
#include "lib/tunnel.h"

SEC("tc/from_overlay")
int from_overlay(struct __sk_buff *skb)
{
	struct ip vtep = {};
	struct flow_val *f;
	struct fast x;
	__u32 vni;

	if (!tunnel_of(skb, &vni, &vtep))
		goto slow;
	if (!fast_parse(skb, &x, vni, FK_OVERLAY, 0))
		goto slow;
	f = recent_flow(&x, &vtep);
	if (unlikely(!f))
		f = cached_flow(skb, &x, &vtep);
	if (!f || !fast_fits(skb, f, &x) || !fast_rewrite(skb, f, &x))
		goto slow;
	fast_record(skb, f);
	return to_endpoint(skb, f->ifindex, f->flags & F_PEER);
slow:
	bpf_tail_call(skb, &jump, P_OVERLAY);
	count_drop(0, R_NOT_PROGRAMMED, skb->len);
	return TC_ACT_SHOT;
}
