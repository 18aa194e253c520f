/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Run by the agent with BPF_PROG_RUN to take connections over from the maps of another layout (docs/pipeline.md, section 16):
 * up to ADOPT keys with their values lie in the frame behind 16 bytes. Here and not in user space, so that a packet that
 * makes the same connection at the same moment, and the endpoint's count, are not lost. What is newer stays. Returns how
 * many were new.
 */
#include "lib/conn.h"

enum { ADOPT = 16 };

SEC("tc/adopt")
int adopt(struct __sk_buff *skb)
{
	struct conn_key k;
	struct conn_val v, *c;
	struct ep_run *s;
	__u32 i, off = 16;
	int new = 0;

	for (i = 0; i < ADOPT; i++, off += sizeof(k) + sizeof(v)) {
		if (bpf_skb_load_bytes(skb, off, &k, sizeof(k)) || bpf_skb_load_bytes(skb, off + sizeof(k), &v, sizeof(v)))
			break;
		c = bpf_map_lookup_elem(&conn, &k);
		if (c) {
			if (c->seen < v.seen)
				bpf_map_update_elem(&conn, &k, &v, BPF_EXIST);
			continue;
		}
		if (bpf_map_update_elem(&conn, &k, &v, BPF_NOEXIST))
			continue;
		s = bpf_map_lookup_elem(&ep_state, &k.ep);
		if (s)
			__sync_fetch_and_add(&s->conns, 1);
		new++;
	}
	return new;
}
