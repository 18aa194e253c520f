package feed

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// topic is what a host can be interested in, as a whole.
type topic struct {
	kind topicKind
	id   model.UUID // of a network, router, group or set
	host string     // of topicHost
}

type topicKind uint8

const (
	topicHosts    topicKind = iota // every host: names, VTEPs, DVR MACs
	topicHost                      // one host's own ports, the private part, the floating IPs that it translates, and the NDP proxies that it answers for
	topicNetwork                   // a network, its subnets and its ports
	topicRouter                    // a router with its legs
	topicGroup                     // a security group's rules
	topicSet                       // the addresses that rules name as their remote side
	topicExternal                  // an external network for those whose routers lead there
	topicOutside                   // a provider network's ports that no agent plugs in
)

// key names one object on the wire.
type key struct {
	kind wire.Kind
	id   string // the 16 bytes, or a host's name
}

func (k key) ref(version uint64) *wire.Ref {
	return &wire.Ref{Kind: k.kind, Id: []byte(k.id), Version: version}
}

func uuidKey(kind wire.Kind, u model.UUID) key { return key{kind, string(u[:])} }

// body is an object's encoding and its version.
type body struct {
	bytes   []byte
	version uint64
}

// encode is the body of a message.
func encode(m proto.Message) body {
	b := wire.Encode(m)
	return body{b, wire.Version(b)}
}

// visible reports whether others on its network may know of the port: it is no router's leg (those are told with their router).
func visible(p *model.Port) bool {
	if routerOf(p) != (model.RouterID{}) {
		return false
	}
	switch p.DeviceOwner {
	case model.OwnerDHCP, model.OwnerDistributed:
		return true
	case model.OwnerFloatingIP:
		return false
	}
	return p.PluggedIn() || outsider(p)
}

// endpoint reports whether the port is its host's to plug in. A network:dhcp port is on every host, and on none.
func endpoint(p *model.Port) bool {
	return visible(p) && !outsider(p) && p.Host != "" && p.DeviceOwner != model.OwnerDHCP
}

// publicBody is what others on its network are told of a port. One that no agent plugs in is nowhere to them, but has its names.
func publicBody(p *model.Port) *wire.Port {
	m := wire.FromPort(p)
	if outsider(p) {
		m.Host, m.AddressPairs, m.Learned = "", nil, nil
	}
	return m
}

// routerOf is the router that the port is a leg of (internal, SNAT or gateway); zero if it is none's.
func routerOf(p *model.Port) model.RouterID {
	switch p.DeviceOwner {
	case model.OwnerRouterInterface, model.OwnerDVRInterface, model.OwnerHAInterface, model.OwnerRouterSNAT, model.OwnerRouterGateway:
		if u, err := model.ParseUUID(p.DeviceID); err == nil {
			return model.RouterID{UUID: u}
		}
	}
	return model.RouterID{}
}

// lookup returns the body of one object in w; ok is false if it does not exist or is not to be told.
func lookup(w *world.World, k key) (b body, ok bool) {
	if k.kind == wire.Kind_KIND_HOST {
		if h := w.Hosts.Get(k.id); h != nil {
			return encode(wire.FromHost(h)), true
		}
		return body{}, false
	}
	var u model.UUID
	copy(u[:], k.id)
	switch k.kind {
	case wire.Kind_KIND_NETWORK:
		if n := w.Networks.Get(model.NetworkID{UUID: u}); n != nil {
			return encode(wire.FromNetwork(n, segments(w, n.ID))), true
		}
	case wire.Kind_KIND_SUBNET:
		if s := w.Subnets.Get(model.SubnetID{UUID: u}); s != nil {
			return encode(wire.FromSubnet(s)), true
		}
	case wire.Kind_KIND_PORT:
		if p := w.Ports.Get(model.PortID{UUID: u}); p != nil && visible(p) {
			return encode(publicBody(p)), true
		}
	case wire.Kind_KIND_ENDPOINT:
		if p := w.Ports.Get(model.PortID{UUID: u}); p != nil && endpoint(p) {
			return encode(wire.FromEndpoint(p)), true
		}
	case wire.Kind_KIND_OUTSIDER:
		if p := w.Ports.Get(model.PortID{UUID: u}); p != nil && outsider(p) {
			return encode(wire.FromOutsider(p)), true
		}
	case wire.Kind_KIND_WIRE:
		if w.Networks.Get(model.NetworkID{UUID: u}) != nil {
			return encode(&wire.Wire{NetworkId: wire.ID(u)}), true
		}
	case wire.Kind_KIND_ROUTER:
		if r := w.Routers.Get(model.RouterID{UUID: u}); r != nil {
			return encode(routerBody(w, r)), true
		}
	case wire.Kind_KIND_EXTERNAL:
		if m := externalBody(w, model.NetworkID{UUID: u}); m != nil {
			return encode(m), true
		}
	case wire.Kind_KIND_FLOATING_IP:
		if m := floatingBody(w, model.FloatingIPID{UUID: u}); m != nil {
			return encode(m), true
		}
	case wire.Kind_KIND_NDP_PROXY:
		if m := proxyBody(w, model.NDPProxyID{UUID: u}); m != nil {
			return encode(m), true
		}
	case wire.Kind_KIND_SECURITY_GROUP:
		if m := groupBody(w, model.SecurityGroupID{UUID: u}); m != nil {
			return encode(m), true
		}
	case wire.Kind_KIND_ADDRESS_SET:
		if m := newMemberSet(w, u); m != nil {
			return m.body(), true
		}
	}
	return body{}, false
}

func segments(w *world.World, n model.NetworkID) []*model.Segment {
	s := slices.Collect(w.Segments.ByNetwork(n))
	slices.SortFunc(s, func(a, b *model.Segment) int { return cmp.Compare(a.Index, b.Index) })
	return s
}

// legs are a router's ports: the inner ones in the order of their ids, and the gateway or nil.
func legs(w *world.World, r *model.Router) (inner []*model.Port, gateway *model.Port) {
	for p := range w.Ports.ByDevice(r.ID.String()) {
		switch {
		case routerOf(p) != r.ID:
		case p.DeviceOwner == model.OwnerRouterGateway:
			gateway = p
		default:
			inner = append(inner, p)
		}
	}
	return inner, gateway
}

// members yields the keys of a topic's objects; lookup tells which of them there are.
func members(w *world.World, t topic, yield func(key)) {
	switch t.kind {
	case topicHosts:
		for h := range w.Hosts.All() {
			yield(key{wire.Kind_KIND_HOST, h.Name})
		}
	case topicHost:
		for p := range w.Ports.ByHost(t.host) {
			if endpoint(p) {
				yield(uuidKey(wire.Kind_KIND_ENDPOINT, p.ID.UUID))
			}
		}
		floatingAt(w, t.host, func(f *model.FloatingIP) { yield(uuidKey(wire.Kind_KIND_FLOATING_IP, f.ID.UUID)) })
		proxiesAt(w, t.host, func(n *model.NDPProxy) { yield(uuidKey(wire.Kind_KIND_NDP_PROXY, n.ID.UUID)) })
	case topicNetwork:
		id := model.NetworkID{UUID: t.id}
		yield(uuidKey(wire.Kind_KIND_NETWORK, t.id))
		for s := range w.Subnets.ByNetwork(id) {
			yield(uuidKey(wire.Kind_KIND_SUBNET, s.ID.UUID))
		}
		for p := range w.Ports.ByNetwork(id) {
			if visible(p) {
				yield(uuidKey(wire.Kind_KIND_PORT, p.ID.UUID))
			}
		}
	case topicOutside:
		yield(uuidKey(wire.Kind_KIND_WIRE, t.id))
		for p := range w.Ports.ByNetwork(model.NetworkID{UUID: t.id}) {
			if outsider(p) {
				yield(uuidKey(wire.Kind_KIND_OUTSIDER, p.ID.UUID))
			}
		}
	case topicRouter:
		yield(uuidKey(wire.Kind_KIND_ROUTER, t.id))
	case topicGroup:
		yield(uuidKey(wire.Kind_KIND_SECURITY_GROUP, t.id))
	case topicSet:
		yield(uuidKey(wire.Kind_KIND_ADDRESS_SET, t.id))
	case topicExternal:
		yield(uuidKey(wire.Kind_KIND_EXTERNAL, t.id))
	}
}

// item is an object under a topic. A port's private part is under one topic before it moves to another host and under
// another after; each topic's followers are told what is true for them.
type item struct {
	topic topic
	key   key
}

// touched yields every item that a change between two worlds may have changed.
func touched(before, after *world.World, c world.Change, emit func(item)) {
	yield := func(t topic, k key) { emit(item{t, k}) }
	touchedOutside(before, c, yield)
	touchedOutside(after, c, yield)
	each(c, func(v any) {
		touchedPolicy(v, yield)
		switch v := v.(type) {
		case *model.Host:
			yield(topic{kind: topicHosts}, key{wire.Kind_KIND_HOST, v.Name})
		case *model.Network:
			yield(networkTopic(v.ID), uuidKey(wire.Kind_KIND_NETWORK, v.ID.UUID))
			yield(outsideTopic(v.ID), uuidKey(wire.Kind_KIND_WIRE, v.ID.UUID))
		case *model.Segment:
			yield(networkTopic(v.NetworkID), uuidKey(wire.Kind_KIND_NETWORK, v.NetworkID.UUID))
		case *model.Subnet:
			yield(networkTopic(v.NetworkID), uuidKey(wire.Kind_KIND_SUBNET, v.ID.UUID))
		case *model.Port:
			if r := routerOf(v); !r.IsZero() {
				yield(routerTopic(r), uuidKey(wire.Kind_KIND_ROUTER, r.UUID))
				return
			}
			yield(networkTopic(v.NetworkID), uuidKey(wire.Kind_KIND_PORT, v.ID.UUID))
			yield(outsideTopic(v.NetworkID), uuidKey(wire.Kind_KIND_OUTSIDER, v.ID.UUID))
			if v.Host != "" {
				yield(topic{kind: topicHost, host: v.Host}, uuidKey(wire.Kind_KIND_ENDPOINT, v.ID.UUID))
			}
		case *model.Router:
			yield(routerTopic(v.ID), uuidKey(wire.Kind_KIND_ROUTER, v.ID.UUID))
		}
	})
}

// each calls f with the old and the new object, where there is one.
func each(c world.Change, f func(v any)) {
	if c.Old != nil {
		f(c.Old)
	}
	if c.New != nil {
		f(c.New)
	}
}

func networkTopic(id model.NetworkID) topic { return topic{kind: topicNetwork, id: id.UUID} }
func outsideTopic(id model.NetworkID) topic { return topic{kind: topicOutside, id: id.UUID} }
func routerTopic(id model.RouterID) topic   { return topic{kind: topicRouter, id: id.UUID} }

func compareKeys(a, b key) int {
	if c := cmp.Compare(a.kind, b.kind); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}
