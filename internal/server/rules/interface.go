package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// InterfaceRequest names a router interface: by subnet, by port, or (for removal) by both.
type InterfaceRequest struct {
	Subnet Opt[model.SubnetID]
	Port   Opt[model.PortID]
}

// InterfaceResult is what the API answers when an interface is added or removed.
type InterfaceResult struct {
	Router  *model.Router
	Port    model.PortID
	Project string // the port's, which may be another than the router's
	Network model.NetworkID
	Subnets []model.SubnetID
}

// AddInterface connects a router to a subnet, or takes an existing port as its interface.
func (r *Rules) AddInterface(tx *world.Tx, by *Actor, v *model.Router, q InterfaceRequest) (*InterfaceResult, error) {
	var p *model.Port
	var added []model.SubnetID
	var err error
	switch {
	case q.Port.Set && q.Subnet.Set:
		return nil, badRequest("router", "Cannot specify both subnet-id and port-id")
	case q.Port.Set:
		p, err = r.addByPort(tx, by, v, q.Port.V)
	case q.Subnet.Set:
		p, err = r.addBySubnet(tx, by, v, q.Subnet.V)
		added = []model.SubnetID{q.Subnet.V}
	default:
		return nil, badRequest("router", "Either subnet_id or port_id must be specified")
	}
	if err != nil {
		return nil, err
	}
	if added == nil {
		for _, f := range p.FixedIPs {
			added = append(added, f.SubnetID)
		}
	}
	return &InterfaceResult{tx.Routers.Get(v.ID), p.ID, p.ProjectID, p.NetworkID, added}, r.afterInterface(tx, v.ID)
}

// afterInterface places and settles a router whose interfaces have changed, and gives it a new revision.
func (r *Rules) afterInterface(tx *world.Tx, id model.RouterID) error {
	c := *tx.Routers.Get(id)
	r.schedule(tx, &c)
	tx.Routers.Put(&c)
	return r.settleRouter(tx, &c)
}

// checkInterface tests that a router may get the given subnets.
func (r *Rules) checkInterface(tx *world.Tx, v *model.Router, but model.PortID, subnets []*model.Subnet) error {
	for p := range tx.Ports.ByDevice(v.ID.String()) {
		if p.ID == but || (!p.IsRouterInterface() && p.ID != v.GatewayPort) {
			continue
		}
		for _, f := range p.FixedIPs {
			have := tx.Subnets.Get(f.SubnetID)
			for _, s := range subnets {
				switch {
				case have == nil:
				case have.ID == s.ID:
					return badRequest("router", "Router already has a port on subnet %s", s.ID)
				case have.CIDR.Overlaps(s.CIDR):
					return errOverlap(s, have)
				}
			}
		}
	}
	for _, s := range subnets {
		if s.IPVersion() == 6 && s.RAMode == "" && s.AddressMode != "" {
			return badRequest("router", "IPv6 subnet %s configured to receive RAs from an external router cannot be added to Neutron Router", s.ID)
		}
	}
	return nil
}

// fitsRouter tests a port that somebody makes a router's interface by naming the router as its device, or gives other addresses, as
// add_router_interface would: with two interfaces on one subnet, or on subnets that overlap, no route says which way an address is.
func (r *Rules) fitsRouter(tx *world.Tx, p *model.Port) error {
	id, err := model.ParseUUID(p.DeviceID)
	if err != nil || !p.IsRouterInterface() {
		return nil
	}
	v := tx.Routers.Get(model.RouterID{UUID: id})
	if v == nil {
		return nil
	}
	var subnets []*model.Subnet
	for _, f := range p.FixedIPs {
		if s := tx.Subnets.Get(f.SubnetID); s != nil {
			subnets = append(subnets, s)
		}
	}
	return r.checkInterface(tx, v, p.ID, subnets)
}

// subnetFor is a subnet that by may see, with its network.
func (r *Rules) subnetFor(tx *world.Tx, by *Actor, id model.SubnetID) (*model.Subnet, *model.Network, error) {
	s := tx.Subnets.Get(id)
	if s == nil {
		return nil, nil, model.NotFound("Subnet", idText(id.UUID))
	}
	n := tx.Networks.Get(s.NetworkID)
	if !r.mayUse(tx, by, n) {
		return nil, nil, model.NotFound("Subnet", idText(id.UUID))
	}
	return s, n, nil
}

func (r *Rules) addBySubnet(tx *world.Tx, by *Actor, v *model.Router, id model.SubnetID) (*model.Port, error) {
	s, n, err := r.subnetFor(tx, by, id)
	if err != nil {
		return nil, err
	}
	if !s.GatewayIP.IsValid() {
		return nil, badRequest("router", "Subnet for router interface must have a gateway IP")
	}
	if err := r.checkInterface(tx, v, model.PortID{}, []*model.Subnet{s}); err != nil {
		return nil, err
	}
	ask := FixedIPRequest{Subnet: s.ID, Addr: s.GatewayIP}
	if s.IPVersion() == 6 {
		if p := r.interface6(tx, v, n.ID); p != nil {
			return r.addPrefix(tx, p, ask)
		}
	}
	p := &model.Port{
		ProjectID: v.ProjectID, NetworkID: n.ID, AdminStateUp: true, DeviceID: v.ID.String(), DeviceOwner: interfaceOwner(v),
		VNICType: model.VNICNormal, PropagateUplinkStatus: true,
	}
	return p, r.CreatePort(tx, &Actor{Admin: true}, p, &PortExtra{FixedIPs: Some([]FixedIPRequest{ask})})
}

// interface6 is the router's interface that carries the IPv6 prefixes of a network, nil if there is none.
func (r *Rules) interface6(tx *world.Tx, v *model.Router, n model.NetworkID) *model.Port {
	for _, p := range interfaces(&tx.World, v.ID) {
		if p.NetworkID == n && slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address.Is6() }) {
			return p
		}
	}
	return nil
}

func (r *Rules) addPrefix(tx *world.Tx, old *model.Port, ask FixedIPRequest) (*model.Port, error) {
	want := []FixedIPRequest{ask}
	for _, f := range old.FixedIPs {
		want = append(want, FixedIPRequest{f.SubnetID, f.Address})
	}
	p := *old
	if err := r.readdress(tx, &Actor{Admin: true}, old, &p, Some(want)); err != nil {
		return nil, err
	}
	tx.Ports.Put(&p)
	return &p, nil
}

func (r *Rules) addByPort(tx *world.Tx, by *Actor, v *model.Router, id model.PortID) (*model.Port, error) {
	old, err := portFor(tx, by, id)
	if err != nil {
		return nil, err
	}
	if old.DeviceID != "" && !(old.DeviceID == v.ID.String() && !old.IsRouterInterface()) {
		return nil, model.Errf(model.KindConflict, "PortInUse",
			"Unable to complete operation on port %s for network %s. Port already has an attached device %s.", id, old.NetworkID, old.DeviceID)
	}
	if len(old.FixedIPs) == 0 {
		return nil, badRequest("router", "Router port must have at least one fixed IP")
	}
	var subnets []*model.Subnet
	v4 := 0
	for _, f := range old.FixedIPs {
		s := tx.Subnets.Get(f.SubnetID)
		if s.IPVersion() == 4 {
			v4++
		}
		subnets = append(subnets, s)
	}
	if err := r.checkInterface(tx, v, id, subnets); err != nil {
		return nil, err
	}
	if p := r.interface6(tx, v, old.NetworkID); p != nil && v4 < len(subnets) {
		return nil, badRequest("router", "Router already contains IPv6 port %s belonging to network id %s. Only one IPv6 port from the same network subnet can be connected to a router", p.ID, p.NetworkID)
	}
	if v4 > 1 {
		return nil, badRequest("router", "Cannot have multiple IPv4 subnets on router port")
	}
	c := *old
	c.DeviceID, c.DeviceOwner = v.ID.String(), interfaceOwner(v) // port security stays, and is shown: hostplan asks for it of instances alone
	r.bind(tx, tx.Networks.Get(c.NetworkID), &c)
	tx.Ports.Put(&c)
	return &c, nil
}

// RemoveInterface disconnects a router from a subnet, or drops the interface that a port is.
func (r *Rules) RemoveInterface(tx *world.Tx, by *Actor, v *model.Router, q InterfaceRequest) (*InterfaceResult, error) {
	var p *model.Port
	switch {
	case q.Port.Set:
		if p = tx.Ports.Get(q.Port.V); p == nil || p.DeviceID != v.ID.String() || !p.IsRouterInterface() {
			return nil, model.Errf(model.KindNotFound, "RouterInterfaceNotFound",
				"Router %s does not have an interface with id %s", v.ID, q.Port.V)
		}
		if q.Subnet.Set && !on(p, q.Subnet.V) {
			return nil, model.Errf(model.KindInvalid, "SubnetMismatchForPort", "Subnet on port %s does not match the requested subnet %s.", p.ID, q.Subnet.V)
		}
	case q.Subnet.Set:
		if _, _, err := r.subnetFor(tx, by, q.Subnet.V); err != nil {
			return nil, err
		}
		for _, i := range interfaces(&tx.World, v.ID) {
			if on(i, q.Subnet.V) {
				p = i
			}
		}
		if p == nil {
			return nil, model.Errf(model.KindNotFound, "RouterInterfaceNotFoundForSubnet",
				"Router %s has no interface on subnet %s", v.ID, q.Subnet.V)
		}
	default:
		return nil, badRequest("router", "Either subnet_id or port_id must be specified")
	}
	gone := p.FixedIPs
	if !q.Port.Set && len(p.FixedIPs) > 1 {
		gone = slices.DeleteFunc(slices.Clone(p.FixedIPs), func(f model.FixedIP) bool { return f.SubnetID != q.Subnet.V })
	}
	out := &InterfaceResult{Router: v, Port: p.ID, Project: p.ProjectID, Network: p.NetworkID}
	for _, f := range gone {
		if err := r.checkUnused(tx, v, f.SubnetID); err != nil {
			return nil, err
		}
		out.Subnets = append(out.Subnets, f.SubnetID)
	}
	if len(gone) == len(p.FixedIPs) {
		if err := r.dropPort(tx, p); err != nil {
			return nil, err
		}
	} else {
		c := *p
		c.FixedIPs = slices.DeleteFunc(slices.Clone(p.FixedIPs), func(f model.FixedIP) bool { return slices.Contains(gone, f) })
		tx.Ports.Put(&c)
	}
	return out, r.afterInterface(tx, v.ID)
}

func on(p *model.Port, s model.SubnetID) bool {
	return slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.SubnetID == s })
}

// checkUnused refuses to disconnect a subnet that a route of the router needs.
func (r *Rules) checkUnused(tx *world.Tx, v *model.Router, id model.SubnetID) error {
	s := tx.Subnets.Get(id)
	if s == nil {
		return nil
	}
	for _, route := range v.Routes {
		if s.CIDR.Contains(route.NextHop) {
			return model.Errf(model.KindConflict, "RouterInterfaceInUseByRoute",
				"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.", id, v.ID)
		}
	}
	if err := checkProxied(tx, v, s); err != nil {
		return err
	}
	return checkFloating(tx, v, s)
}
