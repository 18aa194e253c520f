/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet to a floating IP or a proxied IPv6 address, from outside or from here (docs/pipeline.md, section 19). */
#include "lib/lookup.h"

/* The router's central part translates it: to the outer leg, which knows its own MAC only. */
static __noinline int to_central(struct __sk_buff *skb, struct pkt *p, struct fip *f)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &f->ep);
	struct network *n = bpf_map_lookup_elem(&networks, &p->out_net);

	if (!e || !n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	if (f->ep == p->ep)
		return drop(skb, p, R_NOT_FOR_US); /* it has just come from there, and would for ever */
	if (p->seg_len > n->mtu)
		return drop(skb, p, R_TOO_BIG);
	stamp(p, STAMP_NET, n->gs, n->gen);
	if (!(p->flow_flags & F_SMAC))
		mac_copy(p->smac, p->key.smac);
	p->flow_flags = F_MACS;
	mac_copy(p->dmac, e->mac);
	p->ep_dst = f->ep;
	p->mtu = n->mtu;
	return jump_to(skb, p, P_OUTPUT);
}

/* Through the router to the instance, which is here. IPv6 keeps its addresses. */
static __noinline int to_fixed(struct __sk_buff *skb, struct pkt *p, struct fip *f)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &f->ep);
	struct router *r = bpf_map_lookup_elem(&routers, &f->router);
	struct rif *g = bpf_map_lookup_elem(&rifs, &f->rif);

	if (!e || !r || !g)
		return drop(skb, p, R_NOT_PROGRAMMED);
	p->rif = f->gateway;
	if (p->hops == 0) {
		p->router = f->router;
		stamp(p, STAMP_ROUTER, r->gs, r->gen);
		mac_copy(p->entry_mac, p->key.dmac);
	} else {
		stamp(p, STAMP_NEIGHBOR, r->gs, r->gen);
	}
	if (!(r->flags & ROUTER_UP))
		return drop(skb, p, R_ROUTER_DOWN);
	if (p->srcrouted)
		return drop(skb, p, R_SOURCE_ROUTED);
	if (unroutable(p, 0))
		return drop(skb, p, R_LINK_SCOPE);
	if (p->ttl <= 1)
		return error(skb, p, R_TTL_EXCEEDED, p->v6 ? 3 : 11, 0);
	if (p->seg_len > e->mtu)
		return too_big(skb, p, e->mtu);
	p->ep_dst = f->ep;
	p->peer = 0;
	if (p->mtu == 0 || e->mtu < p->mtu)
		p->mtu = e->mtu;
	p->hops++;
	p->flow_flags = (p->flow_flags & F_NAT_SRC) | F_ROUTED | (p->v6 ? 0 : F_NAT_DST);
	p->nat_dst = f->fixed;
	mac_copy(p->dmac, e->mac);
	mac_copy(p->smac, g->mac);
	return jump_to(skb, p, P_OUTPUT);
}

SEC("tc/floating")
int floating(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct fip *f;

	if (!p)
		return TC_ACT_SHOT;
	f = p->is_ip ? find_fip(p->out_net, &p->key.daddr) : NULL;
	if (!f)
		return drop(skb, p, R_NOT_FOR_US);
	return f->flags & FIP_CENTRAL ? to_central(skb, p, f) : to_fixed(skb, p, f);
}
