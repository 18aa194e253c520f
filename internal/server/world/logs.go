package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// Logs by id; indexes by security group and port.
type Logs struct {
	Table[model.LogID, model.Log]
}

func newLogs() Logs {
	type T = model.Log
	type K = model.LogID
	s := uuidSpec(model.KindLog, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.UUID], func(v *T, yield func(model.UUID)) {
			if !v.Resource.IsZero() {
				yield(v.Resource)
			}
		}),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) {
			if !v.Target.IsZero() {
				yield(v.Target)
			}
		}),
	}
	return Logs{newTable(s)}
}

// ByResource yields the logs of a security group alone.
func (t *Logs) ByResource(id model.UUID) iter.Seq[*model.Log] { return with(&t.Table, 0, id) }

// ByTarget yields the logs of a port alone.
func (t *Logs) ByTarget(p model.PortID) iter.Seq[*model.Log] { return with(&t.Table, 1, p) }

// LocalIPs by id; indexes by the port that holds the address, and by project.
type LocalIPs struct {
	Table[model.LocalIPID, model.LocalIP]
}

func newLocalIPs() LocalIPs {
	type T = model.LocalIP
	type K = model.LocalIPID
	s := uuidSpec(model.KindLocalIP, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) { yield(v.PortID) }),
	}
	return LocalIPs{newTable(s)}
}

// ByPort yields the local IPs whose address a port holds.
func (t *LocalIPs) ByPort(p model.PortID) iter.Seq[*model.LocalIP] { return with(&t.Table, 0, p) }

// LocalIPAssociations by id; indexes by local IP and port.
type LocalIPAssociations struct {
	Table[model.LocalIPAssociationID, model.LocalIPAssociation]
}

func newLocalIPAssociations() LocalIPAssociations {
	type T = model.LocalIPAssociation
	type K = model.LocalIPAssociationID
	s := uuidSpec(model.KindLocalIPAssociation, func(v *T) K { return v.ID }, func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.LocalIPID], func(v *T, yield func(model.LocalIPID)) { yield(v.LocalIP) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) { yield(v.PortID) }),
	}
	return LocalIPAssociations{newTable(s)}
}

// ByLocalIP yields a local IP's associations.
func (t *LocalIPAssociations) ByLocalIP(l model.LocalIPID) iter.Seq[*model.LocalIPAssociation] {
	return with(&t.Table, 0, l)
}

// ByPort yields the associations of a port.
func (t *LocalIPAssociations) ByPort(p model.PortID) iter.Seq[*model.LocalIPAssociation] {
	return with(&t.Table, 1, p)
}

// NDPProxies by id; indexes by router and port.
type NDPProxies struct {
	Table[model.NDPProxyID, model.NDPProxy]
}

func newNDPProxies() NDPProxies {
	type T = model.NDPProxy
	type K = model.NDPProxyID
	s := uuidSpec(model.KindNDPProxy, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.RouterID], func(v *T, yield func(model.RouterID)) { yield(v.Router) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) { yield(v.PortID) }),
	}
	return NDPProxies{newTable(s)}
}

// ByRouter yields a router's NDP proxies.
func (t *NDPProxies) ByRouter(r model.RouterID) iter.Seq[*model.NDPProxy] {
	return with(&t.Table, 0, r)
}

// ByPort yields the NDP proxies for a port.
func (t *NDPProxies) ByPort(p model.PortID) iter.Seq[*model.NDPProxy] { return with(&t.Table, 1, p) }
