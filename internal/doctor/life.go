package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// This file holds the links behind the port's interface and its lease: the data plane as a whole, the addresses that the
// instance really uses, what it must not be, and what it needs to get any further.

// plane looks for a failure of the whole, which leaves every port of the host as it was.
func (d *diagnosis) plane() Step {
	for _, p := range d.f.Status.Problems {
		if p.Kind != "data_plane" {
			continue
		}
		cure := "read the agent's log; the agent tries again by itself"
		if d.f.TunnelPort != "" {
			cure = "stop " + d.f.TunnelPort + ", or give it another port: UDP 4789 is the data plane's"
		}
		return bad("data plane works", cure, "it takes no state: %s", p.Why)
	}
	if d.f.TunnelPort != "" {
		return warn("data plane works", "stop it, or give it another port", "UDP port 4789 is taken by %s; tunnels work only as long as they had the port before", d.f.TunnelPort)
	}
	return good("data plane works", "position %s of %s", d.f.Status.Applied, d.f.Status.Position)
}

func (d *diagnosis) dropped(reasons ...string) (n uint64) {
	for _, r := range reasons {
		n += d.f.Drops[r]
	}
	return n
}

// own looks whether the instance uses what its port has. Systems send a few packets from addresses that they give up
// soon, so only what is most of the traffic is a broken link.
func (d *diagnosis) own() Step {
	if d.f.Drops == nil {
		return Step{}
	}
	macs, addresses := d.dropped("spoofed_mac"), d.dropped("spoofed_ip", "spoofed_arp")
	const name, cure = "uses its own address", "give the interface inside the port's MAC and address (%s, %s), or the port what is used inside (fixed_ips, allowed_address_pairs)"
	told := fmt.Sprintf(cure, d.ep.MAC, strings.Join(d.ep.Addresses, ", "))
	lately := d.f.Lately["spoofed_mac"] + d.f.Lately["spoofed_ip"] + d.f.Lately["spoofed_arp"]
	switch most := (macs + addresses) * 2; {
	case macs+addresses == 0:
		return good(name, "no packet had another sender")
	case lately == 0:
		return good(name, "now; before, %d packets with another MAC and %d with another address were dropped", macs, addresses)
	case most <= d.f.Device.Received:
		return warn(name, told, "%d packets with another MAC and %d with another address were dropped", macs, addresses)
	case macs > addresses:
		return bad(name, told, "%d of %d packets had another MAC and were dropped", macs, d.f.Device.Received)
	}
	return bad(name, told, "%d of %d packets had another address and were dropped", addresses, d.f.Device.Received)
}

// rogue tells of an instance that poses as what only the network is.
func (d *diagnosis) rogue() Step {
	switch {
	case d.dropped("rogue_dhcp") > 0:
		return warn("is no DHCP server", "switch the DHCP server inside off; if it is wanted, the port must be without port security",
			"%d answers of a DHCP server in it were dropped", d.dropped("rogue_dhcp"))
	case d.dropped("rogue_ra") > 0:
		return warn("is no router", "switch router advertisements inside off (radvd, rtadvd); if it is a router, the port must be without port security",
			"%d router advertisements or redirects of it were dropped", d.dropped("rogue_ra"))
	}
	return Step{}
}

func (d *diagnosis) resolver() Step {
	switch {
	case d.ep.Lease == "":
		return Step{}
	case len(d.ep.Resolvers) == 0:
		return warn("has a resolver", "set dns_nameservers on the subnet, or see that the network has a network:dhcp port (openstack port list --device-owner network:dhcp)",
			"it is told no DNS server")
	}
	return good("has a resolver", "%s", strings.Join(d.ep.Resolvers, ", "))
}

func (d *diagnosis) gateway() Step {
	for _, g := range d.ep.Gateways {
		switch {
		case g.Router.IsZero():
			return warn("gateway answers", "attach a router to the subnet, unless a router outside of this cloud has the address", "no router of this host has %s", g.Address)
		case !g.Up:
			return bad("gateway answers", "openstack router set --enable "+g.Router.String(), "router %s, which has %s, is administratively down", g.Router, g.Address)
		}
	}
	if len(d.ep.Gateways) == 0 {
		return Step{}
	}
	var all []string
	for _, g := range d.ep.Gateways {
		all = append(all, g.Address.String())
	}
	slices.Sort(all)
	return good("gateway answers", "%s, on this host", strings.Join(all, ", "))
}

// rules looks whether any rule lets anything pass at all.
func (d *diagnosis) rules() Step {
	switch {
	case d.ep.Rules == 0:
		return bad("security groups allow", "openstack port set --security-group GROUP "+d.ep.Port.String()+", of a group that has rules",
			"no security group rule applies to the port: nothing but DHCP, ARP and neighbour discovery passes")
	case d.ep.Rules < 0:
		return good("security groups allow", "everything: they are not enforced on this port")
	case d.dropped("policy_ingress", "policy_egress") > 0:
		return warn("security groups allow", "if that is not wanted, see `weft drops --port "+d.ep.Port.String()+"` for the packets", "%d rules; %d packets from it and %d to it matched none and were dropped",
			d.ep.Rules, d.dropped("policy_egress"), d.dropped("policy_ingress"))
	}
	return good("security groups allow", "%d rules", d.ep.Rules)
}
