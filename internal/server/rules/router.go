package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// RouterExtra is what a client sends for a router beyond what is stored in it.
type RouterExtra struct {
	// Gateway nil: no gateway.
	Gateway              Opt[*GatewayRequest]
	Distributed, HA, NDP Opt[bool]
}

// GatewayRequest is external_gateway_info.
type GatewayRequest struct {
	Network    model.NetworkID
	EnableSNAT Opt[bool]
	FixedIPs   Opt[[]FixedIPRequest]
	// QoS zero: no policy.
	QoS Opt[model.QoSPolicyID]
}

// CreateRouter completes v, puts it and sets its gateway.
func (r *Rules) CreateRouter(tx *world.Tx, by *Actor, v *model.Router, x *RouterExtra) error {
	v.ID = model.RouterID{UUID: tx.NewUUID()}
	if err := r.flavored(tx, v, x); err != nil {
		return err
	}
	if err := checkZones(tx, v.AZHints); err != nil {
		return err
	}
	v.Status = model.StatusActive
	v.Distributed, v.HA = r.cfg.RouterDistributed, r.cfg.L3HA
	if x.Distributed.Set {
		v.Distributed = x.Distributed.V
	}
	if x.HA.Set {
		v.HA = x.HA.V
	}
	if v.Distributed && r.cfg.NoDVR {
		return errNoDVR()
	}
	v.EnableSNAT = r.cfg.EnableSNAT
	if x.Gateway.Set && x.Gateway.V != nil {
		if err := r.setGateway(tx, by, v, x.Gateway.V); err != nil {
			return err
		}
	}
	if err := ndpProxying(tx, v, x.NDP); err != nil {
		return err
	}
	r.schedule(tx, v)
	tx.Routers.Put(v)
	return r.settleRouter(tx, v)
}

// UpdateRouter puts v, which is old with what the client changed.
func (r *Rules) UpdateRouter(tx *world.Tx, by *Actor, old, v *model.Router, x *RouterExtra) error {
	if err := keepsFlavor(old, x); err != nil {
		return err
	}
	if err := changeKind(old, v, x); err != nil {
		return err
	}
	if v.Distributed && !old.Distributed && r.cfg.NoDVR {
		return errNoDVR()
	}
	if x.Gateway.Set {
		var err error
		if x.Gateway.V == nil {
			err = r.clearGateway(tx, v)
		} else {
			err = r.setGateway(tx, by, v, x.Gateway.V)
		}
		if err != nil {
			return err
		}
	}
	if x.Gateway.Set && x.Gateway.V != nil && v.GatewayPort != old.GatewayPort && !x.NDP.Set && !gatewayScope(&tx.World, v).IsZero() {
		v.EnableNDPProxy = true // as in Neutron a router that gets a gateway which can proxy does
	}
	if err := ndpProxying(tx, v, x.NDP); err != nil {
		return err
	}
	if !slices.Equal(old.Routes, v.Routes) {
		if err := r.checkRoutes(tx, v); err != nil {
			return err
		}
	}
	r.schedule(tx, v)
	tx.Routers.Put(v)
	if v.Distributed != old.Distributed {
		r.migrate(tx, v)
	}
	return r.settleRouter(tx, v)
}

// noRouter is Neutron's fault for a router that is not there, whose words end without a full stop.
func noRouter(id model.RouterID) error {
	return model.Errf(model.KindNotFound, "RouterNotFound", "Router %s could not be found", idText(id.UUID))
}

func errNoDVR() error {
	return badRequest("router", "distributed routers are switched off in this cloud (enable_dvr = false); leave distributed out")
}

// changeKind tests a change of distributed or ha.
func changeKind(old, v *model.Router, x *RouterExtra) error {
	if x.Distributed.Set {
		v.Distributed = x.Distributed.V
	}
	if x.HA.Set {
		v.HA = x.HA.V
	}
	if v.Distributed != old.Distributed && (old.AdminStateUp || v.AdminStateUp) {
		return badRequest("router", "Cannot change the 'distributed' attribute of active routers. Please set router admin_state_up to False prior to upgrade")
	}
	if v.HA != old.HA && v.AdminStateUp { // the same request may switch it off, as in Neutron
		return badRequest("router", "Cannot change HA attribute of active routers. Please set router admin_state_up to False prior to upgrade")
	}
	return nil
}

// interfaces are a router's ports on internal networks.
func interfaces(w *world.World, id model.RouterID) []*model.Port {
	var out []*model.Port
	for p := range w.Ports.ByDevice(id.String()) {
		if p.IsRouterInterface() {
			out = append(out, p)
		}
	}
	return out
}

// migrate gives a router's interfaces the owner of its new kind, and unbinds them.
func (r *Rules) migrate(tx *world.Tx, v *model.Router) {
	owner := interfaceOwner(v)
	for _, p := range interfaces(&tx.World, v.ID) {
		for _, b := range slices.Collect(tx.Bindings.ByPort(p.ID)) {
			tx.Bindings.Delete(world.BindingKey{Port: b.PortID, Host: b.Host})
		}
		c := *p
		c.DeviceOwner, c.Host, c.Status = owner, "", model.StatusDown
		r.bind(tx, tx.Networks.Get(p.NetworkID), &c)
		tx.Ports.Put(&c)
	}
}

func interfaceOwner(v *model.Router) string {
	if v.Distributed {
		return model.OwnerDVRInterface
	}
	return model.OwnerRouterInterface
}

// DeleteRouter deletes a router that has no interfaces, with its gateway.
func (r *Rules) DeleteRouter(tx *world.Tx, _ *Actor, v *model.Router) error {
	var used []string
	for _, p := range interfaces(&tx.World, v.ID) {
		used = append(used, p.ID.String())
	}
	if used != nil {
		return model.Errf(model.KindConflict, "RouterInUse", "Router %s has ports still attached: %s", v.ID, strings.Join(used, ", "))
	}
	for _, p := range slices.Collect(tx.Ports.ByDevice(v.ID.String())) {
		if isTrusted(p.DeviceOwner) {
			if err := r.dropPort(tx, p); err != nil {
				return err
			}
		}
	}
	for _, h := range slices.Collect(tx.ConntrackHelpers.ByRouter(v.ID)) {
		tx.ConntrackHelpers.Delete(h.ID)
	}
	leaveTopology(tx, v.ProjectID, model.NetworkID{}, v.ID)
	tx.Routers.Delete(v.ID)
	return nil
}

// checkRoutes tests a router's extra routes against what it is connected to.
func (r *Rules) checkRoutes(tx *world.Tx, v *model.Router) error {
	if len(v.Routes) > r.cfg.MaxRoutes {
		return model.Errf(model.KindInvalid, "RoutesExhausted",
			"Unable to complete operation for %s. The number of routes exceeds the maximum %d.", v.ID, r.cfg.MaxRoutes)
	}
	var cidrs []netip.Prefix
	var own []netip.Addr
	for p := range tx.Ports.ByDevice(v.ID.String()) {
		if !p.IsRouterInterface() && p.ID != v.GatewayPort {
			continue
		}
		for _, f := range p.FixedIPs {
			own = append(own, f.Address)
			if s := tx.Subnets.Get(f.SubnetID); s != nil {
				cidrs = append(cidrs, s.CIDR)
			}
		}
	}
	for _, route := range v.Routes {
		if !slices.ContainsFunc(cidrs, func(c netip.Prefix) bool { return c.Contains(route.NextHop) }) {
			return errRoutes(v, "the nexthop is not connected with router")
		}
		if slices.Contains(own, route.NextHop) {
			return errRoutes(v, "the nexthop is used by router")
		}
	}
	return nil
}

func errRoutes(v *model.Router, why string) error {
	parts := make([]string, len(v.Routes))
	for i, r := range v.Routes {
		parts[i] = fmt.Sprintf("{'destination': '%s', 'nexthop': '%s'}", r.Destination, r.NextHop)
	}
	return model.Errf(model.KindInvalid, "InvalidRoutes", "Invalid format for routes: [%s], %s", strings.Join(parts, ", "), why)
}

func compareRoutes(a, b model.Route) int {
	if c := a.Destination.Addr().Compare(b.Destination.Addr()); c != 0 {
		return c
	}
	if c := a.Destination.Bits() - b.Destination.Bits(); c != 0 {
		return c
	}
	return a.NextHop.Compare(b.NextHop)
}

// SortRoutes is routes in order, without repetitions.
func SortRoutes(routes []model.Route) []model.Route {
	out := slices.Clone(routes)
	slices.SortFunc(out, compareRoutes)
	return slices.Compact(out)
}

// AddRoutes adds extra routes to a router; those that it has already are left alone.
func (r *Rules) AddRoutes(tx *world.Tx, old *model.Router, routes []model.Route) error {
	v := *old
	v.Routes = SortRoutes(append(slices.Clone(old.Routes), routes...))
	if err := r.checkRoutes(tx, &v); err != nil {
		return err
	}
	tx.Routers.Put(&v)
	return nil
}

// RemoveRoutes removes extra routes from a router; those that it does not have are ignored.
func (r *Rules) RemoveRoutes(tx *world.Tx, old *model.Router, routes []model.Route) error {
	v := *old
	v.Routes = slices.DeleteFunc(slices.Clone(old.Routes), func(x model.Route) bool { return slices.Contains(routes, x) })
	tx.Routers.Put(&v)
	return nil
}

func touchRouter(tx *world.Tx, id model.RouterID) {
	if v := tx.Routers.Get(id); v != nil {
		c := *v
		tx.Routers.Put(&c)
	}
}
