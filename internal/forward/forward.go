// Package forward decides in plain Go what becomes of a packet.
//
// It takes what hostplan compiled (one State per host) and a frame, and says which frames come out where, byte by byte,
// or why none does. It is the oracle that both data planes are compared with (internal/dptest), and the
// engine of `weft trace`. The order of its stages and the content of every answer are the ones of docs/pipeline.md: where
// the two differ, one of them is wrong.
//
// It is PURE: no clock, no network, no kernel, no logging, no randomness; the same Host and the same frame give the same
// Result. It leaves out what depends on time (rate limits, storm limits, time-outs of connections) and is written to be
// read, not to be fast.
//
//	frame ─ Step ─┬─ drop: Reason, Rule
//	              ├─ Deliver(port)       to an endpoint of this host
//	              ├─ Tunnel(VNI, peer)   to another host, whose Step takes it from there: Trace
//	              ├─ Outside(NIC)        to a physical network
//	              ├─ Reply               back to where it came from (ARP, ND, ICMP)
//	              ├─ Punt(kind)          to user space
//	              └─ ToHost              left to the host itself (from a NIC only)
package forward

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Input says where a frame entered the host: from the endpoint Port, or, if Port is zero, from a tunnel packet of VNI
// whose outer source address was Outer.
type Input struct {
	Port  model.PortID
	VNI   uint32
	Outer netip.Addr
	// Physnet, if not empty: the frame came from a NIC on that physical network, with the tag VLAN (0: none).
	Physnet string
	VLAN    uint16
	// Segment is the payload of one segment if the frame is a large one that is cut later (GSO); 0: it is not.
	Segment int
	// Conns is the host's connection table before; nil: empty.
	Conns *Conns
	// AnyNeighbor: every next hop outside is taken to be there, with the MAC zero, if Conns does not know it.
	AnyNeighbor bool
	// Learned is what the host has learned before; nil: nothing.
	Learned *Learned
}

// FromPort is the Input of a frame that an instance sent.
func FromPort(port model.PortID) Input { return Input{Port: port} }

// FromTunnel is the Input of a frame that arrived in a tunnel.
func FromTunnel(vni uint32, outer netip.Addr) Input { return Input{VNI: vni, Outer: outer} }

// FromNIC is the Input of a frame that came from a physical network.
func FromNIC(physnet string, vlan uint16) Input { return Input{Physnet: physnet, VLAN: vlan} }

// Tunnel reports whether the frame came in a tunnel packet.
func (in Input) Tunnel() bool { return in.Port.IsZero() && in.Physnet == "" }

// OutputKind is where an Output goes.
type OutputKind uint8

// The kinds.
const (
	Deliver OutputKind = iota + 1 // to the endpoint Output.Port of this host
	Tunnel                        // to the host Output.Peer, encapsulated with Output.VNI
	Reply                         // back out of the endpoint that the frame came from
	Punt                          // to user space, unchanged, with Output.Punt
	Outside                       // out of the NIC on Output.Physnet, with the tag Output.VLAN
	ToHost                        // left to the host, as if no program had been there
)

// Output is one frame that comes out.
type Output struct {
	Kind OutputKind
	// Port is the receiver of Deliver and Reply, and the sender of Punt.
	Port model.PortID
	// VNI, Peer and VTEP are the tunnel's.
	VNI  uint32
	Peer string
	VTEP netip.Addr
	// Punt is the kind of a Punt.
	Punt dataplane.PuntKind
	// Physnet and VLAN are where the NIC is of Outside, ToHost, and of a Reply to what came from one.
	Physnet string
	VLAN    uint16
	// Central is, in a Path, the router whose central part took the frame from the leg that it was delivered to.
	Central model.RouterID
	// External is the network of Outside and of a Punt that has to do with it, NextHop the latter's next hop there.
	External model.NetworkID
	NextHop  netip.Addr
	// Frame from the Ethernet header on.
	Frame []byte
}

// Refusal is one receiver of a flooded frame which did not get it.
type Refusal struct {
	Port   model.PortID
	Reason reason.Reason
}

// Result is what one host did with one frame.
type Result struct {
	// Outputs in the order: local endpoints by port id, then tunnels by peer.
	Outputs []Output
	// Reason is why the frame itself went no further; None if it did. A Reply may accompany it (an ICMP error).
	Reason reason.Reason
	// Rule is the security group rule that allowed the frame: the sender's, or the receiver's if the sender's groups were not
	// asked. Zero: none.
	Rule model.UUID
	// Others are the further rules that allow it. A plane which decided before an address joined a set may still credit one of
	// them: what was allowed stays so, and nothing is decided again when a set grows (docs/pipeline.md, section 10).
	Others []model.UUID
	// Lingers: its connection was ended by a packet of the other direction, for leaving the cloud in another way now, and it is refused, or
	// opens another. A plane that remembers flows may still let it pass as part of the former one for as long as it does not look at the
	// connection: a second.
	Lingers bool
	// Refused are the receivers on this host that a flooded frame was kept from.
	Refused []Refusal
	// Conns is the connection table afterwards; the one passed in is never written.
	Conns *Conns
	// Learned is what the host has learned afterwards; the one passed in is never written.
	Learned *Learned
	// Trail is what happened, step by step, in words.
	Trail []Note
}

// Note is one step of a Result's Trail.
type Note struct {
	// Stage is a word of docs/pipeline.md: "port security", "arp", "router", "bridge", "tunnel", "deliver", "policy", "NIC", "floating ip", "central".
	Stage string
	Text  string
}
