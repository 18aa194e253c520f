package hostplan

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// Compiler is Compile step by step: it is told what changes and recompiles only what the changes touch. After any
// sequence of puts and deletes its State is the one that Compile gives for what is left. The Compiler keeps the objects
// that it is given and reads them later: do not change them. It is not safe for use by several goroutines.
type Compiler struct {
	host string
	opts Options
	in   Scope
	idx  index

	dirty struct {
		hosts     bool
		networks  set[model.NetworkID]
		routers   set[model.RouterID]
		endpoints set[model.PortID]
		neighbors set[model.PortID]
		outsiders set[model.PortID]
		sets      set[model.UUID]
		externals set[model.NetworkID]
		floating  set[model.FloatingIPID]
		proxies   set[model.NDPProxyID]
	}
	policies map[string]*policyEntry

	peers     table[string, Peer]
	networks  table[model.NetworkID, Network]
	routers   table[model.RouterID, Router]
	endpoints table[model.PortID, Endpoint]
	outsiders table[model.PortID, Endpoint]
	neighbors table[model.PortID, Neighbor]
	sets      table[model.UUID, AddressSet]
	externals table[model.NetworkID, External]
	floating  table[model.FloatingIPID, FloatingIP]
	proxies   table[model.NDPProxyID, NDPProxy]
	centrals  table[model.RouterID, Central]
	problems  problems
	last      *State
}

// NewCompiler returns a Compiler without objects.
func NewCompiler(host string, o Options) *Compiler {
	c := &Compiler{host: host, opts: o, policies: map[string]*policyEntry{}}
	c.in = Scope{
		Hosts: map[string]*model.Host{}, Networks: map[model.NetworkID]NetworkParts{}, Subnets: map[model.SubnetID]*model.Subnet{},
		Ports: map[model.PortID]*model.Port{}, Endpoints: map[model.PortID]*model.Port{}, Outsiders: map[model.PortID]*model.Port{}, Wires: map[model.NetworkID]struct{}{}, Routers: map[model.RouterID]RouterParts{},
		Groups: map[model.SecurityGroupID]*Group{}, AddressSets: map[model.UUID]*AddressSet{},
		Externals: map[model.NetworkID]ExternalParts{}, FloatingIPs: map[model.FloatingIPID]*FloatingIP{},
		NDPProxies: map[model.NDPProxyID]*NDPProxy{},
	}
	c.idx = newIndex()
	c.dirty.networks, c.dirty.routers = set[model.NetworkID]{}, set[model.RouterID]{}
	c.dirty.endpoints, c.dirty.neighbors = set[model.PortID]{}, set[model.PortID]{}
	c.dirty.sets, c.dirty.outsiders = set[model.UUID]{}, set[model.PortID]{}
	c.dirty.externals, c.dirty.floating, c.dirty.proxies = set[model.NetworkID]{}, set[model.FloatingIPID]{}, set[model.NDPProxyID]{}
	c.peers.m, c.networks.m, c.routers.m = map[string]*Peer{}, map[model.NetworkID]*Network{}, map[model.RouterID]*Router{}
	c.endpoints.m, c.neighbors.m = map[model.PortID]*Endpoint{}, map[model.PortID]*Neighbor{}
	c.sets.m, c.outsiders.m = map[model.UUID]*AddressSet{}, map[model.PortID]*Endpoint{}
	c.externals.m, c.floating.m = map[model.NetworkID]*External{}, map[model.FloatingIPID]*FloatingIP{}
	c.centrals.m, c.proxies.m = map[model.RouterID]*Central{}, map[model.NDPProxyID]*NDPProxy{}
	c.problems.m = map[problemKey][]Problem{}
	return c
}

// State compiles what is dirty and returns the State at pos. Without a change since the last call, and at the same
// position, it is the same State.
func (c *Compiler) State(pos model.Position) *State {
	c.compile()
	s := &State{
		Host: c.host, Position: pos,
		Peers: c.peers.share(), Networks: c.networks.share(), Routers: c.routers.share(), Endpoints: c.endpoints.share(),
		Outsiders: c.outsiders.share(),
		Neighbors: c.neighbors.share(), AddressSets: c.sets.share(), Externals: c.externals.share(),
		FloatingIPs: c.floating.share(), NDPProxies: c.proxies.share(), Centrals: c.centrals.share(), Problems: c.problems.share(),
	}
	if h := c.in.Hosts[c.host]; h != nil {
		s.VTEP, s.DVRMAC = h.VTEP, h.DVRMAC
	}
	if l := c.last; l != nil && l.Position == pos && sameMap(l.AddressSets, s.AddressSets) && slices.Equal(l.Problems, s.Problems) && s.OnlySets(l) {
		return l
	}
	c.last = s
	return s
}

// OnlySets reports whether s is known to say the same as o of everything but position, address sets and problems. It looks at no object:
// States of one Compiler share what is the same.
func (s *State) OnlySets(o *State) bool {
	return s.Host == o.Host && s.VTEP == o.VTEP && s.DVRMAC == o.DVRMAC && sameMap(s.Peers, o.Peers) && sameMap(s.Networks, o.Networks) &&
		sameMap(s.Routers, o.Routers) && sameMap(s.Endpoints, o.Endpoints) && sameMap(s.Outsiders, o.Outsiders) && sameMap(s.Neighbors, o.Neighbors) &&
		sameMap(s.Externals, o.Externals) && sameMap(s.FloatingIPs, o.FloatingIPs) && sameMap(s.NDPProxies, o.NDPProxies) && sameMap(s.Centrals, o.Centrals)
}

// compile orders the kinds so that each comes after what it reads of the others' results: whether a network or a peer
// is there at all.
func (c *Compiler) compile() {
	if c.dirty.hosts {
		c.dirty.hosts = false
		c.compilePeers()
	}
	for id := range c.dirty.networks {
		was := c.networks.m[id] != nil
		n, ps := c.network(id)
		c.networks.set(id, n)
		c.problems.set(model.KindNetwork, id.String(), ps)
		maps.Copy(c.dirty.outsiders, c.idx.find(id).outside)
		if was != (n != nil) {
			c.touchNetworkUsers(id)
			maps.Copy(c.dirty.neighbors, c.idx.find(id).ports)
		}
	}
	clear(c.dirty.networks)
	c.compileExternals()
	for id := range c.dirty.endpoints {
		e, ps := c.endpoint(id)
		c.endpoints.set(id, e)
		c.problems.set(model.KindPort, id.String(), ps)
		maps.Copy(c.dirty.floating, c.idx.floatingTo[id])
		maps.Copy(c.dirty.proxies, c.idx.proxiesTo[id])
	}
	clear(c.dirty.endpoints)
	for id := range c.dirty.outsiders {
		c.outsiders.set(id, c.outsider(id))
	}
	clear(c.dirty.outsiders)
	c.compileFloating()
	c.compileProxies()
	for id := range c.dirty.routers {
		r, k, ps := c.router(id)
		c.routers.set(id, r)
		c.centrals.set(id, k)
		c.problems.set(model.KindRouter, id.String(), ps)
	}
	clear(c.dirty.routers)
	for id := range c.dirty.neighbors {
		c.neighbors.set(id, c.neighbor(id))
	}
	clear(c.dirty.neighbors)
	for id := range c.dirty.sets {
		c.sets.set(id, c.in.AddressSets[id])
	}
	clear(c.dirty.sets)
	c.sweepPolicies()
}

// touchNetworkUsers marks what is compiled from a network, its subnets or the routers on it.
func (c *Compiler) touchNetworkUsers(id model.NetworkID) {
	n := c.idx.find(id)
	maps.Copy(c.dirty.endpoints, n.local)
	maps.Copy(c.dirty.outsiders, n.outside)
	for _, r := range n.legs {
		c.dirty.routers[r] = struct{}{}
	}
}

func (c *Compiler) touchNetwork(id model.NetworkID) {
	c.dirty.networks[id] = struct{}{}
	c.touchNetworkUsers(id)
}

type set[K comparable] = map[K]struct{}

// table is one map of a State: copied before a change if a State has it.
type table[K comparable, V any] struct {
	m      map[K]*V
	shared bool
}

func (t *table[K, V]) share() map[K]*V { t.shared = true; return t.m }

// set puts v, or deletes for nil. An equal value keeps the old pointer.
func (t *table[K, V]) set(k K, v *V) {
	old := t.m[k]
	if v == nil && old == nil || v != nil && old != nil && reflect.DeepEqual(old, v) {
		return
	}
	if t.shared {
		t.m, t.shared = maps.Clone(t.m), false
	}
	if v == nil {
		delete(t.m, k)
		return
	}
	t.m[k] = v
}

func sameMap[K comparable, V any](a, b map[K]*V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

type problemKey struct {
	kind model.Kind
	id   string
}

// problems are what was left out, by the object in whose compilation it came up.
type problems struct {
	m     map[problemKey][]Problem
	flat  []Problem
	stale bool
}

func (p *problems) set(kind model.Kind, id string, list []string) {
	k := problemKey{kind, id}
	if len(list) == 0 && len(p.m[k]) == 0 {
		return
	}
	p.stale = true
	delete(p.m, k)
	for _, why := range list {
		p.m[k] = append(p.m[k], Problem{Kind: string(kind), ID: id, Why: why})
	}
}

func (p *problems) share() []Problem {
	if p.stale {
		p.stale, p.flat = false, nil
		for _, list := range p.m {
			p.flat = append(p.flat, list...)
		}
		slices.SortFunc(p.flat, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Why, b.Why))
		})
	}
	return p.flat
}
