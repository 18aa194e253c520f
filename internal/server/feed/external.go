package feed

import (
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

func externalTopic(id model.NetworkID) topic { return topic{kind: topicExternal, id: id.UUID} }

// routerBody is a router with its legs, helpers and plain prefixes.
func routerBody(w *world.World, r *model.Router) proto.Message {
	p := wire.RouterParts{Router: r}
	p.Interfaces, p.Gateway = legs(w, r)
	for h := range w.ConntrackHelpers.ByRouter(r.ID) {
		if n, ok := rules.ProtocolNumber(h.Protocol, model.EtherIP4); ok {
			p.Helpers = append(p.Helpers, wire.Helper{Protocol: uint8(n), Port: uint16(h.Port), Name: h.Helper})
		}
	}
	if p.Gateway != nil {
		p.Plain = plain(w, p.Interfaces, p.Gateway.NetworkID)
	}
	return wire.FromRouter(p)
}

// plain are the prefixes of a router's inner legs that are in an address scope of the external network.
func plain(w *world.World, inner []*model.Port, external model.NetworkID) []netip.Prefix {
	scopes := map[model.AddressScopeID]bool{}
	for s := range w.Subnets.ByNetwork(external) {
		if v := scopeOf(w, s); !v.IsZero() {
			scopes[v] = true
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	var out []netip.Prefix
	for _, p := range inner {
		if !p.IsRouterInterface() {
			continue
		}
		for _, f := range p.FixedIPs {
			if s := w.Subnets.Get(f.SubnetID); s != nil && scopes[scopeOf(w, s)] && !slices.Contains(out, s.CIDR.Masked()) {
				out = append(out, s.CIDR.Masked())
			}
		}
	}
	return out
}

// scopeOf is the address scope of a subnet, by its pool; zero: none.
func scopeOf(w *world.World, s *model.Subnet) model.AddressScopeID {
	if p := w.SubnetPools.Get(s.PoolID); p != nil {
		return p.AddressScope
	}
	return model.AddressScopeID{}
}

// externalBody is an external network as routers reach it; nil: not there.
func externalBody(w *world.World, id model.NetworkID) proto.Message {
	n := w.Networks.Get(id)
	if n == nil {
		return nil
	}
	return wire.FromExternal(wire.ExternalParts{Network: n, Segments: segments(w, id), Subnets: slices.Collect(w.Subnets.ByNetwork(id))})
}

// floatingBody is a floating IP for the host that it is placed on; nil: not there, or it leads nowhere.
func floatingBody(w *world.World, id model.FloatingIPID) proto.Message {
	f := w.FloatingIPs.Get(id)
	if f == nil || f.Router.IsZero() {
		return nil
	}
	p := wire.FloatingIPParts{FloatingIP: f}
	_, p.Central = rules.PlaceFloatingIP(w, f)
	if own := w.Ports.Get(f.OwnPort); own != nil {
		p.MAC = own.MAC
	}
	for v := range w.PortForwardings.ByFloatingIP(id) {
		if n, ok := rules.ProtocolNumber(v.Protocol, model.EtherIP4); ok {
			p.Forwardings = append(p.Forwardings, wire.Forwarding{PortForwarding: v, Number: uint8(n)})
		}
	}
	return wire.FromFloatingIP(p)
}

// proxyBody is an NDP proxy for the host that it is placed on; nil: not there, or placed nowhere.
func proxyBody(w *world.World, id model.NDPProxyID) proto.Message {
	n := w.NDPProxies.Get(id)
	if n == nil {
		return nil
	}
	at := rules.PlaceNDPProxy(w, n)
	if at.Host == "" {
		return nil
	}
	return wire.FromNDPProxy(wire.NDPProxyParts{Proxy: n, External: at.External, Central: at.Central})
}

// proxyPlacedAt reports whether an NDP proxy is a host's to answer for.
func proxyPlacedAt(w *world.World, id model.NDPProxyID, host string) bool {
	n := w.NDPProxies.Get(id)
	return n != nil && rules.PlaceNDPProxy(w, n).Host == host
}

// proxiesAt yields the NDP proxies that are placed on a host.
func proxiesAt(w *world.World, host string, yield func(*model.NDPProxy)) {
	for p := range w.Ports.ByHost(host) {
		for n := range w.NDPProxies.ByPort(p.ID) {
			if at := rules.PlaceNDPProxy(w, n); at.Host == host && !at.Central {
				yield(n)
			}
		}
	}
	for r := range w.Routers.ByGatewayHost(host) {
		for n := range w.NDPProxies.ByRouter(r.ID) {
			if at := rules.PlaceNDPProxy(w, n); at.Host == host && at.Central {
				yield(n)
			}
		}
	}
}

// placedAt reports whether a floating IP is a host's to translate.
func placedAt(w *world.World, id model.FloatingIPID, host string) bool {
	f := w.FloatingIPs.Get(id)
	if f == nil {
		return false
	}
	at, _ := rules.PlaceFloatingIP(w, f)
	return at == host
}

// floatingAt yields the floating IPs that are placed on a host.
func floatingAt(w *world.World, host string, yield func(*model.FloatingIP)) {
	for p := range w.Ports.ByHost(host) {
		for f := range w.FloatingIPs.ByPort(p.ID) {
			if at, central := rules.PlaceFloatingIP(w, f); at == host && !central {
				yield(f)
			}
		}
	}
	for r := range w.Routers.ByGatewayHost(host) {
		for f := range w.FloatingIPs.ByRouter(r.ID) {
			if at, central := rules.PlaceFloatingIP(w, f); at == host && central {
				yield(f)
			}
		}
	}
}

// touchedOutside yields what of the world outside a change may have changed, as it is in w: an object that moves is yielded
// for where it was and for where it is.
func touchedOutside(w *world.World, c world.Change, yield func(topic, key)) {
	touchedProxies(w, c, yield)
	floating := func(f *model.FloatingIP) {
		if host, _ := rules.PlaceFloatingIP(w, f); host != "" {
			yield(topic{kind: topicHost, host: host}, uuidKey(wire.Kind_KIND_FLOATING_IP, f.ID.UUID))
		}
	}
	external := func(id model.NetworkID) { yield(externalTopic(id), uuidKey(wire.Kind_KIND_EXTERNAL, id.UUID)) }
	router := func(id model.RouterID) { yield(routerTopic(id), uuidKey(wire.Kind_KIND_ROUTER, id.UUID)) }
	each(c, func(v any) {
		switch v := v.(type) {
		case *model.FloatingIP:
			if f := w.FloatingIPs.Get(v.ID); f != nil {
				floating(f)
			}
		case *model.PortForwarding:
			if f := w.FloatingIPs.Get(v.FloatingIP); f != nil {
				floating(f)
			}
		case *model.Port:
			touchedByPort(w, v, floating)
		case *model.Router:
			for f := range w.FloatingIPs.ByRouter(v.ID) {
				floating(f)
			}
		case *model.Host:
			for p := range w.Ports.ByHost(v.Name) {
				touchedByPort(w, p, floating)
			}
		case *model.Network:
			external(v.ID)
		case *model.Segment:
			external(v.NetworkID)
			for f := range w.FloatingIPs.ByNetwork(v.NetworkID) { // who reaches it may have changed
				floating(f)
			}
		case *model.Subnet:
			external(v.NetworkID)
			routersNear(w, v.NetworkID, router)
		case *model.SubnetPool:
			for s := range w.Subnets.ByPool(v.ID) {
				routersNear(w, s.NetworkID, router)
			}
		case *model.ConntrackHelper:
			router(v.Router)
			for f := range w.FloatingIPs.ByRouter(v.Router) {
				floating(f)
			}
		}
	})
}

// touchedProxies yields the NDP proxies that a change may have changed, as they are in w.
func touchedProxies(w *world.World, c world.Change, yield func(topic, key)) {
	proxy := func(n *model.NDPProxy) {
		if at := rules.PlaceNDPProxy(w, n); at.Host != "" {
			yield(topic{kind: topicHost, host: at.Host}, uuidKey(wire.Kind_KIND_NDP_PROXY, n.ID.UUID))
		}
	}
	byPort := func(p *model.Port) {
		for n := range w.NDPProxies.ByPort(p.ID) {
			proxy(n)
		}
	}
	byRouter := func(id model.RouterID) {
		for n := range w.NDPProxies.ByRouter(id) {
			proxy(n)
		}
	}
	scoped := func(id model.NetworkID) {
		routersNear(w, id, byRouter)
		for n := range w.NDPProxies.All() { // of ports there whose router has no leg there any more, too; they are few
			if p := w.Ports.Get(n.PortID); p != nil && p.NetworkID == id {
				proxy(n)
			}
		}
	}
	each(c, func(v any) {
		switch v := v.(type) {
		case *model.NDPProxy:
			if n := w.NDPProxies.Get(v.ID); n != nil {
				proxy(n)
			}
		case *model.Port:
			byPort(v)
			byRouter(routerOf(v))
		case *model.Router:
			byRouter(v.ID)
		case *model.Host:
			for p := range w.Ports.ByHost(v.Name) {
				byPort(p)
			}
		case *model.Segment: // who reaches the external network may have changed
			for p := range w.Ports.ByNetwork(v.NetworkID) {
				if p.DeviceOwner == model.OwnerRouterGateway {
					byRouter(routerOf(p))
				}
			}
		case *model.Subnet: // the address scope of the network, be it inside or outside
			scoped(v.NetworkID)
		case *model.SubnetPool:
			for s := range w.Subnets.ByPool(v.ID) {
				scoped(s.NetworkID)
			}
		}
	})
}

// touchedByPort yields the floating IPs that lead to a port, or whose own port it is.
func touchedByPort(w *world.World, p *model.Port, yield func(*model.FloatingIP)) {
	for f := range w.FloatingIPs.ByPort(p.ID) {
		yield(f)
	}
	if p.DeviceOwner != model.OwnerFloatingIP {
		return
	}
	if u, err := model.ParseUUID(p.DeviceID); err == nil {
		if f := w.FloatingIPs.Get(model.FloatingIPID{UUID: u}); f != nil {
			yield(f)
		}
	}
}

// routersNear yields the routers that have a leg or their gateway on a network. Only address scopes make them depend on its
// subnets, so that a network whose subnets have no pool is nobody's business here.
func routersNear(w *world.World, id model.NetworkID, yield func(model.RouterID)) {
	pooled := false
	for s := range w.Subnets.ByNetwork(id) {
		pooled = pooled || !s.PoolID.IsZero()
	}
	if !pooled {
		return
	}
	for p := range w.Ports.ByNetwork(id) {
		if r := routerOf(p); !r.IsZero() {
			yield(r)
		}
	}
}
