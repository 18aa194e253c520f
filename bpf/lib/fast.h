/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path that both hooks share: a key from the first bytes of the packet, one lookup, one comparison with the
 * host's epoch, one rewrite. Whatever it does not understand goes the slow way, which says what is wrong with it.
 *
 * An established packet finds the processor's caches full of other things, so what counts is how few lines of code and data
 * are touched: what is rare stands in functions of its own, and the packet is never written to directly (the kernel would
 * make every clone's head writable before the program begins).
 */
#ifndef WEFT_FAST_H
#define WEFT_FAST_H

#include "conn.h"
#include "verdict.h"

struct fast {
	struct flow_key key;
	__u32 l3_len;
	__u32 l4_len; /* known for TCP and UDP: GSO */
	__u32 seq; /* TCP */
	__u32 head; /* bytes of headers that are looked at */
	__u32 ports, proto, flags; /* for the key */
	__u32 ttl;
	__u32 tcp_flags;
};

/* What fast_read makes of a packet: not for the cache; headers not in the linear part; a key. */
enum { FAST_NO, FAST_SHORT, FAST_KEY };

/* IPv4 without options and fragments. */
static __inline int fast_v4(void *data, struct fast *x)
{
	struct ipv4 *h = data + ETH_HLEN;

	if (unlikely(h->vihl != 0x45 || h->frag & htons(0x3fff)))
		return 0;
	x->l3_len = ntohs(h->len);
	x->ttl = h->ttl;
	x->proto = h->proto;
	ip_from4(&x->key.saddr, h->src);
	ip_from4(&x->key.daddr, h->dst);
	return 1;
}

static __inline int fast_v6(void *data, struct fast *x)
{
	struct ipv6 *h = data + ETH_HLEN;

	if ((h->vtf & 0xf0) != 0x60 || h->len == 0)
		return 0;
	x->l3_len = 40 + ntohs(h->len);
	x->ttl = h->hop;
	x->proto = h->next;
	x->flags |= FK_V6;
	ip_from6(&x->key.saddr, h->src);
	ip_from6(&x->key.daddr, h->dst);
	return 1;
}

/* The identifier of an echo, in place of ports. */
static __inline int fast_icmp(__u8 *h, struct fast *x)
{
	__u8 type = h[0];

	if (x->flags & FK_V6 ? type != 128 && type != 129 : type != 8 && type != 0)
		return FAST_NO;
	x->ports = *(__be16 *)(h + 4) | (__u32)htons(type << 8 | h[1]) << 16;
	return FAST_KEY;
}

/* Ports or ICMP id, at an offset of which 8 bytes are known to be there. */
static __inline int fast_l4(void *data, void *end, __u32 off, struct fast *x)
{
	__u8 *h = data + off;

	x->ports = *(__u32 *)h;
	if (likely(x->proto == IP_TCP)) {
		x->head = off + 20;
		if (unlikely(h + 20 > (__u8 *)end))
			return FAST_SHORT;
		x->l4_len = (h[12] >> 4) * 4;
		x->tcp_flags = h[13];
		x->seq = ntohl(*(__be32 *)(h + 4));
		if (unlikely(x->l4_len < 20))
			return FAST_NO;
	} else {
		x->l4_len = 8;
		x->tcp_flags = x->seq = 0;
	}
	if (unlikely(off - ETH_HLEN + x->l4_len > x->l3_len))
		return FAST_NO;
	if (likely(x->proto == IP_TCP || x->proto == IP_UDP))
		return FAST_KEY;
	return x->proto == (x->flags & FK_V6 ? IP_ICMP6 : IP_ICMP) ? fast_icmp(h, x) : FAST_NO;
}

/* Fills x, and of the key the addresses. */
static __inline int fast_read(void *data, void *end, struct fast *x)
{
	__u16 type;

	x->head = ETH_HLEN + 20 + 8;
	if (unlikely(data + ETH_HLEN + 20 + 8 > end))
		return FAST_SHORT;
	type = ((struct eth *)data)->type;
	if (likely(type == htons(ETH_V4)))
		return fast_v4(data, x) ? fast_l4(data, end, ETH_HLEN + 20, x) : FAST_NO;
	if (type != htons(ETH_V6))
		return FAST_NO;
	x->head = ETH_HLEN + 40 + 8;
	if (data + ETH_HLEN + 40 + 8 > end)
		return FAST_SHORT;
	return fast_v6(data, x) ? fast_l4(data, end, ETH_HLEN + 40, x) : FAST_NO;
}

/* The rest of the key, in whole words: it is read in such at once, and the processor is slow to put them together. */
static __inline void fast_key(void *data, struct fast *x, __u32 src, __u32 vlan)
{
	__u64 *w = (__u64 *)&x->key;

	w[4] = src | (__u64)x->ports << 32;
	w[5] = *(__u64 *)data;
	w[6] = *(__u32 *)(data + 8) | (__u64)x->proto << 32 | (__u64)x->flags << 40 | (__u64)vlan << 48;
}

/*
 * Reads the packet. src, flags and vlan: where it came from. Returns whether it may be in the cache. Headers that are not in the linear part
 * are pulled, but not a byte more: of a TCP sender's packet the linear part is just its headers, and pulling payload would
 * copy the buffer, for it is shared with the queue of retransmissions.
 */
static __inline int fast_parse(struct __sk_buff *skb, struct fast *x, __u32 src, __u32 flags, __u32 vlan)
{
	void *data;
	int i, r = FAST_NO;

	if (!(flags & FK_PHYSICAL) && unlikely(skb->vlan_present))
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < 4; i++) { /* three pulls at most: for IPv4, for IPv6, for TCP behind it */
		data = (void *)(long)skb->data;
		x->flags = flags;
		r = fast_read(data, (void *)(long)skb->data_end, x);
		if (likely(r == FAST_KEY)) {
			fast_key(data, x, src, vlan);
			return x->l3_len + ETH_HLEN <= skb->len;
		}
		if (r == FAST_NO || bpf_skb_pull_data(skb, x->head))
			return 0;
	}
	return 0;
}

static __inline __u64 gen_at(__u32 gs)
{
	__u32 *g = bpf_map_lookup_elem(&gens, &gs);

	return g && gs ? READ_ONCE(*g) : 0;
}

/*
 * Is the decision still the one that would be made? While the host's epoch stands still, yes; when it has moved, what the
 * decision read may have changed or not. The epoch is read before the generations, and the agent writes it after them, so no
 * change between the two is missed.
 */
static __inline int fast_valid(struct flow_val *f)
{
	__u32 *epoch = bpf_map_lookup_elem(&gens, &zero), now;
	__u64 sum;

	if (!epoch)
		return 0;
	if (READ_ONCE(*epoch) == f->epoch)
		return 1;
	now = __sync_fetch_and_add(epoch, 0); /* ordered before the reads that follow, as a plain read is not everywhere */
	sum = gen_at(f->gs[0]) + gen_at(f->gs[1]) + gen_at(f->gs[2]) + gen_at(f->gs[3]) + gen_at(f->gs[4]) +
	      gen_at(f->gs_heard);
	if (sum != f->gen_sum)
		return 0;
	WRITE_ONCE(f->epoch, now);
	return 1;
}

enum { TOUCH_NS = 1000000000, RST_WINDOW = 1 << 20 };

/* Takes the packet into account at one endpoint's connection. Returns 0 if it is gone. The receiver knows translated addresses. */
static __noinline int fast_conn(const struct flow_val *f, const struct fast *x, __u32 egress, __u32 tcp_flags)
{
	struct conn_key k = {.ep = egress ? f->ep_src : f->ep_dst, .proto = x->proto, .flags = x->flags & FK_V6 ? CK_V6 : 0};
	struct conn_val *c;

	k.local = egress ? x->key.saddr : x->key.daddr;
	k.remote = egress ? x->key.daddr : x->key.saddr;
	if (!egress && f->flags & F_NAT_DST)
		ip_from4(&k.local, f->nat_dst);
	if (!egress && f->flags & F_NAT_SRC)
		ip_from4(&k.remote, f->nat_src);
	k.lport = egress ? x->key.sport : x->key.dport;
	k.rport = egress ? x->key.dport : x->key.sport;
	if (k.proto == (k.flags & CK_V6 ? IP_ICMP6 : IP_ICMP))
		k.lport = k.rport = x->key.sport;
	c = conn_find(&k);
	if (!c)
		return 0;
	conn_advance(c, &k, egress, tcp_flags);
	return 1;
}

/*
 * Keeps the connections of a flow alive. They are written once a second, and for packets that change TCP's state; between
 * two writes a connection cannot end by age. seen is the last sequence number. Returns 0 if a connection is gone: the decision is
 * made anew.
 */
static __inline int fast_conns(struct flow_val *f, const struct fast *x)
{
	__u32 flags = x->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK), off;
	__u64 now;

	if (!(f->flags & (F_CONN_SRC | F_CONN_DST)))
		return 1;
	now = bpf_ktime_get_coarse_ns();
	if (x->proto == IP_TCP) {
		/* A reset far from what was last sent is none of this connection's (RFC 5961, section 3). */
		off = x->seq - f->seq + RST_WINDOW / 2;
		if (flags & TCP_RST && f->seq_known && off > RST_WINDOW)
			flags = TCP_ACK;
		else
			f->seq = x->seq;
		f->seq_known = 1;
	}
	if (likely(now - f->touched < TOUCH_NS && !(flags & (TCP_FIN | TCP_SYN | TCP_RST))))
		return 1;
	if (f->flags & F_CONN_SRC && !fast_conn(f, x, 1, flags))
		return 0;
	if (f->flags & F_CONN_DST && !fast_conn(f, x, 0, flags))
		return 0;
	f->touched = now;
	return 1;
}

/* Does the packet fit, and live on? */
static __inline int fast_fits(struct __sk_buff *skb, const struct flow_val *f, const struct fast *x)
{
	__u32 len = x->l3_len;

	if (unlikely(len > f->mtu)) {
		if (!skb->gso_size)
			return 0;
		len = (x->flags & FK_V6 ? 40 : 20) + x->l4_len + skb->gso_size;
		if (len > f->mtu)
			return 0;
	}
	return !(f->flags & F_ROUTED) || x->ttl > 1 + !!(f->flags & F_TWICE);
}

/* Where this processor would hold the flow, whether or not another one is there. */
static __inline struct recent *recent_place(const struct flow_key *k)
{
	__u64 h = k->saddr.d[1] ^ k->daddr.d[1] * 0x9e3779b97f4a7c15ULL ^ *(const __u64 *)&k->src ^ k->saddr.d[0] ^ k->daddr.d[0];
	__u32 i = bpf_get_smp_processor_id() << RECENT_BITS | h * 0x9e3779b97f4a7c15ULL >> (64 - RECENT_BITS);

	return bpf_map_lookup_elem(&recent, &i);
}

static __inline int key_eq(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]) | (x[6] ^ y[6]));
}

/*
 * A flow that this processor has met since the host's epoch began, and lately enough that its connections need no writing (100
 * jiffies are between 0.1 and 1 s). The map of flows costs a call into the kernel, whose code and data an established packet
 * finds cold; this is an array, and looked up in line. Only this processor reads and writes it, with bottom halves disabled.
 */
static __inline struct flow_val *recent_flow(const struct fast *x, const struct ip *vtep)
{
	struct recent *c = recent_place(&x->key);
	__u32 *epoch = bpf_map_lookup_elem(&gens, &zero);

	if (!c || !epoch || unlikely(!key_eq(&c->key, &x->key) || c->val.epoch != READ_ONCE(*epoch)))
		return NULL;
	if (unlikely(bpf_jiffies64() - c->jiffies >= 100 || x->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST)))
		return NULL;
	if (vtep && unlikely(!ip_eq(&c->val.vtep, vtep)))
		return NULL;
	if (likely(x->proto == IP_TCP))
		c->val.seq = x->seq;
	return &c->val;
}

/* The flow from the map that all processors share, if it holds and its connections do; it becomes a recent one. */
static __noinline struct flow_val *cached_flow(struct __sk_buff *skb, const struct fast *x, const struct ip *vtep)
{
	struct flow_val *f = bpf_map_lookup_elem(&flow, &x->key);
	struct recent *c = recent_place(&x->key);

	if (!f || !c || (vtep && !ip_eq(&f->vtep, vtep)) || !fast_valid(f) || !fast_fits(skb, f, x))
		return NULL;
	if (key_eq(&c->key, &x->key) && c->val.seq_known)
		f->seq = c->val.seq;
	if (!fast_conns(f, x))
		return NULL;
	c->key = x->key;
	c->val = *f;
	c->jiffies = bpf_jiffies64();
	return f;
}

/* Writes MACs and TTL, or MACs alone. Returns whether it could. */
static __noinline int fast_write(struct __sk_buff *skb, const struct flow_val *f)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 h[7], len, sum, hops = 1 + !!(f->flags & F_TWICE);
	struct ipv4 *ip = data + ETH_HLEN;

	if (f->flags & F_MACS)
		return !bpf_skb_store_bytes(skb, 0, f->dmac, 12, 0); /* the two lie behind each other */
	if (!(f->flags & F_ROUTED))
		return !(f->flags & F_SMAC) || !bpf_skb_store_bytes(skb, 6, f->smac, 6, 0);
	if ((void *)(ip + 1) > end)
		return 0;
	h[0] = *(__u32 *)f->dmac;
	h[1] = *(__u32 *)(f->dmac + 4);
	h[2] = *(__u32 *)(f->dmac + 8);
	h[3] = *(__u32 *)(data + 12);
	h[4] = *(__u32 *)(data + 16);
	h[5] = *(__u32 *)(data + 20);
	h[6] = 0;
	if (((struct eth *)data)->type == htons(ETH_V4)) {
		sum = ip->check + hops * htons(0x0100); /* RFC 1141 */
		h[5] -= hops << 16; /* TTL, the byte at 22 */
		h[6] = (__u16)(sum + (sum >= 0xffff));
		len = 26;
	} else {
		h[5] -= hops << 8; /* hop limit, the byte at 21 */
		len = 22;
	}
	return !bpf_skb_store_bytes(skb, 0, h, len, 0);
}

/* One address of an IPv4 packet without options, with the checksums that cover it. Returns whether it could. */
static __inline int fast_address(struct __sk_buff *skb, __u32 off, __be32 from, __be32 to, __u32 proto)
{
	if (bpf_l3_csum_replace(skb, ETH_HLEN + 10, from, to, 4))
		return 0;
	if (proto == IP_TCP && bpf_l4_csum_replace(skb, ETH_HLEN + 20 + 16, from, to, BPF_F_PSEUDO_HDR | 4))
		return 0;
	if (proto == IP_UDP && bpf_l4_csum_replace(skb, ETH_HLEN + 20 + 6, from, to, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | 4))
		return 0;
	return !bpf_skb_store_bytes(skb, off, &to, 4, 0);
}

/* What the cache holds of translation: IPv4 without options, TCP, UDP and echoes. */
static __noinline int fast_nat(struct __sk_buff *skb, const struct flow_val *f, const struct fast *x)
{
	if (f->flags & F_NAT_SRC && !fast_address(skb, ETH_HLEN + 12, ip_to4(&x->key.saddr), f->nat_src, x->proto))
		return 0;
	return !(f->flags & F_NAT_DST) || fast_address(skb, ETH_HLEN + 16, ip_to4(&x->key.daddr), f->nat_dst, x->proto);
}

/* Writes what the flow says into the packet. Returns whether it could. */
static __inline int fast_rewrite(struct __sk_buff *skb, const struct flow_val *f, const struct fast *x)
{
	if (f->flags & (F_ROUTED | F_SMAC | F_MACS) && !fast_write(skb, f))
		return 0;
	return likely(!(f->flags & (F_NAT_SRC | F_NAT_DST))) || fast_nat(skb, f, x);
}

/* Where a tunnelled flow goes. */
static __inline int fast_tunnel(struct __sk_buff *skb, const struct flow_val *f)
{
	struct bpf_tunnel_key k = {};

	if (unlikely(!ip_mapped(&f->vtep)))
		return set_tunnel(skb, &f->vtep, f->vni);
	k.tunnel_id = f->vni;
	k.tunnel_ttl = 64;
	k.remote_ipv4 = ntohl(ip_to4(&f->vtep));
	k.local_ipv4 = ntohl(f->local4);
	return bpf_skb_set_tunnel_key(skb, &k, sizeof(k), BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT);
}

static __inline void fast_record(struct __sk_buff *skb, const struct flow_val *f)
{
	struct record *d;

	if (!opt_record)
		return;
	d = bpf_map_lookup_elem(&decision, &zero);
	if (!d)
		return;
	memset(d, 0, sizeof(*d));
	d->verdict = f->flags & F_LOCAL ? V_LOCAL : f->flags & F_OUTSIDE ? V_OUTSIDE : V_TUNNEL;
	d->flags = D_FLOW_HIT | (f->flags & F_ROUTED ? D_ROUTED : 0);
	d->ep = f->ep_src;
	d->ep_dst = f->ep_dst;
	d->ifindex = f->ifindex;
	d->peer = f->peer;
	d->vni = f->flags & F_LOCAL ? 0 : f->vni;
	d->rule = f->rule_src ? f->rule_src : f->rule_dst;
}

#endif
