/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Security groups without state: which rule allows this packet? (docs/pipeline.md, section 10) */
#ifndef WEFT_POLICY_H
#define WEFT_POLICY_H

#include "frag.h"
#include "lookup.h"

/* A packet as the rules of one direction see it. */
struct view {
	struct ip remote;
	__be16 dport;
	__u8 type, code; /* of ICMP, in place of dport */
	__u8 egress;
	__u8 v6;
	__u8 proto;
	__u8 ports; /* dport, or type and code, are known */
};

/* The other side's address. The receiver knows the sender by its translated one. */
static __inline const struct ip *remote_of(const struct pkt *p, __u32 egress)
{
	if (egress)
		return &p->key.daddr;
	return p->flow_flags & F_NAT_SRC ? &p->nat_src : &p->key.saddr;
}

/* The endpoint's own address: always a fixed one, never a floating one. */
static __inline const struct ip *local_of(const struct pkt *p, __u32 egress)
{
	if (egress)
		return &p->key.saddr;
	return p->flow_flags & F_NAT_DST ? &p->nat_dst : &p->key.daddr;
}

static __inline void view_of(struct view *v, const struct pkt *p, __u32 egress)
{
	v->remote = *remote_of(p, egress);
	v->dport = p->dport;
	v->type = p->icmp_type;
	v->code = p->icmp_code;
	v->egress = egress;
	v->v6 = p->v6;
	v->proto = p->proto;
	v->ports = p->ports;
}

/* What Neutron allows whatever the groups say. */
static __noinline int always_allowed(const struct pkt *p, __u32 egress)
{
	__u16 from = ntohs(p->sport), to = ntohs(p->dport);
	__u8 t = p->icmp_type;

	if (!p->ports)
		return 0;
	if (p->v6 && p->proto == IP_ICMP6)
		return t == 130 || t == 131 || t == 132 || t == 135 || t == 136 || t == 143 || t == (egress ? 133 : 134);
	if (p->proto != IP_UDP)
		return 0;
	if (p->v6)
		return egress ? from == 546 && to == 547 : from == 547 && to == 546;
	return egress ? from == 68 && to == 67 : from == 67 && to == 68;
}

/* The class of the remote address in this policy; 0: none of its remotes holds it. */
static __noinline __u32 class_of(__u32 policy, const struct ip *remote)
{
	struct addr_key ak = {.addr = *remote};
	struct polclass_key ck = {.policy = policy};
	struct lpm_key nk = {.plen = 160, .addr = *remote};
	__u32 *set = bpf_map_lookup_elem(&class_addr, &ak), *class;

	if (set) {
		ck.set = *set;
	} else {
		set = bpf_map_lookup_elem(&class_net, &nk);
		if (!set || !!(*set & CLASS_V6) == ip_mapped(remote))
			return 0;
		ck.set = *set & ~CLASS_V6;
	}
	class = bpf_map_lookup_elem(&pol_class, &ck);
	return class ? *class : 0;
}

/* Keeps the rule of lower rank, that is, of lower id. */
static __inline void better(__u32 *rule, __u32 *rank, struct polrule_key *k)
{
	struct polrule *r = bpf_map_lookup_elem(&pol_rules, k);

	if (r && r->rank < *rank) {
		*rank = r->rank;
		*rule = r->rule;
	}
}

/* The rule of the endpoint's policy that allows the packet, 0 if none does. Kinds of rule that it has not are not looked for. */
static __noinline __u32 classify(const struct view *v, const struct endpoint *e)
{
	struct polrule_key k = {.plen = POLRULE_BITS, .policy = e->policy};
	__u32 rule = 0, rank = ~0U, have;

	k.dir = (v->egress ? DIR_EGRESS : 0) | (v->v6 ? DIR_V6 : 0);
	have = e->tables >> (k.dir * 4);
	k.proto = v->proto;
	if (v->ports)
		k.port = v->proto == icmp_of(v->v6) ? htons(v->type << 8 | v->code) : v->dport;
	if (have & POL_PROTO)
		better(&rule, &rank, &k);
	k.proto = PROTO_ANY;
	if (have & POL_ANY)
		better(&rule, &rank, &k);
	if (!(have & (POL_CLASS_PROTO | POL_CLASS_ANY)))
		return rule;
	k.class = class_of(e->policy, &v->remote);
	if (!k.class)
		return rule;
	if (have & POL_CLASS_ANY)
		better(&rule, &rank, &k);
	k.proto = v->proto;
	if (have & POL_CLASS_PROTO)
		better(&rule, &rank, &k);
	return rule;
}

static __inline int refusal(__u32 egress)
{
	return egress ? R_POLICY_EGRESS : R_POLICY_INGRESS;
}

static __inline int unfiltered(const struct endpoint *e)
{
	return !(e->flags & EP_SECURE) || e->flags & EP_ALLOW_ALL;
}

/* Judges by rules alone. Returns a reason; *rule is the rule that allowed it, if one did. */
static __noinline int judge_plain(const struct pkt *p, const struct endpoint *e, __u32 egress, __u32 *rule)
{
	struct view v;

	if (unfiltered(e))
		return R_NONE;
	if (p->frag == FRAG_LATER && !p->frag_known)
		return R_FRAGMENT_ORPHAN;
	if (always_allowed(p, egress))
		return R_NONE;
	if (!(e->flags & EP_POLICY))
		return refusal(egress);
	view_of(&v, p, egress);
	*rule = classify(&v, e);
	return *rule ? R_NONE : refusal(egress);
}

#endif
