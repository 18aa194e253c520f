package feed

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// bench is a small cloud without rules: tests put objects directly.
type bench struct {
	t      *rapid.T
	writer *world.Writer
	hub    *hub
	stop   func()
}

func newBench(t *rapid.T) *bench {
	w, h, stop := open(t)
	return &bench{t, w, h, stop}
}

// open is an empty world with its hub.
func open(t rapid.TB) (w *world.Writer, h *hub, stop func()) {
	s, err := memory.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err = world.Open(context.Background(), world.Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Random: func() model.UUID {
			var b [16]byte
			rand.Read(b[:])
			return model.NewUUIDv4(b)
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h = newHub(w, slog.New(slog.DiscardHandler))
	done := make(chan struct{}, 2)
	go func() { w.Run(ctx); done <- struct{}{} }()
	go func() { h.run(ctx); done <- struct{}{} }()
	return w, h, func() { cancel(); <-done; <-done }
}

func (b *bench) write(f func(tx *world.Tx)) {
	if _, err := b.writer.Do(context.Background(), "test", func(tx *world.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// settled waits until the hub has seen the newest world.
func (b *bench) settled() {
	for {
		same := false
		b.hub.do(context.Background(), func() { same = b.hub.world == b.writer.Snapshot() })
		if same {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// mirror is what an agent holds.
type mirror struct {
	session *session
	has     map[key]uint64
	held    bool
	// sets are the bodies of address sets, kept by changes where those come.
	sets map[key]*wire.AddressSet
}

func (b *bench) connect(host string, have map[key]uint64, at model.Position) *mirror {
	m := &mirror{session: newSession(host), has: maps.Clone(have), sets: map[key]*wire.AddressSet{}}
	m.session.changes = have == nil // an agent that had a scope before may be an old one
	if m.has == nil {
		m.has = map[key]uint64{}
	}
	b.hub.do(context.Background(), func() { b.hub.join(m.session, have, at) })
	m.drain(b.t)
	return m
}

func (m *mirror) drain(t *rapid.T) {
	updates, err := m.session.take()
	if err != nil && !errors.Is(err, errDeleted) { // a deleted host that did not leave is told the truth, too
		t.Fatal(err)
	}
	for _, u := range updates {
		for _, part := range u.parts() {
			p := part.GetUpdate()
			for _, r := range p.Deletes {
				k := key{r.Kind, string(r.Id)}
				if _, ok := m.has[k]; !ok {
					t.Fatalf("deletion of %v %x, which the agent never had", k.kind, k.id)
				}
				delete(m.has, k)
			}
			for _, o := range p.Puts {
				m.has[key{o.Kind, string(o.Id)}] = o.Version
				m.keep(t, o)
			}
			for _, c := range p.SetChanges {
				m.change(t, c)
			}
		}
		if u.snapshot && !u.hold {
			listed := map[key]bool{}
			for _, r := range u.listed {
				listed[key{r.Kind, string(r.Id)}] = true
			}
			maps.DeleteFunc(m.has, func(k key, _ uint64) bool { return !listed[k] })
		}
		if u.snapshot {
			m.held = u.hold
		}
	}
}

func (m *mirror) keep(t *rapid.T, o *wire.Object) {
	if o.Kind != wire.Kind_KIND_ADDRESS_SET {
		return
	}
	set := &wire.AddressSet{}
	if err := proto.Unmarshal(o.Body, set); err != nil {
		t.Fatal(err)
	}
	m.sets[key{o.Kind, string(o.Id)}] = set
}

func (m *mirror) change(t *rapid.T, c *wire.SetChange) {
	k := key{wire.Kind_KIND_ADDRESS_SET, string(c.Id)}
	set := m.sets[k]
	if !m.session.changes || set == nil || m.has[k] != c.From {
		t.Fatalf("a change of set %x from %d, which the agent does not have", c.Id, c.From)
	}
	has := map[netip.Prefix]bool{}
	for _, p := range set.Prefixes {
		has[parsed(t, p)] = true
	}
	for _, p := range c.Added {
		if has[parsed(t, p)] {
			t.Fatalf("%v comes to set %x, and is there", parsed(t, p), c.Id)
		}
		has[parsed(t, p)] = true
	}
	for _, p := range c.Removed {
		if !has[parsed(t, p)] {
			t.Fatalf("%v leaves set %x, and is not there", parsed(t, p), c.Id)
		}
		delete(has, parsed(t, p))
	}
	set.Prefixes = toWire(slices.Collect(maps.Keys(has)))
	if v := wire.SetVersion(set); v != c.Version {
		t.Fatalf("set %x changed to %d, want %d", c.Id, v, c.Version)
	}
	m.has[k] = c.Version
}

func parsed(t *rapid.T, p *wire.Prefix) netip.Prefix {
	out, err := wire.ParsePrefix(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// scope is what the agent of a host should hold, from the world alone.
func scope(w *world.World, host string) map[key]uint64 {
	out := map[key]uint64{}
	in := interestOf(w, host)
	outsideTopics(w, elect(w, func(string) bool { return true }), host, in)
	for t := range in {
		members(w, t, func(k key) {
			if b, ok := lookup(w, k); ok {
				out[k] = b.version
			}
		})
	}
	return out
}

var hosts = []string{"c1", "c2", "c3"}

// edit makes one random change.
func (b *bench) edit() {
	t := b.t
	id := func(label string, n int) model.UUID {
		return model.UUID{byte(rapid.IntRange(1, n).Draw(t, label)), 15: 1}
	}
	host := func() string { return rapid.SampledFrom(append([]string{""}, hosts...)).Draw(t, "host") }
	n := model.NetworkID{UUID: id("network", 4)}
	r := model.RouterID{UUID: id("router", 3)}
	subnet := model.SubnetID(n)
	group := model.SecurityGroupID{UUID: id("group", 3)}
	addr := netip.AddrFrom4([4]byte{10, 0, n.UUID[0], byte(rapid.IntRange(1, 6).Draw(t, "addr"))})
	switch rapid.IntRange(0, 17).Draw(t, "edit") {
	case 0:
		b.write(func(tx *world.Tx) {
			tx.Networks.Put(&model.Network{ID: n, MTU: uint32(rapid.IntRange(1400, 1402).Draw(t, "mtu"))})
			tx.Subnets.Put(&model.Subnet{ID: subnet, NetworkID: n, CIDR: netip.PrefixFrom(addr, 24).Masked()})
		})
	case 1, 2:
		p := &model.Port{ID: model.PortID{UUID: id("port", 12)}, NetworkID: n, Host: host(), Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
			FixedIPs: []model.FixedIP{{SubnetID: subnet, Address: addr}}, SecurityGroups: []model.SecurityGroupID{group}}
		if rapid.Bool().Draw(t, "pair") { // another port may have the address, too
			p.AddressPairs = []model.AddressPair{{Prefix: netip.PrefixFrom(addr, rapid.SampledFrom([]int{24, 32}).Draw(t, "bits"))}}
		}
		if rapid.Bool().Draw(t, "another group") {
			p.SecurityGroups = append(p.SecurityGroups, model.SecurityGroupID{UUID: id("group", 3)})
		}
		b.write(func(tx *world.Tx) {
			if old := tx.Ports.Get(p.ID); old != nil {
				p.NetworkID = old.NetworkID
				if routerOf(old) != (model.RouterID{}) {
					return
				}
			}
			tx.Ports.Put(p)
		})
	case 3:
		b.write(func(tx *world.Tx) { tx.Ports.Delete(model.PortID{UUID: id("port", 12)}) })
	case 4:
		leg := &model.Port{ID: model.PortID{UUID: model.UUID{r.UUID[0], n.UUID[0], 15: 9}}, NetworkID: n, DeviceOwner: model.OwnerDVRInterface,
			DeviceID: r.String(), FixedIPs: []model.FixedIP{{SubnetID: subnet, Address: addr}}}
		b.write(func(tx *world.Tx) { tx.Ports.Put(leg) })
	case 5:
		b.write(func(tx *world.Tx) { tx.Ports.Delete(model.PortID{UUID: model.UUID{r.UUID[0], n.UUID[0], 15: 9}}) })
	case 6:
		b.write(func(tx *world.Tx) {
			tx.Routers.Put(&model.Router{ID: r, Distributed: true, GatewayHost: host(), Routes: []model.Route{{Destination: netip.MustParsePrefix("192.0.2.0/24"), NextHop: addr}}})
		})
	case 7:
		b.write(func(tx *world.Tx) { tx.Routers.Delete(r) })
	case 8:
		b.write(func(tx *world.Tx) { tx.SecurityGroups.Put(&model.SecurityGroup{ID: group, Stateful: true}) })
	case 9:
		v := &model.SecurityGroupRule{ID: model.SecurityGroupRuleID{UUID: id("rule", 4)}, GroupID: group, Direction: "ingress", EtherType: "IPv4",
			RemoteGroup: model.SecurityGroupID{UUID: id("remote", 3)}}
		b.write(func(tx *world.Tx) {
			if old := tx.SecurityGroupRules.Get(v.ID); old != nil {
				v.GroupID = old.GroupID
			}
			tx.SecurityGroupRules.Put(v)
		})
	case 10:
		b.write(func(tx *world.Tx) { tx.SecurityGroupRules.Delete(model.SecurityGroupRuleID{UUID: id("rule", 4)}) })
	case 11:
		b.write(func(tx *world.Tx) {
			tx.AddressGroups.Put(&model.AddressGroup{ID: model.AddressGroupID(group), Addresses: []netip.Prefix{netip.PrefixFrom(addr, 32)}})
		})
	default:
		b.editOutside(n, r, host())
	}
}

// scoped gives a network an IPv6 subnet of a pool of its own, in the scope.
func scoped(tx *world.Tx, network model.NetworkID, scope model.AddressScopeID) {
	pool := model.SubnetPoolID{UUID: model.UUID{9, 14: network.UUID[0]}}
	tx.SubnetPools.Put(&model.SubnetPool{ID: pool, AddressScope: scope})
	tx.Subnets.Put(&model.Subnet{ID: model.SubnetID(pool), NetworkID: network, PoolID: pool, CIDR: netip.MustParsePrefix("2001:db8::/64")})
}

// openProxy makes all that it takes for a proxy to be placed on the host; by chance alone that comes together too seldom.
func (b *bench) openProxy(inside, outside model.NetworkID, host string, p *model.NDPProxy) {
	b.write(func(tx *world.Tx) {
		for _, n := range []model.NetworkID{inside, outside} {
			scoped(tx, n, model.AddressScopeID{UUID: model.UUID{1}})
		}
		tx.Hosts.Put(&model.Host{Name: host, AgentMode: model.ModeDVR, BridgeMappings: map[string]string{"external": "br-ex"}})
		tx.Segments.Put(&model.Segment{ID: model.SegmentID(outside), NetworkID: outside, NetworkType: model.TypeFlat, Physnet: "external"})
		gateway := model.PortID{UUID: model.UUID{p.Router.UUID[0], 15: 8}}
		tx.Ports.Put(&model.Port{ID: gateway, NetworkID: outside, DeviceOwner: model.OwnerRouterGateway, DeviceID: p.Router.String()})
		tx.Routers.Put(&model.Router{ID: p.Router, Distributed: true, GatewayHost: hosts[0], GatewayPort: gateway, EnableNDPProxy: true})
		p.PortID = model.PortID{UUID: model.UUID{1 + inside.UUID[0], 15: 1}}
		if old := tx.Ports.Get(p.PortID); old == nil {
			tx.Ports.Put(&model.Port{ID: p.PortID, NetworkID: inside, Host: host})
		}
		tx.NDPProxies.Put(p)
	})
}

// editProxies makes one random change of an NDP proxy, or of what decides where it is: the address scopes of the networks inside and
// outside.
func (b *bench) editProxies(inside, outside model.NetworkID, id model.NDPProxyID, p *model.NDPProxy) {
	t := b.t
	scope := model.AddressScopeID{UUID: model.UUID{byte(rapid.IntRange(0, 2).Draw(t, "scope"))}}
	network := rapid.SampledFrom([]model.NetworkID{inside, outside}).Draw(t, "scoped network")
	b.write(func(tx *world.Tx) {
		switch rapid.IntRange(0, 4).Draw(t, "proxy") {
		case 0, 1:
			tx.NDPProxies.Put(p)
		case 2:
			tx.NDPProxies.Delete(id)
		case 3:
			scoped(tx, network, scope)
		case 4:
			tx.Subnets.Delete(model.SubnetID{UUID: model.UUID{9, 14: network.UUID[0]}})
		}
	})
}

// editOutside makes one random change of what leads outside. Networks 1 and 2 are the external ones, too.
func (b *bench) editOutside(n model.NetworkID, r model.RouterID, host string) {
	t := b.t
	f := model.FloatingIPID{UUID: model.UUID{byte(rapid.IntRange(1, 3).Draw(t, "floating")), 15: 7}}
	port := model.PortID{UUID: model.UUID{byte(rapid.IntRange(0, 12).Draw(t, "port")), 15: 1}}
	if port.UUID[0] == 0 {
		port = model.PortID{}
	}
	external := model.NetworkID{UUID: model.UUID{byte(rapid.IntRange(1, 2).Draw(t, "external")), 15: 1}}
	mode := rapid.SampledFrom([]string{model.ModeDVR, model.ModeDVRSNAT, model.ModeLegacy, model.ModeDVRNoExternal}).Draw(t, "mode")
	mapped := rapid.Bool().Draw(t, "mapped")
	if host == "" {
		host = hosts[0]
	}
	if rapid.IntRange(0, 4).Draw(t, "IPv6") == 0 {
		p := &model.NDPProxy{ID: model.NDPProxyID(f), Router: r, PortID: port, Address: netip.MustParseAddr("2001:db8::9")}
		if port.IsZero() {
			b.openProxy(n, external, host, p)
		} else {
			b.editProxies(n, external, p.ID, p)
		}
		return
	}
	switch rapid.IntRange(0, 9).Draw(t, "outside") {
	case 0:
		b.write(func(tx *world.Tx) {
			h := &model.Host{Name: host, AgentMode: mode}
			if mapped {
				h.BridgeMappings = map[string]string{"external": "br-ex"}
			}
			tx.Hosts.Put(h)
		})
	case 1:
		b.write(func(tx *world.Tx) { tx.Hosts.Delete(host) })
	case 2:
		b.write(func(tx *world.Tx) {
			tx.Networks.Put(&model.Network{ID: external, External: true, MTU: 1500})
			tx.Segments.Put(&model.Segment{ID: model.SegmentID(external), NetworkID: external, NetworkType: model.TypeFlat, Physnet: "external"})
		})
	case 3: // the gateway comes, or moves to another network, or the router to another host or kind
		gateway := model.PortID{UUID: model.UUID{r.UUID[0], 15: 8}}
		b.write(func(tx *world.Tx) {
			tx.Ports.Put(&model.Port{ID: gateway, NetworkID: external, DeviceOwner: model.OwnerRouterGateway, DeviceID: r.String()})
			tx.Routers.Put(&model.Router{ID: r, Distributed: mapped, GatewayHost: host, GatewayPort: gateway, EnableNDPProxy: mode != model.ModeLegacy})
		})
	case 4:
		b.write(func(tx *world.Tx) { tx.Ports.Delete(model.PortID{UUID: model.UUID{r.UUID[0], 15: 8}}) })
	case 5, 6:
		b.write(func(tx *world.Tx) {
			own := model.PortID(f)
			tx.Ports.Put(&model.Port{ID: own, NetworkID: external, DeviceOwner: model.OwnerFloatingIP, DeviceID: f.String(), MAC: model.MAC{2, byte(len(mode))}})
			tx.FloatingIPs.Put(&model.FloatingIP{ID: f, NetworkID: external, OwnPort: own, Port: port, Router: r, Since: tx.Revision() % 2})
		})
	case 7:
		b.write(func(tx *world.Tx) { tx.FloatingIPs.Delete(f) })
	case 8:
		b.write(func(tx *world.Tx) {
			v := &model.PortForwarding{ID: model.PortForwardingID(f), FloatingIP: f, Port: port, Protocol: "tcp"}
			if old := tx.PortForwardings.Get(v.ID); old != nil {
				tx.PortForwardings.Delete(v.ID)
				return
			}
			tx.PortForwardings.Put(v)
			tx.ConntrackHelpers.Put(&model.ConntrackHelper{ID: model.ConntrackHelperID(f), Router: r, Protocol: "udp", Port: 69, Helper: "tftp"})
		})
	case 9: // a migration begins
		b.write(func(tx *world.Tx) {
			p := tx.Ports.Get(port)
			if p == nil || !visible(p) {
				return
			}
			c := *p
			c.Profile = []byte(`{"migrating_to": "` + host + `"}`)
			tx.Ports.Put(&c)
			tx.Bindings.Put(&model.PortBinding{PortID: model.PortID{UUID: model.UUID{3, 15: 1}}, Host: host, Status: "INACTIVE"})
			pool := &model.SubnetPool{ID: model.SubnetPoolID{UUID: model.UUID{1}}, AddressScope: model.AddressScopeID{UUID: model.UUID{byte(len(mode))}}}
			tx.SubnetPools.Put(pool)
			tx.Subnets.Put(&model.Subnet{ID: model.SubnetID(n), NetworkID: n, PoolID: pool.ID, CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n.UUID[0]}), 24)})
		})
	}
}

// Whatever happens in whatever order, an agent that followed holds exactly what one that connects afresh is sent.
func TestFollowingEqualsSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		mirrors := map[string]*mirror{}
		for _, h := range hosts {
			mirrors[h] = b.connect(h, nil, model.Position{})
		}
		for range rapid.IntRange(1, 40).Draw(t, "edits") {
			b.edit()
			if rapid.IntRange(0, 9).Draw(t, "reconnect") == 0 {
				h := rapid.SampledFrom(hosts).Draw(t, "who")
				b.settled()
				mirrors[h].drain(t)
				b.edit() // missed by h
				b.settled()
				again := b.connect(h, mirrors[h].has, b.writer.Snapshot().Position())
				if again.held {
					b.hub.do(context.Background(), func() { again.session.released = true; b.hub.snapshot(again.session, nil, model.Position{}) })
					again.drain(t)
				}
				mirrors[h] = again
			}
		}
		b.settled()
		for h, m := range mirrors {
			m.drain(t)
			if d := cmp.Diff(scope(b.writer.Snapshot(), h), m.has, cmp.AllowUnexported(key{})); d != "" {
				t.Fatalf("host %s (-should, +has):\n%s", h, d)
			}
			for k := range m.has {
				if set := m.sets[k]; set != nil && wire.SetVersion(set) != m.has[k] {
					t.Fatalf("host %s: set %x is %v, which is not its version", h, k.id, texts(set.Prefixes))
				}
			}
		}
	})
}

func TestOnlyTheInterestedAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		n1, n2 := model.NetworkID{UUID: model.UUID{1}}, model.NetworkID{UUID: model.UUID{2}}
		b.write(func(tx *world.Tx) {
			for i, n := range []model.NetworkID{n1, n2} {
				tx.Networks.Put(&model.Network{ID: n})
				tx.Ports.Put(&model.Port{ID: model.PortID{UUID: model.UUID{byte(10 + i)}}, NetworkID: n, Host: hosts[i]})
			}
		})
		b.settled()
		one, two := b.connect("c1", nil, model.Position{}), b.connect("c2", nil, model.Position{})
		b.write(func(tx *world.Tx) {
			tx.Ports.Put(&model.Port{ID: model.PortID{UUID: model.UUID{20}}, NetworkID: n1, Host: "c3"})
		})
		b.settled()
		q1, _ := one.session.take()
		q2, _ := two.session.take()
		if len(q1) != 1 || len(q1[0].puts) != 1 || q1[0].puts[0].Kind != wire.Kind_KIND_PORT || len(q2) != 0 {
			t.Fatalf("c1 was sent %v, c2 %v; want the port for c1 alone", q1, q2)
		}
		b.write(func(tx *world.Tx) { // nothing that crosses the wire to others
			p := *tx.Ports.Get(model.PortID{UUID: model.UUID{20}})
			p.Description = "new"
			tx.Ports.Put(&p)
		})
		b.settled()
		if q, _ := one.session.take(); len(q) != 0 {
			t.Fatalf("a description was sent: %v", q)
		}
	})
}

// A floating IP or NDP proxy is told to the one host that it is placed on, and moves in one step.
func TestFloatingIPIsToldToOneHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		ms := map[string]*mirror{}
		for _, h := range hosts {
			ms[h] = b.connect(h, nil, model.Position{})
		}
		for range 30 {
			b.edit()
		}
		b.settled()
		w := b.writer.Snapshot()
		for _, m := range ms {
			m.drain(t)
		}
		for f := range w.FloatingIPs.All() {
			at, _ := rules.PlaceFloatingIP(w, f)
			for h, m := range ms {
				_, has := m.has[uuidKey(wire.Kind_KIND_FLOATING_IP, f.ID.UUID)]
				if has != (h == at) {
					t.Fatalf("floating IP %v is placed on %q; %s has it: %v", f, at, h, has)
				}
			}
		}
		for n := range w.NDPProxies.All() {
			at := rules.PlaceNDPProxy(w, n)
			for h, m := range ms {
				if _, has := m.has[uuidKey(wire.Kind_KIND_NDP_PROXY, n.ID.UUID)]; has != (h == at.Host) {
					t.Fatalf("NDP proxy %v is placed at %v; %s has it: %v", n, at, h, has)
				}
			}
		}
		for n := range w.Networks.External() { // gateways never join networks
			for h, m := range ms {
				own := false
				for p := range w.Ports.ByNetwork(n.ID) {
					own = own || visible(p) && (p.Host == h || world.MigratingTo(p) == h) || p.IsRouterInterface()
				}
				for b := range w.Bindings.ByHost(h) {
					own = own || !b.Distributed
				}
				if _, has := m.has[uuidKey(wire.Kind_KIND_NETWORK, n.ID.UUID)]; has && !own {
					t.Fatalf("%s is told of the external network %v and all its ports", h, n.ID)
				}
			}
		}
	})
}

// The target of a live migration knows the port's network and its router before the port comes, and nothing that is the
// source's alone.
func TestMigrationPreparesItsTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		n, r := model.NetworkID{UUID: model.UUID{1}}, model.RouterID{UUID: model.UUID{2}}
		port, floating := model.PortID{UUID: model.UUID{3}}, model.FloatingIPID{UUID: model.UUID{4}}
		viaProfile := rapid.Bool().Draw(t, "profile")
		b.write(func(tx *world.Tx) {
			tx.Networks.Put(&model.Network{ID: n})
			tx.Routers.Put(&model.Router{ID: r, Distributed: true})
			tx.Ports.Put(&model.Port{ID: model.PortID{UUID: model.UUID{5}}, NetworkID: n, DeviceOwner: model.OwnerDVRInterface, DeviceID: r.String()})
			tx.Ports.Put(&model.Port{ID: port, NetworkID: n, Host: "c1"})
			tx.Hosts.Put(&model.Host{Name: "c1", AgentMode: model.ModeDVR})
			tx.FloatingIPs.Put(&model.FloatingIP{ID: floating, Port: port, Router: r})
		})
		b.settled()
		m := b.connect("c2", nil, model.Position{})
		has := func(kind wire.Kind, id model.UUID) bool { _, ok := m.has[uuidKey(kind, id)]; return ok }
		if has(wire.Kind_KIND_NETWORK, n.UUID) {
			t.Fatal("c2 knows the network before anything is to come")
		}
		begin := func(to string) {
			b.write(func(tx *world.Tx) {
				key := world.BindingKey{Port: port, Host: "c2"}
				switch {
				case viaProfile:
					p := *tx.Ports.Get(port)
					p.Profile = []byte(`{"migrating_to": "` + to + `"}`)
					tx.Ports.Put(&p)
				case to == "":
					tx.Bindings.Delete(key)
				default:
					tx.Bindings.Put(&model.PortBinding{PortID: port, Host: to, Status: "INACTIVE"})
				}
			})
			b.settled()
			m.drain(t)
		}
		begin("c2")
		if !has(wire.Kind_KIND_NETWORK, n.UUID) || !has(wire.Kind_KIND_ROUTER, r.UUID) || has(wire.Kind_KIND_ENDPOINT, port.UUID) || has(wire.Kind_KIND_FLOATING_IP, floating.UUID) {
			t.Fatalf("while it is to come: %v", m.has)
		}
		begin("") // it does not come after all
		if has(wire.Kind_KIND_NETWORK, n.UUID) || has(wire.Kind_KIND_ROUTER, r.UUID) {
			t.Fatalf("after it was called off: %v", m.has)
		}
	})
}

func TestSnapshotThatRemovesMostIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		have := map[key]uint64{}
		for i := range byte(6) {
			have[uuidKey(wire.Kind_KIND_ENDPOINT, model.UUID{i + 1})] = 7
		}
		at := b.writer.Snapshot().Position()
		if m := b.connect("c1", have, at); !m.held || len(m.has) != 6 {
			t.Fatalf("held %v, %d left", m.held, len(m.has))
		}
		if m := b.connect("c1", nil, at); m.held {
			t.Fatal("an agent with nothing has nothing to lose")
		}
		at.Lineage[0]++
		if m := b.connect("c1", map[key]uint64{uuidKey(wire.Kind_KIND_ENDPOINT, model.UUID{1}): 7}, at); !m.held {
			t.Fatal("another lineage was not held")
		}
	})
}
