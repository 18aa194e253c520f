package ebpf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// nic is an interface behind a physical network.
type nic struct {
	ifindex uint32
	name    string
	mac     model.MAC
}

// hardware is what of the host's interfaces a State is compiled for: those of endpoints by name, and the NICs of each physical
// network. The first NIC of one is what frames leave by.
type hardware struct {
	ports    map[string]port
	physical map[string][]nic
}

// defaultMTU is that of an external network which says nothing of it.
const defaultMTU = 1500

// uplink fills in how a flat or vlan network leaves the host, and lets its frames in.
func (c *compiler) uplink(slot uint32, v *weftNetwork, physnet string, vlan uint16) {
	nics := c.hw.physical[physnet]
	if len(nics) == 0 {
		return
	}
	v.PhysIfindex, v.PhysVlan = nics[0].ifindex, uint32(vlan)
	for _, n := range nics {
		k := weftPhysicalKey{Ifindex: n.ifindex, Vlan: uint32(vlan)}
		if w, taken := c.t.physicalNets.want[k]; taken && w.Net != slot {
			c.problem("network", model.NetworkID{UUID: v.Uuid}, fmt.Errorf("another network has VLAN %d of physical network %s", vlan, physnet))
			continue
		}
		c.t.physicalNets.put(k, weftPhysicalVal{Net: slot, Mac: n.mac})
	}
}

// external is an external network that is no tenants' network here: for the programs it is a network like others.
func (c *compiler) external(x *hostplan.External) {
	if c.s.Networks[x.ID] != nil {
		return // network has it
	}
	slot, ok := c.slot(rootNetwork, x.ID.UUID)
	if !ok {
		return
	}
	v := weftNetwork{Uuid: x.ID.UUID, Mtu: x.MTU, Flags: netExternal}
	if v.Mtu == 0 {
		v.Mtu = defaultMTU
	}
	var err error
	if v.LearnGs, err = c.t.learnCounter(slot); err != nil {
		c.problem("network", x.ID, err)
		return
	}
	c.uplink(slot, &v, x.Physnet, x.VLAN)
	c.t.networks.want[slot] = v
}

// gateway is a router's leg outside, as where ICMP errors towards the outside come from. 0: none.
func (c *compiler) gateway(router uint32, r *hostplan.Router) uint32 {
	g := r.Gateway
	if g == nil {
		return 0
	}
	net, known := c.outsideNet(g.External)
	rif, err := c.t.rifID.of(g.Port.UUID)
	if err == nil && !known {
		err = fmt.Errorf("its external network %s is not in the state", g.External)
	}
	if err != nil {
		c.problem("router", r.ID, err)
		return 0
	}
	c.t.rifs.put(rif, weftRif{Uuid: g.Port.UUID, Router: router, Net: net, Mtu: c.t.networks.want[net].Mtu, Mac: g.MAC})
	for _, p := range g.Addresses {
		c.t.sources.put(lpm(rif, p), ip16(p.Addr()))
	}
	for _, p := range g.Addresses {
		c.t.sources.put(lpm(rif, netip.PrefixFrom(p.Addr(), 0)), ip16(p.Addr()))
	}
	return rif
}

// outsideNet is the number of an external network.
func (c *compiler) outsideNet(id model.NetworkID) (uint32, bool) {
	slot := c.t.ids[rootNetwork].find(id.UUID)
	_, ok := c.t.networks.want[slot]
	return slot, ok
}

// outside compiles what stands on neighbours and endpoints: the legs of central parts, and floating IPs.
func (c *compiler) outside() {
	for _, id := range slices.SortedFunc(maps.Keys(c.s.Centrals), func(a, b model.RouterID) int { return a.Compare(b.UUID) }) {
		c.outerLeg(c.s.Centrals[id])
	}
	for _, r := range c.s.Routers {
		c.innerLegs(r)
	}
	for _, f := range c.s.FloatingIPs {
		if err := c.floating(f); err != nil {
			c.problem("floatingip", f.ID, err)
		}
	}
	for _, n := range c.s.NDPProxies {
		if err := c.floating(n.Floating()); err != nil {
			c.problem(string(model.KindNDPProxy), n.ID, err)
		}
	}
}

// outerLeg makes an endpoint on the external network of the host's end of a gateway's veth.
func (c *compiler) outerLeg(x *hostplan.Central) {
	g := x.Gateway
	if g == nil {
		return
	}
	dev, found := c.hw.ports[x.OuterDevice]
	net, known := c.outsideNet(g.External)
	if !found || !known {
		return
	}
	slot, ok := c.slot(rootEndpoint, g.Port.UUID)
	nbr, ok2 := c.slot(rootNeighbor, g.Port.UUID)
	if !ok || !ok2 {
		return
	}
	e := &hostplan.Endpoint{Port: g.Port, MAC: g.MAC, Addresses: g.Addresses}
	v := weftEndpoint{Uuid: g.Port.UUID, Net: net, Ifindex: dev.ifindex, Mac: g.MAC, Mtu: c.t.networks.want[net].Mtu, Flags: epUp | epGateway}
	if dev.peer {
		v.Flags |= epPeer
	}
	c.t.endpoints.want[slot] = v
	c.t.devices.put(dev.ifindex, slot)
	c.spoof(slot, e)
	c.locals[net] = append(c.locals[net], e)
	c.t.neighbors.want[nbr] = weftNeighbor{Uuid: g.Port.UUID, Net: net, Ep: slot, Mac: g.MAC}
	c.claimMAC(g.Port, weftMacKey{Net: net, Mac: g.MAC}, nbr)
	for _, a := range g.Addresses {
		c.claimAddr(g.Port, weftAddrKey{Net: net, Addr: ip16(a.Addr())}, weftAddrVal{Kind: kindNeighbor, Slot: nbr, Mac: g.MAC})
	}
}

// innerLegs says where what has no floating IP goes, by the network that it came from.
func (c *compiler) innerLegs(r *hostplan.Router) {
	if r.Gateway == nil {
		return
	}
	for _, l := range r.Gateway.Legs {
		net, nbr := c.t.ids[rootNetwork].find(l.Network.UUID), c.t.ids[rootNeighbor].find(l.Port.UUID)
		if _, ok := c.t.neighbors.want[nbr]; !ok || c.s.Networks[l.Network] == nil {
			continue // bound nowhere: unreachable
		}
		c.t.legs.put(weftLegKey{Router: c.t.ids[rootRouter].find(r.ID.UUID), Net: net}, weftLeg{Neighbor: nbr, Mac: l.MAC})
	}
}

// floating compiles one floating IP, or an NDP proxy in the form of one.
func (c *compiler) floating(f *hostplan.FloatingIP) error {
	net, ok := c.outsideNet(f.External)
	if !ok {
		return fmt.Errorf("its external network %s is not in the state", f.External)
	}
	var v weftFip
	var err error
	if f.Central {
		v, ok = c.centralFloating(f)
	} else {
		v, ok, err = c.distributedFloating(f)
	}
	if err != nil || !ok {
		return err
	}
	v.Mac = f.MAC
	c.t.fips.put(weftAddrKey{Net: net, Addr: ip16(f.Address)}, v)
	if !f.Central || f.Address.Is4() { // a central proxy has the gateway's MAC, whose own entry leads where the packets are to go
		c.t.macs.want[weftMacKey{Net: net, Mac: f.MAC}] = weftMacVal{Kind: kindFip}
	}
	c.t.addrs.want[weftAddrKey{Net: net, Addr: ip16(f.Address)}] = weftAddrVal{Kind: kindFip, Mac: f.MAC}
	if !f.Central {
		c.t.epFip.put(weftEpFipKey{Fixed: v.Fixed, Ep: v.Ep, Router: v.Router}, weftEpFipVal{Addr: ip16(f.Address), Net: net, Mac: f.MAC})
	}
	return nil
}

// centralFloating leads to the outer leg of the router's central part; false: that is not here yet.
func (c *compiler) centralFloating(f *hostplan.FloatingIP) (weftFip, bool) {
	x := c.s.Centrals[f.Router]
	if x == nil || x.Gateway == nil {
		return weftFip{}, false
	}
	ep := c.t.ids[rootEndpoint].find(x.Gateway.Port.UUID)
	_, ok := c.t.endpoints.want[ep]
	return weftFip{Ep: ep, Flags: fipCentral}, ok
}

// distributedFloating leads to an endpoint here; false: that has no device yet.
func (c *compiler) distributedFloating(f *hostplan.FloatingIP) (weftFip, bool, error) {
	e, r := c.s.Endpoints[f.Port], c.s.Routers[f.Router]
	switch {
	case e == nil:
		return weftFip{}, false, fmt.Errorf("its port %s is not on this host", f.Port)
	case r == nil || r.Gateway == nil:
		return weftFip{}, false, fmt.Errorf("its router %s has no gateway here", f.Router)
	case (!f.Fixed.Is4() || !f.Address.Is4()) && f.Fixed != f.Address:
		return weftFip{}, false, fmt.Errorf("%s to %s is not IPv4", f.Address, f.Fixed)
	}
	ep := c.t.ids[rootEndpoint].find(f.Port.UUID)
	if _, ok := c.t.endpoints.want[ep]; !ok {
		return weftFip{}, false, nil
	}
	i := slices.IndexFunc(r.Interfaces, func(i hostplan.Interface) bool {
		return i.Network == e.Network && slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Contains(f.Fixed) })
	})
	if i < 0 {
		return weftFip{}, false, fmt.Errorf("its router %s has no interface on the subnet of %s", f.Router, f.Fixed)
	}
	return weftFip{Fixed: ip16(f.Fixed), Ep: ep, Router: c.t.ids[rootRouter].find(r.ID.UUID),
		Rif: c.t.rifID.find(r.Interfaces[i].Port.UUID), Gateway: c.t.rifID.find(r.Gateway.Port.UUID)}, true, nil
}
