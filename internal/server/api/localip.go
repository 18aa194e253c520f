package api

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	localIPs            = Resource[model.LocalIP, rules.LocalIPExtra]
	localIPAssociations = Resource[model.LocalIPAssociation, rules.LocalIPExtra]
)

func localIPResource(ru *rules.Rules) *localIPs {
	type T = model.LocalIP
	type X = rules.LocalIPExtra
	r := &localIPs{
		name: "local_ip", plural: "local_ips", path: "local_ips", word: "LocalIP", gone: "Local IP %s could not be found.",
		source:     table(func(w *world.World) *world.Table[model.LocalIPID, T] { return &w.LocalIPs.Table }),
		id:         func(l *T) model.UUID { return l.ID.UUID },
		meta:       func(l *T) *model.Meta { return &l.Meta },
		project:    func(l *T) string { return l.ProjectID },
		setProject: func(l *T, p string) { l.ProjectID = p },
		create:     ru.CreateLocalIP,
		update:     func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error { return ru.UpdateLocalIP(tx, by, c.New) },
		remove:     ru.DeleteLocalIP,
		indexes: []index[T]{{"local_port_id", func(w *world.World, v string) rows[T] {
			return w.LocalIPs.ByPort(model.PortID{UUID: idOf(v)})
		}}},
	}
	r.identified()
	r.text("name", func(l *T) *string { return &l.Name }).rw()
	r.owned()
	r.uuid("local_port_id", func(l *T) *model.UUID { return &l.PortID.UUID }).inPost().check(notNull)
	r.uuid("network_id", func(l *T) *model.UUID { return &l.NetworkID.UUID }).inPost().check(notNull)
	addrAttr(r, "local_ip_address", func(l *T) *netip.Addr { return &l.Address }).inPost().guardAny()
	oneOf(r.text("ip_mode", func(l *T) *string { return &l.Mode }).inPost(), model.LocalIPTranslate, model.LocalIPPassthrough).
		initially(func(l *T, _ *X) { l.Mode = model.LocalIPTranslate })
	r.standard()
	nestAssociations(r, localIPAssociationResource(ru))
	return r
}

func notNull(v Value) error {
	_, err := uuidValue(v, false)
	return err
}

// addrAttr declares a stored address, null when there is none.
func addrAttr[P, E any](r *resource[P, E], name string, field func(P) *netip.Addr) *attribute[P, E] {
	a := r.derived(name, func(b []byte, v P, _ *View) []byte { return appendAddr(b, *field(v)) })
	a.text = func(v P, _ *View) string { return field(v).String() }
	a.convert(func(v Value) (assignment[P, E], error) {
		if v.kind == isNull {
			return func(t P, _ E) { *field(t) = netip.Addr{} }, nil
		}
		addr, err := addrValue(v)
		return func(t P, _ E) { *field(t) = addr }, err
	})
	a.compare = func(p, q P) int { return field(p).Compare(*field(q)) }
	return a.filterBy(func(_ *View, values []string) (func(P) bool, error) {
		return func(v P) bool {
			if !field(v).IsValid() {
				return slices.Contains(values, "")
			}
			return slices.Contains(values, field(v).String())
		}, nil
	})
}

func localIPAssociationResource(ru *rules.Rules) *localIPAssociations {
	type T = model.LocalIPAssociation
	of := func(a *T, x *View) *model.LocalIP { return x.W.LocalIPs.Get(a.LocalIP) }
	r := &localIPAssociations{
		name: "port_association", plural: "port_associations", path: "port_associations", word: "LocalIPAssociation",
		policy: "local_ip_port_association",
		source: table(func(w *world.World) *world.Table[model.LocalIPAssociationID, T] { return &w.LocalIPAssociations.Table }),
		id:     func(a *T) model.UUID { return a.ID.UUID },
		meta:   func(a *T) *model.Meta { return &a.Meta },
		gone:   "Local IP association %s could not be found.", goneUnder: "Local IP %[2]s association with port %[1]s could not be found.", orphaned: true,
		create: ru.CreateLocalIPAssociation,
		remove: ru.DeleteLocalIPAssociation,
		parent: func(a *T) model.UUID { return a.LocalIP.UUID },
		bindParent: func(a *T, parent model.UUID) {
			a.LocalIP.UUID = parent
		},
		parentProject: func(a *T, x *View) string {
			if l := of(a, x); l != nil {
				return l.ProjectID
			}
			return ""
		},
		reach: func(x *View) []*T {
			return slices.Collect(x.W.LocalIPAssociations.ByLocalIP(model.LocalIPID{UUID: x.Parent}))
		},
	}
	ignoredOwner(r)
	r.uuid("fixed_port_id", func(a *T) *model.UUID { return &a.PortID.UUID }).must()
	addrAttr(r, "fixed_ip", func(a *T) *netip.Addr { return &a.FixedIP }).inPost()
	r.derived("local_ip_id", func(b []byte, a *T, _ *View) []byte { return appendUUID(b, a.LocalIP.UUID) })
	r.derived("local_ip_address", func(b []byte, a *T, x *View) []byte {
		if l := of(a, x); l != nil {
			return appendAddr(b, l.Address)
		}
		return append(b, "null"...)
	})
	host := func(a *T, x *View) string {
		if p := x.W.Ports.Get(a.PortID); p != nil {
			return p.Host
		}
		return ""
	}
	r.derived("host", func(b []byte, a *T, x *View) []byte { return appendString(b, host(a, x)) }).
		filterBy(func(x *View, values []string) (func(*T) bool, error) {
			return func(a *T) bool { return slices.Contains(values, host(a, x)) }, nil
		})
	return r
}

// nestAssociations puts associations beneath local IPs. Clients name one by its port.
func nestAssociations(parent *localIPs, child *localIPAssociations) {
	nest(parent, child)
	under := parent.subs[child.path]
	parent.subs[child.path] = func(c *call, id string, rest []string) error {
		if err := child.wellFormed(c, rest); err != nil {
			return err
		}
		if len(rest) == 1 && c.r.Method != http.MethodPost {
			l, x, err := parent.object(c, id)
			if err != nil {
				return err
			}
			a := rules.LocalIPAssociationOf(x.W, l.ID, model.PortID{UUID: idOf(rest[0])})
			if a == nil {
				return errNotFound("LocalIPAssociationNotFound", "Local IP %s association with port %s could not be found.", id, rest[0])
			}
			rest = []string{a.ID.String()}
		}
		return under(c, id, rest)
	}
}
