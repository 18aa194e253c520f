package rules

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// setGateway gives a router a gateway port on an external network, or changes the one that it has. The router itself is
// put by the caller.
func (r *Rules) setGateway(tx *world.Tx, by *Actor, v *model.Router, q *GatewayRequest) error {
	n := tx.Networks.Get(q.Network)
	if n == nil || !(by.Admin || n.ProjectID == by.Project || ExternalFor(&tx.World, n.ID, by.Project) || r.mayUse(tx, by, n)) {
		return errNetwork(q.Network)
	}
	if !n.External {
		return badRequest("router", "Network %s is not an external network", n.ID)
	}
	for _, f := range q.FixedIPs.V {
		for s := range tx.Subnets.ByNetwork(n.ID) {
			if f.Addr.IsValid() && f.Addr == s.GatewayIP {
				return badRequest("router", "External IP %s is the same as the gateway IP", f.Addr)
			}
		}
	}
	if q.EnableSNAT.Set {
		v.EnableSNAT = q.EnableSNAT.V
	} else {
		v.EnableSNAT = r.cfg.EnableSNAT
	}
	if err := setGatewayQoS(tx, by, v, q); err != nil {
		return err
	}
	old := tx.Ports.Get(v.GatewayPort)
	if old != nil && old.NetworkID == n.ID {
		if !q.FixedIPs.Set || namesWhatIsThere(old, q.FixedIPs.V) {
			return nil
		}
		p := *old
		if err := r.readdress(tx, &Actor{Admin: true}, old, &p, q.FixedIPs); err != nil {
			return err
		}
		tx.Ports.Put(&p)
		return nil
	}
	if err := r.checkGatewayOverlap(tx, v, n); err != nil {
		return err
	}
	if old != nil {
		if err := checkGatewayFree(tx, v, old.NetworkID); err != nil {
			return err
		}
		if err := r.dropPort(tx, old); err != nil {
			return err
		}
	}
	p := &model.Port{
		NetworkID: n.ID, AdminStateUp: true, DeviceID: v.ID.String(), DeviceOwner: model.OwnerRouterGateway, VNICType: model.VNICNormal, PropagateUplinkStatus: true,
	}
	if err := r.CreatePort(tx, &Actor{Admin: true}, p, &PortExtra{FixedIPs: q.FixedIPs}); err != nil {
		return err
	}
	v.GatewayPort = p.ID
	return nil
}

// namesWhatIsThere reports whether addresses asked of a gateway name the subnets and the addresses that it has, no more and no fewer. As in
// Neutron (_check_for_external_ip_change) nothing changes then: an entry that names one of the subnets only is no further address, though it
// would be one of a port.
func namesWhatIsThere(p *model.Port, asked []FixedIPRequest) bool {
	subnets, addrs := map[model.SubnetID]bool{}, map[netip.Addr]bool{}
	for _, f := range asked {
		if !f.Subnet.IsZero() {
			subnets[f.Subnet] = true
		}
		if f.Addr.IsValid() {
			addrs[f.Addr] = true
		}
	}
	haveSubnets, haveAddrs := map[model.SubnetID]bool{}, map[netip.Addr]bool{}
	for _, f := range p.FixedIPs {
		haveSubnets[f.SubnetID], haveAddrs[f.Address] = true, true
	}
	return maps.Equal(subnets, haveSubnets) && maps.Equal(addrs, haveAddrs)
}

// checkGatewayOverlap refuses an external network whose subnets overlap with the router's own.
func (r *Rules) checkGatewayOverlap(tx *world.Tx, v *model.Router, n *model.Network) error {
	for _, p := range interfaces(&tx.World, v.ID) {
		for _, f := range p.FixedIPs {
			s := tx.Subnets.Get(f.SubnetID)
			for e := range tx.Subnets.ByNetwork(n.ID) {
				if s != nil && s.CIDR.Overlaps(e.CIDR) {
					return errOverlap(e, s)
				}
			}
		}
	}
	return nil
}

func errOverlap(a, b *model.Subnet) error {
	return badRequest("router", "Cidr %s of subnet %s overlaps with cidr %s of subnet %s", a.CIDR, a.ID, b.CIDR, b.ID)
}

// clearGateway takes a router's gateway away. The router itself is put by the caller.
func (r *Rules) clearGateway(tx *world.Tx, v *model.Router) error {
	if p := tx.Ports.Get(v.GatewayPort); p != nil {
		if err := checkGatewayFree(tx, v, p.NetworkID); err != nil {
			return err
		}
		for _, route := range v.Routes {
			for _, f := range p.FixedIPs {
				if s := tx.Subnets.Get(f.SubnetID); s != nil && s.CIDR.Contains(route.NextHop) {
					return errRoutes(v, "the nexthop is not connected with router")
				}
			}
		}
		if err := r.dropPort(tx, p); err != nil {
			return err
		}
	}
	v.GatewayPort, v.GatewayQoS = model.PortID{}, model.QoSPolicyID{}
	v.EnableSNAT = r.cfg.EnableSNAT
	return nil
}

// settleRouter makes a router's helper ports what its kind, gateway and interfaces ask for: each IPv4 subnet of a
// distributed router with a gateway has a centralized SNAT port, and each network one for all its IPv6 prefixes; and
// the ports of its central part are bound to its gateway host.
func (r *Rules) settleRouter(tx *world.Tx, v *model.Router) error {
	want := r.snatSubnets(tx, v)
	for _, p := range slices.Collect(tx.Ports.ByDevice(v.ID.String())) {
		if p.DeviceOwner == model.OwnerRouterSNAT {
			if err := r.trimSNAT(tx, p, want); err != nil {
				return err
			}
		}
	}
	for _, s := range want {
		if err := r.addSNAT(tx, v, s); err != nil {
			return err
		}
	}
	r.placeCentral(tx, v)
	return nil
}

// snatSubnets are the subnets that need an address in the router's central part.
func (r *Rules) snatSubnets(tx *world.Tx, v *model.Router) map[model.SubnetID]*model.Subnet {
	want := map[model.SubnetID]*model.Subnet{}
	if !v.Distributed || v.GatewayPort.IsZero() {
		return want
	}
	for _, p := range interfaces(&tx.World, v.ID) {
		for _, f := range p.FixedIPs {
			if s := tx.Subnets.Get(f.SubnetID); s != nil {
				want[s.ID] = s
			}
		}
	}
	return want
}

// trimSNAT takes from a SNAT port the subnets that it is not wanted for, the rest from want.
func (r *Rules) trimSNAT(tx *world.Tx, p *model.Port, want map[model.SubnetID]*model.Subnet) error {
	var keep []model.FixedIP
	for _, f := range p.FixedIPs {
		if want[f.SubnetID] != nil {
			keep = append(keep, f)
			delete(want, f.SubnetID)
		} else {
			r.release(f.SubnetID, f.Address)
		}
	}
	switch {
	case keep == nil:
		return r.dropPort(tx, p)
	case len(keep) != len(p.FixedIPs):
		c := *p
		c.FixedIPs = keep
		tx.Ports.Put(&c)
	}
	return nil
}

// addSNAT gives the router's central part an address on a subnet.
func (r *Rules) addSNAT(tx *world.Tx, v *model.Router, s *model.Subnet) error {
	if s.IPVersion() == 6 {
		for p := range tx.Ports.ByDevice(v.ID.String()) {
			if p.DeviceOwner == model.OwnerRouterSNAT && p.NetworkID == s.NetworkID && p.FixedIPs[0].Address.Is6() {
				c := *p
				a, err := r.allocatorFor(tx, &c)
				if err != nil {
					return err
				}
				if !a.one([]*model.Subnet{s}) {
					return a.exhausted()
				}
				c.FixedIPs = append(slices.Clone(p.FixedIPs), a.got...)
				tx.Ports.Put(&c)
				return nil
			}
		}
	}
	p := &model.Port{
		NetworkID: s.NetworkID, AdminStateUp: true, DeviceID: v.ID.String(), DeviceOwner: model.OwnerRouterSNAT, VNICType: model.VNICNormal, PropagateUplinkStatus: true,
	}
	return r.CreatePort(tx, &Actor{Admin: true}, p, &PortExtra{FixedIPs: Some([]FixedIPRequest{{Subnet: s.ID}})})
}

// placeCentral binds the ports of a router's central part to its gateway host: gateway and SNAT ports, and all
// interfaces of a router that is not distributed.
func (r *Rules) placeCentral(tx *world.Tx, v *model.Router) {
	for _, p := range slices.Collect(tx.Ports.ByDevice(v.ID.String())) {
		switch p.DeviceOwner {
		case model.OwnerRouterGateway, model.OwnerRouterSNAT, model.OwnerRouterInterface:
		default:
			continue
		}
		if p.Host == v.GatewayHost && (p.Host == "") == (p.VIFType == model.VIFUnbound) {
			continue
		}
		c := *p
		c.Host, c.Status = v.GatewayHost, model.StatusDown
		r.bind(tx, tx.Networks.Get(p.NetworkID), &c)
		tx.Ports.Put(&c)
	}
}

// needsCentral reports whether a router has a central part.
func needsCentral(w *world.World, v *model.Router) bool {
	return !v.GatewayPort.IsZero() || (!v.Distributed && len(interfaces(w, v.ID)) > 0)
}

// schedule chooses where a router's central part is: where it was if that host still serves, else on the live host
// with the fewest. The router itself is put by the caller.
func (r *Rules) schedule(tx *world.Tx, v *model.Router) {
	if !needsCentral(&tx.World, v) {
		v.GatewayHost = ""
		return
	}
	if h := tx.Hosts.Get(v.GatewayHost); h != nil && r.canServe(tx, h, v) {
		return
	}
	best, least := "", 0
	for h := range tx.Hosts.All() {
		if !r.serves(h.Name) || !r.canServe(tx, h, v) {
			continue
		}
		n := 0
		for range tx.Routers.ByGatewayHost(h.Name) {
			n++
		}
		if best == "" || n < least {
			best, least = h.Name, n
		}
	}
	switch h := tx.Hosts.Get(v.GatewayHost); {
	case best != "":
		v.GatewayHost = best
	case h == nil || !hostsCentral(h, v):
		v.GatewayHost = "" // one that only lacks the physical network says so itself
	}
}

// hostsCentral reports whether a host's mode lets it have a router's central part.
func hostsCentral(h *model.Host, v *model.Router) bool {
	return h.AgentMode == model.ModeDVRSNAT || !v.Distributed && h.AgentMode == model.ModeLegacy
}

// canServe reports whether a host may have a router's central part: by its mode, and by reaching the external network.
func (r *Rules) canServe(tx *world.Tx, h *model.Host, v *model.Router) bool {
	if !hostsCentral(h, v) {
		return false
	}
	zones := v.AZHints
	if len(zones) == 0 {
		zones = r.cfg.DefaultZones
	}
	if len(zones) > 0 && !slices.Contains(zones, h.AZ) {
		return false
	}
	serves := false
	for a := range tx.Agents.ByHost(h.Name) {
		serves = serves || a.Type == model.AgentL3 && a.AdminStateUp
	}
	if !serves {
		return false
	}
	p := tx.Ports.Get(v.GatewayPort)
	return p == nil || carries(&tx.World, h, p.NetworkID)
}

// reschedule places a router's central part anew: elsewhere, if its host can have it no more.
func (r *Rules) reschedule(tx *world.Tx, v *model.Router) {
	c := *v
	if r.schedule(tx, &c); c.GatewayHost != v.GatewayHost {
		tx.Routers.Put(&c)
		r.placeCentral(tx, &c)
	}
}

// Orphans are the routers whose gateway host is dead; nil: none.
func (r *Rules) Orphans(w *world.World) []*model.Router {
	var out []*model.Router
	dead := map[string]bool{}
	for v := range w.Routers.All() {
		if v.GatewayHost == "" {
			continue
		}
		if _, known := dead[v.GatewayHost]; !known {
			dead[v.GatewayHost] = !r.serves(v.GatewayHost)
		}
		if dead[v.GatewayHost] {
			out = append(out, v)
		}
	}
	return out
}

// Failover moves the routers of dead gateway hosts to live ones (allow_automatic_l3agent_failover). Without a live host that can
// have it, a router stays: its host may come back.
func (r *Rules) Failover(tx *world.Tx) error {
	for _, v := range r.Orphans(&tx.World) {
		c := *v
		c.GatewayHost = ""
		if r.schedule(tx, &c); c.GatewayHost != "" {
			tx.Routers.Put(&c)
			r.placeCentral(tx, &c)
		}
	}
	return nil
}

// addressGateways gives the gateways on an external network that have no address of a new subnet's family one of it.
func (r *Rules) addressGateways(tx *world.Tx, s *model.Subnet) error {
	for _, p := range slices.Collect(tx.Ports.ByNetwork(s.NetworkID)) {
		if p.DeviceOwner != model.OwnerRouterGateway ||
			slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address.Is4() == s.CIDR.Addr().Is4() }) {
			continue
		}
		c := *p
		a, err := r.allocatorFor(tx, &c)
		if err != nil {
			return err
		}
		if s.AutoAddressed() {
			if addr := eui64(s.CIDR, p.MAC); !a.taken(s.ID, addr) {
				a.give(s, addr)
			}
		} else {
			a.one([]*model.Subnet{s}) // one that gets none goes on without, and says so
		}
		c.FixedIPs = append(slices.Clone(p.FixedIPs), a.got...)
		tx.Ports.Put(&c)
	}
	return nil
}

// scheduleAll places what could not be placed before.
func (r *Rules) scheduleAll(tx *world.Tx) {
	for _, v := range slices.Collect(tx.Routers.All()) {
		if v.GatewayHost != "" || !needsCentral(&tx.World, v) {
			continue
		}
		c := *v
		if r.schedule(tx, &c); c.GatewayHost != "" {
			tx.Routers.Put(&c)
			r.placeCentral(tx, &c)
		}
	}
}
