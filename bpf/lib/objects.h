/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Keys and values of the maps that hold what there is: endpoints, networks, peers, routers, addresses (docs/pipeline.md, section 11). */
#ifndef WEFT_OBJECTS_H
#define WEFT_OBJECTS_H

#include "kernel.h"

/* An address: IPv4 as ::ffff:a.b.c.d, in network byte order. */
struct ip {
	__u64 d[2];
};

/* Flags of struct host. */
enum { CFG_VTEP = 1, CFG_VTEP6 = 2 };

struct host {
	struct ip vtep;
	__u8 dvr_mac[6];
	__u16 pad;
	__u32 vxlan_ifindex;
	__u32 flags;
	__u32 storm_rate, storm_burst; /* packets per second, packets; 0 = no limit */
	__u32 punt_rate, punt_burst;
	__u32 error_rate, error_burst;
	__u32 event_rate, event_burst;
	__u32 conn_share; /* connections that one endpoint may hold */
	__u32 ask_rate, ask_burst; /* as punt_rate, for DHCP and router solicitations */
	__u32 pad2;
};

/* Flags of struct endpoint. */
enum {
	EP_UP = 1,
	EP_SECURE = 2,    /* port security */
	EP_DHCP4 = 4,     /* has a lease to hand out */
	EP_ALLOW_ALL = 8, /* security groups are not enforced */
	EP_POLICY = 16,   /* has security groups */
	EP_STATEFUL = 32,
	EP_PEER = 64,   /* deliver by redirect_peer */
	EP_DHCP6 = 128, /* DHCPv6 has something to say to it */
	EP_GATEWAY = 256, /* a router's outer leg: the other end is the namespace of its central part */
};

struct endpoint {
	__u32 gs, gen;
	__u8 uuid[16];
	__u32 net;
	__u32 ifindex;
	__u8 mac[6];
	__u16 pad;
	__u32 mtu;
	__u32 flags;
	__u32 policy;
	__be32 dhcp4; /* DHCP4.Server */
	__u32 conn_share; /* 0: the host's */
	__u32 tables; /* which kinds of rule the policy has: POL_ bits, 4 for each direction and family */
};

/* Bits of endpoint.tables, shifted by 4 times the DIR_ bits: rules of one protocol or of any, for any remote or for some. */
enum { POL_PROTO = 1, POL_ANY = 2, POL_CLASS_PROTO = 4, POL_CLASS_ANY = 8 };

/* Kinds of punt: dataplane.PuntKind. PUNT_KINDS leaves room, so that one more does not change the layout of ep_state. */
enum { PUNT_DHCP4 = 1, PUNT_DHCP6, PUNT_RS, PUNT_FRAGMENT, PUNT_METADATA, PUNT_EXTERNAL, PUNT_DNS, PUNT_NEIGHBOR, PUNT_ASK, PUNT_KINDS = 13 };

struct bucket {
	__u64 last; /* ns */
	__u32 tokens;
	__u32 pad;
};

/* Each kind of punt has a bucket of its own, from BUCKET_PUNT on; there is no kind 0, and its place is for what is learned. */
enum { BUCKET_STORM, BUCKET_ERROR, BUCKET_EVENT, BUCKET_PUNT, BUCKET_LEARN = BUCKET_PUNT, BUCKETS = BUCKET_PUNT + PUNT_KINDS };

struct ep_run {
	struct bucket buckets[BUCKETS];
	__u64 conns;
	__u64 swept; /* no search for connections that may go before this time, ns; slot 0: in the whole table */
	__u64 spare[2];
};

/* Flags of struct network. */
enum { NET_VXLAN = 1, NET_LEARNING = 2, NET_RA = 4, NET_EXTERNAL = 16, NET_SPEAKS = 32 /* for its routers, on the wire */ };

struct network {
	__u32 gs, gen;
	__u8 uuid[16];
	__u32 vni;
	__u32 mtu;
	__u32 flags;
	__u32 flood_version;
	__u32 flood_endpoints; /* the first entries of the list */
	__u32 flood_total;
	__u8 rmac4[6]; /* the first subnet's router MAC, by family */
	__u8 rmac6[6];
	__u32 phys_ifindex; /* of a flat or vlan network: the NIC; 0: none */
	__u32 phys_vlan;    /* its tag; 0: untagged */
	__u32 learn_gs;       /* counter in gens of what was heard on the network; 0: nothing is learned */
	__u32 announce_total; /* with the peers behind flood_total, to which announcements alone go */
	__u32 spare;
};

struct peer {
	__u32 gs, gen;
	struct ip vtep;
	__u8 dvr_mac[6];
	__u16 pad;
	__u32 pmtu; /* largest inner IP packet; 0: not known */
	__u32 spare;
};

/*
 * KIND_SERVICE: the host itself answers there; slot holds the SERVICE_ flags. KIND_FIP: a floating IP that this host translates.
 * KIND_ROUTED: another host's DVR MAC, with net 0: what comes from it was routed there.
 */
enum { KIND_RIF = 1, KIND_NEIGHBOR = 2, KIND_SERVICE = 3, KIND_FIP = 4, KIND_ROUTED = 5 };
enum { SERVICE_DNS = 1, SERVICE_METADATA = 2 };

struct mac_key {
	__u32 net;
	__u8 mac[6];
	__u16 pad;
};

struct mac_val {
	__u32 kind;
	__u32 slot;
};

struct addr_key {
	__u32 net, pad;
	struct ip addr;
};

/* ADDR_FIXED: a fixed IP of the neighbour, which is never learned. */
enum { ADDR_FIXED = 1 };

struct addr_val {
	__u32 kind;
	__u32 slot;
	__u8 mac[6];
	__u16 flags;
};

/* NEIGHBOR_ROUTER: the leg of a router's central part, which says so in its advertisements. */
enum { NEIGHBOR_ROUTER = 1 };

struct neighbor {
	__u32 gs, gen;
	__u8 uuid[16];
	__u32 net;
	__u32 ep;   /* slot, if here */
	__u32 peer; /* if elsewhere; neither: bound nowhere */
	__u8 mac[6];
	__u16 flags;
};

struct spoof_key {
	__u32 plen;
	__u32 ep;
	__u8 mac[6];
	__u16 pad;
	struct ip addr;
};

/* Families that the prefix allows; SPOOF_FIXED: it is one of the endpoint's own addresses, with or without port security. */
enum { SPOOF_V4 = 1, SPOOF_V6 = 2, SPOOF_FIXED = 4 };

enum { ROUTER_UP = 1 };

struct router {
	__u32 gs, gen;
	__u8 uuid[16];
	__u32 flags;
	__u32 spare;
};

struct rif {
	__u8 uuid[16];
	__u32 router;
	__u32 net;
	__u32 mtu;
	__u8 mac[6];
	__u16 pad;
	__u32 spare[2];
};

/* Key of the LPM maps routes (id = router), subnets (net), sources (rif), class_net (scope). */
struct lpm_key {
	__u32 plen;
	__u32 id;
	struct ip addr;
};

/* ROUTE_GATEWAY: rif is the router's gateway, and what goes this way leaves the cloud. */
enum { ROUTE_BLACKHOLE = 1, ROUTE_VIA = 2, ROUTE_V4 = 4, ROUTE_GATEWAY = 8 };

struct route_val {
	__u32 rif;
	__u32 flags;
	struct ip via;
};

struct rmac {
	__u8 mac[6];
	__u16 v4;
};

struct local_key {
	__u32 router, pad;
	struct ip addr;
};

struct flood_key {
	__u32 net;
	__u32 version;
	__u32 index;
};

struct flood_val {
	__u32 ep;   /* an endpoint here */
	__u32 peer; /* or a peer */
};

#endif
