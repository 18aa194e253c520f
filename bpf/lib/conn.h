/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Connections: their keys, states and time-outs, as both the decision and the fast path use them. */
#ifndef WEFT_CONN_H
#define WEFT_CONN_H

#include "frag.h"

enum { TCP_CLOSING = 2 }; /* FINs, one from each side */

/* The time-out of a connection's state, in ns. */
static __noinline __u64 conn_timeout(__u32 proto, __u32 state, __u32 v6)
{
	if (proto == IP_TCP) {
		if (state == CONN_NEW)
			return timeout_ns(T_TCP_SYN);
		if (state == CONN_CLOSED)
			return timeout_ns(T_TCP_CLOSED);
		return timeout_ns(state == CONN_FIN ? T_TCP_FIN : T_TCP_ESTABLISHED);
	}
	if (proto == IP_UDP)
		return timeout_ns(state == CONN_NEW ? T_UDP : T_UDP_REPLIED);
	if (proto == (v6 ? IP_ICMP6 : IP_ICMP))
		return timeout_ns(T_ICMP);
	return timeout_ns(T_GENERIC);
}

/* Takes a packet of the connection into account. egress: its direction. Returns the state. */
static __noinline __u32 conn_advance(struct conn_val *c, struct conn_key *k, __u32 egress, __u32 tcp_flags)
{
	__u32 reply = egress != c->egress, state = c->state;
	__u64 now = bpf_ktime_get_coarse_ns();

	if (state == CONN_NEW && reply)
		state = CONN_REPLIED;
	if (k->proto == IP_TCP) {
		c->tcp_flags[reply & 1] |= tcp_flags;
		if (tcp_flags & TCP_RST)
			state = CONN_CLOSED;
		else if (c->tcp_flags[0] & c->tcp_flags[1] & TCP_FIN && state != CONN_CLOSED)
			state = CONN_FIN;
		/* The same ports are used for a new connection. */
		if ((tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN && !reply && state >= CONN_FIN) {
			state = CONN_NEW;
			c->tcp_flags[0] = TCP_SYN;
			c->tcp_flags[1] = 0;
		}
	}
	c->state = state;
	c->seen = now;
	c->expires = now + conn_timeout(k->proto, state, k->flags & CK_V6);
	return state;
}

static __inline void conn_release(__u32 ep)
{
	struct ep_run *s = bpf_map_lookup_elem(&ep_state, &ep);

	if (s)
		__sync_fetch_and_add(&s->conns, -1);
}

/* Removes a connection, and gives the endpoint's share back. Returns whether it was there. */
static __noinline int conn_end(struct conn_key *k)
{
	if (bpf_map_delete_elem(&conn, k))
		return 0;
	conn_release(k->ep);
	return 1;
}

/* The live connection; one that is past its time is removed. */
static __noinline struct conn_val *conn_find(struct conn_key *k)
{
	struct conn_val *c = bpf_map_lookup_elem(&conn, k);

	if (!c)
		return NULL;
	if (c->expires < bpf_ktime_get_coarse_ns()) {
		conn_end(k);
		return NULL;
	}
	return c;
}

#endif
