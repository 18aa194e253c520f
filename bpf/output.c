/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The end of a decision: the destination is known, policy is judged, the flow is remembered and the packet sent
 * (docs/pipeline.md, section 10).
 */
#include "lib/stateful.h"

/* TTL - hops and both MACs, or MACs alone. Returns a reason. */
static __noinline int rewrite(struct __sk_buff *skb, const struct pkt *p, const __u8 *smac)
{
	__u32 ttl_off = ETH_HLEN + (p->v6 ? 7 : 8);
	__u8 macs[12], old[2], new[2];

	mac_copy(macs, p->dmac);
	mac_copy(macs + 6, smac);
	if (p->flow_flags & F_SMAC)
		return bpf_skb_store_bytes(skb, 6, macs + 6, 6, 0) ? R_INTERNAL : R_NONE;
	if (p->flow_flags & F_MACS)
		return bpf_skb_store_bytes(skb, 0, macs, 12, 0) ? R_INTERNAL : R_NONE;
	if (!(p->flow_flags & F_ROUTED))
		return R_NONE;
	if (bpf_skb_load_bytes(skb, ttl_off, old, 2))
		return R_INTERNAL;
	new[0] = old[0] - p->hops;
	new[1] = old[1];
	if (!p->v6) {
		__u16 from, to;

		memcpy(&from, old, 2);
		memcpy(&to, new, 2);
		if (bpf_l3_csum_replace(skb, ETH_HLEN + 10, from, to, 2))
			return R_INTERNAL;
	}
	if (bpf_skb_store_bytes(skb, ttl_off, new, 1, 0) || bpf_skb_store_bytes(skb, 0, macs, 12, 0))
		return R_INTERNAL;
	return R_NONE;
}

/* Fills in where a frame for a peer goes. Returns a reason. */
static __noinline int to_peer(struct pkt *p, struct flow_val *f)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct network *n = bpf_map_lookup_elem(&networks, &p->net);
	struct peer *q = bpf_map_lookup_elem(&peers, &p->peer);

	if (!c || !n || !q || !(c->flags & CFG_VTEP) || !(n->flags & NET_VXLAN))
		return R_NO_TUNNEL;
	if (p->flow_flags & F_ROUTED) {
		if (mac_zero(c->dvr_mac))
			return R_NO_TUNNEL;
		mac_copy(p->smac, c->dvr_mac);
	}
	if (q->pmtu && p->seg_len > q->pmtu)
		return R_TOO_BIG;
	if (q->pmtu && q->pmtu < f->mtu)
		f->mtu = q->pmtu;
	stamp(p, STAMP_DST, q->gs, q->gen);
	f->vtep = q->vtep;
	f->local4 = ip_to4(&c->vtep);
	f->vni = n->vni;
	f->ifindex = c->vxlan_ifindex;
	return R_NONE;
}

/* Fills in by which NIC a frame leaves, and with which tag. Returns a reason. */
static __noinline int to_outside(struct pkt *p, struct flow_val *f)
{
	struct network *n = bpf_map_lookup_elem(&networks, &p->out_net);

	if (!n)
		return R_NOT_PROGRAMMED;
	if (!n->phys_ifindex)
		return R_NO_UPLINK;
	stamp(p, STAMP_NET, n->gs, n->gen);
	f->ifindex = n->phys_ifindex;
	f->vni = n->phys_vlan;
	f->flags |= F_OUTSIDE;
	return R_NONE;
}

static __noinline int to_local(struct pkt *p, struct flow_val *f)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &p->ep_dst);

	if (!e)
		return R_NOT_PROGRAMMED;
	if (!(e->flags & EP_UP))
		return R_ENDPOINT_DOWN;
	stamp(p, STAMP_DST, e->gs, e->gen);
	f->ifindex = e->ifindex;
	f->flags |= F_LOCAL | (e->flags & EP_PEER ? F_PEER : 0);
	return R_NONE;
}

static __noinline void remember(struct pkt *p, struct flow_val *f)
{
	int i;

	f->flags |= p->flow_flags | (p->conn_src ? F_CONN_SRC : 0) | (p->conn_dst ? F_CONN_DST : 0) | (p->hops == 2 ? F_TWICE : 0);
	f->nat_src = ip_to4(&p->nat_src);
	f->nat_dst = ip_to4(&p->nat_dst);
	f->gen_sum = p->gen[STAMP_HEARD];
	f->gs_heard = p->gs[STAMP_HEARD];
	for (i = 0; i < 5; i++) {
		f->gs[i] = p->gs[i];
		f->gen_sum += p->gen[i];
	}
	mac_copy(f->dmac, p->dmac);
	mac_copy(f->smac, p->smac);
	f->ep_src = p->ep;
	f->ep_dst = p->ep_dst;
	f->peer = p->peer;
	f->rule_src = p->rule_src;
	f->rule_dst = p->rule_dst;
	f->touched = bpf_ktime_get_coarse_ns();
	if (p->overlay)
		f->vtep = p->vtep;
	if (!bpf_map_update_elem(&flow, &p->key, f, BPF_ANY))
		p->flow_made = 1;
}

/* Both ends' groups, as far as they are here. Returns a reason. */
static __noinline int judge_both(struct __sk_buff *skb, struct pkt *p)
{
	struct judgement j = {};
	int r;

	if (!p->is_ip || p->unpoliced)
		return R_NONE;
	if (p->ep) {
		r = judge(skb, p, p->ep, 1, &j);
		p->rule_src = j.rule;
		p->conn_src = j.state;
		if (r)
			return r;
	}
	if (!p->ep_dst)
		return R_NONE;
	j.rule = j.state = 0;
	p->at_dst = 1;
	r = judge(skb, p, p->ep_dst, 0, &j);
	p->rule_dst = j.rule;
	p->conn_dst = j.state;
	if (!r)
		p->at_dst = 0;
	return r;
}

/* Sends the finished frame to where the flow says. */
static __inline int send(struct __sk_buff *skb, struct pkt *p, struct flow_val *f)
{
	struct record *d;

	record(p, p->ep_dst ? V_LOCAL : p->out_net ? V_OUTSIDE : V_TUNNEL, R_NONE);
	if (opt_record) {
		d = bpf_map_lookup_elem(&decision, &zero);
		if (d) {
			d->ifindex = f->ifindex;
			d->vni = f->vni;
		}
	}
	if (p->physical && skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT; /* the helper frees what it cannot change */
	if (p->ep_dst)
		return to_endpoint(skb, f->ifindex, f->flags & F_PEER);
	if (p->out_net)
		return to_nic(skb, f->ifindex, f->vni);
	if (set_tunnel(skb, &f->vtep, f->vni))
		return drop(skb, p, R_INTERNAL);
	return bpf_redirect(f->ifindex, 0);
}

/*
 * Refuses a packet. While programs of another layout are still attached behind these, it is theirs to judge: they may have a
 * connection that has not been copied yet. The packet is as it came.
 */
static __inline int refuse(struct __sk_buff *skb, struct pkt *p, __u32 reason)
{
	__u32 ifindex = skb->ifindex;

	if (bpf_map_lookup_elem(&behind, &ifindex))
		return TC_ACT_UNSPEC;
	return drop(skb, p, reason);
}

SEC("tc/output")
int output(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct flow_val *f;
	int r;

	if (!p)
		return TC_ACT_SHOT;
	f = &p->out;
	f->mtu = p->mtu;
	r = p->ep_dst ? to_local(p, f) : p->out_net ? to_outside(p, f) : to_peer(p, f);
	if (r)
		return drop(skb, p, r);
	r = judge_both(skb, p);
	if (r)
		return refuse(skb, p, r);
	if (p->cacheable && (p->ep_dst || !p->physical)) /* the fast path of a NIC delivers to endpoints only */
		remember(p, f);
	r = rewrite(skb, p, p->smac);
	if (r)
		return drop(skb, p, r);
	if (p->flow_flags & (F_NAT_SRC | F_NAT_DST))
		return jump_to(skb, p, P_NAT);
	return send(skb, p, f);
}
