/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How a packet's walk ends: the decision record, counters, events, rate limits, delivery. */
#ifndef WEFT_VERDICT_H
#define WEFT_VERDICT_H

#include "packet.h"

static __inline struct pkt *scratch_pkt(void)
{
	return bpf_map_lookup_elem(&scratch, &zero);
}

static __inline void record(const struct pkt *p, __u8 verdict, __u16 reason)
{
	struct record *d;

	if (!opt_record)
		return;
	d = bpf_map_lookup_elem(&decision, &zero);
	if (!d)
		return;
	memset(d, 0, sizeof(*d));
	d->verdict = verdict;
	d->reason = reason;
	d->flags = (p->overlay ? D_OVERLAY : 0) | (p->told == PUNT_NEIGHBOR ? D_NEIGHBOR : 0) | (p->told == PUNT_ASK ? D_ASK : 0) | (p->flow_flags & F_OUTSIDE ? D_OUTSIDE : 0) |
		    (p->flow_flags & F_ROUTED ? D_ROUTED : 0) | (p->flow_made ? D_FLOW_NEW : 0);
	d->ep = p->ep;
	d->net = p->net;
	d->router = p->router;
	d->ep_dst = p->ep_dst;
	d->peer = p->peer;
	d->rule = p->rule_src ? p->rule_src : p->rule_dst;
	d->mtu = p->err_mtu;
	d->targets = p->targets;
	d->conn_src = p->conn_src;
	d->conn_dst = p->conn_dst;
}

/* Takes one token of an endpoint's bucket. rate 0: no limit. Races between CPUs give or take a token. */
static __noinline int limited(__u32 ep, __u32 which, __u32 rate, __u32 burst)
{
	struct ep_run *s = bpf_map_lookup_elem(&ep_state, &ep);
	struct bucket *b;
	__u64 now, gain;

	if (rate == 0 || !s)
		return 0;
	if (which >= BUCKETS)
		return 0;
	b = &s->buckets[which];
	now = bpf_ktime_get_coarse_ns();
	gain = (now - b->last) / 1000 * rate / 1000000;
	if (b->last == 0 || gain >= burst) {
		b->tokens = burst;
		b->last = now;
	} else if (gain) {
		b->tokens = b->tokens + gain > burst ? burst : b->tokens + gain;
		b->last = now;
	}
	if (b->tokens == 0)
		return 1;
	b->tokens--;
	return 0;
}

static __inline void count_drop(__u32 ep, __u32 reason, __u32 len)
{
	struct drop_key k = {.ep = ep, .reason = reason};
	struct counter *c = bpf_map_lookup_elem(&drops, &k), first = {.packets = 1, .bytes = len};

	if (c) {
		c->packets++;
		c->bytes += len;
	} else {
		bpf_map_update_elem(&drops, &k, &first, BPF_NOEXIST);
	}
}

static __inline void count_rule_drop(__u32 rule, __u32 len)
{
	struct rule_hits *h = rule ? bpf_map_lookup_elem(&rules, &rule) : NULL;

	if (h) {
		h->drops++;
		h->drop_bytes += len;
	}
}

static __noinline int drop_event(struct __sk_buff *skb, __u32 ep, __u32 reason, __u32 rule)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct endpoint *from;
	struct rule_id *id;
	struct event *e;
	__u32 n = skb->len;

	if (!c || limited(ep, BUCKET_EVENT, c->event_rate, c->event_burst))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->time = bpf_ktime_get_ns();
	memset(e->port, 0, 32);
	from = bpf_map_lookup_elem(&endpoints, &ep);
	if (from)
		memcpy(e->port, from->uuid, 16);
	id = bpf_map_lookup_elem(&rule_ids, &rule);
	if (id)
		memcpy(e->rule, id->uuid, 16);
	e->reason = reason;
	e->len = skb->len;
	if (n > EVENT_DATA)
		n = EVENT_DATA;
	/* One bound after the other: the verifier of 6.1 does not see through the compiler's merging of two into one. */
	barrier_var(n);
	e->data_len = 0;
	if (n >= ETH_HLEN && !bpf_skb_load_bytes(skb, 0, e->data, n))
		e->data_len = n;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Ends the walk: the packet is gone, counted, and told. */
static __noinline int drop(struct __sk_buff *skb, struct pkt *p, __u32 reason)
{
	__u32 ep = p->at_dst || !p->ep ? p->ep_dst : p->ep, rule = p->rule_src ? p->rule_src : p->rule_dst;
	int verdict = TC_ACT_SHOT;

	/*
	 * A tail call in a subprogram comes back to the subprogram's caller with the other program's verdict. The compiler,
	 * which takes it for a call, must not conclude that all that can come back is this constant.
	 */
	barrier_var(verdict);
	count_drop(ep, reason, skb->len);
	count_rule_drop(rule, skb->len);
	drop_event(skb, ep, reason, rule);
	record(p, V_DROP, reason);
	return verdict;
}

static __inline int consumed(struct pkt *p)
{
	record(p, V_CONSUMED, R_NONE);
	return TC_ACT_SHOT;
}

static __inline int jump_to(struct __sk_buff *skb, struct pkt *p, __u32 prog)
{
	bpf_tail_call(skb, &jump, prog);
	return drop(skb, p, R_NOT_PROGRAMMED);
}

/* Sends the frame, which has been made into an answer, back to the device it came from. */
static __inline int answer(struct __sk_buff *skb, struct pkt *p, __u32 reason)
{
	struct record *d;

	record(p, V_ANSWER, reason);
	if (opt_record) {
		d = bpf_map_lookup_elem(&decision, &zero);
		if (d)
			d->ifindex = p->key.src;
	}
	return bpf_redirect(p->key.src, 0);
}

static __inline int to_endpoint(struct __sk_buff *skb, __u32 ifindex, int peer)
{
	if (peer) {
		/* Frames for another MAC than the device's are PACKET_OTHERHOST, which the peer's stack would drop. */
		if (skb->pkt_type != PACKET_HOST)
			bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(ifindex, 0);
	}
	return bpf_redirect(ifindex, 0);
}

/* Sends the frame to a NIC. A kernel without VLAN devices tags and strips all the same. */
static __inline int to_nic(struct __sk_buff *skb, __u32 ifindex, __u32 vlan)
{
	if (vlan && bpf_skb_vlan_push(skb, htons(0x8100), vlan))
		return TC_ACT_SHOT;
	return bpf_redirect(ifindex, 0);
}

/* The frame is the host's own, or another program's. */
static __inline int pass(struct pkt *p)
{
	record(p, V_PASS, R_NONE);
	return TC_ACT_UNSPEC;
}

static __inline int set_tunnel(struct __sk_buff *skb, const struct ip *vtep, __u32 vni)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct bpf_tunnel_key k = {};

	if (!c)
		return -1;
	k.tunnel_id = vni;
	k.tunnel_ttl = 64;
	/* Peers know this host by one address; routing alone might choose another. */
	if (ip_mapped(vtep)) {
		k.remote_ipv4 = ntohl(ip_to4(vtep));
		k.local_ipv4 = ntohl(ip_to4(&c->vtep));
		return bpf_skb_set_tunnel_key(skb, &k, sizeof(k), BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT);
	}
	memcpy(k.remote_ipv6, vtep, 16);
	memcpy(k.local_ipv6, &c->vtep, 16);
	return bpf_skb_set_tunnel_key(skb, &k, sizeof(k), BPF_F_TUNINFO_IPV6 | BPF_F_DONT_FRAGMENT);
}

/*
 * Writes the packet into the ring buffer for user space: struct punt, struct punt_outside if the packet has to do with the outside, the
 * frame. Returns a reason.
 */
static __noinline int put_punt(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, __u32 kind)
{
	struct host *c = bpf_map_lookup_elem(&config, &zero);
	struct punt *u = (struct punt *)p->buf;
	struct punt_outside *o = (struct punt_outside *)(p->buf + sizeof(*u));
	__u32 n = skb->len, at = sizeof(*u), rate, burst;
	struct network *net;

	if (!c)
		return R_NOT_PROGRAMMED;
	rate = c->punt_rate;
	burst = c->punt_burst;
	if (kind == PUNT_DHCP4 || kind == PUNT_DHCP6 || kind == PUNT_RS || kind == PUNT_ASK) {
		rate = c->ask_rate;
		burst = c->ask_burst;
	}
	if (kind >= PUNT_KINDS || limited(p->ep, BUCKET_PUNT + kind, rate, burst))
		return R_STORM_LIMIT;
	memset(u->uuid, 0, 16);
	if (e)
		memcpy(u->uuid, e->uuid, 16);
	u->ep = p->ep;
	u->kind = kind;
	u->len = n;
	if (n < 14 || n > PUNT_MAX)
		return R_TOO_BIG;
	if (p->out_net) {
		net = bpf_map_lookup_elem(&networks, &p->out_net);
		if (!net)
			return R_NOT_PROGRAMMED;
		u->kind |= PUNT_OUTSIDE;
		memcpy(o->net, net->uuid, 16);
		o->hop = p->hop;
		at += sizeof(*o);
	}
	barrier_var(n);
	n &= 0x7fff;
	if (n < 14 || n > PUNT_MAX)
		return R_TOO_BIG;
	barrier_var(at);
	if (at > sizeof(*u) + sizeof(*o))
		return R_INTERNAL;
	if (bpf_skb_load_bytes(skb, 0, p->buf + at, n))
		return R_INTERNAL;
	return bpf_ringbuf_output(&punts, p->buf, n + at, 0) ? R_STORM_LIMIT : R_NONE;
}

/* Hands the packet to user space, and ends the walk. */
static __noinline int do_punt(struct __sk_buff *skb, struct pkt *p, struct endpoint *e, __u32 kind)
{
	struct record *d;
	int r = put_punt(skb, p, e, kind);

	if (r)
		return drop(skb, p, r);
	record(p, V_PUNT, kind == PUNT_FRAGMENT ? R_TOO_BIG : R_NONE);
	if (opt_record) {
		d = bpf_map_lookup_elem(&decision, &zero);
		if (d)
			d->punt = kind;
	}
	return TC_ACT_SHOT;
}

#endif
