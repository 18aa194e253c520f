/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The slow path of a frame from a physical network (docs/pipeline.md, section 18). */
#include "lib/frag.h"
#include "lib/lookup.h"

/* Tells user space who sent the ARP or ND frame; the walk goes on. */
static __inline void tell(struct __sk_buff *skb, struct pkt *p, const struct ip *who)
{
	p->hop = *who;
	p->out_net = p->net;
	if (!put_punt(skb, p, NULL, PUNT_NEIGHBOR))
		p->told = PUNT_NEIGHBOR;
	p->out_net = 0;
}

/* The endpoint here that has the address, 0 if none does. */
static __inline __u32 endpoint_at(const struct addr_val *v)
{
	struct neighbor *b = v && v->kind == KIND_NEIGHBOR ? find_neighbor(v->slot) : NULL;

	return b ? b->ep : 0;
}

/* Is it a router's, for which this host speaks to the machines on the wire? */
static __inline int spoken_for(const struct network *n, __u32 kind)
{
	return kind == KIND_RIF && n->flags & NET_SPEAKS;
}

/* Is the frame for this host as one that routes, by its DVR MAC? Only answers to its own questions are looked at. */
static __inline int to_router_host(const struct pkt *p)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);

	return c && !mac_zero(c->dvr_mac) && mac_eq(p->key.dmac, c->dvr_mac);
}

/*
 * The frame says that mac has the address. Is that news: of somebody who is spoken to, or of one who takes an address that is here? With
 * our own MAC that is another host of the cloud: what this one sends does not come back to it.
 */
static __noinline int is_news(const struct pkt *p, const struct network *n, const struct ip *spa, const __u8 *sha)
{
	struct addr_key k = {.net = p->net, .addr = *spa};
	struct outer_val *o = bpf_map_lookup_elem(&outer, &k);
	struct addr_val *v = find_addr(p->net, spa);

	if (o) {
		if (!mac_eq(o->mac, sha))
			return 1;
		o->seen = bpf_ktime_get_coarse_ns();
		return 0;
	}
	return v && (v->kind == KIND_FIP || spoken_for(n, v->kind) || endpoint_at(v));
}

/* ARP: floating IPs and routers are answered for, and who asks or answers is remembered. */
static __noinline int arp_outside(struct __sk_buff *skb, struct pkt *p, struct network *n)
{
	struct ip spa, tpa;
	struct addr_val *v;
	struct arp a;
	__be32 w;
	int fip, ours, request, known;

	p->unpoliced = 1;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &a, sizeof(a)) || a.htype != htons(1) || a.ptype != htons(ETH_V4) || a.hlen != 6 ||
	    a.plen != 4 || (a.op != htons(1) && a.op != htons(2)))
		return pass(p);
	memcpy(&w, a.spa, 4);
	ip_from4(&spa, w);
	known = w != 0;
	memcpy(&w, a.tpa, 4);
	ip_from4(&tpa, w);
	request = a.op == htons(1);
	v = find_addr(p->net, &tpa);
	fip = v && v->kind == KIND_FIP;
	ours = fip || (v && spoken_for(n, v->kind));
	if (known && (is_news(p, n, &spa, a.sha) || (!request && (to_router_host(p) || (fip && mac_eq(p->key.dmac, v->mac))))))
		tell(skb, p, &spa);
	if (ours && ip_eq(&spa, &tpa))
		return pass(p); /* somebody else claims it: told above */
	if (ours && request) {
		mac_copy(p->reply_mac, v->mac);
		return jump_to(skb, p, P_ARP);
	}
	if (!p->group)
		return 0;
	if (ip_eq(&spa, &tpa) || n->flags & NET_LEARNING)
		return jump_to(skb, p, P_FLOOD);
	p->flood_only = endpoint_at(v);
	return p->flood_only ? jump_to(skb, p, P_FLOOD) : pass(p);
}

static __inline int is_nd(const struct pkt *p)
{
	return p->v6 && p->proto == IP_ICMP6 && p->frag != FRAG_LATER && (p->icmp_type == 135 || p->icmp_type == 136);
}

/*
 * Neighbour discovery (RFC 4861): proxied addresses and routers are answered for, also when somebody asks whether one is free, and who asks
 * or answers is remembered. 0: the packet goes on as any other.
 */
static __noinline int nd_outside(struct __sk_buff *skb, struct pkt *p, struct network *n)
{
	__u32 have = p->l3_len + ETH_HLEN - p->l4_off;
	struct mac_val *m = find_mac(p->net, p->key.dmac);
	int ns = p->icmp_type == 135, to_us = !p->group && m && m->kind == KIND_FIP;
	struct ip target, who;
	struct addr_val *v;
	struct nd h = {};

	if (p->ttl != 255 || p->icmp_code || have < 24 || p->frag_header || bpf_skb_load_bytes(skb, p->l4_off, &h, 24))
		return 0;
	ip_from6(&target, h.target);
	if (ip6_multicast(&target) || ip_mapped(&target))
		return 0;
	if (have >= 32 && bpf_skb_load_bytes(skb, p->l4_off + 24, &h.opt_type, 8))
		return 0;
	who = ns ? p->key.saddr : target;
	if (h.opt_type == (ns ? 1 : 2) && h.opt_len == 1 && !ip_unspecified(&who) &&
	    (is_news(p, n, &who, h.opt_mac) || (!ns && (to_us || to_router_host(p)))))
		tell(skb, p, &who);
	v = find_addr(p->net, &target);
	if (ns && v && (v->kind == KIND_FIP || spoken_for(n, v->kind))) {
		mac_copy(p->reply_mac, v->mac);
		p->reply_router = v->kind == KIND_RIF;
		p->vtep = target;
		return jump_to(skb, p, P_ND);
	}
	return to_us ? consumed(p) : 0;
}

/* Unicast: to a floating IP, to a router, to an endpoint, or not for us. */
static __noinline int unicast_outside(struct __sk_buff *skb, struct pkt *p, struct network *n)
{
	struct mac_val *m = find_mac(p->net, p->key.dmac);
	struct neighbor *b;

	if (!m)
		return pass(p);
	if (spoken_for(n, m->kind)) {
		if (p->unpoliced || is_nd(p))
			return consumed(p);
		if (!p->is_ip)
			return drop(skb, p, R_ETHER_TYPE);
		p->rif = m->slot;
		return jump_to(skb, p, P_ROUTE);
	}
	if (m->kind == KIND_FIP) {
		if (p->unpoliced)
			return consumed(p);
		p->out_net = p->net;
		return jump_to(skb, p, P_FLOATING);
	}
	b = m->kind == KIND_NEIGHBOR ? find_neighbor(m->slot) : NULL;
	if (!b || !b->ep)
		return pass(p);
	stamp(p, STAMP_NEIGHBOR, b->gs, b->gen);
	p->ep_dst = b->ep;
	if (p->seg_len > n->mtu)
		return drop(skb, p, R_TOO_BIG);
	p->mtu = n->mtu;
	m = find_mac(0, p->key.smac);
	/* Where no router has an interface it is what an NDP proxy on that host sends, and stays as it is. */
	if (p->is_ip && m && m->kind == KIND_ROUTED)
		restore_router_mac(p, n);
	return jump_to(skb, p, P_OUTPUT);
}

/* Is anything of ours at the destination? Only then what is wrong with a frame is for us to say. */
static __inline int ours(const struct pkt *p, const struct network *n)
{
	struct mac_val *m = find_mac(p->net, p->key.dmac);
	struct neighbor *b;

	if (p->group || (m && (m->kind == KIND_FIP || spoken_for(n, m->kind))))
		return 1;
	if (!m && n->phys_ifindex && to_router_host(p))
		return p->ethertype == ETH_ARP || p->ethertype == ETH_V6;
	b = m && m->kind == KIND_NEIGHBOR ? find_neighbor(m->slot) : NULL;
	return b && b->ep;
}

SEC("tc/physical")
int physical(struct __sk_buff *skb)
{
	struct physical_key k = {.ifindex = skb->ifindex};
	struct pkt *p = scratch_pkt();
	struct physical_val *v;
	struct network *n;
	struct test_in *t;
	int r;

	if (!p)
		return TC_ACT_UNSPEC;
	memset(p, 0, __builtin_offsetof(struct pkt, buf));
	p->physical = 1;
	if (skb->vlan_present)
		k.vlan = skb->vlan_tci & 0xfff;
	if (opt_test) {
		t = bpf_map_lookup_elem(&test_input, &zero);
		if (t) {
			k.ifindex = t->ifindex;
			k.vlan = t->vlan;
		}
	}
	p->key.src = k.ifindex;
	p->key.vlan = k.vlan;
	p->key.flags = FK_PHYSICAL;
	v = bpf_map_lookup_elem(&physical_nets, &k);
	n = v ? bpf_map_lookup_elem(&networks, &v->net) : NULL;
	if (!n)
		return pass(p);
	p->net = v->net;
	stamp(p, STAMP_SRC, n->gs, n->gen);
	if (parse_eth(skb, p) || !ours(p, n))
		return pass(p);
	if (p->ethertype == ETH_ARP) {
		r = arp_outside(skb, p, n);
		return r ? r : unicast_outside(skb, p, n);
	}
	if (p->ethertype == ETH_V4 || p->ethertype == ETH_V6) {
		r = parse_ip(skb, p);
		if (r)
			return p->group ? pass(p) : drop(skb, p, r);
		follow_fragments(p);
		r = is_nd(p) ? nd_outside(skb, p, n) : 0;
		if (r)
			return r;
	}
	if (p->group)
		return jump_to(skb, p, P_FLOOD);
	return unicast_outside(skb, p, n);
}
