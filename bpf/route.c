/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A distributed router's decision about a packet that an instance sent to its MAC (docs/pipeline.md, section 6). */
#include "lib/learn.h"

enum { MAX_HOPS = 4 };

/* Addresses that are never routed, by the first byte; see 6.3. */
static __inline int v4_unroutable(__be32 a)
{
	__u8 b0 = a, b1 = a >> 8;

	return b0 == 0 || b0 == 127 || b0 >= 224 || (b0 == 169 && b1 == 254);
}

static __inline int v6_unroutable(const struct ip *a)
{
	return ip6_multicast(a) || (a->d[0] == 0 && (a->d[1] == 0 || a->d[1] == (1ULL << 56)));
}

static __noinline int unroutable(const struct pkt *p, int local)
{
	if (!p->v6)
		return v4_unroutable(ip_to4(&p->key.saddr)) || v4_unroutable(ip_to4(&p->key.daddr));
	if (v6_unroutable(&p->key.saddr) || v6_unroutable(&p->key.daddr))
		return 1;
	return !local && (ip6_link_local(&p->key.saddr) || ip6_link_local(&p->key.daddr));
}

static __inline int is_local(const struct pkt *p, const struct rif *f)
{
	struct local_key k = {.router = f->router, .addr = p->key.daddr};

	return ip_is_eui64(&p->key.daddr, f->mac) || bpf_map_lookup_elem(&locals, &k);
}

static __inline int error(struct __sk_buff *skb, struct pkt *p, __u32 reason, __u8 type, __u8 code)
{
	p->err_type = type;
	p->err_code = code;
	p->targets = reason;
	return jump_to(skb, p, P_ERROR);
}

/* The packet is for the router itself (section 7). */
static __noinline int local(struct __sk_buff *skb, struct pkt *p)
{
	if (is_icmp(p) && p->frag == FRAG_NONE && p->icmp_code == 0 && p->icmp_type == (p->v6 ? 128 : 8))
		return jump_to(skb, p, P_ECHO);
	if ((p->proto == IP_TCP || p->proto == IP_UDP) && p->frag != FRAG_LATER)
		return error(skb, p, R_CLOSED_PORT, p->v6 ? 1 : 3, p->v6 ? 4 : 3);
	return drop(skb, p, R_CLOSED_PORT);
}

/* The packet is larger than what lies ahead takes (6.8). */
static __noinline int too_big(struct __sk_buff *skb, struct pkt *p, __u32 mtu)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &p->ep);

	p->err_mtu = mtu;
	if (p->physical && !p->out_net)
		p->out_net = p->net; /* by which the pieces come back */
	if (p->v6)
		return error(skb, p, R_TOO_BIG, 2, 0);
	if (p->dont_frag)
		return error(skb, p, R_TOO_BIG, 3, 4);
	return do_punt(skb, p, e, PUNT_FRAGMENT);
}

/* A neighbour on another host of a flat or vlan network is behind the switch; the host's DVR MAC is what that may learn here. */
static __noinline int to_wire(struct __sk_buff *skb, struct pkt *p, struct rif *f)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);

	if (!c || mac_zero(c->dvr_mac))
		return drop(skb, p, R_NO_TUNNEL);
	p->out_net = f->net;
	p->ep_dst = 0;
	p->peer = 0;
	mac_copy(p->smac, c->dvr_mac);
	return jump_to(skb, p, P_OUTPUT);
}

/* Next hop b on network n, through interface f: size, TTL, MACs. */
static __noinline int to_neighbor(struct __sk_buff *skb, struct pkt *p, struct holder *h, struct rif *f)
{
	struct network *n = bpf_map_lookup_elem(&networks, &f->net);
	struct neighbor *b = h->nbr;
	struct peer *q = NULL;
	__u32 mtu;

	if (!n || !b)
		return drop(skb, p, R_NOT_PROGRAMMED);
	mtu = n->mtu;
	if (b->peer && !n->phys_ifindex) {
		__u32 slot = b->peer;

		q = bpf_map_lookup_elem(&peers, &slot);
		if (q && q->pmtu && q->pmtu < mtu)
			mtu = q->pmtu;
	}
	if (p->seg_len > mtu)
		return too_big(skb, p, mtu);
	stamp(p, STAMP_NET, n->gs, n->gen);
	stamp_holder(p, n, h);
	p->net = f->net;
	p->ep_dst = b->ep;
	p->peer = b->peer;
	p->mtu = mtu;
	p->hops++;
	p->flow_flags = F_ROUTED;
	mac_copy(p->smac, f->mac);
	return b->ep || !n->phys_ifindex ? jump_to(skb, p, P_OUTPUT) : to_wire(skb, p, f);
}

/*
 * A next hop on a flat or vlan network that nobody told of: a machine that is no instance. Who has the address is asked for on the
 * wire, as for a next hop outside.
 */
static __noinline int to_machine(struct __sk_buff *skb, struct pkt *p, struct holder *h, struct rif *f)
{
	struct network *n = bpf_map_lookup_elem(&networks, &f->net);
	struct addr_key k = {.net = f->net, .addr = p->hop};
	struct outer_val *o;

	if (!n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	if (p->seg_len > n->mtu)
		return too_big(skb, p, n->mtu);
	stamp_holder(p, n, h);
	o = bpf_map_lookup_elem(&outer, &k);
	if (!o) {
		p->out_net = f->net;
		return do_punt(skb, p, bpf_map_lookup_elem(&endpoints, &p->ep), PUNT_EXTERNAL);
	}
	mac_copy(p->dmac, o->mac);
	p->mtu = n->mtu;
	p->hops++;
	p->flow_flags = F_ROUTED;
	return to_wire(skb, p, f);
}

/* The longest matching route and its next hop (6.6 and 6.7). */
static __noinline int next_hop(struct __sk_buff *skb, struct pkt *p)
{
	struct lpm_key k = {.plen = 160, .id = p->router, .addr = p->key.daddr};
	struct route_val *r = bpf_map_lookup_elem(&routes, &k);
	struct network *n;
	struct holder h;
	struct rif *f;
	struct ip hop = p->key.daddr;

	if (!r || !!(r->flags & ROUTE_V4) == p->v6)
		return error(skb, p, R_NO_ROUTE, p->v6 ? 1 : 3, 0);
	if (r->flags & ROUTE_BLACKHOLE)
		return drop(skb, p, R_BLACKHOLE);
	if (r->flags & ROUTE_VIA)
		hop = r->via;
	if (r->flags & ROUTE_GATEWAY) {
		p->gateway = r->rif;
		p->hop = hop;
		return jump_to(skb, p, P_OUTSIDE);
	}
	f = bpf_map_lookup_elem(&rifs, &r->rif);
	n = f ? bpf_map_lookup_elem(&networks, &f->net) : NULL;
	if (!n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	holder_of_addr(f->net, n, &hop, &h);
	if (h.kind == KIND_RIF) {
		struct rif *g = bpf_map_lookup_elem(&rifs, &h.slot);

		if (g && g->router != p->router) {
			p->rif = h.slot;
			p->hops++;
			p->ttl--;
			return jump_to(skb, p, P_ROUTE);
		}
	}
	p->hop = hop;
	if (!h.nbr && n->phys_ifindex && (h.kind == 0 || h.kind == KIND_NEIGHBOR))
		return to_machine(skb, p, &h, f);
	if (!h.nbr)
		return error(skb, p, R_NO_NEIGHBOR, p->v6 ? 1 : 3, p->v6 ? 3 : 1);
	mac_copy(p->dmac, h.mac);
	return to_neighbor(skb, p, &h, f);
}

SEC("tc/route")
int route(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct router *r;
	struct rif *f;
	int here;

	if (!p)
		return TC_ACT_SHOT;
	f = bpf_map_lookup_elem(&rifs, &p->rif);
	r = f ? bpf_map_lookup_elem(&routers, &f->router) : NULL;
	if (!r)
		return drop(skb, p, R_NOT_PROGRAMMED);
	p->router = f->router;
	stamp(p, STAMP_ROUTER, r->gs, r->gen);
	if (p->hops == 0)
		mac_copy(p->entry_mac, f->mac);
	else
		p->cacheable = 0;
	if (p->hops >= MAX_HOPS)
		return drop(skb, p, R_TTL_EXCEEDED);
	if (!(r->flags & ROUTER_UP))
		return drop(skb, p, R_ROUTER_DOWN);
	if (p->srcrouted)
		return drop(skb, p, R_SOURCE_ROUTED);
	here = is_local(p, f);
	if (unroutable(p, here))
		return drop(skb, p, R_LINK_SCOPE);
	if (here)
		return local(skb, p);
	if (p->ttl <= 1)
		return error(skb, p, R_TTL_EXCEEDED, p->v6 ? 3 : 11, 0);
	return next_hop(skb, p);
}
