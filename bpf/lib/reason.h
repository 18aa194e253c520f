/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Why a packet was dropped, or answered with an error. internal/dataplane/reason is the same list in Go, and a test of
 * internal/dataplane/ebpf compares the two. Numbers never change; add at the end.
 */
#ifndef WEFT_REASON_H
#define WEFT_REASON_H

enum reason {
	R_NONE = 0,              /* not dropped */
	R_MALFORMED = 1,         /* a header is cut short or contradicts itself */
	R_UNKNOWN_ENDPOINT = 2,  /* the interface belongs to no programmed endpoint */
	R_ENDPOINT_DOWN = 3,     /* port or network is administratively down */
	R_VLAN_TAGGED = 4,       /* a tagged frame from an instance */
	R_ETHER_TYPE = 5,        /* neither ARP, IPv4 nor IPv6, from a port with port security */
	R_SPOOFED_MAC = 6,       /* the source MAC is not the port's and no address pair's */
	R_SPOOFED_IP = 7,        /* the source address is not the port's and no address pair's */
	R_SPOOFED_ARP = 8,       /* the sender fields of ARP, or the target of an NA, are not the port's */
	R_ROGUE_DHCP = 9,        /* a DHCP server's message from an instance */
	R_ROGUE_RA = 10,         /* a router advertisement from an instance */
	R_UNKNOWN_VTEP = 11,     /* a tunnel packet from an address that is no peer */
	R_UNKNOWN_VNI = 12,      /* a tunnel packet for a network that is not here */
	R_UNKNOWN_MAC = 13,      /* no such destination on the network, and the network does not learn */
	R_NOT_FOR_US = 14,       /* a tunnel packet whose destination is not on this host */
	R_NO_ROUTE = 15,         /* the router has no route */
	R_NO_NEIGHBOR = 16,      /* the next hop is on no port of its network */
	R_BLACKHOLE = 17,        /* the route says so */
	R_TTL_EXCEEDED = 18,     /* TTL or hop limit would become 0 */
	R_TOO_BIG = 19,          /* larger than the destination's MTU, and may not be cut */
	R_POLICY_INGRESS = 20,   /* no security group rule of the receiving port allows it */
	R_POLICY_EGRESS = 21,    /* no security group rule of the sending port allows it */
	R_INVALID_STATE = 22,    /* a packet that fits no connection and cannot open one */
	R_CONN_TABLE_FULL = 23,  /* the port has used up its share of the connection table */
	R_FRAGMENT_ORPHAN = 24,  /* a later fragment whose first was not seen */
	R_STORM_LIMIT = 25,      /* the port's share of broadcast or of punts is used up */
	R_ROUTER_DOWN = 26,      /* the router is administratively down */
	R_SELF_DAD = 27,         /* an address resolution that must not be answered */
	R_BAD_CHECKSUM = 28,     /* a checksum that had to be right is not */
	R_SOURCE_ROUTED = 29,    /* IPv4 source routing, or IPv6 type 0 routing header, through a router */
	R_LINK_SCOPE = 30,       /* a link-scope or unspecified source or destination through a router */
	R_NO_TUNNEL = 31,        /* no DVR MAC or no VTEP to send from */
	R_NOT_PROGRAMMED = 32,   /* a stage has no program or map entry yet (agent starting) */
	R_INTERNAL = 33,         /* a helper of the kernel failed */
	R_CLOSED_PORT = 34,      /* addressed to a router itself, which has no such service */
	R_NO_UPLINK = 35,        /* no NIC of this host is on the physical network */
};

#endif
