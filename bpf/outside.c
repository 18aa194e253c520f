/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet that a router sends out of the cloud: by a floating IP or from a proxied IPv6 address from here, else by the router's central part (docs/pipeline.md, section 19). */
#include "lib/learn.h"

/* To the central leg on the network that the packet came from. */
static __noinline int to_leg(struct __sk_buff *skb, struct pkt *p)
{
	struct rif *f = bpf_map_lookup_elem(&rifs, &p->rif);
	struct leg_key k = {.router = p->router};
	struct holder h = {};
	struct leg *l;

	if (!f)
		return drop(skb, p, R_NOT_PROGRAMMED);
	k.net = f->net;
	l = bpf_map_lookup_elem(&legs, &k);
	h.nbr = l ? find_neighbor(l->neighbor) : NULL;
	if (!h.nbr)
		return error(skb, p, R_NO_ROUTE, p->v6 ? 1 : 3, 0);
	mac_copy(p->dmac, l->mac);
	p->nat_kind = p->v6 ? NAT_UNKNOWN : NAT_CENTRAL;
	return to_neighbor(skb, p, &h, f);
}

/*
 * Is a packet to a proxied address that is here to stay here? By the default route it would go to the router outside, and come back from
 * there: that is taken as done. By another route it goes where that leads.
 */
static __noinline int stays(const struct pkt *p)
{
	struct lpm_key k = {.plen = 160, .id = p->router};
	struct route_val *r = bpf_map_lookup_elem(&routes, &k);

	return r && r->flags & ROUTE_VIA && ip_eq(&r->via, &p->hop) && find_fip(p->out_net, &p->key.daddr);
}

/* The next hop on the external network: a floating IP or another leg that is here, for a switch does not reflect; else outside. */
static __noinline int to_hop(struct __sk_buff *skb, struct pkt *p)
{
	struct addr_key k = {.net = p->out_net};
	struct addr_val *v;
	struct neighbor *b;
	struct endpoint *e;
	struct outer_val *o;
	struct fip *f;

	if (p->v6 && stays(p))
		p->hop = p->key.daddr;
	k.addr = p->hop;
	v = bpf_map_lookup_elem(&addrs, &k);
	f = find_fip(p->out_net, &p->hop);
	if (f && !(f->flags & FIP_CENTRAL)) {
		if (!ip_eq(&p->hop, &p->key.daddr))
			return error(skb, p, R_NO_NEIGHBOR, p->v6 ? 1 : 3, p->v6 ? 3 : 1);
		p->hops++;
		p->ttl--;
		return jump_to(skb, p, P_FLOATING);
	}
	b = v && v->kind == KIND_NEIGHBOR ? find_neighbor(v->slot) : NULL;
	o = bpf_map_lookup_elem(&outer, &k);
	if (f) {
		e = bpf_map_lookup_elem(&endpoints, &f->ep);
		if (!e)
			return drop(skb, p, R_NOT_PROGRAMMED);
		p->ep_dst = f->ep;
		mac_copy(p->dmac, e->mac);
	} else if (b && b->ep) {
		stamp(p, STAMP_NEIGHBOR, b->gs, b->gen);
		p->ep_dst = b->ep;
		mac_copy(p->dmac, v->mac);
	} else if (o) {
		mac_copy(p->dmac, o->mac);
	} else {
		e = bpf_map_lookup_elem(&endpoints, &p->ep);
		return do_punt(skb, p, e, PUNT_EXTERNAL);
	}
	p->hops++;
	p->flow_flags = (p->flow_flags & F_NAT_SRC) | F_ROUTED;
	return jump_to(skb, p, P_OUTPUT);
}

SEC("tc/outside")
int outside(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct ep_fip_key k = {};
	struct ep_fip_val *q;
	struct network *n;

	if (!p)
		return TC_ACT_SHOT;
	k.fixed = p->key.saddr;
	k.ep = p->ep;
	k.router = p->router;
	q = bpf_map_lookup_elem(&ep_fip, &k);
	if (!q)
		return to_leg(skb, p);
	n = bpf_map_lookup_elem(&networks, &q->net);
	if (!n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	p->out_net = q->net;
	stamp(p, STAMP_NET, n->gs, n->gen);
	if (p->seg_len > n->mtu)
		return too_big(skb, p, n->mtu);
	p->mtu = n->mtu;
	if (p->v6) {
		p->nat_kind = NAT_UNKNOWN;
		p->flow_flags = 0;
	} else {
		p->nat_kind = NAT_FIP;
		p->nat_src = q->addr;
		p->flow_flags = F_NAT_SRC;
	}
	mac_copy(p->smac, q->mac);
	return to_hop(skb, p);
}
