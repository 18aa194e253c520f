package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/promise"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type routers = Resource[model.Router, rules.RouterExtra]

func routerResource(ru *rules.Rules) *routers {
	r := &routers{
		single: true, name: "router", plural: "routers", word: "Router", gone: "Router %s could not be found", quota: model.KindRouter, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.RouterID, model.Router] { return &w.Routers.Table }),
		id:         func(v *model.Router) model.UUID { return v.ID.UUID },
		meta:       func(v *model.Router) *model.Meta { return &v.Meta },
		project:    func(v *model.Router) string { return v.ProjectID },
		setProject: func(v *model.Router, p string) { v.ProjectID = p },
		create:     ru.CreateRouter,
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.Router, rules.RouterExtra]) error {
			return ru.UpdateRouter(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteRouter,
		indexes: []index[model.Router]{
			{"project_id", func(w *world.World, v string) rows[model.Router] { return w.Routers.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[model.Router] { return w.Routers.ByProject(v) }},
		},
	}
	r.identified()
	r.text("name", func(v *model.Router) *string { return &v.Name }).rw()
	r.owned()
	r.flag("admin_state_up", func(v *model.Router) *bool { return &v.AdminStateUp }).rw().
		initially(func(v *model.Router, _ *rules.RouterExtra) { v.AdminStateUp = true })
	r.text("status", func(v *model.Router) *string { return &v.Status })
	routerKind(r)
	r.derived("external_gateway_info", appendGateway).rw().guard("network_id", "enable_snat", "external_fixed_ips").convert(gatewayValue)
	r.derived("routes", func(b []byte, v *model.Router, _ *View) []byte { return appendRoutes(b, v.Routes) }).inPut().
		convert(func(v Value) (assign[model.Router, rules.RouterExtra], error) {
			routes, err := routesValue(v)
			return func(t *model.Router, _ *rules.RouterExtra) { t.Routes = rules.SortRoutes(routes) }, err
		})
	routerRest(r)
	r.standard()
	nest(r, conntrackHelperResource(ru))
	r.actions = map[string]func(c *call, id string) error{
		"add_router_interface":    func(c *call, id string) error { return changeInterface(c, r, id, true) },
		"remove_router_interface": func(c *call, id string) error { return changeInterface(c, r, id, false) },
		"add_extraroutes":         func(c *call, id string) error { return changeRoutes(c, r, id, "add_extraroutes", ru.AddRoutes) },
		"remove_extraroutes":      func(c *call, id string) error { return changeRoutes(c, r, id, "remove_extraroutes", ru.RemoveRoutes) },
	}
	return r
}

// routerKind declares distributed and ha.
func routerKind(r *routers) {
	kind := func(name string, field func(*model.Router) *bool, opt func(*rules.RouterExtra) *rules.Opt[bool]) {
		r.flag(name, field).rw().guardAll().convert(func(v Value) (assign[model.Router, rules.RouterExtra], error) {
			if v.kind == isNull {
				return func(*model.Router, *rules.RouterExtra) {}, nil
			}
			on, err := boolValue(v)
			return func(_ *model.Router, x *rules.RouterExtra) { *opt(x) = rules.Some(on) }, err
		})
	}
	kind("distributed", func(v *model.Router) *bool { return &v.Distributed }, func(x *rules.RouterExtra) *rules.Opt[bool] { return &x.Distributed })
	kind("ha", func(v *model.Router) *bool { return &v.HA }, func(x *rules.RouterExtra) *rules.Opt[bool] { return &x.HA })
}

func appendGateway(b []byte, v *model.Router, x *View) []byte {
	p := x.W.Ports.Get(v.GatewayPort)
	if p == nil {
		return append(b, "null"...)
	}
	b = appendUUID(append(b, `{"network_id": `...), p.NetworkID.UUID)
	b = appendBool(append(b, `, "enable_snat": `...), v.EnableSNAT)
	b = appendList(append(b, `, "external_fixed_ips": `...), p.FixedIPs, func(b []byte, f model.FixedIP) []byte {
		b = appendUUID(append(b, `{"subnet_id": `...), f.SubnetID.UUID)
		return append(appendAddr(append(b, `, "ip_address": `...), f.Address), '}')
	})
	if !v.GatewayQoS.IsZero() {
		b = appendUUID(append(b, `, "qos_policy_id": `...), v.GatewayQoS.UUID)
	}
	return append(b, '}')
}

// gatewayValue reads external_gateway_info; null and {} take the gateway away.
func gatewayValue(v Value) (assign[model.Router, rules.RouterExtra], error) {
	if v.kind == isNull || (v.kind == isObject && len(v.members) == 0) {
		return func(_ *model.Router, x *rules.RouterExtra) { x.Gateway = rules.Some[*rules.GatewayRequest](nil) }, nil
	}
	if v.kind != isObject {
		return nil, reasonf("'%s' is not a dictionary.", v)
	}
	if _, ok := v.get("network_id"); !ok {
		return nil, reasonf("Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: %s.", pySet(v.names()))
	}
	q := &rules.GatewayRequest{}
	for _, m := range v.members {
		var err error
		switch m.name {
		case "network_id":
			q.Network.UUID, err = uuidValue(m.value, false)
		case "enable_snat":
			var on bool
			on, err = boolValue(m.value)
			q.EnableSNAT = rules.Some(on)
		case "external_fixed_ips":
			if m.value.kind == isNull {
				continue
			}
			var want []rules.FixedIPRequest
			want, err = fixedIPsValue(m.value)
			q.FixedIPs = rules.Some(want)
		case "qos_policy_id":
			if err = checkQoSPolicyID(m.value); err == nil {
				var u model.UUID
				u, err = uuidValue(m.value, true)
				q.QoS = rules.Some(model.QoSPolicyID{UUID: u})
			}
		default:
			err = reasonf("Unexpected key '%s'.", m.name)
		}
		if err != nil {
			return nil, err
		}
	}
	if q.Network.IsZero() {
		return nil, reasonf("Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: %s.", pySet(v.names()))
	}
	return func(_ *model.Router, x *rules.RouterExtra) { x.Gateway = rules.Some(q) }, nil
}

func routerRest(r *routers) {
	r.derived("availability_zone_hints", func(b []byte, v *model.Router, _ *View) []byte { return appendStrings(b, v.AZHints) }).inPost().
		sortBy(func(a, b *model.Router) int { return slices.Compare(a.AZHints, b.AZHints) }).
		convert(func(v Value) (assign[model.Router, rules.RouterExtra], error) {
			hints, err := stringsValue(v)
			return func(t *model.Router, _ *rules.RouterExtra) { t.AZHints = hints }, err
		})
	r.derived("availability_zones", func(b []byte, v *model.Router, x *View) []byte {
		if v.GatewayHost == "" {
			return append(b, '[', ']')
		}
		return appendStrings(b, zones(x, v.GatewayHost))
	})
	r.nullable("flavor_id", func(v *model.Router) *string { return &v.FlavorID }).inPost().guardAny().
		convert(func(v Value) (assign[model.Router, rules.RouterExtra], error) {
			text := ""
			if v.kind != isNull {
				text = v.String() // no other value is a flavor's: the rule says so
			}
			return func(t *model.Router, _ *rules.RouterExtra) { t.FlavorID = text }, nil
		})
	r.flag("enable_ndp_proxy", func(v *model.Router) *bool { return &v.EnableNDPProxy }).rw().
		convert(func(v Value) (assign[model.Router, rules.RouterExtra], error) {
			if v.kind == isNull {
				return func(*model.Router, *rules.RouterExtra) {}, nil
			}
			on, err := boolValue(v)
			return func(_ *model.Router, x *rules.RouterExtra) { x.NDP = rules.Some(on) }, err
		})
	r.derived("conntrack_helpers", func(b []byte, v *model.Router, x *View) []byte {
		return appendList(b, slices.Collect(x.W.ConntrackHelpers.ByRouter(v.ID)), appendNestedHelper)
	})
	detail := func(_ *model.Router, x *View) bool { return x.Detail }
	r.derived("gw_port_id", func(b []byte, v *model.Router, _ *View) []byte { return appendUUID(b, v.GatewayPort.UUID) }).when(detail)
	r.derived("ha_vr_id", func(b []byte, v *model.Router, _ *View) []byte { return strconv.AppendInt(b, int64(v.HAVRID), 10) }).when(detail)
}

// changeInterface answers add_router_interface and remove_router_interface.
func changeInterface(c *call, r *routers, id string, add bool) error {
	op := "remove_router_interface"
	if add {
		op = "add_router_interface"
	}
	var out *rules.InterfaceResult
	var before []*promise.Gap
	w, err := r.act(c, id, op, func(tx *world.Tx, v *model.Router, body Value) error {
		before = promise.Of(&tx.World, v, nil)
		q, err := interfaceValue(body)
		if err != nil {
			return err
		}
		if add {
			out, err = c.s.deps.Rules.AddInterface(tx, c.by, v, q)
		} else {
			out, err = c.s.deps.Rules.RemoveInterface(tx, c.by, v, q)
		}
		return err
	})
	if err != nil {
		return err
	}
	if add {
		c.tell(slices.DeleteFunc(promise.Of(w, w.Routers.Get(out.Router.ID), nil), func(g *promise.Gap) bool { return slices.Contains(before, g) }))
	}
	b := appendUUID(append(c.buffer(), `{"id": `...), out.Router.ID.UUID)
	b = appendString(append(b, `, "tenant_id": `...), out.Project)
	b = appendUUID(append(b, `, "port_id": `...), out.Port.UUID)
	b = appendUUID(append(b, `, "network_id": `...), out.Network.UUID)
	if len(out.Subnets) > 0 {
		b = appendUUID(append(b, `, "subnet_id": `...), out.Subnets[0].UUID)
	}
	b = appendList(append(b, `, "subnet_ids": `...), out.Subnets, func(b []byte, s model.SubnetID) []byte { return appendUUID(b, s.UUID) })
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

func interfaceValue(v Value) (q rules.InterfaceRequest, err error) {
	bad := func(v Value) error {
		return model.Errf(model.KindInvalid, "BadRequest", "Bad router request: '%s' is not a valid UUID.", v)
	}
	if p, ok := v.get("port_id"); ok {
		u, err := uuidValue(p, false)
		if err != nil {
			return q, bad(p)
		}
		q.Port = rules.Some(model.PortID{UUID: u})
	}
	if s, ok := v.get("subnet_id"); ok {
		u, err := uuidValue(s, false)
		if err != nil {
			return q, bad(s)
		}
		q.Subnet = rules.Some(model.SubnetID{UUID: u})
	}
	return q, nil
}

// changeRoutes answers add_extraroutes and remove_extraroutes.
func changeRoutes(c *call, r *routers, id, op string, rule func(*world.Tx, *model.Router, []model.Route) error) error {
	w, err := r.act(c, id, op, func(tx *world.Tx, v *model.Router, body Value) error {
		router, _ := body.get("router")
		list, ok := router.get("routes")
		if !ok {
			return badRequest("Invalid input for routes. Reason: the body must have router.routes.")
		}
		routes, _, err := manyRoutes(list) // one that is there twice is one, as one that the router has already
		if err != nil {
			return badRequest("Invalid input for routes. Reason: %s", err)
		}
		return rule(tx, v, routes)
	})
	if err != nil {
		return err
	}
	x := c.viewOf(w)
	x.Detail = true
	r.answer(c, http.StatusOK, r.source.get(w, idOf(id)), x, r.mask(x, nil))
	return nil
}
