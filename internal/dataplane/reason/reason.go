// Package reason names why a packet was dropped, or what else became of it, in one enumeration that the BPF programs,
// internal/forward and the tools for people share.
package reason

// Reason is one cause. The numbers are the ones of bpf/lib/reason.h; a test compares the two. Add at the end.
type Reason uint16

const (
	None            Reason = iota // not dropped
	Malformed                     // a header is cut short or contradicts itself
	UnknownEndpoint               // the interface belongs to no programmed endpoint
	EndpointDown                  // port or network is administratively down
	VLANTagged                    // a tagged frame from an instance
	EtherType                     // neither ARP, IPv4 nor IPv6, from a port with port security
	SpoofedMAC                    // the source MAC is not the port's and no address pair's
	SpoofedIP                     // the source address is not the port's and no address pair's
	SpoofedARP                    // the sender fields of ARP, or the target of an NA, are not the port's
	RogueDHCP                     // a DHCP server's message from an instance
	RogueRA                       // a router advertisement from an instance
	UnknownVTEP                   // a tunnel packet from an address that is no peer
	UnknownVNI                    // a tunnel packet for a network that is not here
	UnknownMAC                    // no such destination on the network, and the network does not learn
	NotForUs                      // a tunnel packet whose destination is not on this host
	NoRoute                       // the router has no route
	NoNeighbor                    // the next hop is on no port of its network
	Blackhole                     // the route says so
	TTLExceeded                   // TTL or hop limit would become 0
	TooBig                        // larger than the destination's MTU, and may not be cut
	PolicyIngress                 // no security group rule of the receiving port allows it
	PolicyEgress                  // no security group rule of the sending port allows it
	InvalidState                  // a packet that fits no connection and cannot open one
	ConnTableFull                 // the port has used up its share of the connection table
	FragmentOrphan                // a later fragment whose first was not seen
	StormLimit                    // the port's share of broadcast or of punts is used up
	RouterDown                    // the router is administratively down
	SelfDAD                       // an address resolution that must not be answered
	BadChecksum                   // a checksum that had to be right is not
	SourceRouted                  // IPv4 source routing, or IPv6 type 0 routing header, through a router
	LinkScope                     // a link-scope or unspecified source or destination through a router
	NoTunnel                      // no DVR MAC or no VTEP to send from
	NotProgrammed                 // a stage has no program or map entry yet (agent starting)
	Internal                      // a helper of the kernel failed
	ClosedPort                    // addressed to a router itself, which has no such service
	NoUplink                      // no NIC of this host is on the physical network
)
