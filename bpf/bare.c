/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The honest ceiling of the benchmarks: programs on the same hooks that decide nothing. bare_instance sends every frame
 * to one VTEP and VNI, bare_overlay every frame to one device; both do what the data plane cannot avoid doing.
 */
#include "lib/kernel.h"

const volatile __u32 bare_vtep = 0;    /* IPv4, host order; 0: redirect to bare_ifindex instead */
const volatile __u32 bare_vni = 0;
const volatile __u32 bare_ifindex = 0; /* the VXLAN device, or the endpoint's */
const volatile __u8 bare_peer = 0;     /* redirect_peer */

static __inline int to_device(struct __sk_buff *skb)
{
	if (!bare_peer)
		return bpf_redirect(bare_ifindex, 0);
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(bare_ifindex, 0);
}

SEC("tc/bare_instance")
int bare_instance(struct __sk_buff *skb)
{
	struct bpf_tunnel_key k = {};

	if (bare_vtep == 0)
		return to_device(skb);
	k.tunnel_id = bare_vni;
	k.tunnel_ttl = 64;
	k.remote_ipv4 = bare_vtep;
	if (bpf_skb_set_tunnel_key(skb, &k, sizeof(k), BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT))
		return TC_ACT_SHOT;
	return bpf_redirect(bare_ifindex, 0);
}

SEC("tc/bare_overlay")
int bare_overlay(struct __sk_buff *skb)
{
	struct bpf_tunnel_key k = {};

	if (bpf_skb_get_tunnel_key(skb, &k, sizeof(k), 0))
		return TC_ACT_SHOT;
	return to_device(skb);
}

char __license[] SEC("license") = "Dual BSD/GPL";
