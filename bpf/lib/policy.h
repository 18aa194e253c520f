/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Security groups: may this endpoint send, or receive, this packet? (docs/pipeline.md, section 10) */
#ifndef WEFT_POLICY_H
#define WEFT_POLICY_H

#include "lookup.h"

/* What Neutron allows whatever the groups say. */
static __noinline int always_allowed(const struct pkt *p, __u32 egress)
{
	__u16 from = ntohs(p->key.sport), to = ntohs(p->key.dport);
	__u8 t = p->icmp_type;

	if (p->frag == FRAG_LATER)
		return 0;
	if (p->v6 && p->proto == IP_ICMP6)
		return t == 130 || t == 131 || t == 132 || t == 135 || t == 136 || t == 143 || t == (egress ? 133 : 134);
	if (p->proto != IP_UDP)
		return 0;
	if (p->v6)
		return egress ? from == 546 && to == 547 : from == 547 && to == 546;
	return egress ? from == 68 && to == 67 : from == 67 && to == 68;
}

/* Judges without a connection. Returns a reason. */
static __noinline int judge_plain(const struct pkt *p, const struct endpoint *e, __u32 egress)
{
	if (!(e->flags & EP_SECURE) || e->flags & EP_ALLOW_ALL || always_allowed(p, egress))
		return R_NONE;
	if (!(e->flags & EP_POLICY))
		return egress ? R_POLICY_EGRESS : R_POLICY_INGRESS;
	return R_NOT_PROGRAMMED;
}

#endif
