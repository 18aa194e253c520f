package feed

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// interest is the set of topics that a host must follow, derived from the world alone.
type interest map[topic]struct{}

// interestOf derives a host's interest:
//
//	networks of its own ports ─▶ distributed routers on them ─▶ the routers' networks
//	                                     ▲                            │
//	                                     └── a route's next hop is another router's leg
//	routers whose central part is here ─▶ the routers' networks
//	routers followed ─▶ the external networks of their gateways, without the ports there
//
// Its own ports are also those that are about to come (a live migration). Of a centralized router others than its gateway
// host know the legs only.
//
// A network that one of its routers reaches does not by itself bring in its other routers: a shared network behind every
// tenant's router would make the cloud one domain.
//
// With each port of its own come the port's security groups, and the address sets that their rules name.
func interestOf(w *world.World, host string) interest {
	s := scoper{w: w, host: host, in: interest{}}
	s.in[topic{kind: topicHosts}] = struct{}{}
	s.in[topic{kind: topicHost, host: host}] = struct{}{}
	own := map[model.NetworkID]struct{}{}
	for p := range w.Ports.ByHost(host) {
		if endpoint(p) {
			own[p.NetworkID] = struct{}{}
			policyTopics(w, p, func(t topic) { s.in[t] = struct{}{} })
		}
	}
	coming(w, host, func(p *model.Port) {
		own[p.NetworkID] = struct{}{}
		policyTopics(w, p, func(t topic) { s.in[t] = struct{}{} })
	})
	for r := range w.Routers.ByGatewayHost(host) {
		s.router(r.ID)
	}
	for n := range own {
		s.in[networkTopic(n)] = struct{}{}
		s.routersOn(n)
	}
	return s.in
}

// coming yields the ports that a host is to be ready for: those migrating to it, and those with a binding to it that is not
// active yet.
func coming(w *world.World, host string, yield func(*model.Port)) {
	for p := range w.Ports.ByMigration(host) {
		yield(p)
	}
	for b := range w.Bindings.ByHost(host) {
		if p := w.Ports.Get(b.PortID); p != nil && !b.Distributed {
			yield(p)
		}
	}
}

type scoper struct {
	w    *world.World
	host string
	in   interest
}

// routersOn brings in the routers that have a leg on a network which the host has ports on.
func (s *scoper) routersOn(n model.NetworkID) {
	for p := range s.w.Ports.ByNetwork(n) {
		if p.IsRouterInterface() {
			s.router(routerOf(p))
		}
	}
}

// router brings in a router, its external network, the networks of its inner legs, and the routers that its routes lead to. Of
// a centralized router that is elsewhere, only its legs matter; they come with itself.
func (s *scoper) router(id model.RouterID) {
	if _, seen := s.in[routerTopic(id)]; seen {
		return
	}
	s.in[routerTopic(id)] = struct{}{}
	r := s.w.Routers.Get(id)
	if r == nil {
		return
	}
	if !r.Distributed && r.GatewayHost != s.host {
		return
	}
	inner, gateway := legs(s.w, r)
	if gateway != nil {
		s.in[externalTopic(gateway.NetworkID)] = struct{}{}
	}
	for _, p := range inner {
		s.in[networkTopic(p.NetworkID)] = struct{}{}
	}
	for _, route := range r.Routes {
		for _, p := range inner {
			s.through(p, route.NextHop)
		}
	}
}

// through brings in the router that answers for a next hop on a leg's network.
func (s *scoper) through(leg *model.Port, nexthop netip.Addr) {
	for _, f := range leg.FixedIPs {
		p := s.w.Ports.ByAddress(f.SubnetID, nexthop)
		if p != nil && p.ID != leg.ID && p.IsRouterInterface() {
			s.router(routerOf(p))
		}
	}
}

// moves reports whether a change may change some host's interest, and yields the topics whose followers must be looked
// at and the hosts themselves.
func moves(w *world.World, c world.Change, follow func(topic), host func(string)) {
	each(c, func(v any) {
		switch v := v.(type) {
		case *model.Port:
			if r := routerOf(v); !r.IsZero() {
				follow(routerTopic(r))
				follow(networkTopic(v.NetworkID))
			} else if rebound(c) {
				for _, h := range []string{v.Host, world.MigratingTo(v)} {
					if h != "" {
						host(h)
					}
				}
				for b := range w.Bindings.ByPort(v.ID) {
					host(b.Host)
				}
			}
		case *model.PortBinding:
			if !v.Distributed {
				host(v.Host)
			}
		case *model.SecurityGroupRule:
			follow(groupTopic(v.GroupID))
		case *model.Router:
			follow(routerTopic(v.ID))
			if v.GatewayHost != "" {
				host(v.GatewayHost)
			}
		}
	})
}

// rebound reports whether a port came, went, or changed its host, its visibility or its groups.
func rebound(c world.Change) bool {
	before, _ := c.Old.(*model.Port)
	after, _ := c.New.(*model.Port)
	return before == nil || after == nil || before.Host != after.Host || endpoint(before) != endpoint(after) || !slices.Equal(before.SecurityGroups, after.SecurityGroups) ||
		routerOf(before) != routerOf(after) || world.MigratingTo(before) != world.MigratingTo(after)
}
