package api

import (
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type conntrackHelpers = Resource[model.ConntrackHelper, rules.ConntrackHelperExtra]

func conntrackHelperResource(ru *rules.Rules) *conntrackHelpers {
	type T = model.ConntrackHelper
	type X = rules.ConntrackHelperExtra
	r := &conntrackHelpers{
		name: "conntrack_helper", plural: "conntrack_helpers", path: "conntrack_helpers", word: "ConntrackHelper",
		policy: "router_conntrack_helper",
		source: table(func(w *world.World) *world.Table[model.ConntrackHelperID, T] { return &w.ConntrackHelpers.Table }),
		id:     func(v *T) model.UUID { return v.ID.UUID },
		meta:   func(v *T) *model.Meta { return &v.Meta },
		create: ru.CreateConntrackHelper,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdateConntrackHelper(tx, by, c.New)
		},
		remove:     ru.DeleteConntrackHelper,
		gone:       "Conntrack Helper %s could not be found.",
		orphaned:   true,
		parent:     func(v *T) model.UUID { return v.Router.UUID },
		bindParent: func(v *T, parent model.UUID) { v.Router.UUID = parent },
		parentProject: func(v *T, x *View) string {
			if p := x.W.Routers.Get(v.Router); p != nil {
				return p.ProjectID
			}
			return ""
		},
		reach: func(x *View) []*T {
			return slices.Collect(x.W.ConntrackHelpers.ByRouter(model.RouterID{UUID: x.Parent}))
		},
	}
	r.identified()
	ignoredOwner(r)
	protocolOf(r.text("protocol", func(v *T) *string { return &v.Protocol }).rw().must(), "tcp", "udp", "dccp", "icmp", "ipv6-icmp", "sctp")
	r.number("port", func(v *T) int64 { return int64(v.Port) }).rw().must().convert(func(v Value) (assign[T, X], error) {
		n, err := portValue(v)
		if _, bad := intValue(v); bad != nil {
			err = model.Invalid("port '%s' is not an integer.", v)
		}
		return func(t *T, _ *X) { t.Port = int(n) }, err
	})
	r.text("helper", func(v *T) *string { return &v.Helper }).rw().must().convert(func(v Value) (assign[T, X], error) {
		text := v.String() // of any type: the rule knows which helpers there are
		if v.kind != isNull {
			v = Value{kind: isString, text: text}
		}
		_, err := textValue(v, 64)
		return func(t *T, _ *X) { t.Helper = text }, err
	})
	return r
}

// appendNestedHelper shows a helper within its router.
func appendNestedHelper(b []byte, v *model.ConntrackHelper) []byte {
	b = appendString(append(b, `{"protocol": `...), v.Protocol)
	b = strconv.AppendInt(append(b, `, "port": `...), int64(v.Port), 10)
	return append(appendString(append(b, `, "helper": `...), v.Helper), '}')
}
