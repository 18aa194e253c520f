/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Security groups with state: connections and what is related to them (docs/pipeline.md, section 10). */
#ifndef WEFT_STATEFUL_H
#define WEFT_STATEFUL_H

#include "conn.h"
#include "policy.h"

static __inline int icmp_query(int v6, __u8 t)
{
	return v6 ? t == 128 : t == 8 || t == 13 || t == 15 || t == 17;
}

static __inline int icmp_answer(int v6, __u8 t)
{
	return v6 ? t == 129 : t == 0 || t == 14 || t == 16 || t == 18;
}

/* The key of the packet's connection at the endpoint. Returns 0 for kinds that are not tracked. */
static __noinline int conn_key_of(struct conn_key *k, const struct pkt *p, __u32 slot, __u32 egress)
{
	k->ep = slot;
	k->proto = p->proto;
	k->flags = p->v6 ? CK_V6 : 0;
	k->local = *local_of(p, egress);
	k->remote = *remote_of(p, egress);
	k->lport = egress ? p->sport : p->dport;
	k->rport = egress ? p->dport : p->sport;
	if (!is_icmp(p))
		return 1;
	k->lport = p->sport;
	k->rport = p->sport;
	return icmp_query(p->v6, p->icmp_type) || icmp_answer(p->v6, p->icmp_type);
}

/* May the packet be a connection's first? */
static __inline int opens(const struct pkt *p)
{
	__u8 f = p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);

	if (p->frag == FRAG_LATER)
		return 1;
	if (is_icmp(p))
		return icmp_query(p->v6, p->icmp_type);
	if (p->proto == IP_TCP)
		return f == TCP_SYN || f == TCP_ACK;
	return 1;
}

static __inline int related_type(const struct pkt *p)
{
	__u8 t = p->icmp_type;

	if (!is_icmp(p) || p->frag == FRAG_LATER)
		return 0;
	return p->v6 ? t >= 1 && t <= 4 : t == 3 || t == 4 || t == 11 || t == 12;
}

/* Reads the packet quoted in an ICMP error into a key: the endpoint's connection that the error is about. */
static __noinline int quoted_key(struct __sk_buff *skb, const struct pkt *p, struct conn_key *k, __u32 egress)
{
	__u32 off = p->l4_off + 8, end = ETH_HLEN + p->l3_len, l4;
	struct ip src, dst;
	__be16 ports[4] = {};
	__u8 type;

	if (p->v6) {
		struct ipv6 h;

		if (off + 48 > end || bpf_skb_load_bytes(skb, off, &h, sizeof(h)) || (h.vtf & 0xf0) != 0x60)
			return 0;
		ip_from6(&src, h.src);
		ip_from6(&dst, h.dst);
		k->proto = h.next;
		l4 = off + 40;
	} else {
		struct ipv4 h;

		if (off + 28 > end || bpf_skb_load_bytes(skb, off, &h, sizeof(h)) || h.vihl >> 4 != 4 || (h.vihl & 15) < 5)
			return 0;
		if (h.frag & htons(0x1fff))
			return 0;
		ip_from4(&src, h.src);
		ip_from4(&dst, h.dst);
		k->proto = h.proto;
		l4 = off + (h.vihl & 15) * 4;
	}
	if (l4 + 8 > end || bpf_skb_load_bytes(skb, l4, ports, 8))
		return 0;
	/* The quote went the other way than the error. */
	k->local = egress ? dst : src;
	k->remote = egress ? src : dst;
	/* What is quoted is translated as the error is. */
	if (!egress && p->flow_flags & F_NAT_DST && ip_eq(&k->local, &p->key.daddr))
		k->local = p->nat_dst;
	if (!egress && p->flow_flags & F_NAT_SRC && ip_eq(&k->remote, &p->key.saddr))
		k->remote = p->nat_src;
	k->lport = egress ? ports[1] : ports[0];
	k->rport = egress ? ports[0] : ports[1];
	k->flags = p->v6 ? CK_V6 : 0;
	if (k->proto == (p->v6 ? IP_ICMP6 : IP_ICMP)) {
		type = ports[0];
		if (!icmp_query(p->v6, type) && !icmp_answer(p->v6, type))
			return 0;
		k->lport = k->rport = ports[2];
	} else if (!has_ports(k->proto)) {
		k->lport = k->rport = 0;
	}
	return 1;
}

/* Is the packet an ICMP error about a connection of the endpoint, which its rules still allow? */
static __noinline int related(struct __sk_buff *skb, const struct pkt *p, const struct endpoint *e, __u32 slot, __u32 egress)
{
	struct conn_key k = {.ep = slot};
	struct conn_val *c;
	struct view v;

	if (!related_type(p) || !quoted_key(skb, p, &k, egress))
		return 0;
	c = conn_find(&k);
	if (!c)
		return 0;
	v.remote = k.remote;
	v.dport = c->egress ? k.rport : k.lport;
	v.type = c->icmp_type;
	v.code = c->icmp_code;
	v.egress = c->egress;
	v.v6 = p->v6;
	v.proto = k.proto;
	v.ports = has_ports(k.proto) || k.proto == icmp_of(p->v6);
	return classify(&v, e) != 0;
}

/* A search for connections that may go: of one endpoint, or (0) of all. */
struct sweep {
	__u64 now;
	__u32 ep;
	__u32 freed;
};

enum { IDLE_NS = 3000000000U, SWEEP_EVERY = 1000000000, SWEEP_WORTH = 1024 };

/*
 * May it go although its time is not over, because there is no room? What is closed, and what has been silent for a while and
 * is closing or was never replied to. A replied connection never.
 */
static __inline int expendable(const struct conn_val *c, __u64 now)
{
	if (c->state == CONN_CLOSED)
		return 1;
	return c->state != CONN_REPLIED && c->seen + IDLE_NS < now;
}

static long sweep_one(void *map, const struct conn_key *key, struct conn_val *c, struct sweep *w)
{
	struct conn_key k;

	if (c->expires >= w->now && ((w->ep && key->ep != w->ep) || !expendable(c, w->now)))
		return 0;
	k = *key;
	w->freed += conn_end(&k);
	return 0;
}

/*
 * Makes room: removes all connections that are past their time, which the agent does, too, unless it is dead, and the expendable
 * ones of the endpoint whose share is used up, or (0) of all when the table is. A search walks the table; one that frees little is
 * followed by none within a second, so that a flood pays with refusals and not with the host's time. Endpoint slot 0 is nobody's.
 */
static __noinline int sweep(__u32 ep)
{
	struct ep_run *s = bpf_map_lookup_elem(&ep_state, &ep);
	struct sweep w = {.now = bpf_ktime_get_coarse_ns(), .ep = ep};

	if (!s || w.now < s->swept)
		return 0;
	s->swept = w.now + SWEEP_EVERY;
	bpf_for_each_map_elem(&conn, sweep_one, &w, 0);
	if (w.freed >= SWEEP_WORTH)
		s->swept = 0;
	return 0;
}

/* How the packet of an endpoint leaves or entered the cloud, and by which floating IP; NAT_UNKNOWN: it did not, or is not told. */
static __inline __u32 nat_of(const struct pkt *p, __u32 egress, struct ip *addr)
{
	addr->d[0] = addr->d[1] = 0;
	if (egress) {
		if (p->nat_kind == NAT_FIP)
			*addr = p->nat_src;
		return p->nat_kind;
	}
	if (!(p->flow_flags & F_NAT_DST))
		return NAT_UNKNOWN;
	*addr = p->key.daddr;
	return NAT_FIP;
}

/*
 * A connection whose address outside has become another one is over: its floating IP was taken away, or it got one. A connection
 * that has no such address yet takes this one. Returns whether it is over.
 */
static __noinline int nat_changed(const struct pkt *p, struct conn_val *c, __u32 egress)
{
	struct ip addr;
	__u32 kind = nat_of(p, egress, &addr);

	if (kind == NAT_UNKNOWN)
		return 0;
	if (c->nat_kind == NAT_UNKNOWN) {
		c->nat_kind = kind;
		c->nat_addr = addr;
		return 0;
	}
	return c->nat_kind != kind || !ip_eq(&c->nat_addr, &addr);
}

/* Makes a connection within the endpoint's share. Returns a reason. */
static __noinline int conn_open(const struct pkt *p, const struct endpoint *e, struct conn_key *k, __u32 egress, __u32 rule)
{
	struct host *h = bpf_map_lookup_elem(&config, &zero);
	struct ep_run *s = bpf_map_lookup_elem(&ep_state, &k->ep);
	struct conn_val c = {};
	struct rule_hits *hits;
	__u32 share;

	if (!h || !s)
		return R_INTERNAL;
	share = e->conn_share ? e->conn_share : h->conn_share;
	if (s->conns >= share)
		sweep(k->ep);
	if (s->conns >= share)
		return R_CONN_TABLE_FULL;
	c.created = bpf_ktime_get_coarse_ns();
	c.state = CONN_NEW;
	c.egress = egress;
	c.policy = e->policy;
	c.rule = rule;
	c.icmp_type = p->icmp_type;
	c.icmp_code = p->icmp_code;
	c.nat_kind = nat_of(p, egress, &c.nat_addr);
	conn_advance(&c, k, egress, p->tcp_flags);
	if (bpf_map_update_elem(&conn, k, &c, BPF_NOEXIST)) {
		sweep(0);
		if (bpf_map_update_elem(&conn, k, &c, BPF_NOEXIST))
			return R_CONN_TABLE_FULL;
	}
	__sync_fetch_and_add(&s->conns, 1);
	hits = bpf_map_lookup_elem(&rules, &rule);
	if (hits)
		hits->conns++;
	return R_NONE;
}

enum { REOPENED = -1 };

/*
 * A packet of a known connection: the rules must still allow what opened it. If none does, the connection stays what it was for its time, and is
 * refused in both directions; were it forgotten, the answering end's next packet would open it anew by a rule of the other direction. But its SYN
 * does open another one (REOPENED: the old one is gone). One that is allowed, and would leave the cloud in another way now, is over.
 */
static __noinline int judge_known(const struct pkt *p, const struct endpoint *e, struct conn_key *k, struct conn_val *c,
				  __u32 *rule)
{
	__u32 egress = p->egress;
	struct view v;

	view_of(&v, p, egress);
	v.egress = c->egress;
	if (c->egress != egress)
		v.dport = p->sport;
	if (is_icmp(p)) {
		v.type = c->icmp_type;
		v.code = c->icmp_code;
	}
	*rule = classify(&v, e);
	if (!*rule) {
		if (c->egress != egress && p->proto == IP_TCP && p->frag != FRAG_LATER &&
		    (p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_SYN) {
			conn_end(k);
			return REOPENED;
		}
		c->state |= CONN_REFUSED;
		return refusal(c->egress);
	}
	if (nat_changed(p, c, egress)) {
		*rule = 0;
		conn_end(k);
		return R_INVALID_STATE;
	}
	c->state &= ~CONN_REFUSED;
	c->policy = e->policy;
	conn_advance(c, k, egress, p->tcp_flags);
	return R_NONE;
}

/* What one endpoint's groups say of a packet. tracked is set if a connection stands behind the answer. */
struct judgement {
	__u32 rule;
	__u32 state; /* of the connection */
};

/* Judges the packet at the endpoint. Returns a reason. */
static __noinline int judge(struct __sk_buff *skb, struct pkt *p, __u32 slot, __u32 egress, struct judgement *j)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &slot);
	struct conn_key k = {};
	struct conn_val *c;
	int tracked, r;

	if (!e)
		return R_NOT_PROGRAMMED;
	if (unfiltered(e))
		return R_NONE;
	if (!(e->flags & EP_STATEFUL))
		return judge_plain(p, e, egress, &j->rule);
	if (p->frag == FRAG_LATER && !p->frag_known)
		return R_FRAGMENT_ORPHAN;
	if (always_allowed(p, egress))
		return R_NONE;
	if (related(skb, p, e, slot, egress))
		return R_NONE;
	p->egress = egress;
	tracked = conn_key_of(&k, p, slot, egress);
	if (tracked) {
		c = conn_find(&k);
		if (c) {
			r = judge_known(p, e, &k, c, &j->rule);
			if (!r)
				j->state = c->state;
			if (r != REOPENED)
				return r;
		}
		if (!opens(p))
			return R_INVALID_STATE;
	}
	r = judge_plain(p, e, egress, &j->rule);
	if (r || !tracked)
		return r;
	j->state = CONN_NEW;
	return conn_open(p, e, &k, egress, j->rule);
}

#endif
