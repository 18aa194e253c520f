/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Broadcast, multicast and unknown unicast: a copy to each target, 64 a pass (docs/pipeline.md, section 8). */
#include "lib/policy.h"

enum { FLOOD_PASS = 64, CLONES = 4096 };

struct flood_ctx {
	struct __sk_buff *skb;
	struct pkt *p;
	struct host *c;
	struct network *n;
};

static __inline void record_clone(struct pkt *p, const struct flood_val *v)
{
	__u32 at = p->targets;

	if (at < CLONES)
		bpf_map_update_elem(&clones, &at, v, BPF_ANY);
}

static __noinline void copy_to_endpoint(struct __sk_buff *skb, struct pkt *p, struct flood_val *v)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &v->ep);
	__u32 rule = 0;
	int r;

	if (!e || !(e->flags & EP_UP) || (v->ep == p->ep && !p->overlay))
		return;
	if (p->is_ip && !p->unpoliced) {
		r = judge_plain(p, e, 0, &rule);
		if (r) {
			count_drop(v->ep, r, skb->len);
			drop_event(skb, v->ep, r, p->rule_src);
			return;
		}
	}
	if (opt_test)
		record_clone(p, v);
	else
		bpf_clone_redirect(skb, e->ifindex, 0);
	p->targets++;
}

static __noinline void copy_to_peer(struct __sk_buff *skb, struct pkt *p, struct flood_val *v, struct network *n)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct peer *q = bpf_map_lookup_elem(&peers, &v->peer);

	if (!q || !c)
		return;
	if (opt_test)
		record_clone(p, v);
	else if (set_tunnel(skb, &q->vtep, n->vni) || bpf_clone_redirect(skb, c->vxlan_ifindex, 0))
		return;
	p->targets++;
}

static long flood_one(__u32 i, struct flood_ctx *x)
{
	struct pkt *p = x->p;
	struct flood_key k = {.net = p->net, .version = p->flood_version, .index = p->flood_next + i};
	struct flood_val *v, copy;

	if (k.index >= p->flood_end)
		return 1;
	v = bpf_map_lookup_elem(&floods, &k);
	if (!v)
		return 0;
	copy = *v;
	if (copy.ep)
		copy_to_endpoint(x->skb, p, &copy);
	else
		copy_to_peer(x->skb, p, &copy, x->n);
	return 0;
}

/* What is asked once, before the first copy. Returns a reason. */
static __noinline int may_flood(struct pkt *p, struct network *n)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &p->ep);
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	__u32 rule = 0;
	int r;

	if (!e || !c)
		return R_NOT_PROGRAMMED;
	if (p->is_ip && !p->unpoliced) {
		r = judge_plain(p, e, 1, &rule);
		p->rule_src = rule;
		if (r)
			return r;
	}
	if (p->seg_len > n->mtu)
		return R_TOO_BIG;
	if (limited(p->ep, BUCKET_STORM, c->storm_rate, c->storm_burst))
		return R_STORM_LIMIT;
	return R_NONE;
}

/* A copy to the switch that the NIC is on: the last one, for it is tagged. */
static __noinline void copy_to_switch(struct __sk_buff *skb, struct pkt *p, struct network *n)
{
	p->flow_flags |= F_OUTSIDE;
	if (opt_test || (n->phys_vlan && bpf_skb_vlan_push(skb, htons(0x8100), n->phys_vlan)))
		return;
	bpf_clone_redirect(skb, n->phys_ifindex, 0);
}

/* What a NIC received is the host's, too, as it came. */
static __noinline int give_back(struct __sk_buff *skb, struct pkt *p)
{
	record(p, V_FLOOD, R_NONE);
	if (!opt_test && p->key.vlan && bpf_skb_vlan_push(skb, htons(0x8100), p->key.vlan))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

SEC("tc/flood")
int flood(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct flood_ctx x = {.skb = skb, .p = p};
	struct flood_val one = {};
	int r;

	if (!p)
		return TC_ACT_SHOT;
	x.n = bpf_map_lookup_elem(&networks, &p->net);
	if (!x.n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	if (p->flood_end == 0) {
		r = p->ep ? may_flood(p, x.n) : R_NONE;
		if (r)
			return drop(skb, p, r);
		p->flood_version = x.n->flood_version;
		p->flood_end = p->overlay ? x.n->flood_endpoints : p->announce ? x.n->announce_total : x.n->flood_total;
		if (p->physical && skb->vlan_present && bpf_skb_vlan_pop(skb))
			return TC_ACT_SHOT; /* the helper frees what it cannot change */
	}
	if (p->flood_only) {
		one.ep = p->flood_only;
		copy_to_endpoint(skb, p, &one);
	} else {
		bpf_loop(FLOOD_PASS, flood_one, &x, 0);
		p->flood_next += FLOOD_PASS;
		if (p->flood_next < p->flood_end)
			bpf_tail_call(skb, &jump, P_FLOOD);
	}
	if (p->physical)
		return give_back(skb, p);
	if (p->ep && x.n->phys_ifindex)
		copy_to_switch(skb, p, x.n);
	record(p, V_FLOOD, R_NONE);
	return TC_ACT_SHOT;
}
