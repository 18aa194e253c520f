package api

import (
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

func ndpProxyResource(ru *rules.Rules) *Resource[model.NDPProxy, rules.NDPProxyExtra] {
	type T = model.NDPProxy
	type X = rules.NDPProxyExtra
	r := &Resource[T, X]{
		name: "ndp_proxy", plural: "ndp_proxies", path: "ndp_proxies", word: "NDPProxy", gone: "Ndp proxy %s could not be found.",
		source:     table(func(w *world.World) *world.Table[model.NDPProxyID, T] { return &w.NDPProxies.Table }),
		id:         func(n *T) model.UUID { return n.ID.UUID },
		meta:       func(n *T) *model.Meta { return &n.Meta },
		project:    func(n *T) string { return n.ProjectID },
		setProject: func(n *T, p string) { n.ProjectID = p },
		create:     ru.CreateNDPProxy,
		update:     func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error { return ru.UpdateNDPProxy(tx, by, c.New) },
		remove:     ru.DeleteNDPProxy,
		indexes: []index[T]{
			{"port_id", func(w *world.World, v string) rows[T] { return w.NDPProxies.ByPort(model.PortID{UUID: idOf(v)}) }},
			{"router_id", func(w *world.World, v string) rows[T] { return w.NDPProxies.ByRouter(model.RouterID{UUID: idOf(v)}) }},
		},
	}
	r.identified()
	r.text("name", func(n *T) *string { return &n.Name }).rw()
	r.owned()
	r.uuid("router_id", func(n *T) *model.UUID { return &n.Router.UUID }).must()
	r.uuid("port_id", func(n *T) *model.UUID { return &n.PortID.UUID }).must()
	addrAttr(r, "ip_address", func(n *T) *netip.Addr { return &n.Address }).inPost()
	r.standard()
	return r
}
