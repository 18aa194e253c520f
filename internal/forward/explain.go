package forward

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// Advice says in words what a Reason means and what a person can do about it. Cure is empty where there is nothing to
// cure.
type Advice struct{ What, Cure string }

// Explain gives the Advice for a reason that a frame was dropped for.
func Explain(r reason.Reason) Advice {
	if a, ok := explainSender(r); ok {
		return a
	}
	if a, ok := explainPath(r); ok {
		return a
	}
	return Advice{What: fmt.Sprintf("dropped, reason %d", r), Cure: "look at the agent's log on that host"}
}

// explainSender: reasons that lie with the sending instance or its port.
func explainSender(r reason.Reason) (Advice, bool) {
	switch r {
	case reason.None:
		return Advice{What: "not dropped"}, true
	case reason.Malformed:
		return Advice{"a header is cut short or contradicts itself", "capture at the instance: its network stack or driver sends broken packets"}, true
	case reason.UnknownEndpoint:
		return Advice{"the interface belongs to no port that the host has programmed", "check the port's binding:host_id, and that its tap device is there"}, true
	case reason.EndpointDown:
		return Advice{"the port is administratively down", "openstack port set --enable PORT"}, true
	case reason.VLANTagged:
		return Advice{"the instance sends VLAN-tagged frames", "use a trunk port with subports for VLANs inside an instance"}, true
	case reason.EtherType:
		return Advice{"the frame is neither ARP, IPv4 nor IPv6", "openstack port set --disable-port-security PORT, if the instance must send it"}, true
	case reason.SpoofedMAC:
		return Advice{"the source MAC is not the port's", "openstack port set --allowed-address mac-address=MAC,ip-address=IP PORT, if it is meant"}, true
	case reason.SpoofedIP:
		return Advice{"the source address is not the port's", "openstack port set --allowed-address ip-address=IP PORT, if it is meant"}, true
	case reason.SpoofedARP:
		return Advice{"the instance claims an address in ARP or ND that is not the port's", "openstack port set --allowed-address ip-address=IP PORT, if it is meant"}, true
	case reason.RogueDHCP:
		return Advice{"the instance acts as a DHCP server", "openstack port set --disable-port-security PORT, if it is meant"}, true
	case reason.RogueRA:
		return Advice{"the instance sends router advertisements", "openstack port set --disable-port-security PORT, if it is meant"}, true
	case reason.SelfDAD:
		return Advice{What: "the instance asks for its own address; silence is the right answer"}, true
	case reason.BadChecksum:
		return Advice{"a checksum that had to be right is not", "check checksum offloading of the instance's interface"}, true
	case reason.StormLimit:
		return Advice{"the port has used up its share of broadcast or of requests to the host", "find the loop or the storm in the instance"}, true
	case reason.ConnTableFull:
		return Advice{"the port has used up its share of the connection table", "close connections, or raise [weft] connections_per_port on the host"}, true
	}
	return Advice{}, false
}

// explainPath: reasons that lie with the network, its policy or the hosts.
func explainPath(r reason.Reason) (Advice, bool) {
	switch r {
	case reason.UnknownVTEP:
		return Advice{"a tunnel packet came from an address that is no host of this cloud", "check local_ip of the sending host and its agent's state"}, true
	case reason.UnknownVNI:
		return Advice{"a tunnel packet is for a network that the host does not have", "wait for the host to catch up (weft status), or report it"}, true
	case reason.UnknownMAC:
		return Advice{"no port of the network has the destination MAC", "the sender's neighbour entry may be old: ip neigh flush in the instance"}, true
	case reason.NotForUs:
		return Advice{What: "the destination is nothing that takes such a packet here"}, true
	case reason.NoRoute:
		return Advice{"the router has no route to the destination", "openstack router add subnet, or router add route"}, true
	case reason.NoNeighbor:
		return Advice{"no bound port of the network has the next hop's address", "check that the receiving instance is running and its port ACTIVE"}, true
	case reason.Blackhole:
		return Advice{What: "the route to the destination drops on purpose"}, true
	case reason.TTLExceeded:
		return Advice{What: "the packet's TTL ran out at the router"}, true
	case reason.TooBig:
		return Advice{"the packet is larger than the network's MTU", "set the instance's MTU to the network's (DHCP and router advertisements carry it)"}, true
	case reason.PolicyIngress:
		return Advice{"no security group rule of the receiving port allows it", "openstack security group rule create --ingress ... GROUP"}, true
	case reason.PolicyEgress:
		return Advice{"no security group rule of the sending port allows it", "openstack security group rule create --egress ... GROUP"}, true
	case reason.InvalidState:
		return Advice{What: "the packet belongs to no connection and cannot open one"}, true
	case reason.FragmentOrphan:
		return Advice{What: "a later fragment whose first one was not seen"}, true
	case reason.RouterDown:
		return Advice{"the router is administratively down", "openstack router set --enable ROUTER"}, true
	case reason.SourceRouted:
		return Advice{What: "routers do not forward source-routed packets"}, true
	case reason.LinkScope:
		return Advice{What: "the source or destination is valid on its own link only"}, true
	case reason.NoTunnel:
		return Advice{"the host has no tunnel to the destination's host", "check local_ip of both hosts and the agent's state (weft status)"}, true
	case reason.NoUplink:
		return Advice{"no interface of the host is on the physical network", "map the physical network to an interface of the host: bridge_mappings"}, true
	case reason.ClosedPort:
		return Advice{What: "it was addressed to a router itself, which has no such service"}, true
	case reason.Internal:
		return Advice{"a helper of the kernel failed", "look at the agent's log on that host, and report it"}, true
	case reason.NotProgrammed:
		return Advice{"the host has not programmed that part yet", "the agent is starting or stuck: weft status"}, true
	}
	return Advice{}, false
}
