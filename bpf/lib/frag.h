/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Fragments follow their first one: it tells the others its ports. */
#ifndef WEFT_FRAG_H
#define WEFT_FRAG_H

#include "packet.h"

static __inline __u64 timeout_ns(__u32 class)
{
	__u32 *s = bpf_map_lookup_elem(&timeouts, &class);

	return (s ? *s : 0) * 1000000000ULL;
}

/* Notes the ports of a first fragment, and lends them to a later one. Call it with a checked packet. */
static __noinline int follow_fragments(struct pkt *p)
{
	struct frag_key k = {};
	struct frag_val v = {}, *first;
	__u64 now;

	if (p->frag == FRAG_NONE)
		return 0;
	k.saddr = p->key.saddr;
	k.daddr = p->key.daddr;
	k.src = p->key.src;
	k.id = p->frag_id;
	k.proto = p->proto;
	k.flags = p->key.flags & (FK_OVERLAY | FK_V6);
	k.pad = p->key.vlan;
	now = bpf_ktime_get_coarse_ns();
	if (p->frag == FRAG_FIRST) {
		v.sport = p->sport;
		v.dport = p->dport;
		v.icmp_type = p->icmp_type;
		v.icmp_code = p->icmp_code;
		v.ports = p->ports;
		v.expires = now + timeout_ns(T_FRAG);
		bpf_map_update_elem(&frag, &k, &v, BPF_ANY);
		return 0;
	}
	first = bpf_map_lookup_elem(&frag, &k);
	if (!first || first->expires < now)
		return 0;
	p->frag_known = 1;
	p->sport = first->sport;
	p->dport = first->dport;
	p->icmp_type = first->icmp_type;
	p->icmp_code = first->icmp_code;
	p->ports = first->ports;
	return 0;
}

#endif
