/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The tunnel a packet came by. */
#ifndef WEFT_TUNNEL_H
#define WEFT_TUNNEL_H

#include "packet.h"

/* Reads VNI and sender. Returns whether there is a tunnel key. */
static __inline int tunnel_of(struct __sk_buff *skb, __u32 *vni, struct ip *vtep)
{
	struct bpf_tunnel_key k;
	struct test_in *t;

	if (opt_test) {
		t = bpf_map_lookup_elem(&test_input, &zero);
		if (!t)
			return 0;
		*vni = t->vni;
		*vtep = t->vtep;
		return 1;
	}
	/* The helper refuses the family that the tunnel is not of. */
	if (likely(!bpf_skb_get_tunnel_key(skb, &k, sizeof(k), 0)))
		ip_from4(vtep, htonl(k.remote_ipv4));
	else if (!bpf_skb_get_tunnel_key(skb, &k, sizeof(k), BPF_F_TUNINFO_IPV6))
		ip_from6(vtep, k.remote_ipv6);
	else
		return 0;
	*vni = k.tunnel_id;
	return 1;
}

#endif
