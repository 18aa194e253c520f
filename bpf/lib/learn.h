/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Learning: who was last heard to have an address or a MAC that several ports may have, or that the control plane does not
 * know (docs/pipeline.md, section 12). What is heard counts only if the port that says it, or one at the host where it comes from,
 * may have the address: that is what the map claims holds.
 */
#ifndef WEFT_LEARN_H
#define WEFT_LEARN_H

#include "lookup.h"

/* Who has a MAC or an address, now. */
struct holder {
	__u32 kind; /* KIND_, 0: nobody that is known */
	__u32 slot;
	__u8 mac[6];
	__u16 varies;    /* what is heard may change it: the decision depends on learn_gen */
	__u32 learn_gen; /* read before the lookup */
	struct neighbor *nbr; /* KIND_NEIGHBOR: one that is bound; NULL: bound nowhere */
};

static __inline __u32 learn_gen(const struct network *n)
{
	__u32 gs = n->learn_gs, *g = bpf_map_lookup_elem(&gens, &gs);

	return g && gs ? READ_ONCE(*g) : 0;
}

/*
 * A decision that may change by what is heard depends on the network's counter of that; it stands in for the neighbour's. So does
 * one that leaves a frame to the switch behind a NIC: a port that comes here, or gets that MAC or address, raises it, too.
 */
static __inline void stamp_holder(struct pkt *p, const struct network *n, const struct holder *h)
{
	if (h->varies || (n->phys_ifindex && !(h->nbr && h->nbr->ep)))
		stamp(p, STAMP_NEIGHBOR, n->learn_gs, h->learn_gen);
	else if (h->nbr)
		stamp(p, STAMP_NEIGHBOR, h->nbr->gs, h->nbr->gen);
}

/* Replaces or supplies what the feed says by what was heard. listed: an address pair of somebody names it. */
static __noinline void heard_holder(struct holder *h, const struct fact_key *k, __u32 listed)
{
	struct fact *l = listed ? bpf_map_lookup_elem(&learned, k) : bpf_map_lookup_elem(&heard, k);
	struct neighbor *b = l ? find_neighbor(l->neighbor) : NULL;

	h->varies = 1;
	if (!b)
		return;
	h->kind = KIND_NEIGHBOR;
	h->slot = l->neighbor;
	h->nbr = b;
	mac_copy(h->mac, l->mac);
}

/* Who has the MAC. A port's own is never heard of. */
static __noinline void holder_of_mac(__u32 net, const struct network *n, const __u8 *mac, struct holder *h)
{
	struct fact_key k = {.net = net, .kind = LEARN_MAC};
	struct mac_val *m = find_mac(net, mac);

	memset(h, 0, sizeof(*h));
	h->learn_gen = learn_gen(n);
	mac_copy(h->mac, mac);
	if (m) {
		h->kind = m->kind;
		h->slot = m->slot;
		if (m->kind != KIND_NEIGHBOR)
			return;
		h->nbr = find_neighbor(m->slot);
		if (h->nbr && mac_eq(h->nbr->mac, mac))
			return;
	}
	if (!(n->flags & NET_LEARNING))
		return;
	mac_copy((__u8 *)&k.addr, mac);
	heard_holder(h, &k, !!m);
}

/* Who has the address. A fixed IP of a port is never heard of. */
static __noinline void holder_of_addr(__u32 net, const struct network *n, const struct ip *a, struct holder *h)
{
	struct fact_key k = {.net = net, .kind = LEARN_ADDR, .addr = *a};
	struct addr_val *v = find_addr(net, a);

	memset(h, 0, sizeof(*h));
	h->learn_gen = learn_gen(n);
	if (v) {
		h->kind = v->kind;
		h->slot = v->slot;
		mac_copy(h->mac, v->mac);
		if (v->kind != KIND_NEIGHBOR)
			return;
		h->nbr = find_neighbor(v->slot);
		if (v->flags & ADDR_FIXED)
			return;
	}
	if (n->flags & NET_LEARNING)
		heard_holder(h, &k, !!v);
}

/* The MAC in an EUI-64 link-local address. */
static __inline int eui64_mac(const struct ip *a, __u8 *mac)
{
	__u64 d = a->d[1];

	if (a->d[0] != 0x80fe || ((d >> 24) & 0xffff) != 0xfeff)
		return 0;
	mac[0] = (__u8)d ^ 2;
	mac[1] = d >> 8;
	mac[2] = d >> 16;
	mac[3] = d >> 40;
	mac[4] = d >> 48;
	mac[5] = d >> 56;
	return 1;
}

/* Which neighbour at a place (an endpoint's slot, or CLAIM_PEER and a peer's) may have the address under the MAC; 0: none. */
static __noinline __u32 claimant(__u32 net, __u32 at, const __u8 *mac, const struct ip *a)
{
	struct claim_key k = {.plen = CLAIM_BITS + 128, .net = net, .at = at, .addr = *a};
	__u32 family = ip_mapped(a) ? SPOOF_V4 : SPOOF_V6;
	struct claim *c;

	mac_copy(k.mac, mac);
	c = bpf_map_lookup_elem(&claims, &k);
	if (c && c->families & family)
		return c->neighbor;
	memset(k.mac, 0, 6);
	c = bpf_map_lookup_elem(&claims, &k);
	return c && c->families & family ? c->neighbor : 0;
}

/* Notes one fact. What changed voids the decisions that depend on it: they compare their counters when the epoch moves. */
static __noinline int note(struct pkt *p, __u32 learn_gs, const struct fact_key *k, __u32 listed)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct fact v = {.neighbor = p->heard_by, .seen = bpf_ktime_get_coarse_ns()}, *old;
	__u32 *g, *epoch;

	mac_copy(v.mac, p->heard_mac);
	old = listed ? bpf_map_lookup_elem(&learned, k) : bpf_map_lookup_elem(&heard, k);
	if (old && old->neighbor == v.neighbor && mac_eq(old->mac, v.mac)) {
		old->seen = v.seen;
		return 0;
	}
	if (!c || (!p->overlay && limited(p->ep, BUCKET_LEARN, c->punt_rate, c->punt_burst)))
		return 0;
	if (listed ? bpf_map_update_elem(&learned, k, &v, BPF_ANY) : bpf_map_update_elem(&heard, k, &v, BPF_ANY))
		return 0;
	g = bpf_map_lookup_elem(&gens, &learn_gs);
	epoch = bpf_map_lookup_elem(&gens, &zero);
	if (g && epoch && learn_gs) {
		__sync_fetch_and_add(g, 1);
		__sync_fetch_and_add(epoch, 1);
	}
	return 0;
}

static __inline __u32 place_of(const struct pkt *p)
{
	return p->overlay ? CLAIM_PEER | p->peer : p->ep;
}

/* Hears the MAC heard_mac of the neighbour heard_by, unless it is a port's own, a router's or the host's. */
static __noinline int hear_mac(struct pkt *p, const struct network *n)
{
	struct fact_key k = {.net = p->net, .kind = LEARN_MAC};
	struct mac_val *m = find_mac(p->net, p->heard_mac);
	struct neighbor *b;

	if (m) {
		b = m->kind == KIND_NEIGHBOR ? bpf_map_lookup_elem(&neighbors, &m->slot) : NULL;
		if (!b || mac_eq(b->mac, p->heard_mac))
			return 0;
	}
	mac_copy((__u8 *)&k.addr, p->heard_mac);
	return note(p, n->learn_gs, &k, !!m);
}

/* Is it an address that nobody has to tell: no one station's, or the link-local one of a MAC that is known from the feed? */
static __noinline int untold(__u32 net, const struct ip *a)
{
	struct neighbor *b;
	struct mac_val *m;
	__u8 mac[6];

	if (ip_unspecified(a) || ip6_multicast(a) || (ip_mapped(a) && (__u8)ip_to4(a) >= 224))
		return 1;
	if (!eui64_mac(a, mac))
		return 0;
	m = find_mac(net, mac);
	if (!m || m->kind != KIND_NEIGHBOR)
		return m != NULL;
	b = bpf_map_lookup_elem(&neighbors, &m->slot);
	return !b || mac_eq(b->mac, mac);
}

/*
 * Hears that heard_mac has the address: from an ARP or ND packet that was checked before. A router's and a host's own are never
 * heard of; nor is a fixed IP of a port.
 */
static __noinline int hear(struct pkt *p, const struct network *n, const struct ip *a)
{
	struct fact_key k = {.net = p->net, .kind = LEARN_ADDR, .addr = *a};
	struct addr_val *v;

	if (!(n->flags & NET_LEARNING) || p->heard_mac[0] & 1 || mac_zero(p->heard_mac))
		return 0;
	p->heard_by = claimant(p->net, place_of(p), p->heard_mac, a);
	if (!p->heard_by)
		return 0;
	v = find_addr(p->net, a);
	if (!untold(p->net, a) && (!v || (v->kind == KIND_NEIGHBOR && !(v->flags & ADDR_FIXED))))
		note(p, n->learn_gs, &k, !!v);
	return hear_mac(p, n);
}

/*
 * Hears a MAC from any frame of one that may have every address. Packets of a flow that is known are not listened to: when
 * something was forgotten, or was heard of somebody else, every flow that was listened to is decided again, and heard by that.
 */
static __noinline int hear_frame(struct pkt *p, const struct network *n)
{
	struct ip none = {};
	__u8 any[6] = {};

	if (!(n->flags & NET_LEARNING))
		return 0;
	stamp(p, STAMP_HEARD, n->learn_gs, learn_gen(n));
	p->heard_by = claimant(p->net, place_of(p), any, &none);
	if (!p->heard_by)
		return 0;
	mac_copy(p->heard_mac, p->key.smac);
	return hear_mac(p, n);
}

/* Hears an ARP packet from another host; what it says was checked where it was sent. */
static __noinline int hear_arp(struct __sk_buff *skb, struct pkt *p, const struct network *n)
{
	struct arp a;
	struct ip spa;
	__be32 w;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &a, sizeof(a)) || a.htype != htons(1) || a.ptype != htons(ETH_V4) || a.hlen != 6 || a.plen != 4)
		return 0;
	memcpy(&w, a.spa, 4);
	if (!w)
		return 0;
	ip_from4(&spa, w);
	mac_copy(p->heard_mac, a.sha);
	return hear(p, n, &spa);
}

/* What a solicitation tells of its sender, and an advertisement of its target. */
static __noinline int hear_told(struct pkt *p, const struct network *n, const struct nd *h, const struct ip *target)
{
	if (h->type == 135) {
		if (h->opt_type != 1 || ip_unspecified(&p->key.saddr))
			return 0;
		mac_copy(p->heard_mac, h->opt_mac);
		return hear(p, n, &p->key.saddr);
	}
	mac_copy(p->heard_mac, h->opt_type == 2 ? h->opt_mac : p->key.smac);
	return hear(p, n, target);
}

/* Hears a solicitation or an advertisement from another host. */
static __noinline int hear_nd(struct __sk_buff *skb, struct pkt *p, const struct network *n)
{
	__u32 have = p->l3_len + ETH_HLEN - p->l4_off;
	struct ip target;
	struct nd h = {};

	if (p->ttl != 255 || p->icmp_code || have < 24 || bpf_skb_load_bytes(skb, p->l4_off, &h, 24))
		return 0;
	ip_from6(&target, h.target);
	if (ip6_multicast(&target) || ip_mapped(&target))
		return 0;
	if (have >= 32 && bpf_skb_load_bytes(skb, p->l4_off + 24, &h.opt_type, 8))
		return 0;
	return hear_told(p, n, &h, &target);
}

#endif
