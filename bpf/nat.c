/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Puts translated addresses into an IPv4 packet, and into what an ICMP error quotes, with every checksum that covers them
 * (docs/pipeline.md, section 19). Checksums are changed by the difference (RFC 1624): what was wrong stays wrong, and what was left
 * to the hardware stays so.
 */
#include "lib/lookup.h"

/* A checksum after a 32-bit word under it has changed. */
static __inline __u16 csum4(__u16 check, __be32 from, __be32 to)
{
	__u64 s = (__u64)(__u16)~check + (__u32)~from + to;

	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* Where, behind the header's start, the checksum is that covers the addresses, too; 0: there is none. */
static __inline __u32 check_at(__u8 proto)
{
	if (proto == IP_TCP)
		return 16;
	return proto == IP_UDP || proto == IP_UDPLITE || proto == IP_DCCP ? 6 : 0;
}

/* One address of the packet itself. Returns a reason. */
static __noinline int nat_address(struct __sk_buff *skb, const struct pkt *p, __u32 off, __be32 from, __be32 to)
{
	__u32 at = check_at(p->proto), flags = BPF_F_PSEUDO_HDR | 4;

	if (p->proto == IP_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (bpf_l3_csum_replace(skb, ETH_HLEN + 10, from, to, 4))
		return R_INTERNAL;
	if (at && p->frag != FRAG_LATER && p->l4_off + at + 2 <= p->l3_len + ETH_HLEN &&
	    bpf_l4_csum_replace(skb, p->l4_off + at, from, to, flags))
		return R_INTERNAL;
	return bpf_skb_store_bytes(skb, off, &to, 4, 0) ? R_INTERNAL : R_NONE;
}

/* Writes a 16-bit checksum that an ICMP error quotes, and tells the error's own. */
static __noinline int quoted_check(struct __sk_buff *skb, const struct pkt *p, __u32 off, __u16 old, __u16 new)
{
	if (bpf_skb_store_bytes(skb, off, &new, 2, 0))
		return R_INTERNAL;
	return bpf_l4_csum_replace(skb, p->l4_off + 2, old, new, 2) ? R_INTERNAL : R_NONE;
}

/* One address of the quoted packet, whose IPv4 header h lies at off. Returns a reason. */
static __noinline int nat_quoted(struct __sk_buff *skb, const struct pkt *p, const struct ipv4 *h, __u32 off, __u32 which)
{
	__be32 from = which == 12 ? h->src : h->dst;
	__be32 to = which == 12 ? ip_to4(&p->nat_dst) : ip_to4(&p->nat_src);
	__u32 at = check_at(h->proto), end = ETH_HLEN + p->l3_len;
	__u16 check;

	if (bpf_skb_store_bytes(skb, off + which, &to, 4, 0) || bpf_l4_csum_replace(skb, p->l4_off + 2, from, to, 4))
		return R_INTERNAL;
	if (bpf_skb_load_bytes(skb, off + 10, &check, 2) || quoted_check(skb, p, off + 10, check, csum4(check, from, to)))
		return R_INTERNAL;
	at += off + (h->vihl & 15) * 4;
	if (!check_at(h->proto) || h->frag & htons(0x1fff) || at + 2 > end || bpf_skb_load_bytes(skb, at, &check, 2))
		return R_NONE;
	if (h->proto == IP_UDP && check == 0)
		return R_NONE;
	from = (__u16)csum4(check, from, to);
	return quoted_check(skb, p, at, check, h->proto == IP_UDP && from == 0 ? 0xffff : from);
}

/* The quoted packet went the other way: its destination is our source, its source our destination. Returns a reason. */
static __noinline int nat_quote(struct __sk_buff *skb, const struct pkt *p)
{
	__u32 off = p->l4_off + 8, end = ETH_HLEN + p->l3_len;
	struct ipv4 h;
	int r = R_NONE;

	if (off + sizeof(h) > end || bpf_skb_load_bytes(skb, off, &h, sizeof(h)) || h.vihl >> 4 != 4 || (h.vihl & 15) < 5)
		return R_NONE;
	if (p->flow_flags & F_NAT_DST && h.src == ip_to4(&p->key.daddr))
		r = nat_quoted(skb, p, &h, off, 12);
	if (!r && p->flow_flags & F_NAT_SRC && h.dst == ip_to4(&p->key.saddr))
		r = nat_quoted(skb, p, &h, off, 16);
	return r;
}

SEC("tc/nat")
int nat(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	int r = R_NONE;

	if (!p)
		return TC_ACT_SHOT;
	if (is_icmp_error(p))
		r = nat_quote(skb, p);
	if (!r && p->flow_flags & F_NAT_SRC)
		r = nat_address(skb, p, ETH_HLEN + 12, ip_to4(&p->key.saddr), ip_to4(&p->nat_src));
	if (!r && p->flow_flags & F_NAT_DST)
		r = nat_address(skb, p, ETH_HLEN + 16, ip_to4(&p->key.daddr), ip_to4(&p->nat_dst));
	if (r)
		return drop(skb, p, r);
	return send(skb, p, &p->out);
}
