/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Hook: what a NIC receives that is on a physical network, at its ingress (docs/pipeline.md, section 18). What is not provably ours goes
 * on to the host: also with empty maps, and for ever after the agent's death.
 */
#include "lib/fast.h"

SEC("tc/from_physical")
int from_physical(struct __sk_buff *skb)
{
	struct physical_key k = {.ifindex = skb->ifindex};
	struct physical_val *v;
	struct test_in *t;
	struct flow_val *f;
	__u8 dmac[6];
	struct fast x;

	if (skb->vlan_present)
		k.vlan = skb->vlan_tci & 0xfff;
	if (opt_test) {
		t = bpf_map_lookup_elem(&test_input, &zero);
		if (t) {
			k.ifindex = t->ifindex;
			k.vlan = t->vlan;
		}
	}
	v = bpf_map_lookup_elem(&physical_nets, &k);
	if (!v)
		return TC_ACT_UNSPEC;
	/* The host's own traffic, of which there may be much on the same NIC, is let go at once. */
	if (bpf_skb_load_bytes(skb, 0, dmac, 6) || mac_eq(dmac, v->mac))
		return TC_ACT_UNSPEC;
	if (!fast_parse(skb, &x, k.ifindex, FK_PHYSICAL, k.vlan))
		goto slow;
	f = recent_flow(&x, NULL);
	if (unlikely(!f))
		f = cached_flow(skb, &x, NULL);
	if (!f || !fast_fits(skb, f, &x) || !fast_rewrite(skb, f, &x))
		goto slow;
	fast_record(skb, f);
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return to_endpoint(skb, f->ifindex, f->flags & F_PEER);
slow:
	bpf_tail_call(skb, &jump, P_PHYSICAL);
	return TC_ACT_UNSPEC;
}
