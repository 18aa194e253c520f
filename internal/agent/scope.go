package agent

import (
	"fmt"
	"maps"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
	"github.com/weft-cloud/weft/internal/wire"
)

// scope is what the feed has brought: the objects as they came (they are kept on disk, and named when resuming), and the
// compiler that reads them.
type scope struct {
	host     string
	position model.Position
	objects  map[key]*wire.Object
	// sets are the address sets among the objects that could be read. One that was changed has its members here alone, and no body, until
	// pack writes it.
	sets     map[key]prefix.Set
	compiler *hostplan.Compiler
	// wholeSets: a change of an address set did not come to what the server said; sets are to be sent whole from now on.
	wholeSets bool
	// dropped are floating IPs, and droppedPorts endpoints, that were taken away since somebody looked; they may be there again.
	dropped      []model.FloatingIPID
	droppedPorts []model.PortID
}

// key names an object.
type key struct {
	kind wire.Kind
	id   string // 16 bytes, or a host's name
}

func newScope(host string, o hostplan.Options) *scope {
	return &scope{host: host, objects: map[key]*wire.Object{}, sets: map[key]prefix.Set{}, compiler: hostplan.NewCompiler(host, o)}
}

func (s *scope) state() *hostplan.State { return s.compiler.State(s.position) }

// refs names everything that there is.
func (s *scope) refs() []*wire.Ref {
	out := make([]*wire.Ref, 0, len(s.objects))
	for k, o := range s.objects {
		out = append(out, &wire.Ref{Kind: k.kind, Id: o.Id, Version: o.Version})
	}
	return out
}

// step takes one whole step of the feed. The error says that the agent's idea of what it has is not the server's.
func (s *scope) step(u *wire.Update) error {
	for _, o := range u.Puts {
		s.put(o)
	}
	for _, c := range u.SetChanges {
		if err := s.change(c); err != nil {
			return err
		}
	}
	for _, r := range u.Deletes {
		s.delete(key{r.Kind, string(r.Id)})
	}
	position, err := wire.ParsePosition(u.Position)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	s.position = position
	if !u.Snapshot {
		return nil
	}
	listed := make(map[key]uint64, len(u.Listed))
	for _, r := range u.Listed {
		k := key{r.Kind, string(r.Id)}
		if o := s.objects[k]; o == nil || o.Version != r.Version {
			return fmt.Errorf("%v %x is listed at version %d, which is not here", k.kind, k.id, r.Version)
		}
		listed[k] = r.Version
	}
	if u.Hold {
		return nil
	}
	for k := range maps.Clone(s.objects) {
		if _, ok := listed[k]; !ok {
			s.delete(k)
		}
	}
	return nil
}

// put takes in one object. One that cannot be read is as if it were not there, and is said to be a problem.
func (s *scope) put(o *wire.Object) {
	k := key{o.Kind, string(o.Id)}
	s.objects[k] = o
	delete(s.sets, k)
	kind, id := k.names()
	if err := s.read(k, o.Body); err != nil {
		s.remove(k)
		s.compiler.Quarantine(kind, id, err.Error())
		return
	}
	s.compiler.Release(kind, id)
}

// change makes a change in an address set, at the cost of the change. An error leaves the set as it was.
func (s *scope) change(c *wire.SetChange) error {
	k := key{wire.Kind_KIND_ADDRESS_SET, string(c.Id)}
	o := s.objects[k]
	if o == nil || o.Version != c.From {
		return fmt.Errorf("address set %x is to change from version %d, which is not here", c.Id, c.From)
	}
	set, err := s.changed(k, c)
	if err != nil {
		s.wholeSets = true
		return fmt.Errorf("address set %x: %w", c.Id, err)
	}
	s.sets[k] = set
	s.objects[k] = &wire.Object{Kind: k.kind, Id: c.Id, Version: c.Version}
	s.compiler.PutAddressSet(&hostplan.AddressSet{ID: k.uuid(), Prefixes: set})
	return nil
}

// changed is what a change makes of a set. Each member that comes must be new, each that goes be there, and the sum be the server's.
func (s *scope) changed(k key, c *wire.SetChange) (set prefix.Set, err error) {
	set, ok := s.sets[k]
	if !ok {
		return set, fmt.Errorf("it could not be read, and is to change")
	}
	version := c.From
	for _, m := range c.Removed {
		p, err := wire.ParsePrefix(m)
		if err != nil || !set.Has(p) {
			return set, fmt.Errorf("%v is to go and is not there", m)
		}
		set, version = set.Without(p), version-wire.PrefixSum(m)
	}
	for _, m := range c.Added {
		p, err := wire.ParsePrefix(m)
		if err != nil || !p.IsValid() || set.Has(p) {
			return set, fmt.Errorf("%v is to come and is there or no prefix", m)
		}
		set, version = set.With(p), version+wire.PrefixSum(m)
	}
	if version != c.Version {
		return set, fmt.Errorf("it changed to version %d, not to %d", version, c.Version)
	}
	return set, nil
}

// pack gives sets that were changed a body again, so that objects are whole.
func (s *scope) pack() {
	for k, set := range s.sets {
		if o := s.objects[k]; o.Body == nil {
			m := &wire.AddressSet{Id: o.Id}
			for p := range set.All() {
				m.Prefixes = append(m.Prefixes, wire.FromPrefix(p))
			}
			s.objects[k] = &wire.Object{Kind: o.Kind, Id: o.Id, Version: o.Version, Body: wire.Encode(m)}
		}
	}
}

func (s *scope) delete(k key) {
	if _, ok := s.objects[k]; !ok {
		return
	}
	delete(s.objects, k)
	delete(s.sets, k)
	s.remove(k)
	switch k.kind {
	case wire.Kind_KIND_FLOATING_IP:
		s.dropped = append(s.dropped, model.FloatingIPID{UUID: k.uuid()})
	case wire.Kind_KIND_ENDPOINT:
		s.droppedPorts = append(s.droppedPorts, model.PortID{UUID: k.uuid()})
	}
	s.compiler.Release(k.names())
}

// names are the object's kind and id in words.
func (k key) names() (model.Kind, string) {
	id := k.id
	if k.kind != wire.Kind_KIND_HOST {
		if u, err := wire.ParseID([]byte(k.id)); err == nil {
			id = u.String()
		} else {
			id = fmt.Sprintf("%x", k.id)
		}
	}
	kinds := map[wire.Kind]model.Kind{
		wire.Kind_KIND_HOST: model.KindHost, wire.Kind_KIND_NETWORK: model.KindNetwork, wire.Kind_KIND_SUBNET: model.KindSubnet,
		wire.Kind_KIND_PORT: model.KindPort, wire.Kind_KIND_ENDPOINT: "endpoint", wire.Kind_KIND_ROUTER: model.KindRouter,
		wire.Kind_KIND_SECURITY_GROUP: model.KindSecurityGroup, wire.Kind_KIND_ADDRESS_SET: "address_set",
		wire.Kind_KIND_OUTSIDER: "outsider", wire.Kind_KIND_NDP_PROXY: model.KindNDPProxy,
		wire.Kind_KIND_WIRE:        "wire",
		wire.Kind_KIND_FLOATING_IP: model.KindFloatingIP, wire.Kind_KIND_EXTERNAL: "external " + model.KindNetwork,
	}
	if kind, ok := kinds[k.kind]; ok {
		return kind, id
	}
	return model.Kind(k.kind.String()), id
}

func (k key) uuid() (u model.UUID) {
	copy(u[:], k.id)
	return u
}

// remove takes an object from the compiler.
func (s *scope) remove(k key) {
	u := k.uuid()
	switch k.kind {
	case wire.Kind_KIND_HOST:
		s.compiler.DeleteHost(k.id)
	case wire.Kind_KIND_NETWORK:
		s.compiler.DeleteNetwork(model.NetworkID{UUID: u})
	case wire.Kind_KIND_SUBNET:
		s.compiler.DeleteSubnet(model.SubnetID{UUID: u})
	case wire.Kind_KIND_PORT:
		s.compiler.DeletePort(model.PortID{UUID: u})
	case wire.Kind_KIND_ENDPOINT:
		s.compiler.DeleteEndpoint(model.PortID{UUID: u})
	case wire.Kind_KIND_OUTSIDER:
		s.compiler.DeleteOutsider(model.PortID{UUID: u})
	case wire.Kind_KIND_WIRE:
		s.compiler.DeleteWire(model.NetworkID{UUID: u})
	case wire.Kind_KIND_ROUTER:
		s.compiler.DeleteRouter(model.RouterID{UUID: u})
	case wire.Kind_KIND_SECURITY_GROUP:
		s.compiler.DeleteGroup(model.SecurityGroupID{UUID: u})
	case wire.Kind_KIND_ADDRESS_SET:
		s.compiler.DeleteAddressSet(u)
	case wire.Kind_KIND_FLOATING_IP:
		s.compiler.DeleteFloatingIP(model.FloatingIPID{UUID: u})
	case wire.Kind_KIND_NDP_PROXY:
		s.compiler.DeleteNDPProxy(model.NDPProxyID{UUID: u})
	case wire.Kind_KIND_EXTERNAL:
		s.compiler.DeleteExternal(model.NetworkID{UUID: u})
	}
}

// read decodes a body and gives it to the compiler. A kind that this agent does not know is passed over: the server is
// newer.
func (s *scope) read(k key, body []byte) error {
	if k.kind != wire.Kind_KIND_HOST && (len(k.id) != 16 || k.uuid().IsZero()) {
		return fmt.Errorf("identifier of %d bytes", len(k.id))
	}
	c := s.compiler
	switch k.kind {
	case wire.Kind_KIND_HOST:
		return take(body, &wire.Host{}, wire.ToHost, func(h *model.Host) bool { return h.Name == k.id }, c.PutHost)
	case wire.Kind_KIND_NETWORK:
		return take(body, &wire.Network{}, toNetwork, func(n hostplan.NetworkParts) bool { return n.Network.ID.UUID == k.uuid() }, c.PutNetwork)
	case wire.Kind_KIND_SUBNET:
		return take(body, &wire.Subnet{}, wire.ToSubnet, func(v *model.Subnet) bool { return v.ID.UUID == k.uuid() }, c.PutSubnet)
	case wire.Kind_KIND_PORT:
		return take(body, &wire.Port{}, wire.ToPort, func(p *model.Port) bool { return p.ID.UUID == k.uuid() }, c.PutPort)
	case wire.Kind_KIND_ENDPOINT:
		return take(body, &wire.Endpoint{}, toEndpoint, func(p *model.Port) bool { return p.ID.UUID == k.uuid() },
			func(p *model.Port) { c.PutEndpoint(p.ID, p) })
	case wire.Kind_KIND_OUTSIDER:
		return take(body, &wire.Outsider{}, wire.ToOutsider, func(p *model.Port) bool { return p.ID.UUID == k.uuid() }, c.PutOutsider)
	case wire.Kind_KIND_WIRE:
		return take(body, &wire.Wire{}, toWire, func(id model.NetworkID) bool { return id.UUID == k.uuid() }, c.PutWire)
	case wire.Kind_KIND_ROUTER:
		return take(body, &wire.Router{}, toRouter, func(r hostplan.RouterParts) bool { return r.Router.ID.UUID == k.uuid() }, c.PutRouter)
	case wire.Kind_KIND_SECURITY_GROUP:
		return take(body, &wire.SecurityGroup{}, toGroup, func(g *hostplan.Group) bool { return g.ID.UUID == k.uuid() }, c.PutGroup)
	case wire.Kind_KIND_ADDRESS_SET:
		return take(body, &wire.AddressSet{}, toAddressSet, func(a *hostplan.AddressSet) bool { return a.ID == k.uuid() },
			func(a *hostplan.AddressSet) { s.sets[k] = a.Prefixes; c.PutAddressSet(a) })
	case wire.Kind_KIND_FLOATING_IP:
		return take(body, &wire.FloatingIP{}, toFloatingIP, func(f *hostplan.FloatingIP) bool { return f.ID.UUID == k.uuid() }, c.PutFloatingIP)
	case wire.Kind_KIND_NDP_PROXY:
		return take(body, &wire.NDPProxy{}, toNDPProxy, func(n *hostplan.NDPProxy) bool { return n.ID.UUID == k.uuid() }, c.PutNDPProxy)
	case wire.Kind_KIND_EXTERNAL:
		return take(body, &wire.External{}, toExternal, func(x hostplan.ExternalParts) bool { return x.Network.ID.UUID == k.uuid() }, c.PutExternal)
	}
	return nil
}

// take decodes body into m, translates it and, if it is the object that it should be, puts it.
func take[M proto.Message, V any](body []byte, m M, to func(M) (V, error), is func(V) bool, put func(V)) error {
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	v, err := to(m)
	if err != nil {
		return err
	}
	if !is(v) {
		return fmt.Errorf("the body is another object's")
	}
	put(v)
	return nil
}

func toNetwork(m *wire.Network) (hostplan.NetworkParts, error) {
	n, segments, err := wire.ToNetwork(m)
	return hostplan.NetworkParts{Network: n, Segments: segments}, err
}

func toWire(m *wire.Wire) (model.NetworkID, error) {
	id, err := wire.ParseID(m.NetworkId)
	if err != nil {
		return model.NetworkID{}, fmt.Errorf("network_id: %w", err)
	}
	return model.NetworkID{UUID: id}, nil
}

func toEndpoint(m *wire.Endpoint) (*model.Port, error) {
	id, err := wire.ParseID(m.Id)
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	p := &model.Port{ID: model.PortID{UUID: id}}
	return p, wire.ToEndpoint(m, p)
}

func toRouter(m *wire.Router) (hostplan.RouterParts, error) {
	r, err := wire.ToRouter(m)
	p := hostplan.RouterParts{Router: r.Router, Interfaces: r.Interfaces, Gateway: r.Gateway, Plain: r.Plain}
	for _, h := range r.Helpers {
		p.Helpers = append(p.Helpers, hostplan.Helper(h))
	}
	return p, err
}

func toExternal(m *wire.External) (hostplan.ExternalParts, error) {
	x, err := wire.ToExternal(m)
	return hostplan.ExternalParts(x), err
}

func toFloatingIP(m *wire.FloatingIP) (*hostplan.FloatingIP, error) {
	p, err := wire.ToFloatingIP(m)
	f := &hostplan.FloatingIP{ID: p.FloatingIP.ID, Central: p.Central, External: p.FloatingIP.NetworkID, Address: p.FloatingIP.Address, MAC: p.MAC,
		Router: p.FloatingIP.Router, Port: p.FloatingIP.Port, Fixed: p.FloatingIP.FixedIP, Generation: p.FloatingIP.Since}
	for _, w := range p.Forwardings {
		f.Forwardings = append(f.Forwardings, hostplan.PortForwarding{ID: w.ID, Protocol: w.Number, External: w.External, Internal: w.Internal,
			Port: w.Port, Address: w.Address})
	}
	return f, err
}

func toNDPProxy(m *wire.NDPProxy) (*hostplan.NDPProxy, error) {
	p, err := wire.ToNDPProxy(m)
	return &hostplan.NDPProxy{ID: p.Proxy.ID, Central: p.Central, External: p.External, Address: p.Proxy.Address, Router: p.Proxy.Router, Port: p.Proxy.PortID}, err
}

func toGroup(m *wire.SecurityGroup) (*hostplan.Group, error) {
	id, err := wire.ParseID(m.Id)
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	g := &hostplan.Group{ID: model.SecurityGroupID{UUID: id}, Stateful: m.Stateful}
	for _, r := range m.Rules {
		rule, err := toRule(r)
		if err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		g.Rules = append(g.Rules, rule)
	}
	return g, nil
}

func toRule(m *wire.Rule) (hostplan.Rule, error) {
	r := hostplan.Rule{Egress: m.Egress, IPv6: m.Ipv6, Protocol: int16(m.Protocol), PortMin: m.PortMin, PortMax: m.PortMax}
	if m.Protocol < hostplan.AnyProtocol || m.Protocol > 255 {
		return r, fmt.Errorf("protocol: %d is neither -1 nor 0 to 255", m.Protocol)
	}
	var err error
	if r.ID, err = wire.ParseID(m.Id); err != nil {
		return r, fmt.Errorf("id: %w", err)
	}
	if r.Remote, err = wire.ParsePrefix(m.Remote); err != nil {
		return r, fmt.Errorf("remote: %w", err)
	}
	if r.RemoteSet, err = wire.ParseID(m.RemoteSet); err != nil {
		return r, fmt.Errorf("remote_set: %w", err)
	}
	return r, nil
}

func toAddressSet(m *wire.AddressSet) (*hostplan.AddressSet, error) {
	id, err := wire.ParseID(m.Id)
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	list := make([]netip.Prefix, 0, len(m.Prefixes))
	for _, p := range m.Prefixes {
		x, err := wire.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("prefixes: %w", err)
		}
		list = append(list, x)
	}
	return &hostplan.AddressSet{ID: id, Prefixes: prefix.Of(list...)}, nil
}
