/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hook: what an instance sends, at the ingress of its tap or veth (docs/pipeline.md, section 1). */
#include "lib/fast.h"

SEC("tc/from_instance")
int from_instance(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct test_in *t;
	struct flow_val *f;
	struct fast x;

	if (opt_test) {
		t = bpf_map_lookup_elem(&test_input, &zero);
		if (t)
			ifindex = t->ifindex;
	}
	if (!fast_parse(skb, &x, ifindex, 0, 0))
		goto slow;
	f = recent_flow(&x, NULL);
	if (unlikely(!f))
		f = cached_flow(skb, &x, NULL);
	if (!f || !fast_fits(skb, f, &x) || !fast_rewrite(skb, f, &x))
		goto slow;
	fast_record(skb, f);
	if (f->flags & F_LOCAL)
		return to_endpoint(skb, f->ifindex, f->flags & F_PEER);
	if (unlikely(f->flags & F_OUTSIDE))
		return to_nic(skb, f->ifindex, f->vni);
	if (fast_tunnel(skb, f))
		return TC_ACT_SHOT;
	return bpf_redirect(f->ifindex, 0);
slow:
	bpf_tail_call(skb, &jump, P_INSTANCE);
	count_drop(0, R_NOT_PROGRAMMED, skb->len);
	return TC_ACT_SHOT;
}
