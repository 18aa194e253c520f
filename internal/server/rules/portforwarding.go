package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// PortForwardingExtra is what a client sends for a port forwarding beyond what is stored in it.
type PortForwardingExtra struct {
	// Both forms of a range were sent: a single port and a range.
	InternalPort, InternalRange, ExternalPort, ExternalRange Opt[model.PortRange]
}

func errForwarding(format string, args ...any) error {
	return badRequest("port_forwarding", format, args...)
}

// take assigns the ranges sent.
func (x *PortForwardingExtra) take(w *model.PortForwarding) error {
	for _, o := range []struct {
		to          *model.PortRange
		one, range_ Opt[model.PortRange]
		name        string
	}{
		{&w.Internal, x.InternalPort, x.InternalRange, "internal_port"},
		{&w.External, x.ExternalPort, x.ExternalRange, "external_port"},
	} {
		switch {
		case o.one.Set && o.range_.Set && o.one.V != o.range_.V:
			return errForwarding("%s and %s_range do not match: send one of them", o.name, o.name)
		case o.range_.Set:
			*o.to = o.range_.V
		case o.one.Set:
			*o.to = o.one.V
		}
		if o.to.First == 0 {
			return errForwarding("%s or %s_range must be specified", o.name, o.name)
		}
	}
	if in, out := w.Internal.Last-w.Internal.First, w.External.Last-w.External.First; in > 0 && in != out {
		return errForwarding("Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N or 1-N")
	}
	return nil
}

// CreatePortForwarding completes w and puts it. The floating IP must lead nowhere itself; its router is found with the
// first forwarding.
func (r *Rules) CreatePortForwarding(tx *world.Tx, by *Actor, w *model.PortForwarding, x *PortForwardingExtra) error {
	w.ID = model.PortForwardingID{UUID: tx.NewUUID()}
	return r.putForwarding(tx, by, w, x)
}

// UpdatePortForwarding puts w, which is old with what the client changed.
func (r *Rules) UpdatePortForwarding(tx *world.Tx, by *Actor, old, w *model.PortForwarding, x *PortForwardingExtra) error {
	if w.Port != old.Port && w.Address == old.Address {
		w.Address = netip.Addr{}
	}
	return r.putForwarding(tx, by, w, x)
}

func (r *Rules) putForwarding(tx *world.Tx, by *Actor, w *model.PortForwarding, x *PortForwardingExtra) error {
	if err := x.take(w); err != nil {
		return err
	}
	f := tx.FloatingIPs.Get(w.FloatingIP)
	// Before anything is said of the port: Neutron tells whose floating IP leads to a port, whoever asks.
	p, err := portFor(tx, by, w.Port)
	if err != nil {
		return err
	}
	if old := tx.PortForwardings.Get(w.ID); old != nil && w.Address.IsValid() && !slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address == w.Address }) {
		return errForwarding("The internal IP does not correspond to an address on the internal port, which has fixed_ips %s", written(p.FixedIPs))
	}
	at, err := forwardedTo(p, w.Address)
	if err != nil {
		return err
	}
	w.Address = at.Address
	if err := collisions(tx, w); err != nil {
		return err
	}
	for o := range tx.FloatingIPs.ByPort(p.ID) {
		return model.Errf(model.KindConflict, "PortHasBindingFloatingIP",
			"Cannot create port forwarding to floating IP %s (%s) with port %s using fixed IP %s, as that port already has a binding floating IP.",
			o.Address, o.ID, p.ID, w.Address)
	}
	if !f.Port.IsZero() {
		return errAssociated(f, p.ID, w.Address)
	}
	v, err := r.routerTo(tx, p, at, f.NetworkID)
	if err != nil {
		return errForwarding("External network %s is not reachable from subnet %s. Cannot set Port forwarding for port %s with Floating IP %s",
			f.NetworkID, at.SubnetID, p.ID, f.ID)
	}
	if !f.Router.IsZero() && f.Router != v.ID {
		return errForwarding("The Floating IP %s had been set on router %s, the internal Neutron port %s can not reach it", f.ID, f.Router, p.ID)
	}
	tx.PortForwardings.Put(w)
	c := *f
	c.Router = v.ID
	leads(tx, &c)
	tx.FloatingIPs.Put(&c)
	return nil
}

// forwardedTo is the address of a port that is forwarded to: the one asked for, or its first IPv4 one.
func forwardedTo(p *model.Port, want netip.Addr) (model.FixedIP, error) {
	v4 := 0
	for _, f := range p.FixedIPs {
		if !f.Address.Is4() {
			continue
		}
		v4++
		if f.Address == want || !want.IsValid() {
			return f, nil
		}
	}
	if v4 == 0 {
		return model.FixedIP{}, errForwarding("Requested internal port %s must allocate an IPv4 address at least.", p.ID)
	}
	return model.FixedIP{}, errForwarding("Requested internal IP address %s is not suitable for internal neutron port %s, as its fixed_ips are %s", want, p.ID, written(p.FixedIPs))
}

// written are addresses of a port as Neutron's faults have them.
func written(fixed []model.FixedIP) string {
	out := make([]string, len(fixed))
	for i, f := range fixed {
		out[i] = fmt.Sprintf("{'subnet_id': '%s', 'ip_address': '%s'}", f.SubnetID, f.Address)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// collisions tests that no other forwarding has any of the ports, inside or outside.
func collisions(tx *world.Tx, w *model.PortForwarding) error {
	hit := func(what string, a, b model.PortRange) error {
		return errForwarding("There is a port collision with the %s_port_range. The following ranges collides: %d:%d and %d:%d",
			what, a.First, a.Last, b.First, b.Last)
	}
	for o := range tx.PortForwardings.ByPort(w.Port) {
		if o.ID != w.ID && o.Protocol == w.Protocol && o.Address == w.Address && o.Internal.Overlaps(w.Internal) {
			return hit("internal", o.Internal, w.Internal)
		}
	}
	for o := range tx.PortForwardings.ByFloatingIP(w.FloatingIP) {
		if o.ID != w.ID && o.Protocol == w.Protocol && o.External.Overlaps(w.External) {
			return hit("external", o.External, w.External)
		}
	}
	return nil
}

// DeletePortForwarding deletes a port forwarding; with the last one its floating IP leaves the router.
func (r *Rules) DeletePortForwarding(tx *world.Tx, _ *Actor, w *model.PortForwarding) error {
	r.dropForwarding(tx, w)
	return nil
}

func (r *Rules) dropForwarding(tx *world.Tx, w *model.PortForwarding) {
	tx.PortForwardings.Delete(w.ID)
	f := tx.FloatingIPs.Get(w.FloatingIP)
	if f == nil {
		return
	}
	c := *f
	if !forwards(tx, f.ID) {
		c.Router = model.RouterID{}
	}
	leads(tx, &c)
	tx.FloatingIPs.Put(&c)
}
