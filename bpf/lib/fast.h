/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path that both hooks share: a key from the first bytes of the packet, one lookup, the generations, one
 * rewrite. Whatever it does not understand goes the slow way, which says what is wrong with it.
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
	__u8 ttl;
	__u8 tcp_flags;
};

/* IPv4 without options and fragments. Returns the offset of layer 4, or 0. */
static __inline __u32 fast_v4(void *data, void *end, struct fast *x)
{
	struct ipv4 *h = data + ETH_HLEN;

	if ((void *)(h + 1) > end || h->vihl != 0x45 || h->frag & htons(0x3fff))
		return 0;
	x->l3_len = ntohs(h->len);
	if (x->l3_len < 20 || data + ETH_HLEN + 20 > end)
		return 0;
	x->ttl = h->ttl;
	x->key.proto = h->proto;
	ip_from4(&x->key.saddr, h->src);
	ip_from4(&x->key.daddr, h->dst);
	return ETH_HLEN + 20;
}

static __inline __u32 fast_v6(void *data, void *end, struct fast *x)
{
	struct ipv6 *h = data + ETH_HLEN;

	if ((void *)(h + 1) > end || (h->vtf & 0xf0) != 0x60 || h->len == 0)
		return 0;
	x->l3_len = 40 + ntohs(h->len);
	x->ttl = h->hop;
	x->key.proto = h->next;
	x->key.flags |= FK_V6;
	ip_from6(&x->key.saddr, h->src);
	ip_from6(&x->key.daddr, h->dst);
	return ETH_HLEN + 40;
}

/* Ports or ICMP id. Returns whether flows of this kind are cached. */
static __inline int fast_l4(void *data, void *end, __u32 off, struct fast *x)
{
	__u8 *h = data + off;
	int v6 = x->key.flags & FK_V6;

	if (x->key.proto == IP_TCP) {
		if (h + 20 > (__u8 *)end)
			return 0;
		x->l4_len = (h[12] >> 4) * 4;
		x->tcp_flags = h[13];
		x->seq = ntohl(*(__be32 *)(h + 4));
		if (x->l4_len < 20 || off - ETH_HLEN + x->l4_len > x->l3_len)
			return 0;
	} else {
		if (h + 8 > (__u8 *)end || off - ETH_HLEN + 8 > x->l3_len)
			return 0;
		x->l4_len = 8;
		if (x->key.proto == (v6 ? IP_ICMP6 : IP_ICMP)) {
			__u8 type = h[0];

			if (v6 ? type != 128 && type != 129 : type != 8 && type != 0)
				return 0;
			x->key.sport = *(__be16 *)(h + 4);
			x->key.dport = htons(type << 8 | h[1]);
			return 1;
		}
		if (x->key.proto != IP_UDP)
			return 0;
	}
	x->key.sport = *(__be16 *)h;
	x->key.dport = *(__be16 *)(h + 2);
	return 1;
}

/* Bytes up to the end of the layer 4 header as far as it is used; 0: not a packet for the fast path. */
static __inline __u32 fast_head(void *data, void *end)
{
	struct eth *e = data;
	__u32 off = 0;
	__u8 proto;

	if (e->type == htons(ETH_V4)) {
		if (data + ETH_HLEN + 20 > end)
			return 0;
		proto = ((struct ipv4 *)(data + ETH_HLEN))->proto;
		off = ETH_HLEN + 20;
	} else if (e->type == htons(ETH_V6)) {
		if (data + ETH_HLEN + 40 > end)
			return 0;
		proto = ((struct ipv6 *)(data + ETH_HLEN))->next;
		off = ETH_HLEN + 40;
	} else {
		return 0;
	}
	return off + (proto == IP_TCP ? 20 : 8);
}

/*
 * Fills the key but for src. Returns whether the packet may be in the cache. Headers that are not in the linear part are
 * pulled, but not a byte more: of a TCP sender's packet the linear part is just its headers, and pulling payload would
 * copy the buffer, for it is shared with the queue of retransmissions.
 */
static __inline int fast_parse(struct __sk_buff *skb, struct fast *x)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct eth *e = data;
	__u32 off, head;

	if (skb->vlan_present || data + ETH_HLEN > end)
		return 0;
	head = fast_head(data, end);
	if (!head)
		return 0;
	if (data + head > end) {
		if (bpf_skb_pull_data(skb, head))
			return 0;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		e = data;
		if (data + ETH_HLEN > end)
			return 0;
	}
	mac_copy(x->key.smac, e->src);
	mac_copy(x->key.dmac, e->dst);
	off = e->type == htons(ETH_V4) ? fast_v4(data, end, x) : fast_v6(data, end, x);
	return off && x->l3_len + ETH_HLEN <= skb->len && fast_l4(data, end, off, x);
}

static __inline __u64 gen_at(__u32 gs)
{
	__u32 *g = bpf_map_lookup_elem(&gens, &gs);

	return g ? READ_ONCE(*g) : 0;
}

/* Is the decision still the one that would be made? */
static __inline int fast_valid(const struct flow_val *f)
{
	__u64 sum = gen_at(f->gs[0]) + gen_at(f->gs[1]) + gen_at(f->gs[2]) + gen_at(f->gs[3]) + gen_at(f->gs[4]);

	return sum == f->gen_sum;
}

/* Does the packet fit, and live on? */
static __inline int fast_fits(struct __sk_buff *skb, const struct flow_val *f, const struct fast *x)
{
	__u32 len = x->l3_len;

	if (len > f->mtu) {
		if (!skb->gso_size)
			return 0;
		len = (x->key.flags & FK_V6 ? 40 : 20) + x->l4_len + skb->gso_size;
		if (len > f->mtu)
			return 0;
	}
	return !(f->flags & F_ROUTED) || x->ttl > 1;
}

/* Writes what the flow says into the packet. Returns whether it could. */
static __inline int fast_rewrite(struct __sk_buff *skb, const struct flow_val *f, const struct fast *x)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct eth *e = data;

	if (!(f->flags & (F_ROUTED | F_SMAC)))
		return 1;
	if (data + ETH_HLEN + 20 > end)
		return 0;
	mac_copy(e->src, f->smac);
	if (!(f->flags & F_ROUTED))
		return 1;
	mac_copy(e->dst, f->dmac);
	if (x->key.flags & FK_V6) {
		struct ipv6 *h = data + ETH_HLEN;

		if ((void *)(h + 1) > end)
			return 0;
		h->hop--;
	} else {
		struct ipv4 *h = data + ETH_HLEN;
		__u32 sum = h->check + htons(0x0100); /* RFC 1141 */

		h->check = sum + (sum >= 0xffff);
		h->ttl--;
	}
	return 1;
}

enum { TOUCH_NS = 1000000000, RST_WINDOW = 1 << 20 };

/* Takes the packet into account at one endpoint's connection. Returns 0 if it is gone. */
static __noinline int fast_conn(const struct fast *x, __u32 slot, __u32 egress, __u32 tcp_flags)
{
	struct conn_key k = {.ep = slot, .proto = x->key.proto, .flags = x->key.flags & FK_V6 ? CK_V6 : 0};
	struct conn_val *c;

	k.local = egress ? x->key.saddr : x->key.daddr;
	k.remote = egress ? x->key.daddr : x->key.saddr;
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
 * two writes a connection cannot end by age. Returns 0 if one is gone: the decision is made anew.
 */
static __inline int fast_conns(struct flow_val *f, const struct fast *x)
{
	__u32 flags = x->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK), off;
	__u64 now;

	if (!(f->flags & (F_CONN_SRC | F_CONN_DST)))
		return 1;
	now = bpf_ktime_get_coarse_ns();
	if (x->key.proto == IP_TCP) {
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
	if (f->flags & F_CONN_SRC && !fast_conn(x, f->ep_src, 1, flags))
		return 0;
	if (f->flags & F_CONN_DST && !fast_conn(x, f->ep_dst, 0, flags))
		return 0;
	f->touched = now;
	return 1;
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
	d->verdict = f->flags & F_LOCAL ? V_LOCAL : V_TUNNEL;
	d->flags = D_FLOW_HIT | (f->flags & F_ROUTED ? D_ROUTED : 0);
	d->ep = f->ep_src;
	d->ep_dst = f->ep_dst;
	d->ifindex = f->ifindex;
	d->peer = f->peer;
	d->vni = f->flags & F_LOCAL ? 0 : f->vni;
	d->rule = f->rule_src ? f->rule_src : f->rule_dst;
}

#endif
