/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The slow path of a packet from another host (docs/pipeline.md, section 9). */
#include "lib/frag.h"
#include "lib/learn.h"
#include "lib/tunnel.h"

/* What is to be heard in a frame that another host sent on behalf of an instance, not of itself as a router. */
static __noinline int listen(struct __sk_buff *skb, struct pkt *p, struct network *n, struct peer *q)
{
	if (!(n->flags & NET_LEARNING) || mac_eq(p->key.smac, q->dvr_mac))
		return 0;
	hear_frame(p, n);
	if (p->ethertype == ETH_ARP)
		return hear_arp(skb, p, n);
	if (p->v6 && p->proto == IP_ICMP6 && p->frag != FRAG_LATER && (p->icmp_type == 135 || p->icmp_type == 136))
		return hear_nd(skb, p, n);
	return 0;
}

static __noinline int deliver(struct __sk_buff *skb, struct pkt *p, struct network *n, struct peer *q)
{
	struct holder h;
	int r;

	holder_of_mac(p->net, n, p->key.dmac, &h);
	if (!h.nbr || !h.nbr->ep) {
		if (n->flags & NET_LEARNING)
			return jump_to(skb, p, P_FLOOD);
		return drop(skb, p, R_NOT_FOR_US);
	}
	stamp_holder(p, n, &h);
	p->ep_dst = h.nbr->ep;
	if (p->seg_len > n->mtu)
		return drop(skb, p, R_TOO_BIG);
	p->mtu = n->mtu;
	if (p->is_ip && !mac_zero(q->dvr_mac) && mac_eq(p->key.smac, q->dvr_mac)) {
		r = restore_router_mac(p, n);
		if (r)
			return drop(skb, p, r);
	}
	p->peer = 0;
	return jump_to(skb, p, P_OUTPUT);
}

SEC("tc/overlay")
int overlay(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct network *n;
	struct peer *q;
	__u32 *slot;
	int r;

	if (!p)
		return TC_ACT_SHOT;
	memset(p, 0, __builtin_offsetof(struct pkt, buf));
	p->overlay = 1;
	p->key.flags = FK_OVERLAY;
	if (!tunnel_of(skb, &p->key.src, &p->vtep))
		return drop(skb, p, R_INTERNAL);
	slot = bpf_map_lookup_elem(&vteps, &p->vtep);
	q = slot ? bpf_map_lookup_elem(&peers, slot) : NULL;
	if (!q)
		return drop(skb, p, R_UNKNOWN_VTEP);
	p->peer = *slot;
	stamp(p, STAMP_ROUTER, q->gs, q->gen);
	slot = bpf_map_lookup_elem(&vnis, &p->key.src);
	n = slot ? bpf_map_lookup_elem(&networks, slot) : NULL;
	if (!n)
		return drop(skb, p, R_UNKNOWN_VNI);
	p->net = *slot;
	stamp(p, STAMP_NET, n->gs, n->gen);
	r = parse_eth(skb, p);
	if (r)
		return drop(skb, p, r);
	if (p->ethertype == ETH_V4 || p->ethertype == ETH_V6) {
		r = parse_ip(skb, p);
		if (r)
			return drop(skb, p, r);
		follow_fragments(p);
	}
	listen(skb, p, n, q);
	if (p->group)
		return jump_to(skb, p, P_FLOOD);
	return deliver(skb, p, n, q);
}
