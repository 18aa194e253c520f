/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel drops on this host's devices after the data plane has sent it there: a full ring of a tap, a queueing
 * discipline's limit, a tunnel without a route. Hangs on the tracepoint skb:kfree_skb, which names a reason since 5.17.
 * Drops by the data plane itself come by there, too, as TC_INGRESS, and are passed over (docs/pipeline.md, section 17).
 */
#include "lib/kernel.h"

#define CORE __attribute__((preserve_access_index))

/* Of the kernel's own structures, the fields that are read; where they lie is told by its BTF when the program is loaded. */
struct ns_common {
	__u32 inum;
} CORE;

struct net {
	struct ns_common ns;
} CORE;

typedef struct {
	struct net *net;
} CORE possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} CORE;

struct sk_buff {
	struct net_device *dev;
	__u32 len, data_len;
	unsigned char *data, *head;
	__u16 mac_header;
} CORE;

static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

#define FIELD(to, from, f) bpf_probe_read_kernel(&(to), sizeof(to), __builtin_preserve_access_index(&(from)->f))

const volatile __u32 lost_netns = 0;      /* inode of the host's network namespace: others have the same interface numbers */
const volatile __u32 lost_tc_ingress = 0; /* the kernel's number of SKB_DROP_REASON_TC_INGRESS */

struct lost_key {
	__u32 ifindex;
	__u32 reason; /* the kernel's, whose names are in its BTF */
};

struct lost_count {
	__u64 packets, bytes;
	__u64 told; /* when an event was last sent, ns */
};

enum { LOST_DATA = 128, TELL_EVERY = 100000000 };

struct lost_event {
	__u64 time;
	__u32 ifindex;
	__u32 reason;
	__u32 len;
	__u32 data_len;
	__u8 data[LOST_DATA];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct lost_key);
	__type(value, struct lost_count);
	__uint(max_entries, 4096);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__type(value, struct lost_event);
	__uint(max_entries, 1 << 16);
} lost_events SEC(".maps");

static __inline void tell(struct sk_buff *skb, const struct lost_key *k, __u64 now, __u32 len)
{
	struct lost_event *e = bpf_ringbuf_reserve(&lost_events, sizeof(*e), 0);
	unsigned char *data = NULL, *head = NULL;
	__u32 n, linear, paged = 0;
	__u16 mac = 0;

	if (!e)
		return;
	e->time = now;
	e->ifindex = k->ifindex;
	e->reason = k->reason;
	e->len = len;
	e->data_len = 0;
	FIELD(data, skb, data);
	FIELD(head, skb, head);
	FIELD(mac, skb, mac_header);
	FIELD(paged, skb, data_len);
	linear = len - paged;
	/* From the Ethernet header on, where one is known and lies before the data. */
	if (mac != 0xffff && head + mac <= data && data - (head + mac) <= 64) {
		linear += data - (head + mac);
		data = head + mac;
	}
	n = linear < LOST_DATA ? linear : LOST_DATA;
	barrier_var(n);
	n &= 0xff;
	if (n > 0 && n <= LOST_DATA && !bpf_probe_read_kernel(e->data, n, data))
		e->data_len = n;
	bpf_ringbuf_submit(e, 0);
}

SEC("raw_tp/kfree_skb")
int kernel_drop(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct lost_key k = {.reason = ctx[2]};
	struct lost_count first = {.packets = 1}, *c;
	struct net_device *dev = NULL;
	struct net *net = NULL;
	__u64 now;
	__u32 inum = 0, len = 0;

	if (k.reason == lost_tc_ingress)
		return 0;
	FIELD(dev, skb, dev);
	if (!dev || FIELD(k.ifindex, dev, ifindex) || !bpf_map_lookup_elem(&watched, &k.ifindex))
		return 0;
	FIELD(net, dev, nd_net.net);
	if (!net || FIELD(inum, net, ns.inum) || inum != lost_netns)
		return 0;
	FIELD(len, skb, len);
	now = bpf_ktime_get_ns();
	c = bpf_map_lookup_elem(&lost, &k);
	if (c) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, len);
		if (now - c->told < TELL_EVERY)
			return 0;
		c->told = now;
	} else {
		first.bytes = len;
		first.told = now;
		bpf_map_update_elem(&lost, &k, &first, BPF_ANY);
	}
	tell(skb, &k, now, len);
	return 0;
}

char __license[] SEC("license") = "Dual BSD/GPL";
