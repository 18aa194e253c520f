// Package dataplane is the interface between the agent and whatever moves packets.
//
// A plane takes the whole desired state. Applying the same state twice changes nothing and costs near nothing; what
// failed stays dirty and is retried at the next Apply; nothing is deleted before the feed is in sync; for an instance's
// packet, when in doubt, deny. The two planes (ebpf, ovs) do not know each other; both pass dptest.
package dataplane

import (
	"context"
	"net/netip"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Device is an interface that was found on the host for an endpoint.
type Device struct {
	Name  string
	Index int
	// Up: administratively up.
	Up  bool
	MTU int
}

// Desired is what Apply is to bring about.
type Desired struct {
	State *hostplan.State
	// Devices found so far, by interface name. An endpoint without a device is not programmed, and is no error.
	Devices map[string]Device
	// Physical are the NICs behind each physical network (bridge_mappings: the physical ports of the bridge, or the
	// interface itself). A physical network without one is not reachable here.
	Physical map[string][]Device
	// InSync: the State is complete. While false (the feed has not caught up after a start), Apply adds and changes but
	// deletes nothing.
	InSync bool
	// Away, if not 0, says that the State is the first that the server listed after it was out of reach for so long. What it says
	// of who was heard to have an address may be older than what the plane heard since; later States are told as it changes.
	Away time.Duration
}

// Result is what is true after an Apply, also a failed one.
type Result struct {
	// Programmed are the endpoints whose every packet is now handled as the State says.
	Programmed map[model.PortID]bool
	// FloatingIPs are those of the State that are translated now.
	FloatingIPs map[model.FloatingIPID]bool
	// NDPProxies are those of the State that are answered for now; of central ones by the plane, too.
	NDPProxies map[model.NDPProxyID]bool
	// Failed are the objects which are not as the State says, with the reason; they will be retried.
	Failed []hostplan.Problem
	// Unsettled: the State says of some address that another port was heard to have it than the one that the plane heard a moment
	// ago. Apply is to be called again in some seconds, when one of them will have proved right.
	Unsettled bool
}

// Punt is a packet that the plane wants user space to answer.
type Punt struct {
	Kind PuntKind
	// Port is the endpoint that the packet came from; zero for PuntFragment of a packet that came from an external network, and for
	// PuntNeighbor.
	Port model.PortID
	// External is the external network, NextHop the address on it that is to be resolved or that was heard of: PuntExternal
	// and PuntNeighbor. PuntFragment has External if the packet goes to or comes from a floating IP.
	External model.NetworkID
	NextHop  netip.Addr
	// Frame is the packet from its Ethernet header on. It belongs to the receiver.
	Frame []byte
}

// PuntKind says what sort of packet was punted.
type PuntKind uint8

// The kinds. Their numbers are the ones in bpf/lib; add at the end.
const (
	PuntDHCP4    PuntKind = iota + 1 // UDP 68 → 67 from an endpoint
	PuntDHCP6                        // UDP 546 → 547 from an endpoint
	PuntRS                           // ICMPv6 router solicitation from an endpoint
	PuntFragment                     // a packet that must be cut before it goes on (routed, IPv4, without DF, too big)
	PuntMetadata                     // TCP to port 80 of a service address of the network, from an endpoint
	PuntExternal                     // a packet whose next hop on an external network has no known MAC
	PuntDNS                          // UDP or TCP to port 53 of a service address of the network, from an endpoint
	PuntNeighbor                     // an ARP or ND frame from an external network told a MAC that was asked for, or claims an address of ours
	PuntAsk                          // an ARP request or solicitation from an endpoint for an address that nobody is known to have; told of beside what becomes of it
)

// Plane moves packets.
//
// Apply is called by one goroutine at a time. Punts and Inject may be used beside it.
type Plane interface {
	// Apply brings the kernel to the desired state. The error is for a failure of the whole (the kernel refuses the
	// program); failures of single objects are in Result.
	Apply(ctx context.Context, d Desired) (Result, error)
	// Punts delivers punted packets until Close.
	Punts() <-chan Punt
	// Inject sends a frame to the endpoint as if it came from its network. It answers punts; it is not filtered.
	Inject(port model.PortID, frame []byte) error
	// Close lets go of the plane WITHOUT undoing anything: packets go on flowing by the last state.
	Close() error
}

// Resender is a Plane that takes a punted packet back, cut or changed: the frame is treated as if the endpoint had just
// sent it, with routing and policy. A plane without it loses such packets. A frame has at most MaxResend bytes.
type Resender interface {
	Resend(port model.PortID, frame []byte) error
}

// TableFill is how full one of a plane's tables is.
type TableFill struct {
	Table         string
	Entries, Room int
}

// Filler is a Plane whose tables have room for so much and no more. Fill may be called beside Apply; it waits for it.
type Filler interface {
	Fill() []TableFill
}

// Resolver is a Plane that answers its endpoints' questions for neighbours itself.
type Resolver interface {
	// Resolves reports whether an ARP request or solicitation of the endpoint for the address would be answered here and now. It may be
	// used beside Apply.
	Resolves(port model.PortID, target netip.Addr) bool
}

// Learned is an address that an endpoint has besides its fixed IPs, because it said so and may.
type Learned struct {
	Port    model.PortID
	Address netip.Addr
	MAC     model.MAC
	// Listed: an address pair names the address itself; it is believed for as long as the pair is there. Else it is forgotten
	// some minutes after it was last heard, which was Age ago.
	Listed bool
	Age    time.Duration
}

// Learner is a Plane that learns who has addresses which the State does not place. All methods may be used beside Apply.
type Learner interface {
	// Learned is what this host's own endpoints are known to have, sorted by port and address.
	Learned() ([]Learned, error)
	// LearnedChanged receives when Learned may have changed. It has one receiver.
	LearnedChanged() <-chan struct{}
}

// Outside is a Plane that reaches external networks. All methods may be used beside Apply.
type Outside interface {
	// SendOutside sends a frame out of the NIC of an external network, tagged as the network is.
	SendOutside(external model.NetworkID, frame []byte) error
	// Learn says which MAC has an address on an external network. The programs themselves renew what was learned, from the
	// ARP and ND that they see.
	Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error
	// Forget takes that back.
	Forget(external model.NetworkID, addr netip.Addr) error
}

// OutsideReceiver is an Outside that takes a punted packet of an external network back, cut or changed: the frame is treated as if the
// NIC had just received it. A frame has at most MaxResend bytes.
type OutsideReceiver interface {
	ReceiveOutside(external model.NetworkID, frame []byte) error
}

// OutsideNeighbor is one entry of what is known of an external network.
type OutsideNeighbor struct {
	External model.NetworkID
	Address  netip.Addr
	MAC      model.MAC
	// Silent is how long nothing was heard of it.
	Silent time.Duration
}

// OutsideLister is an Outside that can tell what it knows: a new agent takes over what a former one had learned.
type OutsideLister interface {
	OutsideNeighbors() ([]OutsideNeighbor, error)
}

// MaxResend is the most that a Resender takes, from the Ethernet header on. The kernel gives a program run by hand one
// page, of which it needs a part.
const MaxResend = 3000
