package world

import (
	"iter"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// FloatingIPs by id; indexes by project, by the port that they lead to, by router, by network and by address.
type FloatingIPs struct {
	Table[model.FloatingIPID, model.FloatingIP]
}

func newFloatingIPs() FloatingIPs {
	type T = model.FloatingIP
	type K = model.FloatingIPID
	s := uuidSpec(model.KindFloatingIP, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) {
			if !v.Port.IsZero() {
				yield(v.Port)
			}
		}),
		indexBy[K](hashUUID[model.RouterID], func(v *T, yield func(model.RouterID)) {
			if !v.Router.IsZero() {
				yield(v.Router)
			}
		}),
		indexBy[K](hashUUID[model.NetworkID], func(v *T, yield func(model.NetworkID)) { yield(v.NetworkID) }),
		indexBy[K](hashAddr, func(v *T, yield func(netip.Addr)) { yield(v.Address) }),
		indexBy[K](hashUUID[model.QoSPolicyID], func(v *T, yield func(model.QoSPolicyID)) {
			if !v.QoSPolicy.IsZero() {
				yield(v.QoSPolicy)
			}
		}),
	}
	return FloatingIPs{newTable(s)}
}

// ByProject yields a project's floating IPs.
func (t *FloatingIPs) ByProject(p string) iter.Seq[*model.FloatingIP] { return with(&t.Table, 0, p) }

// ByPort yields the floating IPs that lead to a port.
func (t *FloatingIPs) ByPort(p model.PortID) iter.Seq[*model.FloatingIP] {
	return with(&t.Table, 1, p)
}

// ByRouter yields the floating IPs that a router forwards.
func (t *FloatingIPs) ByRouter(r model.RouterID) iter.Seq[*model.FloatingIP] {
	return with(&t.Table, 2, r)
}

// ByNetwork yields the floating IPs of an external network.
func (t *FloatingIPs) ByNetwork(n model.NetworkID) iter.Seq[*model.FloatingIP] {
	return with(&t.Table, 3, n)
}

// ByAddress yields the floating IPs of an address, in all networks.
func (t *FloatingIPs) ByAddress(a netip.Addr) iter.Seq[*model.FloatingIP] {
	return with(&t.Table, 4, a)
}

// ByQoSPolicy yields the floating IPs that refer to a policy.
func (t *FloatingIPs) ByQoSPolicy(p model.QoSPolicyID) iter.Seq[*model.FloatingIP] {
	return with(&t.Table, 5, p)
}

// PortForwardings by id; indexes by floating IP and internal port.
type PortForwardings struct {
	Table[model.PortForwardingID, model.PortForwarding]
}

func newPortForwardings() PortForwardings {
	type T = model.PortForwarding
	type K = model.PortForwardingID
	s := uuidSpec(model.KindPortForwarding, func(v *T) K { return v.ID }, func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.FloatingIPID], func(v *T, yield func(model.FloatingIPID)) { yield(v.FloatingIP) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) { yield(v.Port) }),
	}
	return PortForwardings{newTable(s)}
}

// ByFloatingIP yields a floating IP's forwardings.
func (t *PortForwardings) ByFloatingIP(f model.FloatingIPID) iter.Seq[*model.PortForwarding] {
	return with(&t.Table, 0, f)
}

// ByPort yields the forwardings to a port.
func (t *PortForwardings) ByPort(p model.PortID) iter.Seq[*model.PortForwarding] {
	return with(&t.Table, 1, p)
}

// ConntrackHelpers by id; index by router.
type ConntrackHelpers struct {
	Table[model.ConntrackHelperID, model.ConntrackHelper]
}

func newConntrackHelpers() ConntrackHelpers {
	type T = model.ConntrackHelper
	type K = model.ConntrackHelperID
	s := uuidSpec(model.KindConntrackHelper, func(v *T) K { return v.ID }, func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.RouterID], func(v *T, yield func(model.RouterID)) { yield(v.Router) }),
	}
	return ConntrackHelpers{newTable(s)}
}

// ByRouter yields a router's helpers.
func (t *ConntrackHelpers) ByRouter(r model.RouterID) iter.Seq[*model.ConntrackHelper] {
	return with(&t.Table, 0, r)
}
