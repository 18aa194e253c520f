package hostplan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// carrier is what tells networks apart on the wire.
type carrier struct {
	kind, physnet string
	id            uint32
}

// carrierOf chooses among a network's segments: VXLAN before VLAN before flat, of several the first. The zero carrier:
// none that a host can carry.
func carrierOf(n NetworkParts) carrier {
	for _, kind := range []string{model.TypeVXLAN, model.TypeVLAN, model.TypeFlat} {
		for _, s := range n.Segments {
			if s.NetworkType != kind {
				continue
			}
			switch kind {
			case model.TypeVXLAN:
				return carrier{kind: kind, id: s.SegmentationID}
			case model.TypeVLAN:
				return carrier{kind: kind, physnet: s.Physnet, id: s.SegmentationID}
			}
			return carrier{kind: kind, physnet: s.Physnet}
		}
	}
	return carrier{}
}

// check says what is wrong with a carrier, "" if nothing.
func (k carrier) check() string {
	switch {
	case k.kind == "":
		return "none of its segments is vxlan, vlan or flat; create it with one of these network types"
	case k.kind == model.TypeVXLAN && (k.id < 1 || k.id > 1<<24-1):
		return fmt.Sprintf("its VNI %d is not between 1 and 16777215", k.id)
	case k.kind == model.TypeVLAN && (k.id < 1 || k.id > 4094):
		return fmt.Sprintf("its VLAN %d is not between 1 and 4094", k.id)
	case k.kind != model.TypeVXLAN && k.physnet == "":
		return "its segment names no physical network"
	}
	return ""
}

// minMTU is the smallest MTU of an IPv4 network (RFC 791, section 3.2), minMTU6 that of an IPv6 one (RFC 8200, section 5).
const (
	minMTU  = 68
	minMTU6 = 1280
)

// network compiles one network; nil: it is not there or cannot be carried out.
func (c *Compiler) network(id model.NetworkID) (*Network, []string) {
	in, ok := c.in.Networks[id]
	if !ok {
		return nil, nil
	}
	k := carrierOf(in)
	if why := k.check(); why != "" {
		return nil, []string{why}
	}
	if first := c.idx.carriers[k][0]; first != id {
		return nil, []string{fmt.Sprintf("network %s is already carried by its %s segment %d %s", first, k.kind, k.id, k.physnet)}
	}
	if in.Network.MTU < minMTU {
		return nil, []string{fmt.Sprintf("its MTU %d is below %d", in.Network.MTU, minMTU)}
	}
	x := c.idx.find(id)
	n := &Network{
		ID: id, Type: k.kind, Physnet: k.physnet, MTU: in.Network.MTU, External: in.Network.External,
		Learning: x.learning > 0 || k.kind != model.TypeVXLAN, DNSDomain: strings.TrimSuffix(firstOf(in.Network.DNSDomain, c.opts.DNSDomain), "."),
	}
	switch k.kind {
	case model.TypeVXLAN:
		n.VNI = k.id
		n.Flood = c.flood(x)
		n.Announce = c.announce(id, x)
	case model.TypeVLAN:
		n.VLAN = uint16(k.id)
	}
	if k.kind != model.TypeVXLAN {
		_, n.Speaks = c.in.Wires[id]
	}
	for s := range x.subnets {
		v := c.in.Subnets[s]
		n.Subnets = append(n.Subnets, Subnet{ID: s, Prefix: v.CIDR.Masked(), Gateway: v.GatewayIP, RouterMAC: c.routerMAC(x, v)})
	}
	slices.SortFunc(n.Subnets, func(a, b Subnet) int {
		return cmp.Or(comparePrefix(a.Prefix, b.Prefix), a.ID.Compare(b.ID.UUID))
	})
	n.Advertisements = c.advertisements(x, in.Network.MTU, c.anyLeg)
	if n.Speaks {
		n.OnWire = c.advertisements(x, in.Network.MTU, c.distributedLeg)
	}
	n.Services = c.services(x)
	return n, nil
}

// flood is where broadcast goes: the peers at which a port of the network is.
func (c *Compiler) flood(x *netIndex) []string {
	var out []string
	for h := range x.hosts {
		if c.peers.m[h] != nil {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out
}

// announce are the peers that reach the network through a router without a port of their own on it.
func (c *Compiler) announce(id model.NetworkID, x *netIndex) []string {
	var out []string
	for other := range c.routed(id) {
		for h := range c.idx.find(other).hosts {
			if c.peers.m[h] != nil && x.hosts[h] == 0 && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	slices.Sort(out)
	return out
}

// routed are the networks that share a router with one.
func (c *Compiler) routed(id model.NetworkID) set[model.NetworkID] {
	out := set[model.NetworkID]{}
	for _, r := range c.idx.find(id).legs {
		for _, p := range c.in.Routers[r].Interfaces {
			if p.NetworkID != id {
				out[p.NetworkID] = struct{}{}
			}
		}
	}
	return out
}

// touchRouted marks the networks whose announcements go where ports of this one are.
func (c *Compiler) touchRouted(id model.NetworkID) { maps.Copy(c.dirty.networks, c.routed(id)) }

// routerMAC finds the distributed router's leg that instances of the subnet know as their gateway. The fixed IP decides:
// with several routers on the subnet the one on its gateway address, else the leg of lowest port id; a router need not be
// on the gateway address at all.
func (c *Compiler) routerMAC(x *netIndex, v *model.Subnet) model.MAC {
	var best *model.Port
	bestIsGateway := false
	for id := range x.legs {
		p := c.distributedLeg(id)
		if p == nil {
			continue
		}
		for _, ip := range p.FixedIPs {
			if ip.SubnetID != v.ID {
				continue
			}
			isGateway := ip.Address == v.GatewayIP
			if best == nil || isGateway && !bestIsGateway || isGateway == bestIsGateway && p.ID.Compare(best.ID.UUID) < 0 {
				best, bestIsGateway = p, isGateway
			}
		}
	}
	if best == nil {
		return model.MAC{}
	}
	return best.MAC
}

// distributedLeg is the internal leg of a distributed router that a port is; nil if it is none, or not fit to be one.
func (c *Compiler) distributedLeg(id model.PortID) *model.Port {
	l, ok := c.idx.legs[id]
	if !ok || !l.router.Distributed || !l.port.IsRouterInterface() || !unicast(l.port.MAC) {
		return nil
	}
	return l.port
}

// centralizedLeg is the leg of a centralized router that has a host; nil if the port is none.
func (c *Compiler) centralizedLeg(id model.PortID) *model.Port {
	l, ok := c.idx.legs[id]
	if !ok || l.router.Distributed || !isCentralLeg(l.router, l.port) || l.router.GatewayHost == "" || !unicast(l.port.MAC) {
		return nil
	}
	return l.port
}

// anyLeg is a leg of either kind.
func (c *Compiler) anyLeg(id model.PortID) *model.Port {
	if p := c.distributedLeg(id); p != nil {
		return p
	}
	return c.centralizedLeg(id)
}

func unicast(m model.MAC) bool { return !m.IsZero() && !m.IsMulticast() }

// advertisements are one for each router that is up and has a leg with an address on a subnet whose ipv6_ra_mode says that
// routers advertise it: also for a centralized one, as every host answers its own instances. Flags are Neutron's: A for slaac and dhcpv6-stateless, O for
// dhcpv6-stateless, M for dhcpv6-stateful.
// leg finds the interface that a port is; nil: none that is to be advertised.
func (c *Compiler) advertisements(x *netIndex, mtu uint32, leg func(model.PortID) *model.Port) []Advertisement {
	byRouter := map[model.RouterID]*Advertisement{}
	for _, id := range sortedPorts(x.legs) {
		p := leg(id)
		if p == nil || !c.idx.legs[id].router.AdminStateUp {
			continue
		}
		router := c.idx.legs[id].router.ID
		for _, ip := range p.FixedIPs {
			s := c.in.Subnets[ip.SubnetID]
			if s == nil || s.RAMode == "" || !s.CIDR.Addr().Is6() || s.NetworkID != p.NetworkID {
				continue
			}
			a := byRouter[router]
			if a == nil {
				a = &Advertisement{Router: router, MAC: p.MAC, LinkLocal: LinkLocal(p.MAC)}
				if mtu >= minMTU6 {
					a.MTU = mtu
				}
				byRouter[router] = a
			}
			a.add(s, ip.Address, c.resolvers6(s))
		}
	}
	out := make([]Advertisement, 0, len(byRouter))
	for _, a := range byRouter {
		slices.SortFunc(a.Prefixes, func(x, y AdvertisedPrefix) int { return comparePrefix(x.Prefix, y.Prefix) })
		out = append(out, *a)
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, func(a, b Advertisement) int { return a.Router.Compare(b.Router.UUID) })
	return out
}

// add extends an advertisement by a subnet on which the router has the address, and by its resolvers.
func (a *Advertisement) add(s *model.Subnet, address netip.Addr, resolvers []netip.Addr) {
	auto := s.RAMode == model.ModeSLAAC || s.RAMode == model.ModeStateless
	a.Managed = a.Managed || s.RAMode == model.ModeStateful
	a.Other = a.Other || s.RAMode == model.ModeStateless
	a.Prefixes = append(a.Prefixes, AdvertisedPrefix{Prefix: s.CIDR.Masked(), Autonomous: auto, OnLink: true})
	// A second router beside the one on the gateway address does not offer itself as default router.
	a.DefaultRouter = a.DefaultRouter || s.GatewayIP == address || s.GatewayIP == a.LinkLocal
	for _, d := range resolvers {
		if !slices.Contains(a.DNS, d) {
			a.DNS = append(a.DNS, d)
		}
	}
}

// LinkLocal is the link-local address of a MAC (RFC 4291, appendix A).
func LinkLocal(m model.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func sortedPorts[V any](m map[model.PortID]V) []model.PortID {
	ids := make([]model.PortID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b model.PortID) int { return a.Compare(b.UUID) })
	return ids
}
