/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every map, its key and its value (docs/pipeline.md, section 11). The Go side is generated from these definitions.
 * A changed struct makes another layout, which has maps of its own (internal/dataplane/ebpf/shape.go).
 */
#ifndef WEFT_MAPS_H
#define WEFT_MAPS_H

#include "objects.h"

/* Flags of struct flow_key. */
enum { FK_OVERLAY = 1, FK_LATER = 2, FK_V6 = 4, FK_PHYSICAL = 8 };

struct flow_key {
	struct ip saddr, daddr;
	__u32 src; /* ifindex, or VNI with FK_OVERLAY */
	__be16 sport, dport;
	__u8 dmac[6], smac[6]; /* as they lie in the frame */
	__u8 proto;
	__u8 flags;
	__u16 vlan; /* FK_PHYSICAL */
};

/* Flags of struct flow_val. */
enum {
	F_LOCAL = 1,
	F_PEER = 2,    /* redirect_peer */
	F_ROUTED = 4,  /* TTL and both MACs */
	F_SMAC = 8,    /* source MAC alone */
	F_CONN_SRC = 16,
	F_CONN_DST = 32,
	F_NAT_SRC = 64, /* nat_src takes the source's place */
	F_NAT_DST = 128,
	F_OUTSIDE = 256, /* to a NIC, with the tag vni */
	F_MACS = 512,    /* both MACs, and not TTL */
	F_TWICE = 1024,  /* TTL - 2: two routers */
};

/* What an established packet reads comes first, so that it lies in few lines of the cache. */
struct flow_val {
	__u32 epoch; /* of the host, when the generations were last compared */
	__u32 flags;
	__u32 mtu; /* largest L3 packet */
	__u32 ifindex;
	__u64 touched; /* when the connections were last written, ns */
	__u32 seq;     /* TCP: behind the last byte seen in this direction */
	__u32 seq_known;
	__u8 dmac[6], smac[6];
	__u32 vni;
	struct ip vtep; /* where to; from the overlay: where it must come from */
	__be32 local4;  /* this host's VTEP, if that is IPv4 */
	__u32 ep_src, ep_dst;
	__u32 peer;
	__u64 gen_sum;
	__u32 gs[5];
	__u32 rule_src, rule_dst;
	__be16 nat_sport, nat_dport; /* reserved */
	__be32 nat_src, nat_dst;     /* with F_NAT_SRC, F_NAT_DST */
	__u32 gs_heard; /* the sixth of gs: what is learned, if the sender was listened to */
	__u32 spare;
};

/* A flow that a processor has met lately, as it was then. */
struct recent {
	__u64 jiffies; /* when it was copied */
	struct flow_key key;
	struct flow_val val;
};

enum { RECENT_BITS = 11, RECENT = 1 << RECENT_BITS };

/* Flags of struct conn_key. */
enum { CK_V6 = 1 };

struct conn_key {
	struct ip local, remote;
	__u32 ep;
	__be16 lport, rport;
	__u8 proto;
	__u8 flags;
	__u16 pad;
	__u32 pad2;
};

/* A test's build puts a field here, so that it has another layout (bpf/next.c). */
#ifndef CONN_EXTRA
#define CONN_EXTRA
#endif

enum { CONN_NONE, CONN_NEW, CONN_REPLIED, CONN_FIN, CONN_CLOSED, CONN_REFUSED = 8 /* beside the others: no rule allows it any more */ };

/* How a connection leaves the cloud, once that is known (conn_val.nat_kind): nat_addr is the floating IP. */
enum { NAT_UNKNOWN, NAT_FIP, NAT_CENTRAL };

struct conn_val {
	CONN_EXTRA
	__u64 created, seen, expires;
	__u32 policy;
	__u32 rule;
	__u8 state;
	__u8 egress;       /* the original direction */
	__u8 tcp_flags[2]; /* seen: original, reply */
	__u8 icmp_type, icmp_code; /* of the query that opened it */
	__u16 nat_kind;
	__u64 packets[2], bytes[2];
	__u32 ack[2], win[2];
	struct ip nat_addr;
	__be16 nat_port, nat_rport;
	__u32 nat_peer;
};

struct frag_key {
	struct ip saddr, daddr;
	__u32 src; /* ifindex, or VNI with FK_OVERLAY */
	__u32 id;
	__u8 proto;
	__u8 flags;
	__u16 pad;
	__u32 pad2;
};

struct frag_val {
	__be16 sport, dport;
	__u8 icmp_type, icmp_code;
	__u8 ports; /* the fields above are known */
	__u8 pad;
	__u64 expires;
};

/* Classes of the map timeouts. */
enum {
	T_TCP_SYN,
	T_TCP_ESTABLISHED,
	T_TCP_FIN,
	T_TCP_CLOSED,
	T_UDP,
	T_UDP_REPLIED,
	T_ICMP,
	T_GENERIC,
	T_FRAG,
	TIMEOUTS = 16
};

/* Classes of IPv6 prefixes bear this bit in class_net, where ::/0 covers IPv4's form, too. */
enum { CLASS_V6 = 1U << 31 };

struct polclass_key {
	__u32 policy;
	__u32 set;
};

enum { DIR_EGRESS = 1, DIR_V6 = 2, PROTO_ANY = 255, POLRULE_BITS = 96 };

struct polrule_key {
	__u32 plen;
	__u32 policy;
	__u32 class;
	__u8 dir;
	__u8 proto;
	__be16 port;
};

struct polrule {
	__u32 rule; /* slot in rules */
	__u32 rank; /* by rule id: the lowest wins */
};

struct rule_id {
	__u8 uuid[16];
};

/* Of one rule: connections that it opened, and what was dropped all the same after it had allowed it. */
struct rule_hits {
	__u64 conns, drops, drop_bytes;
};

enum { LEARN_ADDR = 1, LEARN_MAC = 2 };

struct fact_key {
	__u32 net;
	__u32 kind;
	struct ip addr; /* or MAC, in its first bytes */
};

struct fact {
	__u32 neighbor;
	__u8 mac[6];
	__u16 pad;
	__u32 spare;
	__u64 seen; /* ns */
};

/* Who may be heard: at an endpoint (its slot) or, with CLAIM_PEER, at a peer. MAC zero: any. */
enum { CLAIM_PEER = 1U << 31 };

struct claim_key {
	__u32 plen;
	__u32 net;
	__u32 at;
	__u8 mac[6];
	__u16 pad;
	__u32 pad2;
	struct ip addr;
};

enum { CLAIM_BITS = 160 }; /* of the key before the address */

struct claim {
	__u32 neighbor;
	__u32 families; /* SPOOF_V4, SPOOF_V6 */
};

/* A frame of a physical network enters by this NIC with this tag. */
struct physical_key {
	__u32 ifindex;
	__u32 vlan;
};

struct physical_val {
	__u32 net;
	__u8 mac[6]; /* the NIC's own: what is for it is the host's */
	__u16 pad;
	__u32 spare[2];
};

enum { FIP_CENTRAL = 1 };

/* A floating IP, by external network and address (struct addr_key). */
struct fip {
	struct ip fixed;
	__u32 ep; /* FIP_CENTRAL: of the router's outer leg */
	__u32 router;
	__u32 rif;     /* of the router, on the endpoint's network */
	__u32 gateway; /* rif of the router, outside */
	__u8 mac[6];
	__u16 flags;
	__u32 spare[2];
};

/* The floating IP that an endpoint's address has at a router. */
struct ep_fip_key {
	struct ip fixed;
	__u32 ep;
	__u32 router;
};

struct ep_fip_val {
	struct ip addr;
	__u32 net; /* the external network */
	__u8 mac[6];
	__u16 pad;
};

/* The central leg of a router on a network. */
struct leg_key {
	__u32 router;
	__u32 net;
};

struct leg {
	__u32 neighbor;
	__u8 mac[6];
	__u16 pad;
};

/* Who has an address outside (struct addr_key). */
struct outer_val {
	__u8 mac[6];
	__u16 pad;
	__u64 seen; /* when it was last heard of, ns */
};

struct snat {
	struct ip addr;
	__u32 peer;
	__u16 port_min, port_max;
};

struct drop_key {
	__u32 ep;
	__u32 reason;
};

struct counter {
	__u64 packets, bytes;
};

enum { EVENT_DATA = 128 };

struct event {
	__u64 time; /* CLOCK_MONOTONIC */
	__u8 port[16];
	__u8 rule[16];
	__u16 reason;
	__u16 data_len;
	__u32 len;
	__u8 data[EVENT_DATA];
};

struct punt {
	__u8 uuid[16];
	__u32 ep;
	__u16 kind;
	__u16 len;
};

/* Between struct punt and the frame, for what has to do with the outside: PUNT_OUTSIDE in kind says that it is there. */
struct punt_outside {
	__u8 net[16];
	struct ip hop;
};

enum { PUNT_OUTSIDE = 0x8000 };

enum { V_NONE, V_DROP, V_LOCAL, V_TUNNEL, V_FLOOD, V_ANSWER, V_PUNT, V_CONSUMED, V_OUTSIDE, V_PASS };
enum { D_FLOW_HIT = 1, D_FLOW_NEW = 2, D_ROUTED = 4, D_OVERLAY = 8, D_OUTSIDE = 16 /* a copy of a flood goes to the NIC */, D_NEIGHBOR = 32 /* PUNT_NEIGHBOR beside the verdict */, D_ASK = 64 /* PUNT_ASK beside it */ };

/* What became of the packet. */
struct record {
	__u8 verdict;
	__u8 flags;
	__u16 reason;
	__u32 ep;
	__u32 net;
	__u32 router;
	__u32 ifindex;
	__u32 ep_dst;
	__u32 peer;
	__u32 vni;
	__u32 rule;
	__u32 mtu;
	__u32 targets;
	__u8 punt;
	__u8 conn_src, conn_dst;
	__u8 pad;
	__u32 pad2[4];
};

/* What a test puts in place of what only a real packet has. */
struct test_in {
	__u32 ifindex;
	__u32 vni;
	struct ip vtep;
	__u32 vlan;
	__u32 pad;
};

/* Programs behind tail calls. */
enum {
	P_INSTANCE,
	P_OVERLAY,
	P_ROUTE,
	P_OUTPUT,
	P_FLOOD,
	P_ARP,
	P_ND,
	P_ECHO,
	P_ERROR,
	P_PHYSICAL,
	P_OUTSIDE,
	P_FLOATING,
	P_NAT,
	P_FROM_INSTANCE, /* behind gates only */
	P_FROM_OVERLAY,
	P_FROM_PHYSICAL,
	PROGRAMS = 32,
};

enum { ANSWER_MAX = 1312, PUNT_MAX = 16384, BUF_SIZE = PUNT_MAX + 64 };

/* Fragment kinds of struct pkt. */
enum { FRAG_NONE, FRAG_FIRST, FRAG_LATER };

/* The parsed packet and what has been decided so far, between tail calls. */
struct pkt {
	struct flow_key key;
	struct ip vtep; /* of the sender, from the overlay */
	__u32 ep, net, router, rif;
	__u32 nbr, peer, ep_dst;
	__u32 gs[6], gen[6]; /* by STAMP_ */
	__u32 l3_len;  /* of the packet as it is */
	__u32 seg_len; /* of its largest segment */
	__u32 l4_off;
	__u32 mtu;
	__u32 frag_id;
	__u16 ethertype;
	__u8 proto;
	__u8 frag;
	__u8 icmp_type, icmp_code;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 options;   /* IPv4 options or IPv6 extension headers */
	__u8 srcrouted;
	__u8 dont_frag;
	__u8 group;     /* destination MAC is a group */
	__u8 overlay;
	__u8 hops;      /* routers passed */
	__u8 cacheable;
	__u8 is_ip;
	__u8 v6;
	__u8 unpoliced; /* ARP and ND */
	__u8 physical;
	__u8 ports;       /* sport and dport, or type and code, are known */
	__be16 sport, dport; /* ICMP: identifier */
	__u8 frag_known;  /* a later fragment whose first was seen */
	__u8 frag_header; /* IPv6, also that of an atomic fragment */
	__u8 smac[6], dmac[6]; /* to write */
	__u8 entry_mac[6];     /* the interface that the packet entered the first router by */
	__u8 reply_mac[6];     /* answers of ARP and ND */
	__u8 reply_router;
	__u8 err_type, err_code;
	__u32 err_mtu;
	__u32 flood_next, flood_version, flood_end;
	__u32 conn_src, conn_dst, rule_src, rule_dst;
	__u8 flow_made;
	__u8 egress; /* the direction being judged */
	__u8 at_dst; /* it is the destination's groups that are asked */
	__u8 nat_kind; /* how the sender's packet leaves the cloud */
	__u8 told;     /* the kind of punt that went to user space beside the verdict: PUNT_NEIGHBOR, PUNT_ASK */
	__u8 announce; /* a flood that goes to all who are interested */
	__u8 pad2[2];
	__u32 targets;
	__u32 flow_flags;
	__u32 gateway; /* rif of the gateway that it leaves by */
	__u32 out_net; /* the network whose NIC it goes to */
	__u32 flood_only; /* endpoint that alone gets a copy */
	__u32 heard_by; /* the neighbour that is being heard, and under which MAC */
	__u8 heard_mac[6];
	__u16 pad3;
	struct ip hop; /* the next hop outside */
	struct ip nat_src, nat_dst; /* with F_NAT_SRC, F_NAT_DST in flow_flags */
	struct flow_val out __aligned8; /* the flow being made: too large for the stack */
	__u8 buf[BUF_SIZE];
};

#define MAP(name, kind, k, v, n, f)                                                                                    \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__type(key, k);                                                                                        \
		__type(value, v);                                                                                      \
		__uint(max_entries, n);                                                                                \
		__uint(map_flags, f);                                                                                  \
	} name SEC(".maps")

MAP(config, BPF_MAP_TYPE_ARRAY, __u32, struct host, 1, 0);
MAP(devices, BPF_MAP_TYPE_HASH, __u32, __u32, 8192, 0);
MAP(endpoints, BPF_MAP_TYPE_HASH, __u32, struct endpoint, 8192, 0);
MAP(ep_state, BPF_MAP_TYPE_ARRAY, __u32, struct ep_run, 8192, 0);
MAP(networks, BPF_MAP_TYPE_HASH, __u32, struct network, 8192, 0);
MAP(vnis, BPF_MAP_TYPE_HASH, __u32, __u32, 8192, 0);
MAP(peers, BPF_MAP_TYPE_HASH, __u32, struct peer, 4096, 0);
MAP(vteps, BPF_MAP_TYPE_HASH, struct ip, __u32, 4096, 0);
MAP(macs, BPF_MAP_TYPE_HASH, struct mac_key, struct mac_val, 131072, BPF_F_NO_PREALLOC);
MAP(addrs, BPF_MAP_TYPE_HASH, struct addr_key, struct addr_val, 262144, BPF_F_NO_PREALLOC);
MAP(neighbors, BPF_MAP_TYPE_HASH, __u32, struct neighbor, 131072, BPF_F_NO_PREALLOC);
MAP(spoof, BPF_MAP_TYPE_LPM_TRIE, struct spoof_key, __u32, 131072, BPF_F_NO_PREALLOC);
MAP(routers, BPF_MAP_TYPE_HASH, __u32, struct router, 8192, 0);
MAP(rifs, BPF_MAP_TYPE_HASH, __u32, struct rif, 16384, 0);
MAP(locals, BPF_MAP_TYPE_HASH, struct local_key, __u32, 65536, BPF_F_NO_PREALLOC);
MAP(sources, BPF_MAP_TYPE_LPM_TRIE, struct lpm_key, struct ip, 65536, BPF_F_NO_PREALLOC);
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, struct lpm_key, struct route_val, 131072, BPF_F_NO_PREALLOC);
MAP(subnets, BPF_MAP_TYPE_LPM_TRIE, struct lpm_key, struct rmac, 32768, BPF_F_NO_PREALLOC);
MAP(floods, BPF_MAP_TYPE_HASH, struct flood_key, struct flood_val, 262144, BPF_F_NO_PREALLOC);
MAP(claims, BPF_MAP_TYPE_LPM_TRIE, struct claim_key, struct claim, 131072, BPF_F_NO_PREALLOC);
MAP(learned, BPF_MAP_TYPE_HASH, struct fact_key, struct fact, 131072, BPF_F_NO_PREALLOC); /* what a pair lists */
MAP(heard, BPF_MAP_TYPE_LRU_HASH, struct fact_key, struct fact, 16384, 0); /* what none lists */
MAP(gens, BPF_MAP_TYPE_ARRAY, __u32, __u32, 262144, 0);
MAP(flow, BPF_MAP_TYPE_LRU_HASH, struct flow_key, struct flow_val, 131072, 0);
MAP(recent, BPF_MAP_TYPE_ARRAY, __u32, struct recent, RECENT, 0); /* for each processor: enlarged by the loader */
MAP(conn, BPF_MAP_TYPE_HASH, struct conn_key, struct conn_val, 131072, 0);
MAP(frag, BPF_MAP_TYPE_LRU_HASH, struct frag_key, struct frag_val, 8192, 0);
MAP(behind, BPF_MAP_TYPE_HASH, __u32, __u32, 8192, 0); /* interfaces with programs of another layout behind these; 0: gates are open */
MAP(timeouts, BPF_MAP_TYPE_ARRAY, __u32, __u32, TIMEOUTS, 0);
MAP(class_addr, BPF_MAP_TYPE_HASH, struct addr_key, __u32, 262144, BPF_F_NO_PREALLOC);
MAP(class_net, BPF_MAP_TYPE_LPM_TRIE, struct lpm_key, __u32, 65536, BPF_F_NO_PREALLOC);
MAP(pol_class, BPF_MAP_TYPE_HASH, struct polclass_key, __u32, 131072, BPF_F_NO_PREALLOC);
MAP(pol_rules, BPF_MAP_TYPE_LPM_TRIE, struct polrule_key, struct polrule, 524288, BPF_F_NO_PREALLOC);
MAP(rule_ids, BPF_MAP_TYPE_HASH, __u32, struct rule_id, 65536, BPF_F_NO_PREALLOC);
MAP(rules, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct rule_hits, 65536, 0);
MAP(decision, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct record, 1, 0);
MAP(clones, BPF_MAP_TYPE_ARRAY, __u32, struct flood_val, 4096, 0);
MAP(test_input, BPF_MAP_TYPE_ARRAY, __u32, struct test_in, 1, 0);
MAP(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct pkt, 1, 0);
MAP(physical_nets, BPF_MAP_TYPE_HASH, struct physical_key, struct physical_val, 8192, 0);
MAP(fips, BPF_MAP_TYPE_HASH, struct addr_key, struct fip, 65536, BPF_F_NO_PREALLOC);
MAP(ep_fip, BPF_MAP_TYPE_HASH, struct ep_fip_key, struct ep_fip_val, 65536, BPF_F_NO_PREALLOC);
MAP(legs, BPF_MAP_TYPE_HASH, struct leg_key, struct leg, 65536, BPF_F_NO_PREALLOC);
MAP(outer, BPF_MAP_TYPE_HASH, struct addr_key, struct outer_val, 65536, BPF_F_NO_PREALLOC);
MAP(drops, BPF_MAP_TYPE_PERCPU_HASH, struct drop_key, struct counter, 16384, 0);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__type(value, struct event);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__type(value, struct punt);
	__uint(max_entries, 1 << 20);
} punts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, PROGRAMS);
} jump SEC(".maps");

/* Set when the programs are loaded; dead code goes. */
const volatile __u8 opt_record = 0; /* write the decision record for each packet */
const volatile __u8 opt_test = 0;   /* packets come from BPF_PROG_RUN: test_input, no clones */

static const __u32 zero = 0;

#endif
