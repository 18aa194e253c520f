package rules

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// PortExtra is what a client sends for a port beyond what is stored in it.
type PortExtra struct {
	FixedIPs     Opt[[]FixedIPRequest]
	PortSecurity Opt[bool]
	// SecurityGroups not set at creation: the project's default group.
	SecurityGroups Opt[[]model.SecurityGroupID]
}

// CreatePort completes p, gives it a MAC and addresses, binds it and puts it.
func (r *Rules) CreatePort(tx *world.Tx, by *Actor, p *model.Port, x *PortExtra) error {
	n, err := r.networkFor(tx, by, p.NetworkID, "port")
	if err != nil {
		return err
	}
	if err := ownRouter(tx, by, p); err != nil {
		return err
	}
	p.ID = model.PortID{UUID: tx.NewUUID()}
	p.Status = model.StatusDown
	p.PortSecurity = n.PortSecurity
	if x.PortSecurity.Set {
		p.PortSecurity = x.PortSecurity.V
	}
	if isTrusted(p.DeviceOwner) {
		p.PortSecurity = false
	}
	if err := r.overrideMAC(tx, nil, p); err != nil {
		return err
	}
	if err := r.giveMAC(tx, p); err != nil {
		return err
	}
	if err := r.checkPort(p); err != nil {
		return err
	}
	if err := r.groups(tx, p, x); err != nil {
		return err
	}
	if err := r.address(tx, by, p, x.FixedIPs); err != nil {
		return err
	}
	if err := r.fitsRouter(tx, p); err != nil {
		return err
	}
	if !p.QoSPolicy.IsZero() {
		if _, err := qosPolicyFor(tx, by, p.QoSPolicy); err != nil {
			return err
		}
		if err := qosFitsPort(tx, p.QoSPolicy, p); err != nil {
			return err
		}
	}
	r.bind(tx, n, p)
	tx.Ports.Put(p)
	return nil
}

// isTrusted reports whether a device owner is the network's own, whose ports have no port security (neutron-lib:
// utils/net.py, is_port_trusted).
func isTrusted(owner string) bool {
	return len(owner) > len(model.OwnerNetworkPrefix) && owner[:len(model.OwnerNetworkPrefix)] == model.OwnerNetworkPrefix
}

// giveMAC makes the port a MAC, or tests that the one asked for is free on the network.
func (r *Rules) giveMAC(tx *world.Tx, p *model.Port) error {
	taken := func(m model.MAC) bool {
		for o := range tx.Ports.ByMAC(m) {
			if o.NetworkID == p.NetworkID && o.ID != p.ID {
				return true
			}
		}
		return false
	}
	if !p.MAC.IsZero() {
		if taken(p.MAC) {
			return model.Errf(model.KindConflict, "MacAddressInUse",
				"Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
		}
		return nil
	}
	m, ok := newMAC(tx, r.cfg.BaseMAC, taken)
	if !ok {
		return model.Errf(model.KindUnavailable, "NetworkMacAddressGenerationFailure", "Unable to generate unique mac on network %s.", p.NetworkID)
	}
	p.MAC = m
	return nil
}

// checkPort tests what depends on the port alone.
func (r *Rules) checkPort(p *model.Port) error {
	if len(p.AddressPairs) > 0 && !p.PortSecurity {
		return model.Errf(model.KindConflict, "AddressPairAndPortSecurityRequired",
			"Port Security must be enabled in order to have allowed address pairs on a port.")
	}
	if len(p.AddressPairs) > r.cfg.MaxAddressPairs {
		return model.Errf(model.KindInvalid, "AllowedAddressPairExhausted",
			"The number of allowed address pair exceeds the maximum %d.", r.cfg.MaxAddressPairs)
	}
	for i, a := range p.AddressPairs {
		for _, b := range p.AddressPairs[:i] {
			if a.Prefix == b.Prefix && (a.MAC == b.MAC || (a.MAC.IsZero() && b.MAC == p.MAC) || (b.MAC.IsZero() && a.MAC == p.MAC)) {
				return model.Errf(model.KindInvalid, "DuplicateAddressPairInRequest",
					"Request contains duplicate address pair: mac_address %s ip_address %s.", p.MAC, a.Prefix)
			}
		}
	}
	return nil
}

// address gives a new port its addresses.
func (r *Rules) address(tx *world.Tx, by *Actor, p *model.Port, want Opt[[]FixedIPRequest]) error {
	a, err := r.allocatorFor(tx, p)
	if err != nil {
		return err
	}
	a.by = by
	p.IPAllocation = AllocationImmediate
	switch {
	case want.Set && len(want.V) == 0:
		p.IPAllocation = AllocationNone
		err = a.requested(nil)
	case want.Set:
		err = a.requested(want.V)
	case a.deferred:
		p.IPAllocation = AllocationDeferred
	default:
		err = a.automatic()
	}
	p.FixedIPs = a.got
	if err != nil {
		return err
	}
	return a.oneSegment()
}

// UpdatePort puts p, which is old with what the client changed.
func (r *Rules) UpdatePort(tx *world.Tx, by *Actor, old, p *model.Port, x *PortExtra) error {
	if p.DeviceID != old.DeviceID || p.DeviceOwner != old.DeviceOwner {
		if err := ownRouter(tx, by, p); err != nil {
			return err
		}
	}
	if p.QoSPolicy != old.QoSPolicy {
		if err := changeQoSPolicy(tx, by, old.QoSPolicy, p.QoSPolicy); err != nil {
			return err
		}
		if err := qosFitsPort(tx, p.QoSPolicy, p); err != nil {
			return err
		}
	}
	if x.PortSecurity.Set {
		p.PortSecurity = x.PortSecurity.V
	}
	if p.MAC != old.MAC {
		if err := r.changeMAC(tx, old, p); err != nil {
			return err
		}
	}
	if err := r.overrideMAC(tx, old, p); err != nil {
		return err
	}
	if err := r.checkPort(p); err != nil {
		return err
	}
	if err := r.groups(tx, p, x); err != nil {
		return err
	}
	if x.FixedIPs.Set || p.MAC != old.MAC {
		if err := r.readdress(tx, by, old, p, x.FixedIPs); err != nil {
			return err
		}
		if err := checkLegMoves(tx, r, old, p); err != nil {
			return err
		}
		r.loosen(tx, old, p.FixedIPs)
	}
	if p.DeviceID != old.DeviceID || p.DeviceOwner != old.DeviceOwner || x.FixedIPs.Set {
		if err := r.fitsRouter(tx, p); err != nil {
			return err
		}
	}
	if err := r.settle(tx, old, p, x.FixedIPs.Set); err != nil {
		return err
	}
	if p.Host != old.Host || p.VNICType != old.VNICType || (p.Host != "" && p.VIFType == model.VIFBindingFailed) ||
		p.DeviceOwner != old.DeviceOwner {
		if p.Host != old.Host {
			p.Status = model.StatusDown
		}
		r.bind(tx, tx.Networks.Get(p.NetworkID), p)
	}
	r.tellNova(tx, old, p)
	tx.Ports.Put(p)
	return nil
}

// changeMAC tests whether a port may take another MAC; the zero one asks for a new random one.
func (r *Rules) changeMAC(tx *world.Tx, old, p *model.Port) error {
	if owner := cmp.Or(p.DeviceOwner, old.DeviceOwner); strings.HasPrefix(owner, "network:") {
		return model.Errf(model.KindConflict, "UnsupportedPortDeviceOwner",
			"Operation mac address update is not supported for device_owner %s on port %s.", owner, old.ID)
	}
	if old.VIFType != model.VIFUnbound && old.VIFType != model.VIFBindingFailed && p.Host == old.Host {
		return model.Errf(model.KindConflict, "PortBound",
			"Unable to complete operation on port %s, port is already bound, port type: %s, old_mac %s, new_mac %s.",
			old.ID, old.VIFType, old.MAC, p.MAC)
	}
	return r.giveMAC(tx, p)
}

// readdress gives a port the addresses asked for. Those that it has already it keeps; automatic ones come and go with
// their subnets and the MAC only.
func (r *Rules) readdress(tx *world.Tx, by *Actor, old, p *model.Port, want Opt[[]FixedIPRequest]) error {
	a, err := r.allocatorFor(tx, p)
	if err != nil {
		return err
	}
	a.by = by
	var asked []FixedIPRequest
	if !want.Set { // only the MAC changed
		for _, f := range old.FixedIPs {
			if s := tx.Subnets.Get(f.SubnetID); s == nil || !s.AutoAddressed() || isRouterLeg(p.DeviceOwner) {
				asked = append(asked, FixedIPRequest{f.SubnetID, f.Address})
			}
		}
	} else {
		asked = keep(old.FixedIPs, want.V)
	}
	if err := a.requested(asked); err != nil {
		return err
	}
	if err := a.oneSegment(); err != nil {
		return err
	}
	p.FixedIPs = a.got
	for _, f := range old.FixedIPs {
		if !slices.Contains(p.FixedIPs, f) {
			r.release(f.SubnetID, f.Address)
		}
	}
	return nil
}

// keep turns requests for any address of a subnet into requests for one that the port has there already.
func keep(have []model.FixedIP, want []FixedIPRequest) []FixedIPRequest {
	out := slices.Clone(want)
	isAsked := func(f model.FixedIP) bool {
		return slices.ContainsFunc(out, func(q FixedIPRequest) bool { return q.Addr == f.Address })
	}
	for i, q := range out {
		if q.Addr.IsValid() {
			continue
		}
		for _, f := range have {
			if f.SubnetID == q.Subnet && !isAsked(f) {
				out[i].Addr = f.Address
				break
			}
		}
	}
	return out
}

// DeletePort deletes a port, unless a router or floating IP has it.
func (r *Rules) DeletePort(tx *world.Tx, _ *Actor, p *model.Port) error {
	switch p.DeviceOwner {
	case model.OwnerRouterInterface, model.OwnerDVRInterface, model.OwnerHAInterface, model.OwnerRouterGateway,
		model.OwnerFloatingIP, model.OwnerRouterSNAT, model.OwnerFloatingAgentGateway, model.OwnerRouterHA:
		if r.isServed(tx, p) {
			return model.Errf(model.KindConflict, "ServicePortInUse",
				"Port %s cannot be deleted directly via the port API: has device owner %s.", p.ID, p.DeviceOwner)
		}
	}
	if err := r.dropPort(tx, p); err != nil {
		return err
	}
	if isDHCPPort(p) {
		r.settleDHCP(tx, p.NetworkID) // as a DHCP agent makes a new one
	}
	return nil
}

// ownRouter tests that nobody makes a port a part of a router of others, on a network of his choice, by naming it as its device.
func ownRouter(tx *world.Tx, by *Actor, p *model.Port) error {
	if by.Admin || !p.IsRouterInterface() && !strings.HasPrefix(p.DeviceOwner, "network:router") {
		return nil
	}
	id, err := model.ParseUUID(p.DeviceID)
	if err != nil {
		return nil // no router's
	}
	if v := tx.Routers.Get(model.RouterID{UUID: id}); v != nil && v.ProjectID != p.ProjectID {
		return model.Errf(model.KindConflict, "DeviceIDNotOwnedByTenant",
			"The following device_id %s is not owned by your tenant or matches another tenants router.", p.DeviceID)
	}
	return nil
}

// isServed reports whether what a network-owned port belongs to still exists; a port left over may be deleted.
func (r *Rules) isServed(tx *world.Tx, p *model.Port) bool {
	if len(p.FixedIPs) == 0 && p.DeviceOwner != model.OwnerRouterGateway {
		return false
	}
	id, err := model.ParseUUID(p.DeviceID)
	if err != nil {
		return p.DeviceOwner == model.OwnerFloatingIP
	}
	if p.DeviceOwner == model.OwnerFloatingIP {
		return tx.FloatingIPs.Get(model.FloatingIPID{UUID: id}) != nil
	}
	if p.DeviceOwner == model.OwnerFloatingAgentGateway {
		return true
	}
	return tx.Routers.Get(model.RouterID{UUID: id}) != nil
}

// dropPort deletes a port with its bindings and gives its addresses back. It is refused while a trunk or a local IP needs
// the port, whoever it belongs to.
func (r *Rules) dropPort(tx *world.Tx, p *model.Port) error {
	if err := trunkNeeds(tx, p.ID); err != nil {
		return err
	}
	if err := localIPNeeds(tx, p.ID); err != nil {
		return err
	}
	r.loosen(tx, p, nil)
	dropLogs(tx, model.UUID{}, p.ID)
	for _, b := range slices.Collect(tx.Bindings.ByPort(p.ID)) {
		tx.Bindings.Delete(world.BindingKey{Port: b.PortID, Host: b.Host})
	}
	for _, f := range p.FixedIPs {
		r.release(f.SubnetID, f.Address)
	}
	r.tellNova(tx, p, nil)
	tx.Ports.Delete(p.ID)
	return nil
}
