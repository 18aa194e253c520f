package ebpf

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Limits are rates and shares that the programs keep. The zero value of a field means its default.
type Limits struct {
	// StormRate and StormBurst bound the broadcast, multicast and unknown unicast of an endpoint, in packets a second.
	StormRate, StormBurst uint32
	// PuntRate and PuntBurst bound what an endpoint may send to user space, for each kind of punt by itself; AskRate and
	// AskBurst are those of DHCP and router solicitations.
	PuntRate, PuntBurst, AskRate, AskBurst uint32
	// EventRate and EventBurst bound the drop events told of an endpoint.
	EventRate, EventBurst uint32
	// ConnShare is how many connections one endpoint may hold.
	ConnShare uint32
}

func (l Limits) fill(h *weftHost) {
	def := func(v, d uint32) uint32 {
		if v == 0 {
			return d
		}
		return v
	}
	h.StormRate, h.StormBurst = def(l.StormRate, 1000), def(l.StormBurst, 1000)
	h.PuntRate, h.PuntBurst = def(l.PuntRate, 500), def(l.PuntBurst, 1000)
	h.AskRate, h.AskBurst = def(l.AskRate, 100), def(l.AskBurst, 200)
	h.ErrorRate, h.ErrorBurst = 100, 100
	h.EventRate, h.EventBurst = def(l.EventRate, 10), def(l.EventBurst, 50)
	h.ConnShare = def(l.ConnShare, 131072/8)
}

// port is the interface of one endpoint as the programs need it.
type port struct {
	ifindex uint32
	// peer: the other end is in another network namespace, and redirect_peer reaches it.
	peer bool
}

// compiler turns a State into what the tables want. It forgets everything between two States but the slots, and what the classifier keeps.
type compiler struct {
	t        *tables
	s        *hostplan.State
	x        *classifier
	hw       hardware
	problems []hostplan.Problem
	// claims are the neighbours whose address or MAC entries are already wanted: the lowest port id keeps them.
	addrBy map[weftAddrKey]model.PortID
	macBy  map[weftMacKey]model.PortID
	// locals are the endpoints of each network, by its slot.
	locals map[uint32][]*hostplan.Endpoint
	// claimBy is like macBy, of what neighbours may be heard to have.
	claimBy map[weftClaimKey]model.PortID
}

// compile fills the tables and returns the host's own values.
func compile(t *tables, s *hostplan.State, hw hardware, limits Limits) (*compiler, weftHost) {
	c := &compiler{t: t, s: s, hw: hw, locals: map[uint32][]*hostplan.Endpoint{},
		addrBy: map[weftAddrKey]model.PortID{}, macBy: map[weftMacKey]model.PortID{}, claimBy: map[weftClaimKey]model.PortID{}}
	t.begin()
	host := weftHost{DvrMac: s.DVRMAC}
	limits.fill(&host)
	if s.VTEP.IsValid() {
		host.Vtep, host.Flags = ip16(s.VTEP), cfgVTEP
		if !s.VTEP.Is4() {
			host.Flags |= cfgVTEP6
		}
	}
	for _, p := range s.Peers {
		c.peer(p)
	}
	for _, n := range s.Networks {
		c.network(n)
	}
	for _, x := range s.Externals {
		c.external(x)
	}
	// Router interfaces first: they win over neighbours.
	for _, r := range s.Routers {
		c.router(r)
	}
	for _, n := range s.Networks {
		c.services(n)
	}
	for _, n := range s.Neighbors {
		c.neighbor(n)
	}
	for _, n := range s.Neighbors {
		c.pairs(n)
	}
	c.x = t.classes
	c.x.begin()
	for _, e := range s.Endpoints {
		c.endpoint(e)
	}
	c.x.finish(s.AddressSets)
	c.problems = append(c.problems, c.x.problems...)
	c.outside()
	c.floods()
	return c, host
}

func (c *compiler) problem(kind string, id fmt.Stringer, err error) {
	c.problems = append(c.problems, hostplan.Problem{Kind: kind, ID: id.String(), Why: err.Error()})
}

// slot is the number of an object.
func (c *compiler) slot(kind rootKind, id [16]byte) (uint32, bool) {
	slot, err := c.t.ids[kind].of(id)
	if err != nil {
		c.problems = append(c.problems, hostplan.Problem{Kind: kind.String(), ID: c.name(kind, id), Why: err.Error()})
		return 0, false
	}
	return slot, true
}

// name is how the operator knows an object: a peer by its host, all others by their id.
func (c *compiler) name(kind rootKind, id [16]byte) string {
	if kind != rootPeer {
		return model.UUID(id).String()
	}
	for _, p := range c.s.Peers {
		if p.VTEP.IsValid() && p.VTEP.As16() == id {
			return p.Host
		}
	}
	return addrOf(ip16(netip.AddrFrom16(id))).String()
}

func (c *compiler) peer(p *hostplan.Peer) {
	if !p.VTEP.IsValid() {
		return
	}
	slot, ok := c.slot(rootPeer, p.VTEP.As16())
	if !ok {
		return
	}
	if !p.DVRMAC.IsZero() {
		c.t.macs.want[weftMacKey{Mac: p.DVRMAC}] = weftMacVal{Kind: kindRouted, Slot: slot}
	}
	c.t.peers.want[slot] = weftPeer{Vtep: ip16(p.VTEP), DvrMac: p.DVRMAC, Pmtu: p.MTU}
	c.t.vteps.put(ip16(p.VTEP), slot)
}

func (c *compiler) network(n *hostplan.Network) {
	slot, ok := c.slot(rootNetwork, n.ID.UUID)
	if !ok {
		return
	}
	v := weftNetwork{Uuid: n.ID.UUID, Mtu: n.MTU}
	if n.Type == "vxlan" && n.VNI != 0 {
		v.Vni = n.VNI
		v.Flags |= netVXLAN
		c.t.vnis.put(n.VNI, slot)
	}
	if n.Learning {
		v.Flags |= netLearning
	}
	if n.Learning || n.Physnet != "" {
		var err error
		if v.LearnGs, err = c.t.learnCounter(slot); err != nil {
			c.problem("network", n.ID, err)
			return
		}
	}
	if n.External {
		v.Flags |= netExternal
	}
	if len(n.Advertisements) > 0 {
		v.Flags |= netRA
	}
	for _, s := range n.Subnets {
		m := weftRmac{Mac: s.RouterMAC}
		first := &v.Rmac6
		if s.Prefix.Addr().Is4() {
			m.V4, first = 1, &v.Rmac4
		}
		if *first == [6]byte{} {
			*first = s.RouterMAC
		}
		c.t.subnets.put(lpm(slot, s.Prefix), m)
	}
	if n.Speaks {
		v.Flags |= netSpeaks
	}
	if n.Type == "flat" || n.Type == "vlan" {
		c.uplink(slot, &v, n.Physnet, n.VLAN)
	}
	c.t.networks.want[slot] = v
}

func (c *compiler) router(r *hostplan.Router) {
	slot, ok := c.slot(rootRouter, r.ID.UUID)
	if !ok {
		return
	}
	v := weftRouter{Uuid: r.ID.UUID}
	if r.AdminUp {
		v.Flags |= routerUp
	}
	c.t.routers.want[slot] = v
	rifs := map[model.PortID]uint32{}
	for _, i := range r.Interfaces {
		rif, err := c.rif(slot, i)
		if err != nil {
			c.problem("router", r.ID, err)
			continue
		}
		rifs[i.Port] = rif
	}
	gateway := c.gateway(slot, r)
	for _, rt := range r.Routes {
		rif, ok := rifs[rt.Interface]
		if gateway != 0 && rt.Interface == r.Gateway.Port {
			v := routeVal(rt, gateway)
			v.Flags |= routeGateway
			c.t.routes.put(lpm(slot, rt.Dst), v)
			continue
		}
		if !ok && !rt.Blackhole {
			c.problem("router", r.ID, fmt.Errorf("route to %s leaves by port %s, which is no interface of the router", rt.Dst, rt.Interface))
			continue
		}
		c.t.routes.put(lpm(slot, rt.Dst), routeVal(rt, rif))
	}
}

func routeVal(rt hostplan.Route, rif uint32) weftRouteVal {
	v := weftRouteVal{Rif: rif}
	if rt.Dst.Addr().Is4() {
		v.Flags |= routeV4
	}
	if rt.Blackhole {
		v.Flags |= routeBlackhole
	}
	if rt.Via.IsValid() {
		v.Flags |= routeVia
		v.Via = ip16(rt.Via)
	}
	return v
}

func (c *compiler) rif(router uint32, i hostplan.Interface) (uint32, error) {
	if c.s.Networks[i.Network] == nil {
		return 0, fmt.Errorf("interface %s is on network %s, which is not in scope", i.Port, i.Network)
	}
	net, err := c.t.ids[rootNetwork].of(i.Network.UUID)
	if err != nil {
		return 0, err
	}
	rif, err := c.t.rifID.of(i.Port.UUID)
	if err != nil {
		return 0, err
	}
	c.t.rifs.put(rif, weftRif{Uuid: i.Port.UUID, Router: router, Net: net, Mtu: i.MTU, Mac: i.MAC})
	c.t.macs.put(weftMacKey{Net: net, Mac: i.MAC}, weftMacVal{Kind: kindRif, Slot: rif})
	for _, p := range i.Addresses {
		c.t.addrs.put(weftAddrKey{Net: net, Addr: ip16(p.Addr())}, weftAddrVal{Kind: kindRif, Slot: rif, Mac: i.MAC})
		c.t.locals.put(weftLocalKey{Router: router, Addr: ip16(p.Addr())}, rif)
		c.t.sources.put(lpm(rif, p), ip16(p.Addr()))
	}
	ll := eui64(i.MAC)
	c.t.addrs.put(weftAddrKey{Net: net, Addr: ip16(ll)}, weftAddrVal{Kind: kindRif, Slot: rif, Mac: i.MAC})
	// The default source: the first address of the family, for IPv6 else the link-local one.
	for _, p := range i.Addresses {
		c.t.sources.put(lpm(rif, netip.PrefixFrom(p.Addr(), 0)), ip16(p.Addr()))
	}
	c.t.sources.put(lpm(rif, netip.PrefixFrom(ll, 0)), ip16(ll))
	return rif, nil
}

// where finds out who carries a neighbour: an endpoint here or a peer. Neither: it resolves to nothing.
func (c *compiler) where(n *hostplan.Neighbor) (ep, peer uint32, ok bool) {
	if n.Host == "" || c.s.Networks[n.Network] == nil {
		return 0, 0, false
	}
	if n.Host == c.s.Host {
		if c.s.Endpoints[n.Port] == nil {
			return 0, 0, false
		}
		ep, ok = c.slot(rootEndpoint, n.Port.UUID)
		return ep, 0, ok
	}
	p := c.s.Peers[n.Host]
	if p == nil || !p.VTEP.IsValid() {
		return 0, 0, false
	}
	peer, ok = c.slot(rootPeer, p.VTEP.As16())
	return 0, peer, ok
}

// services lets the host be found at the addresses where it answers; a router interface with such an address stays that.
func (c *compiler) services(n *hostplan.Network) {
	net := c.t.ids[rootNetwork].find(n.ID.UUID)
	for _, s := range n.Services {
		v := weftAddrVal{Kind: kindService, Mac: s.MAC}
		if s.DNS {
			v.Slot |= serviceDNS
		}
		if s.Metadata {
			v.Slot |= serviceMetadata
		}
		ak, mk := weftAddrKey{Net: net, Addr: ip16(s.Address)}, weftMacKey{Net: net, Mac: s.MAC}
		if w, ok := c.t.addrs.want[ak]; !ok || w.Kind != kindRif {
			c.t.addrs.want[ak] = v
		}
		if w, ok := c.t.macs.want[mk]; !ok || w.Kind != kindRif {
			c.t.macs.want[mk] = weftMacVal{Kind: kindService}
		}
	}
}

func (c *compiler) neighbor(n *hostplan.Neighbor) {
	ep, peer, ok := c.where(n)
	if !ok {
		return
	}
	slot, ok := c.slot(rootNeighbor, n.Port.UUID)
	if !ok {
		return
	}
	net := c.t.ids[rootNetwork].find(n.Network.UUID)
	c.t.neighbors.want[slot] = weftNeighbor{Uuid: n.Port.UUID, Net: net, Ep: ep, Peer: peer, Mac: n.MAC}
	if n.Router {
		v := c.t.neighbors.want[slot]
		v.Flags = neighborRouter
		c.t.neighbors.want[slot] = v
	}
	c.claimMAC(n.Port, weftMacKey{Net: net, Mac: n.MAC}, slot)
	for _, a := range n.Addresses {
		c.claimAddr(n.Port, weftAddrKey{Net: net, Addr: ip16(a)}, weftAddrVal{Kind: kindNeighbor, Slot: slot, Mac: n.MAC, Flags: addrFixed})
	}
}

// pairs adds what a neighbour may answer for under another MAC; it never takes the place of a port's own.
func (c *compiler) pairs(n *hostplan.Neighbor) {
	slot := c.t.ids[rootNeighbor].find(n.Port.UUID)
	v, ok := c.t.neighbors.want[slot]
	if !ok {
		return
	}
	c.mayBeHeard(n, slot, v)
	for _, p := range n.Pairs {
		if !p.Prefix.IsSingleIP() {
			continue
		}
		mk := weftMacKey{Net: v.Net, Mac: p.MAC}
		if by, taken := c.macBy[mk]; !taken || c.fromPair(by, p.MAC) {
			c.claimMAC(n.Port, mk, slot)
		}
		ak := weftAddrKey{Net: v.Net, Addr: ip16(p.Prefix.Addr())}
		if by, taken := c.addrBy[ak]; !taken || c.addrFromPair(by, p.Prefix.Addr()) {
			c.claimAddr(n.Port, ak, weftAddrVal{Kind: kindNeighbor, Slot: slot, Mac: p.MAC})
		}
	}
}

func (c *compiler) fromPair(by model.PortID, mac model.MAC) bool { return c.s.Neighbors[by].MAC != mac }

func (c *compiler) addrFromPair(by model.PortID, a netip.Addr) bool {
	for _, own := range c.s.Neighbors[by].Addresses {
		if own == a {
			return false
		}
	}
	return true
}

// claimMAC gives the MAC to the lowest port id, unless a router interface has it.
func (c *compiler) claimMAC(id model.PortID, k weftMacKey, slot uint32) {
	by, taken := c.macBy[k]
	if v, ok := c.t.macs.want[k]; ok && v.Kind != kindNeighbor || taken && by.Compare(id.UUID) <= 0 {
		return
	}
	c.macBy[k] = id
	c.t.macs.want[k] = weftMacVal{Kind: kindNeighbor, Slot: slot}
}

func (c *compiler) claimAddr(id model.PortID, k weftAddrKey, v weftAddrVal) {
	by, taken := c.addrBy[k]
	if w, ok := c.t.addrs.want[k]; ok && w.Kind != kindNeighbor || taken && by.Compare(id.UUID) <= 0 {
		return
	}
	c.addrBy[k] = id
	c.t.addrs.want[k] = v
}

func (c *compiler) endpoint(e *hostplan.Endpoint) {
	dev, ok := c.hw.ports[e.Device]
	if !ok {
		return
	}
	slot, ok := c.slot(rootEndpoint, e.Port.UUID)
	if !ok {
		return
	}
	if c.s.Networks[e.Network] == nil {
		c.problem("endpoint", e.Port, fmt.Errorf("its network %s is not in scope", e.Network))
		return
	}
	v := weftEndpoint{Uuid: e.Port.UUID, Net: c.t.ids[rootNetwork].find(e.Network.UUID), Ifindex: dev.ifindex,
		Mac: e.MAC, Mtu: e.MTU, Flags: endpointFlags(e)}
	if dev.peer {
		v.Flags |= epPeer
	}
	if e.DHCP4 != nil {
		v.Dhcp4 = be32(e.DHCP4.Server)
	}
	if e.PortSecurity && e.Policy != nil && !e.Policy.AllowAll {
		v.Policy = c.x.add(e.Policy)
		v.Tables = c.x.byID[v.Policy].tables
	}
	c.t.endpoints.want[slot] = v
	c.t.devices.put(dev.ifindex, slot)
	c.locals[v.Net] = append(c.locals[v.Net], e)
	c.spoof(slot, e)
}

func endpointFlags(e *hostplan.Endpoint) uint32 {
	var f uint32
	set := func(on bool, bit uint32) {
		if on {
			f |= bit
		}
	}
	set(e.AdminUp, epUp)
	set(e.PortSecurity, epSecure)
	set(e.DHCP4 != nil, epDHCP4)
	set(e.DHCP6 != nil, epDHCP6)
	if e.Policy != nil {
		set(true, epPolicy)
		set(e.Policy.AllowAll, epAllowAll)
		set(e.Policy.Stateful, epStateful)
	}
	return f
}

func (c *compiler) spoof(slot uint32, e *hostplan.Endpoint) {
	allow := func(m model.MAC, p netip.Prefix, flags uint32) {
		if p.Addr().Is4() {
			flags |= spoofV4
		} else {
			flags |= spoofV6
		}
		c.t.spoof.put(weftSpoofKey{Plen: 96 + bits(p), Ep: slot, Mac: m, Addr: ip16(p.Masked().Addr())}, flags)
	}
	known := func(m model.MAC) {
		c.t.spoof.put(weftSpoofKey{Plen: 224, Ep: slot, Mac: m}, spoofV4|spoofV6)
	}
	known(e.MAC)
	// First, so that a pair of the same address does not hide that it is the port's own.
	for _, p := range e.Addresses {
		allow(e.MAC, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), spoofFixed)
	}
	allow(e.MAC, netip.PrefixFrom(eui64(e.MAC), 128), 0)
	for _, p := range e.Allowed {
		known(p.MAC)
		allow(p.MAC, p.Prefix, 0)
	}
}

// floods lists the targets of each network, endpoints by port id, then peers by name.
func (c *compiler) floods() {
	for slot, v := range c.t.networks.want {
		var l floodList
		for _, e := range sorted(c.locals[slot]) {
			l.endpoints = append(l.endpoints, c.t.ids[rootEndpoint].find(e.Port.UUID))
		}
		if v.Flags&netVXLAN != 0 && c.s.VTEP.IsValid() {
			n := c.s.Networks[model.NetworkID{UUID: v.Uuid}]
			l.peers, l.others = c.peersOf(n.Flood), c.peersOf(n.Announce)
		}
		c.t.floods.want[slot] = l
	}
}

// peersOf are the slots of the hosts that have tunnels.
func (c *compiler) peersOf(hosts []string) (out []uint32) {
	for _, h := range hosts {
		if p := c.s.Peers[h]; p != nil && p.VTEP.IsValid() {
			out = append(out, c.t.ids[rootPeer].find(p.VTEP.As16()))
		}
	}
	return out
}

// failures names the roots that could not be written.
func (c *compiler) failures(failed map[root]error) []hostplan.Problem {
	out := c.problems
	for r, err := range failed {
		p := hostplan.Problem{Kind: r.kind.String(), ID: c.s.Host, Why: err.Error()}
		if s := c.t.ids[r.kind]; s != nil {
			for id, slot := range s.byID {
				if slot == r.slot {
					p.ID = c.name(r.kind, id)
				}
			}
		}
		out = append(out, p)
	}
	return out
}

// portsOf matches endpoints with the devices found.
func portsOf(s *hostplan.State, devices map[string]dataplane.Device, peer func(dataplane.Device) bool) map[string]port {
	out := map[string]port{}
	add := func(name string) {
		if d, ok := devices[name]; ok && d.Index > 0 {
			out[name] = port{ifindex: uint32(d.Index), peer: peer(d)} //nolint:gosec // positive
		}
	}
	for _, e := range s.Endpoints {
		add(e.Device)
	}
	for _, x := range s.Centrals {
		add(x.OuterDevice)
	}
	return out
}
