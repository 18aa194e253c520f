package rules

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// NDPProxyExtra is what a client sends for an NDP proxy beyond what is stored in it.
type NDPProxyExtra struct{}

// CreateNDPProxy completes n and puts it.
func (r *Rules) CreateNDPProxy(tx *world.Tx, by *Actor, n *model.NDPProxy, _ *NDPProxyExtra) error {
	p, err := portFor(tx, by, n.PortID)
	if err != nil {
		return err
	}
	v := tx.Routers.Get(n.Router)
	if v == nil || !(by.Admin || by.AdvSvc || v.ProjectID == by.Project) {
		return noRouter(n.Router)
	}
	if !slices.ContainsFunc(interfaces(&tx.World, v.ID), func(i *model.Port) bool { return i.NetworkID == p.NetworkID }) {
		return model.Errf(model.KindConflict, "PortUnreachableRouter", "The port %s cannot reach the router %s by IPv6 subnet.", p.ID, v.ID)
	}
	if !v.EnableNDPProxy {
		return model.Errf(model.KindConflict, "RouterNDPProxyNotEnable",
			"The enable_ndp_proxy parameter of router %s must be set as True while create ndp proxy entry on it.", v.ID)
	}
	at, err := proxied(p, n.Address)
	if err != nil {
		return err
	}
	connected := slices.ContainsFunc(interfaces(&tx.World, v.ID), func(i *model.Port) bool { return on(i, at.SubnetID) })
	if !connected && n.Address.IsValid() {
		return model.Errf(model.KindInvalid, "InvalidAddress", "The address %s is invalid, reason: This address cannot reach the router %s.", n.Address, v.ID)
	}
	if !connected {
		return model.Errf(model.KindConflict, "PortUnreachableRouter", "The port %s cannot reach the router %s by IPv6 subnet %s.", p.ID, v.ID, at.SubnetID)
	}
	outside := gatewayScope(&tx.World, v)
	if inside := NetworkScope(&tx.World, p.NetworkID, 6); outside.IsZero() || inside != outside {
		return model.Errf(model.KindConflict, "AddressScopeConflict",
			"The IPv6 address scope %s of the router's external network and %s of the internal network are not the same one.", idText(outside.UUID), idText(inside.UUID))
	}
	for o := range tx.NDPProxies.ByPort(p.ID) {
		if o.Address == at.Address {
			return model.Errf(model.KindConflict, "NDPProxyExists", "NDP proxy %s is for address %s of port %s already.", o.ID, at.Address, p.ID)
		}
	}
	n.ID, n.Address = model.NDPProxyID{UUID: tx.NewUUID()}, at.Address
	tx.NDPProxies.Put(n)
	return nil
}

// proxied is the address of a port that a proxy is for: the one asked for, or its first IPv6 one.
func proxied(p *model.Port, want netip.Addr) (model.FixedIP, error) {
	for _, f := range p.FixedIPs {
		if f.Address.Is6() && (f.Address == want || !want.IsValid()) {
			return f, nil
		}
	}
	if want.IsValid() {
		return model.FixedIP{}, model.Errf(model.KindInvalid, "InvalidAddress", "The address %s is invalid, reason: This address not belong to the port %s.", want, p.ID)
	}
	return model.FixedIP{}, badRequest("ndp_proxy", "Requested port %s must allocate one IPv6 address at least", p.ID)
}

// gatewayScope is the IPv6 address scope of a router's external network; zero: none.
func gatewayScope(w *world.World, v *model.Router) model.AddressScopeID {
	g := w.Ports.Get(v.GatewayPort)
	if g == nil {
		return model.AddressScopeID{}
	}
	return NetworkScope(w, g.NetworkID, 6)
}

// PlacedNDPProxy is where an NDP proxy is carried out.
type PlacedNDPProxy struct {
	// Host answers for the address on External; "": none does.
	Host     string
	External model.NetworkID
	// Central: by its router's central part, else by the host of its port itself.
	Central bool
}

// PlaceNDPProxy says which host answers for an NDP proxy's address: as with floating IPs (PlaceFloatingIP) the one that its port is on,
// else the gateway host of its router. None does while the router proxies for nobody (enable_ndp_proxy), or where the address is in
// another address scope than the external network.
func PlaceNDPProxy(w *world.World, n *model.NDPProxy) PlacedNDPProxy {
	v, p := w.Routers.Get(n.Router), w.Ports.Get(n.PortID)
	if v == nil || p == nil || !v.EnableNDPProxy {
		return PlacedNDPProxy{}
	}
	g := w.Ports.Get(v.GatewayPort)
	if g == nil {
		return PlacedNDPProxy{}
	}
	if scope := gatewayScope(w, v); scope.IsZero() || scope != NetworkScope(w, p.NetworkID, 6) {
		return PlacedNDPProxy{}
	}
	host, central := placeOutside(w, v, p, g.NetworkID)
	return PlacedNDPProxy{host, g.NetworkID, central}
}

// UpdateNDPProxy puts n.
func (r *Rules) UpdateNDPProxy(tx *world.Tx, _ *Actor, n *model.NDPProxy) error {
	tx.NDPProxies.Put(n)
	return nil
}

// DeleteNDPProxy deletes a proxy.
func (r *Rules) DeleteNDPProxy(tx *world.Tx, _ *Actor, n *model.NDPProxy) error {
	tx.NDPProxies.Delete(n.ID)
	return nil
}

// ndpProxying settles enable_ndp_proxy of v, whose gateway is set: asked is what the client sent. A router whose gateway
// goes does not proxy any more.
func ndpProxying(tx *world.Tx, v *model.Router, asked Opt[bool]) error {
	used := false
	for range tx.NDPProxies.ByRouter(v.ID) {
		used = true
		break
	}
	wants := v.EnableNDPProxy
	if asked.Set {
		wants = asked.V
	}
	switch possible := !gatewayScope(&tx.World, v).IsZero(); {
	case asked.Set && asked.V && !possible:
		return model.Errf(model.KindConflict, "RouterGatewayNotValid",
			"Can not enable ndp proxy on router %s, The router has no external gateway or the external gateway port has no IPv6 address or IPv6 address scope.", v.ID)
	case used && !possible:
		return model.Errf(model.KindConflict, "RouterGatewayInUseByNDPProxy",
			"Unable to unset external gateway of router %s, There are one or more ndp proxies still in use on the router.", v.ID)
	default: // proxies stay while their router proxies for nobody, and nobody answers for them
		v.EnableNDPProxy = wants && possible
	}
	return nil
}

// checkProxied refuses to disconnect a subnet that an NDP proxy of the router leads to.
func checkProxied(tx *world.Tx, v *model.Router, s *model.Subnet) error {
	for n := range tx.NDPProxies.ByRouter(v.ID) {
		p := tx.Ports.Get(n.PortID)
		if p != nil && slices.Contains(p.FixedIPs, model.FixedIP{SubnetID: s.ID, Address: n.Address}) {
			return model.Errf(model.KindConflict, "RouterInterfaceInUseByNDPProxy",
				"Unable to remove subnet %s from router %s, There are one or more ndp proxies still in use on the subnet.", s.ID, v.ID)
		}
	}
	return nil
}

// unproxy deletes the proxies, and the associations of local IPs, for addresses that a port has no more.
func unproxy(tx *world.Tx, p model.PortID, gone func(netip.Addr) bool) {
	for _, n := range slices.Collect(tx.NDPProxies.ByPort(p)) {
		if gone(n.Address) {
			tx.NDPProxies.Delete(n.ID)
		}
	}
	for _, a := range slices.Collect(tx.LocalIPAssociations.ByPort(p)) {
		if gone(a.FixedIP) {
			tx.LocalIPAssociations.Delete(a.ID)
		}
	}
}
