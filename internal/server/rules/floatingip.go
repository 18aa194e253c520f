package rules

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// FloatingIPExtra is what a client sends for a floating IP beyond what is stored in it.
type FloatingIPExtra struct {
	// Port zero: lead nowhere.
	Port    Opt[model.PortID]
	FixedIP netip.Addr
	Subnet  model.SubnetID // of the external network, at creation
	Address netip.Addr     // at creation
}

func errFloating(format string, args ...any) error { return badRequest("floatingip", format, args...) }

// CreateFloatingIP completes f, gives it an address of its external network, leads it to a port if asked to, and puts it.
func (r *Rules) CreateFloatingIP(tx *world.Tx, by *Actor, f *model.FloatingIP, x *FloatingIPExtra) error {
	if err := unforwarded(tx, x.Port.V); err != nil {
		return err
	}
	n := tx.Networks.Get(f.NetworkID)
	if n == nil || !(by.Admin || ExternalFor(&tx.World, n.ID, by.Project) || r.mayUse(tx, by, n)) {
		return errNetwork(f.NetworkID)
	}
	if !n.External {
		return errFloating("Network %s is not a valid external network", n.ID)
	}
	v4 := false
	for s := range tx.Subnets.ByNetwork(n.ID) {
		v4 = v4 || s.IPVersion() == 4
	}
	if !v4 {
		return errFloating("Network %s does not contain any IPv4 subnet", n.ID)
	}
	if s := tx.Subnets.Get(x.Subnet); s != nil && s.NetworkID != n.ID && !r.mayUse(tx, by, tx.Networks.Get(s.NetworkID)) && !ExternalFor(&tx.World, s.NetworkID, by.Project) {
		return model.NotFound("Subnet", s.ID.String()) // the port is made as an administrator, who would be told that it is elsewhere
	}
	f.ID = model.FloatingIPID{UUID: tx.NewUUID()}
	p := &model.Port{NetworkID: n.ID, AdminStateUp: true, DeviceID: f.ID.String(), DeviceOwner: model.OwnerFloatingIP, VNICType: model.VNICNormal, PropagateUplinkStatus: true}
	ask := &PortExtra{}
	if x.Address.IsValid() || !x.Subnet.IsZero() {
		ask.FixedIPs = Some([]FixedIPRequest{{Subnet: x.Subnet, Addr: x.Address}})
	}
	if err := r.CreatePort(tx, &Actor{Admin: true}, p, ask); err != nil {
		return err
	}
	for _, a := range slices.Backward(p.FixedIPs) {
		if a.Address.Is4() {
			f.Address = a.Address
		}
	}
	if !f.Address.IsValid() {
		return model.Errf(model.KindConflict, "ExternalIpAddressExhausted", "Unable to find any IP address on external network %s.", n.ID)
	}
	c := *p
	c.Status = statusNone
	tx.Ports.Put(&c)
	f.OwnPort = p.ID
	if err := r.leadTo(tx, by, f, x); err != nil {
		return err
	}
	if err := changeQoSPolicy(tx, by, model.QoSPolicyID{}, f.QoSPolicy); err != nil {
		return err
	}
	r.tellNovaFloating(tx, nil, f)
	tx.FloatingIPs.Put(f)
	return nil
}

// UpdateFloatingIP puts f, which is old with what the client changed. An empty update (blank) makes it lead nowhere, as
// in the API's first days.
func (r *Rules) UpdateFloatingIP(tx *world.Tx, by *Actor, f *model.FloatingIP, x *FloatingIPExtra, blank bool) error {
	old := tx.FloatingIPs.Get(f.ID)
	if blank {
		x.Port = Some(model.PortID{})
	}
	if err := unforwarded(tx, x.Port.V); err != nil {
		return err
	}
	if !x.Port.V.IsZero() && forwards(tx, f.ID) {
		if _, err := portFor(tx, by, x.Port.V); err != nil {
			return err
		}
		return errForwards(f.ID)
	}
	if x.Port.Set || x.FixedIP.IsValid() {
		if !x.Port.Set {
			x.Port.V = f.Port
		}
		if err := r.leadTo(tx, by, f, x); err != nil {
			return err
		}
	}
	if old != nil && old.QoSPolicy != f.QoSPolicy {
		if err := changeQoSPolicy(tx, by, old.QoSPolicy, f.QoSPolicy); err != nil {
			return err
		}
	}
	r.tellNovaFloating(tx, old, f)
	tx.FloatingIPs.Put(f)
	return nil
}

// DeleteFloatingIP deletes a floating IP without port forwardings, and its port.
func (r *Rules) DeleteFloatingIP(tx *world.Tx, _ *Actor, f *model.FloatingIP) error {
	if forwards(tx, f.ID) {
		return errForwards(f.ID)
	}
	r.tellNovaFloating(tx, f, nil)
	tx.FloatingIPs.Delete(f.ID)
	if p := tx.Ports.Get(f.OwnPort); p != nil {
		return r.dropPort(tx, p)
	}
	return nil
}

func forwards(tx *world.Tx, f model.FloatingIPID) bool {
	for range tx.PortForwardings.ByFloatingIP(f) {
		return true
	}
	return false
}

// statusNone is the status of ports that nothing is ever plugged into.
const statusNone = "N/A"

func errForwards(f model.FloatingIPID) error {
	return model.Errf(model.KindConflict, "FipInUseByPortForwarding", "Floating IP %s in use by Port Forwarding resources.", f)
}

// leadTo makes f lead to the port and address asked for, or nowhere.
func (r *Rules) leadTo(tx *world.Tx, by *Actor, f *model.FloatingIP, x *FloatingIPExtra) error {
	if x.Port.V.IsZero() {
		if x.FixedIP.IsValid() {
			return errFloating("fixed_ip_address cannot be specified without a port_id")
		}
		if !f.Port.IsZero() {
			leads(tx, f)
		}
		f.Port, f.FixedIP = model.PortID{}, netip.Addr{}
		if !forwards(tx, f.ID) {
			f.Router = model.RouterID{}
		}
		return nil
	}
	p, err := portFor(tx, by, x.Port.V)
	if err != nil {
		return err
	}
	at, err := fixedFor(by, f, p, x.FixedIP)
	if err != nil {
		return err
	}
	v, err := r.routerTo(tx, p, at, f.NetworkID)
	if err != nil {
		return err
	}
	for o := range tx.FloatingIPs.ByPort(p.ID) {
		if o.ID != f.ID && o.NetworkID == f.NetworkID && o.FixedIP == at.Address {
			return errAssociated(f, p.ID, at.Address)
		}
	}
	if f.Port != p.ID || f.FixedIP != at.Address || f.Router != v.ID {
		leads(tx, f)
	}
	f.Port, f.FixedIP, f.Router = p.ID, at.Address, v.ID
	return nil
}

// unforwarded refuses a floating IP for a port to which a distributed router forwards ports. It is found before anything else.
func unforwarded(tx *world.Tx, p model.PortID) error {
	for pf := range tx.PortForwardings.ByPort(p) {
		f := tx.FloatingIPs.Get(pf.FloatingIP)
		if v := tx.Routers.Get(f.Router); v != nil && v.Distributed {
			return model.Errf(model.KindInvalid, "PortHasPortForwarding",
				"Cannot associate floating IP to port %s because it already has a Port Forwarding binding.", p)
		}
		return nil // the others are of the same router
	}
	return nil
}

func errAssociated(f *model.FloatingIP, p model.PortID, fixed netip.Addr) error {
	return model.Errf(model.KindConflict, "FloatingIPPortAlreadyAssociated",
		"Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
		f.Address, f.ID, p, fixed, f.NetworkID)
}

// fixedFor is the address of a port that a floating IP is to lead to: the one asked for, or the port's only IPv4 one.
func fixedFor(by *Actor, f *model.FloatingIP, p *model.Port, want netip.Addr) (model.FixedIP, error) {
	if p.ProjectID != f.ProjectID && !by.Admin {
		return model.FixedIP{}, errFloating("Cannot process floating IP association with Port %s, since that port is owned by a different tenant", p.ID)
	}
	if p.DeviceOwner == model.OwnerDHCP {
		return model.FixedIP{}, errFloating("Port %s is unable to be assigned a floating IP", p.ID)
	}
	if want.IsValid() && !want.Is4() {
		return model.FixedIP{}, errFloating("Cannot process floating IP association with %s, since that is not an IPv4 address", want)
	}
	var v4 []model.FixedIP
	for _, a := range p.FixedIPs {
		if a.Address == want {
			return a, nil
		}
		if a.Address.Is4() {
			v4 = append(v4, a)
		}
	}
	switch {
	case want.IsValid():
		return model.FixedIP{}, errFloating("Port %s does not have fixed ip %s", p.ID, want)
	case len(v4) == 0:
		return model.FixedIP{}, errFloating("Cannot add floating IP to port %s that has no fixed IPv4 addresses", p.ID)
	case len(v4) > 1:
		return model.FixedIP{}, errFloating("Port %s has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP", p.ID)
	}
	return v4[0], nil
}

// routerTo is the router that connects a port's subnet with an external network: preferably the subnet's gateway.
func (r *Rules) routerTo(tx *world.Tx, p *model.Port, at model.FixedIP, external model.NetworkID) (*model.Router, error) {
	leads := func(q *model.Port) *model.Router {
		if q == nil || !q.IsRouterInterface() || !on(q, at.SubnetID) {
			return nil
		}
		id, err := model.ParseUUID(q.DeviceID)
		if err != nil {
			return nil
		}
		v := tx.Routers.Get(model.RouterID{UUID: id})
		if v == nil {
			return nil
		}
		if g := tx.Ports.Get(v.GatewayPort); g == nil || g.NetworkID != external {
			return nil
		}
		return v
	}
	if s := tx.Subnets.Get(at.SubnetID); s != nil {
		if v := leads(tx.Ports.ByAddress(s.ID, s.GatewayIP)); v != nil {
			return v, nil
		}
	}
	for q := range tx.Ports.ByNetwork(p.NetworkID) {
		if v := leads(q); v != nil {
			return v, nil
		}
	}
	return nil, model.Errf(model.KindNotFound, "ExternalGatewayForFloatingIPNotFound",
		"External network %s is not reachable from subnet %s.  Therefore, cannot associate Port %s with a Floating IP.",
		external, at.SubnetID, p.ID)
}

// PlaceFloatingIP says which host translates a floating IP: the one that its port is on, if it acts for distributed routers and
// reaches the external network; else, centrally, the gateway host of its router. "": none does. Conntrack helpers are in the
// central part alone, so the floating IPs of a router that has any are served there.
func PlaceFloatingIP(w *world.World, f *model.FloatingIP) (host string, central bool) {
	v := w.Routers.Get(f.Router)
	if v == nil {
		return "", false
	}
	for range w.ConntrackHelpers.ByRouter(v.ID) {
		return v.GatewayHost, true
	}
	return placeOutside(w, v, w.Ports.Get(f.Port), f.NetworkID)
}

// placeOutside is the host that carries packets between a port (nil: none) and an external network by a router of its own.
func placeOutside(w *world.World, v *model.Router, p *model.Port, external model.NetworkID) (host string, central bool) {
	if p != nil && v.Distributed && isBound(p) && !isTrusted(p.DeviceOwner) {
		h := w.Hosts.Get(p.Host)
		if h != nil && (h.AgentMode == model.ModeDVR || h.AgentMode == model.ModeDVRSNAT) && carries(w, h, external) {
			return h.Name, false
		}
	}
	return v.GatewayHost, true
}

// isBound reports whether a port is plugged in on its host, as far as can be decided.
func isBound(p *model.Port) bool {
	return p.PluggedIn()
}

// FloatingIPActive reports whether a floating IP is programmed on the host that it is placed on.
func FloatingIPActive(w *world.World, f *model.FloatingIP) bool {
	host, _ := PlaceFloatingIP(w, f)
	return host != "" && host == f.ActiveAt
}

// FloatingIPReport is what a host says of a floating IP, since it leads where it does (FloatingIP.Since).
type FloatingIPReport struct {
	ID    model.FloatingIPID
	Up    bool
	Since uint64
}

// FloatingIPsReported records which floating IPs a host translates. Those that are placed elsewhere, or lead elsewhere by now,
// are passed over: a host is not trusted beyond itself.
func (r *Rules) FloatingIPsReported(tx *world.Tx, host string, reports []FloatingIPReport) error {
	for _, v := range reports {
		f := tx.FloatingIPs.Get(v.ID)
		if f == nil || f.Since != v.Since {
			continue
		}
		at := f.ActiveAt
		switch place, _ := PlaceFloatingIP(&tx.World, f); {
		case v.Up && place == host:
			at = host
		case !v.Up && at == host:
			at = ""
		}
		if at != f.ActiveAt {
			c := *f
			c.ActiveAt = at
			tx.FloatingIPs.Put(&c)
		}
	}
	return nil
}

// leads marks a floating IP as leading elsewhere than before: its host has to say anew that it is programmed.
func leads(tx *world.Tx, f *model.FloatingIP) { f.Since, f.ActiveAt = tx.Revision(), "" }

// loosen takes away what leads to addresses that a port has no more: its floating IPs and port forwardings.
func (r *Rules) loosen(tx *world.Tx, p *model.Port, left []model.FixedIP) {
	gone := func(a netip.Addr) bool {
		return !slices.ContainsFunc(left, func(f model.FixedIP) bool { return f.Address == a })
	}
	for _, f := range slices.Collect(tx.FloatingIPs.ByPort(p.ID)) {
		if gone(f.FixedIP) {
			c := *f
			c.Port, c.FixedIP, c.Router = model.PortID{}, netip.Addr{}, model.RouterID{}
			leads(tx, &c)
			tx.FloatingIPs.Put(&c)
		}
	}
	for _, w := range slices.Collect(tx.PortForwardings.ByPort(p.ID)) {
		if gone(w.Address) {
			r.dropForwarding(tx, w)
		}
	}
	unproxy(tx, p.ID, gone)
}

// checkGatewayFree refuses to take away a gateway that floating IPs need.
func checkGatewayFree(tx *world.Tx, v *model.Router, external model.NetworkID) error {
	for range tx.FloatingIPs.ByRouter(v.ID) {
		return model.Errf(model.KindConflict, "RouterExternalGatewayInUseByFloatingIp",
			"Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.", v.ID, external)
	}
	return nil
}

// checkFloating refuses to disconnect a subnet that a floating IP of the router leads to.
func checkFloating(tx *world.Tx, v *model.Router, s *model.Subnet) error {
	in := func(id model.PortID, a netip.Addr) bool {
		p := tx.Ports.Get(id)
		return p != nil && slices.Contains(p.FixedIPs, model.FixedIP{SubnetID: s.ID, Address: a})
	}
	for f := range tx.FloatingIPs.ByRouter(v.ID) {
		used := in(f.Port, f.FixedIP)
		for w := range tx.PortForwardings.ByFloatingIP(f.ID) {
			used = used || in(w.Port, w.Address)
		}
		if used {
			return model.Errf(model.KindConflict, "RouterInterfaceInUseByFloatingIP",
				"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", s.ID, v.ID)
		}
	}
	return nil
}
