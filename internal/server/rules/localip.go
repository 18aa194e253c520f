package rules

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// LocalIPExtra is what a client sends for a local IP or an association beyond what is stored in it.
type LocalIPExtra struct{}

// CreateLocalIP completes l and puts it: with an address of a port that is there, or of one made on the network asked for.
func (r *Rules) CreateLocalIP(tx *world.Tx, by *Actor, l *model.LocalIP, _ *LocalIPExtra) error {
	l.ID = model.LocalIPID{UUID: tx.NewUUID()}
	switch {
	case !l.PortID.IsZero():
		p, err := portFor(tx, by, l.PortID)
		if err != nil {
			return errLocalIP("BadRequest", "Bad local_ip request: Port %s not found.", l.PortID)
		}
		if l.Address, err = addressOf(p, l.Address, netip.Addr{}); err != nil {
			return err
		}
		l.NetworkID = p.NetworkID
	case !l.NetworkID.IsZero():
		n, err := r.networkFor(tx, by, l.NetworkID, "local_ip")
		if err != nil {
			return err
		}
		v4 := func(s *model.Subnet) bool { return s.CIDR.Addr().Is4() }
		if !slices.ContainsFunc(slices.Collect(tx.Subnets.ByNetwork(n.ID)), v4) {
			return errLocalIP("BadRequest", "Bad local_ip request: Network %s does not contain any IPv4 subnet.", n.ID)
		}
		p := &model.Port{ProjectID: l.ProjectID, NetworkID: n.ID, AdminStateUp: true, DeviceID: l.ID.String(), DeviceOwner: model.OwnerLocalIP,
			VNICType: model.VNICNormal, PropagateUplinkStatus: true}
		x := &PortExtra{}
		if l.Address.IsValid() {
			x.FixedIPs = Some([]FixedIPRequest{{Addr: l.Address}})
		}
		if err := r.CreatePort(tx, &Actor{Admin: true}, p, x); err != nil {
			return err
		}
		c := *p
		c.Status = statusNone
		tx.Ports.Put(&c)
		if len(p.FixedIPs) == 0 {
			return errLocalIP("LocalIPNoIP", "Specified Port %s has no fixed IPs configured.", p.ID)
		}
		l.PortID, l.Address = p.ID, p.FixedIPs[0].Address
	default:
		return errLocalIP("LocalIPPortOrNetworkRequired", "Either Port ID or Network ID must be specified for Local IP create.")
	}
	tx.LocalIPs.Put(l)
	return nil
}

func errLocalIP(typ, format string, args ...any) error {
	return model.Errf(model.KindInvalid, typ, format, args...)
}

// addressOf is the address of a port that is meant: the one asked for, or its only one, of the family of like if that is
// given.
func addressOf(p *model.Port, want, like netip.Addr) (netip.Addr, error) {
	var have []netip.Addr
	for _, f := range p.FixedIPs {
		if !like.IsValid() || f.Address.Is4() == like.Is4() {
			have = append(have, f.Address)
		}
	}
	switch {
	case len(have) == 0:
		return want, errLocalIP("LocalIPNoIP", "Specified Port %s has no fixed IPs configured.", p.ID)
	case want.IsValid() && !slices.Contains(have, want):
		return want, errLocalIP("LocalIPRequestedIPNotFound", "Specified Port %s does not have requested IP address: %s.", p.ID, want)
	case want.IsValid():
		return want, nil
	case len(have) > 1:
		return want, errLocalIP("LocalIPNoRequestedIP", "Specified Port %s has several IPs, should specify exact IP address to use for Local IP.", p.ID)
	}
	return have[0], nil
}

// UpdateLocalIP puts l.
func (r *Rules) UpdateLocalIP(tx *world.Tx, _ *Actor, l *model.LocalIP) error {
	tx.LocalIPs.Put(l)
	return nil
}

// DeleteLocalIP deletes a local IP without associations, and the port that was made for it.
func (r *Rules) DeleteLocalIP(tx *world.Tx, _ *Actor, l *model.LocalIP) error {
	for range tx.LocalIPAssociations.ByLocalIP(l.ID) {
		return model.Errf(model.KindConflict, "LocalIPInUse", "Local IP %s is still associated with one or more ports.", l.ID)
	}
	tx.LocalIPs.Delete(l.ID)
	if p := tx.Ports.Get(l.PortID); p != nil && p.DeviceOwner == model.OwnerLocalIP {
		return r.dropPort(tx, p)
	}
	return nil
}

// CreateLocalIPAssociation completes a, whose LocalIP is set, and puts it.
func (r *Rules) CreateLocalIPAssociation(tx *world.Tx, by *Actor, a *model.LocalIPAssociation, _ *LocalIPExtra) error {
	l := tx.LocalIPs.Get(a.LocalIP)
	if l == nil {
		return model.Errf(model.KindNotFound, "LocalIPNotFound", "Local IP %s could not be found.", idText(a.LocalIP.UUID))
	}
	p, err := portFor(tx, by, a.PortID)
	if err != nil {
		return err
	}
	if a.FixedIP, err = addressOf(p, a.FixedIP, l.Address); err != nil {
		return err
	}
	if LocalIPAssociationOf(&tx.World, l.ID, p.ID) != nil {
		return model.Errf(model.KindConflict, "LocalIPAssociationExists", "Local IP %s is associated with port %s already.", l.ID, p.ID)
	}
	a.ID = model.LocalIPAssociationID{UUID: tx.NewUUID()}
	tx.LocalIPAssociations.Put(a)
	return nil
}

// LocalIPAssociationOf is the association of a local IP with a port, nil if there is none.
func LocalIPAssociationOf(w *world.World, l model.LocalIPID, p model.PortID) *model.LocalIPAssociation {
	for a := range w.LocalIPAssociations.ByPort(p) {
		if a.LocalIP == l {
			return a
		}
	}
	return nil
}

// DeleteLocalIPAssociation deletes an association.
func (r *Rules) DeleteLocalIPAssociation(tx *world.Tx, _ *Actor, a *model.LocalIPAssociation) error {
	tx.LocalIPAssociations.Delete(a.ID)
	return nil
}

// localIPNeeds refuses the deletion of a port that holds a local IP's address.
func localIPNeeds(tx *world.Tx, p model.PortID) error {
	for l := range tx.LocalIPs.ByPort(p) {
		return model.Errf(model.KindConflict, "ServicePortInUse", "Port %s cannot be deleted directly via the port API: still referenced by local IP %s, delete that first.", p, l.ID)
	}
	return nil
}
