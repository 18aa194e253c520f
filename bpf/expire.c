/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Run by the agent with BPF_PROG_RUN for each connection it found to be past its time: looks again, removes it, and gives the
 * endpoint's share back. Here and not in user space, so that a packet that revives the connection at the same moment, and
 * the count, are not lost. The key lies in the frame behind 16 bytes. Returns 1 if the connection is gone.
 */
#include "lib/conn.h"

SEC("tc/expire")
int expire(struct __sk_buff *skb)
{
	struct conn_key k;

	if (bpf_skb_load_bytes(skb, 16, &k, sizeof(k)))
		return 0;
	return conn_find(&k) == NULL;
}
