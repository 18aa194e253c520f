/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Addresses, MACs, and the parser of the slow path: every header is checked here once, at a flow's first packet. */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include "maps.h"
#include "reason.h"

enum { ETH_HLEN = 14, ETH_ARP = 0x0806, ETH_V4 = 0x0800, ETH_V6 = 0x86dd, ETH_8021Q = 0x8100, ETH_8021AD = 0x88a8 };
enum { IP_ICMP = 1, IP_TCP = 6, IP_UDP = 17, IP_DCCP = 33, IP_ICMP6 = 58, IP_SCTP = 132, IP_UDPLITE = 136, IP_NONE = 59 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

struct eth {
	__u8 dst[6], src[6];
	__be16 type;
};

struct ipv4 {
	__u8 vihl, tos;
	__be16 len, id, frag;
	__u8 ttl, proto;
	__u16 check;
	__be32 src, dst;
};

struct ipv6 {
	__be32 vtf;
	__be16 len;
	__u8 next, hop;
	__be32 src[4], dst[4];
};

struct arp {
	__be16 htype, ptype;
	__u8 hlen, plen;
	__be16 op;
	__u8 sha[6], spa[4], tha[6], tpa[4];
};

struct nd {
	__u8 type, code;
	__u16 check;
	__be32 flags;
	__be32 target[4];
	__u8 opt_type, opt_len, opt_mac[6];
};

/* MACs lie at even offsets everywhere; saying so saves half of the loads and stores. */
static __inline void mac_copy(__u8 *to, const __u8 *from)
{
	memcpy(__builtin_assume_aligned(to, 2), __builtin_assume_aligned(from, 2), 6);
}

static __inline int mac_eq(const __u8 *a, const __u8 *b)
{
	return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5])) == 0;
}

static __inline int mac_zero(const __u8 *a)
{
	return (a[0] | a[1] | a[2] | a[3] | a[4] | a[5]) == 0;
}

static __inline void ip_from4(struct ip *to, __be32 a)
{
	to->d[0] = 0;
	to->d[1] = ((__u64)a << 32) | 0xffff0000ULL;
}

static __inline void ip_from6(struct ip *to, const __be32 *a)
{
	to->d[0] = ((__u64)a[1] << 32) | a[0];
	to->d[1] = ((__u64)a[3] << 32) | a[2];
}

static __inline int ip_mapped(const struct ip *a)
{
	return a->d[0] == 0 && (__u32)a->d[1] == 0xffff0000U;
}

static __inline __be32 ip_to4(const struct ip *a)
{
	return a->d[1] >> 32;
}

static __inline int ip_eq(const struct ip *a, const struct ip *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

/* 0.0.0.0 or ::. */
static __inline int ip_unspecified(const struct ip *a)
{
	return a->d[0] == 0 && (a->d[1] == 0 || a->d[1] == 0xffff0000ULL);
}

static __inline int ip6_multicast(const struct ip *a)
{
	return (a->d[0] & 0xff) == 0xff;
}

static __inline int ip6_link_local(const struct ip *a)
{
	return (a->d[0] & 0xc0ff) == 0x80fe;
}

/* The link-local address of a MAC (RFC 4291, appendix A). */
static __inline void ip6_eui64(struct ip *to, const __u8 *m)
{
	to->d[0] = 0x80fe;
	to->d[1] = (__u64)(m[0] ^ 2) | (__u64)m[1] << 8 | (__u64)m[2] << 16 | 0xfeff000000ULL | (__u64)m[3] << 40 |
		   (__u64)m[4] << 48 | (__u64)m[5] << 56;
}

static __inline int ip_is_eui64(const struct ip *a, const __u8 *m)
{
	struct ip ll;

	ip6_eui64(&ll, m);
	return ip_eq(a, &ll);
}

/* Loose and strict source routing are options 131 and 137 (RFC 791); a broken option list ends the search. */
static __noinline int v4_source_routed(struct __sk_buff *skb, __u32 optlen)
{
	__u8 opt[40] = {};
	__u32 at = 0;
	int i;

	if (optlen == 0 || optlen > 40)
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 20, opt, optlen))
		return 0;
	for (i = 0; i < 40; i++) {
		__u8 kind, len;

		if (at >= optlen || at > 38)
			return 0;
		kind = opt[at];
		if (kind == 0)
			return 0;
		if (kind == 131 || kind == 137)
			return 1;
		if (kind == 1) {
			at++;
			continue;
		}
		len = opt[at + 1];
		if (len < 2)
			return 0;
		at += len;
	}
	return 0;
}

static __noinline int parse_v4(struct __sk_buff *skb, struct pkt *p)
{
	struct ipv4 h;
	__u32 hl, len;
	__u16 frag;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof(h)))
		return R_MALFORMED;
	hl = (h.vihl & 15) * 4;
	len = ntohs(h.len);
	if (h.vihl >> 4 != 4 || hl < 20 || len < hl || len + ETH_HLEN > skb->len)
		return R_MALFORMED;
	p->l3_len = len;
	p->l4_off = ETH_HLEN + hl;
	p->proto = h.proto;
	p->ttl = h.ttl;
	p->options = hl > 20;
	p->srcrouted = v4_source_routed(skb, hl - 20);
	frag = ntohs(h.frag);
	p->dont_frag = !!(frag & 0x4000);
	if (frag & 0x1fff)
		p->frag = FRAG_LATER;
	else if (frag & 0x2000)
		p->frag = FRAG_FIRST;
	p->frag_id = h.id;
	ip_from4(&p->key.saddr, h.src);
	ip_from4(&p->key.daddr, h.dst);
	return R_NONE;
}

static __noinline int parse_v6(struct __sk_buff *skb, struct pkt *p)
{
	struct ipv6 h;
	__u32 off = ETH_HLEN + 40, end;
	__u8 next;
	int i;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof(h)))
		return R_MALFORMED;
	p->l3_len = 40 + ntohs(h.len);
	end = ETH_HLEN + p->l3_len;
	if ((h.vtf & 0xf0) != 0x60 || end > skb->len || (h.len == 0 && h.next != IP_NONE))
		return R_MALFORMED;
	p->v6 = 1;
	p->ttl = h.hop;
	p->dont_frag = 1;
	ip_from6(&p->key.saddr, h.src);
	ip_from6(&p->key.daddr, h.dst);
	if (ip_mapped(&p->key.saddr) || ip_mapped(&p->key.daddr))
		return R_MALFORMED;
	next = h.next;
	for (i = 0; i < 9; i++) {
		__u8 eh[8];

		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60)
			break;
		if (i == 8 || off + 8 > end || bpf_skb_load_bytes(skb, off, eh, 8))
			return R_MALFORMED;
		p->options = 1;
		if (next == 44) {
			__u16 frag = (__u16)eh[2] << 8 | eh[3];

			p->frag_header = 1;
			p->frag = frag & 0xfff8 ? FRAG_LATER : frag & 1 ? FRAG_FIRST : FRAG_NONE;
			memcpy(&p->frag_id, eh + 4, 4);
			off += 8;
		} else if (next == 51) {
			off += (eh[1] + 2) * 4;
		} else {
			if (next == 43 && eh[2] == 0)
				p->srcrouted = 1;
			off += (eh[1] + 1) * 8;
		}
		if (off > end)
			return R_MALFORMED;
		next = eh[0];
		if (p->frag == FRAG_LATER)
			break;
	}
	p->proto = next;
	p->l4_off = off;
	return R_NONE;
}

/* ICMP's protocol number in a family. */
static __inline __u8 icmp_of(int v6)
{
	return v6 ? IP_ICMP6 : IP_ICMP;
}

static __inline int is_icmp(const struct pkt *p)
{
	return p->proto == icmp_of(p->v6);
}

/* Protocols whose header begins with a source and a destination port. */
static __inline int has_ports(__u8 proto)
{
	return proto == IP_TCP || proto == IP_UDP || proto == IP_SCTP || proto == IP_DCCP || proto == IP_UDPLITE;
}

static __inline int is_echo(const struct pkt *p)
{
	return p->v6 ? (p->icmp_type == 128 || p->icmp_type == 129) : (p->icmp_type == 8 || p->icmp_type == 0);
}

/* An ICMP error, about which no error is sent. */
static __inline int is_icmp_error(const struct pkt *p)
{
	__u8 t = p->icmp_type;

	if (p->frag == FRAG_LATER || !is_icmp(p))
		return 0;
	return p->v6 ? t < 128 : (t == 3 || t == 4 || t == 5 || t == 11 || t == 12);
}

/* The header behind IP: its length, ports or type, and whether it is whole. Sets what of the key depends on it. */
static __noinline int parse_l4(struct __sk_buff *skb, struct pkt *p)
{
	__u32 have = p->l3_len + ETH_HLEN - p->l4_off, hl = 0;
	__u8 h[20] = {};

	p->key.proto = p->proto;
	p->key.flags |= p->v6 ? FK_V6 : 0;
	p->seg_len = p->l3_len;
	if (p->frag == FRAG_LATER)
		return R_NONE;
	if (p->proto == IP_TCP) {
		if (have < 20 || bpf_skb_load_bytes(skb, p->l4_off, h, 20))
			return R_MALFORMED;
		hl = (h[12] >> 4) * 4;
		if (hl < 20 || hl > have)
			return R_MALFORMED;
		p->tcp_flags = h[13];
	} else if (p->proto == IP_UDP || p->proto == IP_UDPLITE || is_icmp(p)) {
		if (have < 8 || bpf_skb_load_bytes(skb, p->l4_off, h, 8))
			return R_MALFORMED;
		hl = 8;
	} else if (p->proto == IP_SCTP || p->proto == IP_DCCP) {
		if (have < 12 || bpf_skb_load_bytes(skb, p->l4_off, h, 12))
			return R_MALFORMED;
		hl = 12;
	}
	p->ports = hl > 0;
	if (is_icmp(p)) {
		p->icmp_type = h[0];
		p->icmp_code = h[1];
		memcpy(&p->sport, h + 4, 2);
		p->dport = p->sport;
		if (is_echo(p)) {
			memcpy(&p->key.sport, h + 4, 2);
			p->key.dport = htons(h[0] << 8 | h[1]);
		}
	} else if (hl) {
		memcpy(&p->key.sport, h, 2);
		memcpy(&p->key.dport, h + 2, 2);
		p->sport = p->key.sport;
		p->dport = p->key.dport;
	}
	if (skb->gso_size)
		p->seg_len = p->l4_off - ETH_HLEN + hl + skb->gso_size;
	p->cacheable = !p->options && p->frag == FRAG_NONE && (!is_icmp(p) || is_echo(p));
	return R_NONE;
}

/* Checks an IP packet (docs/pipeline.md, 3.4) and fills p. Returns a reason. */
static __inline int parse_ip(struct __sk_buff *skb, struct pkt *p)
{
	int r;

	p->is_ip = 1;
	r = p->ethertype == ETH_V4 ? parse_v4(skb, p) : parse_v6(skb, p);
	if (r)
		return r;
	return parse_l4(skb, p);
}

/* Checks the frame (3.2) and fills p. Returns a reason. */
static __inline int parse_eth(struct __sk_buff *skb, struct pkt *p)
{
	struct eth e;

	/* A NIC's frame has its network by its tag, which the kernel has taken out of the frame. */
	if (skb->vlan_present && !p->physical)
		return R_VLAN_TAGGED;
	if (bpf_skb_load_bytes(skb, 0, &e, sizeof(e)))
		return R_MALFORMED;
	p->ethertype = ntohs(e.type);
	mac_copy(p->key.smac, e.src);
	mac_copy(p->key.dmac, e.dst);
	if (p->ethertype == ETH_8021Q || p->ethertype == ETH_8021AD)
		return R_VLAN_TAGGED;
	if (e.src[0] & 1 || mac_zero(e.src))
		return R_MALFORMED;
	p->group = e.dst[0] & 1;
	p->l3_len = skb->len - ETH_HLEN;
	p->seg_len = p->l3_len;
	return R_NONE;
}

#endif
