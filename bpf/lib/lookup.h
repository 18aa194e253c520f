/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Lookups of the slow path: who owns an address or a MAC, and the stamps of what a decision read. */
#ifndef WEFT_LOOKUP_H
#define WEFT_LOOKUP_H

#include "verdict.h"

/* What a decision depends on (docs/pipeline.md, section 13). */
enum { STAMP_SRC, STAMP_ROUTER, STAMP_NET, STAMP_NEIGHBOR, STAMP_DST, STAMP_HEARD };

static __inline void stamp(struct pkt *p, int i, __u32 gs, __u32 gen)
{
	p->gs[i] = gs;
	p->gen[i] = gen;
}

static __inline struct mac_val *find_mac(__u32 net, const __u8 *mac)
{
	struct mac_key k = {.net = net};

	mac_copy(k.mac, mac);
	return bpf_map_lookup_elem(&macs, &k);
}

static __inline struct addr_val *find_addr(__u32 net, const struct ip *a)
{
	struct addr_key k = {.net = net, .addr = *a};

	return bpf_map_lookup_elem(&addrs, &k);
}

/* May the endpoint send with this MAC and address? A pair ::/0 covers IPv4's form, too, and must not allow it. */
static __inline int may_send(__u32 ep, const __u8 *mac, const struct ip *a)
{
	struct spoof_key k = {.plen = 224, .ep = ep, .addr = *a};
	__u32 *families;

	mac_copy(k.mac, mac);
	families = bpf_map_lookup_elem(&spoof, &k);
	return families && *families & (ip_mapped(a) ? SPOOF_V4 : SPOOF_V6);
}

static __inline int known_mac(__u32 ep, const __u8 *mac)
{
	struct ip any = {};

	return may_send(ep, mac, &any);
}

/* The floating IP, if this host translates it. */
static __inline struct fip *find_fip(__u32 net, const struct ip *a)
{
	struct addr_key k = {.net = net, .addr = *a};

	return bpf_map_lookup_elem(&fips, &k);
}

/* A routed frame has the sender's DVR MAC; the instance is to see its gateway's. Returns a reason. */
static __noinline int restore_router_mac(struct pkt *p, const struct network *n)
{
	struct lpm_key k = {.plen = 160, .id = p->net, .addr = p->key.daddr};
	struct rmac *m = bpf_map_lookup_elem(&subnets, &k);

	if (m && !!m->v4 != p->v6 && !mac_zero(m->mac))
		mac_copy(p->smac, m->mac);
	else if (p->v6)
		mac_copy(p->smac, n->rmac6);
	else
		mac_copy(p->smac, n->rmac4);
	if (mac_zero(p->smac))
		return R_NOT_FOR_US;
	p->flow_flags |= F_SMAC;
	return R_NONE;
}

/* A neighbour that is bound somewhere. */
static __inline struct neighbor *find_neighbor(__u32 slot)
{
	struct neighbor *n = bpf_map_lookup_elem(&neighbors, &slot);

	return n && (n->ep || n->peer) ? n : NULL;
}

#endif
