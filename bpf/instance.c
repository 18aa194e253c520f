/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The slow path of a packet from an instance: checks it, and finds out whether it is answered, punted, flooded, routed
 * or put out (docs/pipeline.md, sections 3 to 5).
 */
#include "lib/frag.h"
#include "lib/learn.h"

static __noinline int unspecified_ok(const struct pkt *p)
{
	if (!p->v6) {
		struct ip bcast;

		ip_from4(&bcast, 0xffffffff);
		return p->proto == IP_UDP && p->frag == FRAG_NONE && p->key.sport == htons(68) &&
		       p->key.dport == htons(67) && ip_eq(&p->key.daddr, &bcast);
	}
	if (p->proto != IP_ICMP6 || p->frag == FRAG_LATER)
		return 0;
	return p->icmp_type == 131 || p->icmp_type == 132 || p->icmp_type == 133 || p->icmp_type == 135 ||
	       p->icmp_type == 143;
}

/* Anti-spoofing of an IP packet (3.5). Returns a reason. */
static __noinline int check_source(const struct pkt *p)
{
	if (ip_unspecified(&p->key.saddr) ? !known_mac(p->ep, p->key.smac) || !unspecified_ok(p)
					  : !may_send(p->ep, p->key.smac, &p->key.saddr))
		return known_mac(p->ep, p->key.smac) ? R_SPOOFED_IP : R_SPOOFED_MAC;
	if (p->frag == FRAG_LATER)
		return R_NONE;
	if (p->proto == IP_UDP) {
		if (!p->v6 && p->key.sport == htons(67) && p->key.dport == htons(68))
			return R_ROGUE_DHCP;
		if (p->v6 && p->key.sport == htons(547) && p->key.dport == htons(546))
			return R_ROGUE_DHCP;
	}
	if (p->v6 && p->proto == IP_ICMP6 && (p->icmp_type == 134 || p->icmp_type == 137))
		return R_ROGUE_RA;
	return R_NONE;
}

/* Which kind of punt the packet is, or 0 (3.6). */
static __noinline int punt_kind(const struct pkt *p, const struct endpoint *e, const struct network *n)
{
	if (p->frag != FRAG_NONE)
		return 0;
	if (p->proto == IP_UDP && !p->v6 && p->key.sport == htons(68) && p->key.dport == htons(67)) {
		__be32 dst = ip_to4(&p->key.daddr);

		return e->flags & EP_DHCP4 && (dst == 0xffffffff || dst == e->dhcp4) ? PUNT_DHCP4 : 0;
	}
	if (p->proto == IP_UDP && p->v6 && p->key.sport == htons(546) && p->key.dport == htons(547))
		return e->flags & EP_DHCP6 ? PUNT_DHCP6 : 0;
	if (p->v6 && p->proto == IP_ICMP6 && p->icmp_type == 133)
		return n->flags & NET_RA ? PUNT_RS : 0;
	return 0;
}

/* Which of the host's own services the packet is for, or 0 (3.6). */
static __noinline int service_kind(const struct pkt *p)
{
	struct addr_val *v;
	int tcp = p->proto == IP_TCP;

	if (p->frag != FRAG_NONE || (!tcp && p->proto != IP_UDP) || (p->key.dport != htons(53) && (!tcp || p->key.dport != htons(80))))
		return 0;
	v = find_addr(p->net, &p->key.daddr);
	if (!v || v->kind != KIND_SERVICE)
		return 0;
	if (p->key.dport == htons(53))
		return v->slot & SERVICE_DNS ? PUNT_DNS : 0;
	return v->slot & SERVICE_METADATA ? PUNT_METADATA : 0;
}

/* Is somebody at the address who may be resolved? */
static __inline int there(const struct holder *h)
{
	return h->kind == KIND_RIF || h->kind == KIND_SERVICE || h->kind == KIND_FIP || h->nbr;
}

/* On a flat or vlan network: to the switch that the NIC is on. */
static __inline int to_switch(struct __sk_buff *skb, struct pkt *p, const struct network *n)
{
	if (p->seg_len > n->mtu)
		return drop(skb, p, R_TOO_BIG);
	p->out_net = p->net;
	p->mtu = n->mtu;
	return jump_to(skb, p, P_OUTPUT);
}

/* Unknown destination: flooded where addresses are learned, left to the switch where there is one. */
static __inline int unknown(struct __sk_buff *skb, struct pkt *p, const struct network *n, __u32 reason)
{
	if (n->phys_ifindex && !p->group)
		return to_switch(skb, p, n);
	if (n->flags & NET_LEARNING || n->phys_ifindex)
		return jump_to(skb, p, P_FLOOD);
	return drop(skb, p, reason);
}

/* What the central part of a router sends from a floating IP leaves with that one's MAC. */
static __noinline void central_source(struct pkt *p)
{
	struct fip *f = find_fip(p->net, &p->key.saddr);

	if (!f || !(f->flags & FIP_CENTRAL) || f->ep != p->ep)
		return;
	p->flow_flags |= F_SMAC;
	mac_copy(p->smac, f->mac);
}

/* Where to, by destination MAC (3.8). */
static __noinline int forward_l2(struct __sk_buff *skb, struct pkt *p, struct network *n)
{
	struct holder h;

	if (p->group)
		return jump_to(skb, p, P_FLOOD);
	if (n->phys_ifindex && p->is_ip && !p->v6)
		central_source(p);
	holder_of_mac(p->net, n, p->key.dmac, &h);
	if (h.kind == KIND_RIF) {
		if (p->unpoliced)
			return consumed(p);
		if (!p->is_ip)
			return drop(skb, p, R_ETHER_TYPE);
		p->rif = h.slot;
		return jump_to(skb, p, P_ROUTE);
	}
	if (h.kind == KIND_SERVICE)
		return p->unpoliced ? consumed(p) : drop(skb, p, R_CLOSED_PORT);
	if (h.kind == KIND_FIP) {
		if (p->unpoliced)
			return consumed(p);
		p->out_net = p->net;
		return jump_to(skb, p, P_FLOATING);
	}
	stamp_holder(p, n, &h);
	if (!h.nbr)
		return unknown(skb, p, n, R_UNKNOWN_MAC);
	if (!h.nbr->ep && n->phys_ifindex)
		return to_switch(skb, p, n);
	p->ep_dst = h.nbr->ep;
	p->peer = h.nbr->peer;
	if (p->ep_dst == p->ep)
		return drop(skb, p, R_UNKNOWN_MAC);
	if (p->seg_len > n->mtu)
		return drop(skb, p, R_TOO_BIG);
	p->mtu = n->mtu;
	return jump_to(skb, p, P_OUTPUT);
}

/* Does the address belong to the asking endpoint itself? */
static __noinline int own_address(const struct pkt *p, const struct endpoint *e, const struct holder *h, const struct ip *a)
{
	struct spoof_key k = {.plen = 224, .ep = p->ep, .addr = *a};
	__u32 *flags;

	mac_copy(k.mac, e->mac);
	flags = bpf_map_lookup_elem(&spoof, &k);
	if (flags && *flags & SPOOF_FIXED)
		return 1;
	if (h->nbr && h->nbr->ep == p->ep)
		return 1;
	if (ip_is_eui64(a, e->mac))
		return 1;
	return 0;
}

/*
 * Nobody is known to have the address that was asked for. User space remembers the question for a moment, for its neighbour may just
 * be coming; the walk goes on. Who asks as nobody yet (a probe) hopes for silence.
 */
static __inline int ask_again(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, struct network *n, const struct ip *asker)
{
	if (!ip_unspecified(asker) && !put_punt(skb, p, e, PUNT_ASK))
		p->told = PUNT_ASK;
	return unknown(skb, p, n, R_NO_NEIGHBOR);
}

/* ARP from an instance (section 4). */
static __noinline int do_arp(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, struct network *n)
{
	struct ip spa, tpa;
	struct addr_val *v;
	struct holder h;
	struct arp a;
	__be32 w;

	p->unpoliced = 1;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &a, sizeof(a)))
		return drop(skb, p, R_MALFORMED);
	if (a.htype != htons(1) || a.ptype != htons(ETH_V4) || a.hlen != 6 || a.plen != 4 ||
	    (a.op != htons(1) && a.op != htons(2)))
		return drop(skb, p, R_MALFORMED);
	memcpy(&w, a.spa, 4);
	ip_from4(&spa, w);
	memcpy(&w, a.tpa, 4);
	ip_from4(&tpa, w);
	if (e->flags & EP_SECURE) {
		if (!mac_eq(a.sha, p->key.smac))
			return drop(skb, p, R_SPOOFED_ARP);
		if (!known_mac(p->ep, p->key.smac))
			return drop(skb, p, R_SPOOFED_MAC);
		if (ip_unspecified(&spa) ? a.op != htons(1) : !may_send(p->ep, p->key.smac, &spa))
			return drop(skb, p, R_SPOOFED_ARP);
	} else {
		v = find_addr(p->net, &spa);
		if (v && v->kind == KIND_RIF)
			return drop(skb, p, R_SPOOFED_ARP);
	}
	if (!ip_unspecified(&spa)) {
		mac_copy(p->heard_mac, a.sha);
		hear(p, n, &spa);
	}
	p->announce = a.op == htons(2) || ip_eq(&spa, &tpa);
	if (a.op == htons(2))
		return forward_l2(skb, p, n);
	if (ip_eq(&spa, &tpa))
		return jump_to(skb, p, P_FLOOD);
	holder_of_addr(p->net, n, &tpa, &h);
	if (own_address(p, e, &h, &tpa))
		return drop(skb, p, R_SELF_DAD);
	if (there(&h)) {
		mac_copy(p->reply_mac, h.mac);
		return jump_to(skb, p, P_ARP);
	}
	return ask_again(skb, p, e, n, &spa);
}

/* A neighbour solicitation: whose address is it? (5.3 to 5.6) */
static __noinline int do_solicit(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, struct network *n)
{
	struct ip target = p->vtep;
	struct holder h;
	struct neighbor *nbr;
	struct mac_val *m;
	__u8 mac[6];

	holder_of_addr(p->net, n, &target, &h);
	if (own_address(p, e, &h, &target))
		return drop(skb, p, R_SELF_DAD);
	if (there(&h)) {
		mac_copy(p->reply_mac, h.mac);
		p->reply_router = h.kind == KIND_RIF || (h.nbr && h.nbr->flags & NEIGHBOR_ROUTER);
		return jump_to(skb, p, P_ND);
	}
	if (!h.kind && eui64_mac(&target, mac)) {
		m = find_mac(p->net, mac);
		nbr = m && m->kind == KIND_NEIGHBOR ? find_neighbor(m->slot) : NULL;
		if (m && (m->kind == KIND_RIF || nbr)) {
			mac_copy(p->reply_mac, mac);
			p->reply_router = m->kind == KIND_RIF || (nbr && nbr->flags & NEIGHBOR_ROUTER);
			return jump_to(skb, p, P_ND);
		}
	}
	return ask_again(skb, p, e, n, &p->key.saddr);
}

/* Neighbour solicitations and advertisements (section 5). */
static __noinline int do_nd(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, struct network *n)
{
	__u32 have = p->l3_len + ETH_HLEN - p->l4_off;
	int ns = p->icmp_type == 135;
	struct addr_val *v;
	struct ip target;
	struct nd h = {};

	p->unpoliced = 1;
	if (p->ttl != 255 || p->icmp_code || have < 24 || p->frag_header || bpf_skb_load_bytes(skb, p->l4_off, &h, 24))
		return drop(skb, p, R_MALFORMED);
	ip_from6(&target, h.target);
	if (ip6_multicast(&target) || ip_mapped(&target))
		return drop(skb, p, R_MALFORMED);
	if (have >= 32 && bpf_skb_load_bytes(skb, p->l4_off + 24, &h.opt_type, 8))
		return drop(skb, p, R_MALFORMED);
	if (e->flags & EP_SECURE) {
		if (h.opt_type == (ns ? 1 : 2) && !mac_eq(h.opt_mac, p->key.smac))
			return drop(skb, p, R_SPOOFED_ARP);
		if (!ns && (ip_unspecified(&target) || !may_send(p->ep, p->key.smac, &target)))
			return drop(skb, p, R_SPOOFED_ARP);
	} else if (!ns) {
		v = find_addr(p->net, &target);
		if (v && v->kind == KIND_RIF)
			return drop(skb, p, R_SPOOFED_ARP);
	}
	hear_told(p, n, &h, &target);
	p->announce = !ns;
	if (!ns)
		return forward_l2(skb, p, n);
	p->vtep = target;
	return do_solicit(skb, p, e, n);
}

static __noinline int do_ip(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, struct network *n)
{
	int r = parse_ip(skb, p);

	if (r)
		return drop(skb, p, r);
	if (e->flags & EP_SECURE) {
		r = check_source(p);
		if (r)
			return drop(skb, p, r);
	} else {
		hear_frame(p, n);
	}
	follow_fragments(p);
	r = punt_kind(p, e, n);
	if (!r)
		r = service_kind(p);
	if (r)
		return do_punt(skb, p, e, r);
	if (p->v6 && p->proto == IP_ICMP6 && p->frag != FRAG_LATER && (p->icmp_type == 135 || p->icmp_type == 136))
		return do_nd(skb, p, e, n);
	return forward_l2(skb, p, n);
}

SEC("tc/instance")
int instance(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct endpoint *e;
	struct network *n;
	struct test_in *t;
	__u32 ifindex = skb->ifindex, *slot;
	int r;

	if (!p)
		return TC_ACT_SHOT;
	memset(p, 0, __builtin_offsetof(struct pkt, buf));
	if (opt_test) {
		t = bpf_map_lookup_elem(&test_input, &zero);
		if (t)
			ifindex = t->ifindex;
	}
	p->key.src = ifindex;
	slot = bpf_map_lookup_elem(&devices, &ifindex);
	e = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	if (!e || e->ifindex != ifindex)
		return drop(skb, p, R_UNKNOWN_ENDPOINT);
	p->ep = *slot;
	p->net = e->net;
	stamp(p, STAMP_SRC, e->gs, e->gen);
	if (!(e->flags & EP_UP))
		return drop(skb, p, R_ENDPOINT_DOWN);
	n = bpf_map_lookup_elem(&networks, &e->net);
	if (!n)
		return drop(skb, p, R_NOT_PROGRAMMED);
	stamp(p, STAMP_NET, n->gs, n->gen);
	r = parse_eth(skb, p);
	if (r)
		return drop(skb, p, r);
	if (p->ethertype == ETH_ARP)
		return do_arp(skb, p, e, n);
	if (p->ethertype == ETH_V4 || p->ethertype == ETH_V6)
		return do_ip(skb, p, e, n);
	if (e->flags & EP_SECURE)
		return drop(skb, p, R_ETHER_TYPE);
	hear_frame(p, n);
	return forward_l2(skb, p, n);
}
