/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets that are made here: ARP replies, neighbour advertisements, echo replies and ICMP errors (docs/pipeline.md). */
#include "lib/lookup.h"

SEC("tc/answer_arp")
int answer_arp(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	__u8 f[42], q[20];

	if (!p)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, 0, f, sizeof(f)))
		return drop(skb, p, R_MALFORMED);
	memcpy(q, f + 22, 20); /* sha, spa, tha, tpa of the request */
	mac_copy(f, p->key.smac);
	mac_copy(f + 6, p->reply_mac);
	f[21] = 2;
	mac_copy(f + 22, p->reply_mac);
	memcpy(f + 28, q + 16, 4);
	memcpy(f + 32, q, 10);
	if (skb->len > sizeof(f) && bpf_skb_change_tail(skb, sizeof(f), 0))
		return drop(skb, p, R_INTERNAL);
	if (bpf_skb_store_bytes(skb, 0, f, sizeof(f), 0))
		return drop(skb, p, R_INTERNAL);
	return answer(skb, p, R_NONE);
}

static __inline __u16 fold(__u64 s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

struct na {
	struct eth eth;
	struct ipv6 ip;
	__u8 type, code;
	__u16 check;
	__u8 flags[4];
	__u8 target[16];
	__u8 opt_type, opt_len, mac[6];
} __attribute__((packed));

/* The sum of the pseudo header (RFC 8200, 8.1) of an ICMPv6 packet, without the addresses. */
static __inline __u64 pseudo6(__u32 len)
{
	return (__u64)htonl(len) + htonl(IP_ICMP6);
}

SEC("tc/answer_nd")
int answer_nd(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	struct na *a;
	int dad;

	if (!p)
		return TC_ACT_SHOT;
	/* Built 2 bytes into the buffer, so that the IP header is aligned. */
	a = (struct na *)(p->buf + 2);
	memset(p->buf, 0, 96);
	dad = ip_unspecified(&p->key.saddr);
	mac_copy(a->eth.dst, p->key.smac);
	mac_copy(a->eth.src, p->reply_mac);
	a->eth.type = htons(ETH_V6);
	a->ip.vtf = htonl(0x60000000);
	a->ip.len = htons(32);
	a->ip.next = IP_ICMP6;
	a->ip.hop = 255;
	memcpy(a->ip.src, &p->vtep, 16);
	if (dad) {
		a->eth.dst[0] = a->eth.dst[1] = 0x33; /* RFC 2464, section 7 */
		a->eth.dst[2] = a->eth.dst[3] = a->eth.dst[4] = 0;
		a->eth.dst[5] = 1;
		a->ip.dst[0] = htonl(0xff020000);
		a->ip.dst[3] = htonl(1);
	} else {
		memcpy(a->ip.dst, &p->key.saddr, 16);
	}
	a->type = 136;
	a->flags[0] = (p->reply_router ? 0x80 : 0) | (dad ? 0 : 0x40) | 0x20;
	memcpy(a->target, &p->vtep, 16);
	a->opt_type = 2;
	a->opt_len = 1;
	mac_copy(a->mac, p->reply_mac);
	a->check = fold(bpf_csum_diff(NULL, 0, (__be32 *)(p->buf + 24), 64, 0) + pseudo6(32));
	if (bpf_skb_change_tail(skb, sizeof(*a), 0) || bpf_skb_store_bytes(skb, 0, a, sizeof(*a), 0))
		return drop(skb, p, R_INTERNAL);
	return answer(skb, p, R_NONE);
}

static __inline int swap(struct __sk_buff *skb, __u32 a, __u32 b, __u32 n)
{
	__u8 x[16], y[16];

	return bpf_skb_load_bytes(skb, a, x, n) || bpf_skb_load_bytes(skb, b, y, n) ||
	       bpf_skb_store_bytes(skb, a, y, n, 0) || bpf_skb_store_bytes(skb, b, x, n, 0);
}

SEC("tc/answer_echo")
int answer_echo(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	__u8 macs[12], ttl[2], type[2] = {};
	__u16 from, to;
	int bad;

	if (!p)
		return TC_ACT_SHOT;
	mac_copy(macs, p->key.smac);
	mac_copy(macs + 6, p->entry_mac);
	bad = bpf_skb_store_bytes(skb, 0, macs, 12, 0);
	from = htons(p->icmp_type << 8);
	type[0] = p->v6 ? 129 : 0;
	to = htons(type[0] << 8);
	bad = bad || bpf_l4_csum_replace(skb, p->l4_off + 2, from, to, 2);
	bad = bad || bpf_skb_store_bytes(skb, p->l4_off, type, 1, 0);
	if (p->v6) {
		ttl[0] = 64;
		bad = bad || swap(skb, ETH_HLEN + 8, ETH_HLEN + 24, 16);
		bad = bad || bpf_skb_store_bytes(skb, ETH_HLEN + 7, ttl, 1, 0);
	} else {
		bad = bad || swap(skb, ETH_HLEN + 12, ETH_HLEN + 16, 4);
		bad = bad || bpf_skb_load_bytes(skb, ETH_HLEN + 8, ttl, 2);
		memcpy(&from, ttl, 2);
		ttl[0] = 64;
		memcpy(&to, ttl, 2);
		bad = bad || bpf_l3_csum_replace(skb, ETH_HLEN + 10, from, to, 2);
		bad = bad || bpf_skb_store_bytes(skb, ETH_HLEN + 8, ttl, 1, 0);
	}
	return bad ? drop(skb, p, R_INTERNAL) : answer(skb, p, R_NONE);
}

enum { QUOTE4 = 548, QUOTE6 = 1232, FRAME_AT = 2 };

/* May an error be sent about the packet, and from which address? */
static __noinline int error_source(struct pkt *p, struct ip *src)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct lpm_key k = {.plen = 160, .id = p->rif, .addr = p->key.saddr};
	struct ip *s;

	if (is_icmp_error(p) || p->frag == FRAG_LATER || p->group || ip_unspecified(&p->key.saddr))
		return 0;
	if (p->v6 && ip6_multicast(&p->key.saddr))
		return 0;
	s = bpf_map_lookup_elem(&sources, &k);
	if (!s || ip_mapped(s) == p->v6)
		return 0;
	*src = *s;
	return c && !limited(p->ep, BUCKET_ERROR, c->error_rate, c->error_burst);
}

/* Writes the headers before the quote, with their checksums. n: bytes of the quote. */
static __noinline void error_headers(struct pkt *p, const struct ip *src, __u32 n)
{
	struct eth *e = (struct eth *)(p->buf + FRAME_AT);
	struct ipv4 *h4 = (struct ipv4 *)(p->buf + FRAME_AT + ETH_HLEN);
	struct ipv6 *h6 = (struct ipv6 *)(p->buf + FRAME_AT + ETH_HLEN);
	__u8 *icmp = p->buf + FRAME_AT + ETH_HLEN + (p->v6 ? 40 : 20);
	__u32 mtu = p->v6 ? htonl(p->err_mtu) : htonl(p->err_mtu & 0xffff);
	__u16 check;
	__u64 sum = 0;

	mac_copy(e->dst, p->key.smac);
	mac_copy(e->src, p->entry_mac);
	e->type = htons(p->v6 ? ETH_V6 : ETH_V4);
	icmp[0] = p->err_type;
	icmp[1] = p->err_code;
	memcpy(icmp + 4, &mtu, 4);
	/* 8 + 1232 bytes are 1240; what is behind the quote is zero. csum_diff takes at most 512 at once. */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)icmp, 512, 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)(icmp + 512), 512, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)(icmp + 1024), 216, sum);
	if (p->v6) {
		h6->vtf = htonl(0x60000000);
		h6->len = htons(8 + n);
		h6->next = IP_ICMP6;
		h6->hop = 64;
		memcpy(h6->src, src, 16);
		memcpy(h6->dst, &p->key.saddr, 16);
		sum = bpf_csum_diff(NULL, 0, h6->src, 32, sum) + pseudo6(8 + n);
	} else {
		h4->vihl = 0x45;
		h4->tos = 0xc0;
		h4->len = htons(28 + n);
		h4->ttl = 64;
		h4->proto = IP_ICMP;
		h4->src = ip_to4(src);
		h4->dst = ip_to4(&p->key.saddr);
		h4->check = fold(bpf_csum_diff(NULL, 0, (__be32 *)h4, 20, 0));
	}
	check = fold(sum);
	memcpy(icmp + 2, &check, 2);
}

/*
 * Makes the skb as long as the answer, and plain: growing it drops GSO, and pulling 64 bytes past the checksum's start
 * turns a checksum left to the hardware (which would write into the quote) into none.
 */
static __noinline int make_plain(struct __sk_buff *skb, __u32 len)
{
	return bpf_skb_change_tail(skb, 256, 0) || bpf_skb_adjust_room(skb, -64, BPF_ADJ_ROOM_MAC, 0) ||
	       bpf_skb_change_tail(skb, len, 0);
}

SEC("tc/answer_error")
int answer_error(struct __sk_buff *skb)
{
	struct pkt *p = scratch_pkt();
	__u32 i, reason, hl, n, len;
	struct ip src;

	if (!p)
		return TC_ACT_SHOT;
	reason = p->targets;
	p->targets = 0;
	if (!error_source(p, &src))
		return drop(skb, p, reason);
	for (i = 0; i < ANSWER_MAX / 8; i++)
		((volatile __u64 *)p->buf)[i] = 0;
	hl = p->v6 ? 48 : 28;
	n = p->l3_len;
	if (n > (p->v6 ? QUOTE6 : QUOTE4))
		n = p->v6 ? QUOTE6 : QUOTE4;
	barrier_var(n);
	if (n < 20 || n > QUOTE6)
		return drop(skb, p, R_INTERNAL);
	if (bpf_skb_load_bytes(skb, ETH_HLEN, p->buf + FRAME_AT + ETH_HLEN + hl, n))
		return drop(skb, p, R_INTERNAL);
	error_headers(p, &src, n);
	len = ETH_HLEN + hl + n;
	barrier_var(len);
	if (len < 42 || len > ANSWER_MAX - FRAME_AT)
		return drop(skb, p, R_INTERNAL);
	/* Counted and told of as the packet that it was. */
	count_drop(p->ep, reason, skb->len);
	drop_event(skb, p->ep, reason, 0);
	if (make_plain(skb, len) || bpf_skb_store_bytes(skb, 0, p->buf + FRAME_AT, len, 0))
		return drop(skb, p, R_INTERNAL);
	return answer(skb, p, reason);
}
