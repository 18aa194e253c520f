package api

import (
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// schedulers puts what the agent schedulers' API has beneath agents, networks and routers.
func schedulers(n *networks, v *routers, a *agents) {
	a.subs = map[string]func(c *call, id string, rest []string) error{
		"dhcp-networks": func(c *call, id string, rest []string) error { return agentNetworks(c, a, n, id, rest) },
		"l3-routers":    func(c *call, id string, rest []string) error { return agentRouters(c, a, v, id, rest) },
	}
	put := func(m *map[string]func(c *call, id string, rest []string) error, name string, f func(c *call, id string, rest []string) error) {
		if *m == nil {
			*m = map[string]func(c *call, id string, rest []string) error{}
		}
		(*m)[name] = f
	}
	put(&n.subs, "dhcp-agents", func(c *call, id string, rest []string) error {
		if err := mayList(c, "get_dhcp-agents", rest); err != nil {
			return err
		}
		o, x, err := n.object(c, id)
		if err != nil {
			return err
		}
		return listAgents(c, a, x, func(g *model.Agent) bool { return rules.ServesDHCP(g, o) })
	})
	put(&v.subs, "l3-agents", func(c *call, id string, rest []string) error {
		if err := mayList(c, "get_l3-agents", rest); err != nil {
			return err
		}
		o, x, err := v.object(c, id)
		if err != nil {
			return err
		}
		return listAgents(c, a, x, func(g *model.Agent) bool {
			return g.Type == model.AgentL3 && g.Host == o.GatewayHost
		})
	})
}

// mayList refuses what is no list of agents, or not the caller's to see: that is asked before it is looked whether the object is there, so that
// who may not learns nothing of it.
func mayList(c *call, action string, rest []string) error {
	switch {
	case len(rest) > 0:
		return errNoPath
	case c.r.Method != http.MethodGet:
		return errMethod
	}
	return c.may.Enforce(action, nil, nil)
}

// listAgents answers with the agents of which which holds.
func listAgents(c *call, a *agents, x *View, which func(*model.Agent) bool) error {
	x.Detail = true
	b := append(c.buffer(), `{"agents": `...)
	b = appendList(b, slices.Collect(filtered(x.W.Agents.All(), which)), func(b []byte, g *model.Agent) []byte {
		return a.encode(b, g, x, a.mask(x, nil))
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

func filtered[P any](seq iter.Seq[P], keep func(P) bool) iter.Seq[P] {
	return func(yield func(P) bool) {
		for v := range seq {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
}

// agentNetworks answers /agents/ID/dhcp-networks.
func agentNetworks(c *call, a *agents, n *networks, id string, rest []string) error {
	ru := c.s.deps.Rules
	switch {
	case len(rest) == 0 && c.r.Method == http.MethodGet:
		g, x, err := agentFor(c, a, id, "get_dhcp-networks")
		if err != nil {
			return err
		}
		b := append(c.buffer(), `{"networks": `...)
		b = appendList(b, slices.Collect(filtered(x.W.Networks.All(), func(v *model.Network) bool { return rules.ServesDHCP(g, v) })),
			func(b []byte, v *model.Network) []byte { return n.encode(c.flush(b), v, x, n.mask(x, nil)) })
		c.reply(http.StatusOK, append(b, '}'))
		return nil
	case len(rest) == 0 && c.r.Method == http.MethodPost:
		return assignTo(c, a, id, "create_dhcp-network", "network_id", func(tx *world.Tx, g *model.Agent, u model.UUID) error {
			return ru.AddDHCP(tx, g, model.NetworkID{UUID: u})
		})
	case len(rest) == 1 && c.r.Method == http.MethodDelete:
		return takeFrom(c, a, id, "delete_dhcp-network", func(tx *world.Tx, g *model.Agent) error {
			return ru.RemoveDHCP(tx, g, model.NetworkID{UUID: idOf(rest[0])})
		})
	}
	return errMethod
}

// agentRouters answers /agents/ID/l3-routers.
func agentRouters(c *call, a *agents, v *routers, id string, rest []string) error {
	ru := c.s.deps.Rules
	switch {
	case len(rest) == 0 && c.r.Method == http.MethodGet:
		g, x, err := agentFor(c, a, id, "get_l3-routers")
		if err != nil {
			return err
		}
		var list []*model.Router
		if g.Type == model.AgentL3 {
			list = slices.Collect(x.W.Routers.ByGatewayHost(g.Host))
		}
		x.Detail = true
		b := append(c.buffer(), `{"routers": `...)
		b = appendList(b, list, func(b []byte, o *model.Router) []byte { return v.encode(c.flush(b), o, x, v.mask(x, nil)) })
		c.reply(http.StatusOK, append(b, '}'))
		return nil
	case len(rest) == 0 && c.r.Method == http.MethodPost:
		return assignTo(c, a, id, "create_l3-router", "router_id", func(tx *world.Tx, g *model.Agent, u model.UUID) error {
			return ru.AddRouter(tx, g, model.RouterID{UUID: u})
		})
	case len(rest) == 1 && c.r.Method == http.MethodDelete:
		return takeFrom(c, a, id, "delete_l3-router", func(tx *world.Tx, g *model.Agent) error {
			return ru.RemoveRouter(tx, g, model.RouterID{UUID: idOf(rest[0])})
		})
	}
	return errMethod
}

func agentFor(c *call, a *agents, id, action string) (*model.Agent, *View, error) {
	if err := c.may.Enforce(action, nil, nil); err != nil { // who may not learns nothing of the agent
		return nil, nil, err
	}
	return a.object(c, id)
}

// assignTo gives what the body names to an agent.
func assignTo(c *call, a *agents, id, action, key string, rule func(*world.Tx, *model.Agent, model.UUID) error) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := c.may.Enforce(action, nil, nil); err != nil {
		return err
	}
	v, ok := body.get(key)
	if !ok {
		return badRequest("Failed to parse request. Required attribute '%s' not specified", key)
	}
	_, err = a.change(c, id, action, func(tx *world.Tx, g *model.Agent) error {
		return asSent(rule(tx, g, idOf(v.text)), v)
	})
	if err == nil {
		c.reply(http.StatusCreated, append(c.buffer(), "null"...))
	}
	return err
}

// asSent puts what the client sent into a fault that speaks of an identifier, where it was none.
func asSent(err error, v Value) error {
	var e *model.Error
	if _, bad := model.ParseUUID(v.text); bad == nil || !errors.As(err, &e) || e.Kind != model.KindNotFound {
		return err
	}
	told := *e
	told.Message = strings.ReplaceAll(e.Message, "00000000-0000-0000-0000-000000000000", v.String())
	return &told
}

func takeFrom(c *call, a *agents, id, action string, rule func(*world.Tx, *model.Agent) error) error {
	if err := c.may.Enforce(action, nil, nil); err != nil {
		return err
	}
	_, err := a.change(c, id, action, rule)
	if err == nil {
		c.reply(http.StatusNoContent, nil)
	}
	return err
}

// zone is one row of availability_zones.
type zone struct{ name, resource, state string }

// availabilityZones answers GET /availability_zones.
func availabilityZones(c *call, rest []string) error {
	switch {
	case len(rest) > 0:
		return errNoPath
	case c.r.Method != http.MethodGet:
		return errMethod
	}
	q, err := parseQuery(c.r.URL.RawQuery, 0)
	if err != nil {
		return err
	}
	x := c.view()
	var list []zone // to whom policy shows none there is none, as in Neutron
	if x.May.Allows("get_availability_zone", nil) {
		list = zoneRows(x)
	}
	for _, f := range q.filters {
		if !slices.Contains([]string{"name", "resource", "state"}, f.name) {
			return badRequest("%s is invalid attribute for filtering", pyList([]string{f.name}))
		}
		list = slices.DeleteFunc(list, func(z zone) bool {
			return !slices.Contains(f.values, map[string]string{"name": z.name, "resource": z.resource, "state": z.state}[f.name])
		})
	}
	b := append(c.buffer(), `{"availability_zones": `...)
	b = appendList(b, list, func(b []byte, z zone) []byte {
		b = appendString(append(b, `{"name": `...), z.name)
		b = appendString(append(b, `, "resource": `...), z.resource)
		return append(appendString(append(b, `, "state": `...), z.state), '}')
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

// zoneRows are the zones of networks (DHCP agents) and routers (L3 agents); available while any agent of theirs is.
func zoneRows(x *View) []zone {
	var out []zone
	for g := range x.W.Agents.All() {
		z := zone{g.AZ, "network", "unavailable"}
		switch g.Type {
		case model.AgentDHCP:
		case model.AgentL3:
			z.resource = "router"
		default:
			continue
		}
		_, alive := x.Rules.Alive(g.Host)
		i := slices.IndexFunc(out, func(o zone) bool { return o.name == z.name && o.resource == z.resource })
		if i < 0 {
			i = len(out)
			out = append(out, z)
		}
		if alive && g.AdminStateUp {
			out[i].state = "available"
		}
	}
	slices.SortFunc(out, func(a, b zone) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.resource, b.resource)
	})
	return out
}
