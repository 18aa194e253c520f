package converge

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/feed"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

var admin = &rules.Actor{Admin: true, Project: "p"}

// tenancy is what the requests are about.
type tenancy struct {
	public  [2]model.NetworkID
	nets    [2]model.NetworkID
	subnets [4]model.SubnetID // an IPv4 and an IPv6 one on each network
	routers [2]model.RouterID
	ports   [4]model.PortID
	// wire are the subnets, one of each family, of a vlan network inside, whose machines one of the hosts serves.
	wire [2]model.SubnetID
	// outer is the pool of the external networks' IPv6 subnets, inner that of the others; scope is a scope of both.
	outer, inner model.SubnetPoolID
	scope        model.AddressScopeID
}

func (c *cloud) build() *tenancy {
	v := &tenancy{}
	check(c.t, c.do(func(tx *world.Tx) error {
		if err := c.pools(tx, v); err != nil {
			return err
		}
		for i := range v.public {
			n := &model.Network{ProjectID: "p", External: true, AdminStateUp: true}
			x := rules.NewNetworkExtra()
			x.Provider.Type, x.Provider.Physnet = model.TypeFlat, "external"
			if i == 1 {
				x.Provider.Type, x.Provider.SegmentationID = model.TypeVLAN, 7
			}
			if err := c.rules.CreateNetwork(tx, admin, n, x); err != nil {
				return err
			}
			v.public[i] = n.ID
			for _, cidr := range []string{fmt.Sprintf("203.0.113.%d/28", 64*i), fmt.Sprintf("2001:db8:%d::/64", i)} {
				if _, err := c.subnet(tx, n.ID, cidr, v.outer); err != nil {
					return err
				}
			}
		}
		for i := range v.nets {
			n := &model.Network{ProjectID: "p", AdminStateUp: true}
			x := rules.NewNetworkExtra()
			if err := c.rules.CreateNetwork(tx, admin, n, x); err != nil {
				return err
			}
			v.nets[i] = n.ID
			var err error
			if v.subnets[2*i], err = c.subnet(tx, n.ID, fmt.Sprintf("10.0.%d.0/24", i), v.inner); err != nil {
				return err
			}
			if v.subnets[2*i+1], err = c.subnet(tx, n.ID, fmt.Sprintf("fd00:%d::/64", i), v.inner); err != nil {
				return err
			}
		}
		if err := c.wire(tx, v); err != nil {
			return err
		}
		for i := range v.routers {
			r := &model.Router{ProjectID: "p", AdminStateUp: true}
			if err := c.rules.CreateRouter(tx, admin, r, &rules.RouterExtra{Distributed: rules.Some(i == 0)}); err != nil {
				return err
			}
			v.routers[i] = r.ID
		}
		for i := range v.ports {
			p := &model.Port{ProjectID: "p", NetworkID: v.nets[i%2], AdminStateUp: true, DeviceOwner: "compute:nova", DeviceID: fmt.Sprint("vm", i)}
			if err := c.rules.CreatePort(tx, admin, p, &rules.PortExtra{}); err != nil {
				return err
			}
			v.ports[i] = p.ID
		}
		return nil
	}))
	return v
}

// wire makes the vlan network inside.
func (c *cloud) wire(tx *world.Tx, v *tenancy) error {
	n := &model.Network{ProjectID: "p", AdminStateUp: true}
	x := rules.NewNetworkExtra()
	x.Provider.Type, x.Provider.Physnet, x.Provider.SegmentationID = model.TypeVLAN, "external", 9
	err := c.rules.CreateNetwork(tx, admin, n, x)
	for i, cidr := range []string{"10.9.0.0/24", "fd00:9::/64"} {
		if err == nil {
			v.wire[i], err = c.subnet(tx, n.ID, cidr, v.inner)
		}
	}
	return err
}

// pools makes the IPv6 pools, both in one scope.
func (c *cloud) pools(tx *world.Tx, v *tenancy) error {
	s := &model.AddressScope{ProjectID: "p", IPVersion: 6}
	if err := c.rules.CreateAddressScope(tx, admin, s, &rules.AddressScopeExtra{}); err != nil {
		return err
	}
	v.scope = s.ID
	for prefix, id := range map[string]*model.SubnetPoolID{"2001:db8::/32": &v.outer, "fd00::/16": &v.inner} {
		p := &model.SubnetPool{ProjectID: "p", AddressScope: v.scope, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}
		if err := c.rules.CreateSubnetPool(tx, admin, p, &rules.SubnetPoolExtra{}); err != nil {
			return err
		}
		*id = p.ID
	}
	return nil
}

// subnet makes one; an IPv6 one is of the pool.
func (c *cloud) subnet(tx *world.Tx, n model.NetworkID, cidr string, pool model.SubnetPoolID) (model.SubnetID, error) {
	prefix := netip.MustParsePrefix(cidr)
	s := &model.Subnet{ProjectID: "p", NetworkID: n, CIDR: prefix.Masked()}
	version := 4
	if prefix.Addr().Is6() {
		version, s.PoolID = 6, pool
	}
	err := c.rules.CreateSubnet(tx, admin, s, &rules.SubnetExtra{IPVersion: version})
	return s.ID, err
}

// event makes one random thing happen.
func (c *cloud) event(v *tenancy) {
	t := c.t
	pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
	router, port := v.routers[pick("router", len(v.routers))], v.ports[pick("port", len(v.ports))]
	external := v.public[pick("external", len(v.public))]
	names := []string{"c1", "c2", "c3", "c4"}
	h := c.hosts[names[pick("host", len(names))]]
	yes := rapid.Bool().Draw(t, "yes")
	switch kind := pick("event", 19); kind {
	case 0, 1:
		_ = c.do(func(tx *world.Tx) error {
			f := &model.FloatingIP{ProjectID: "p", NetworkID: external}
			return c.rules.CreateFloatingIP(tx, admin, f, &rules.FloatingIPExtra{Port: rules.Some(port), FixedIP: fixed4(tx, port)})
		})
	case 2, 3:
		c.withFloating(pick, func(tx *world.Tx, f *model.FloatingIP) error {
			x := &rules.FloatingIPExtra{Port: rules.Some(model.PortID{})}
			if yes {
				x.Port, x.FixedIP = rules.Some(port), fixed4(tx, port)
			}
			return c.rules.UpdateFloatingIP(tx, admin, f, x, false)
		})
	case 4:
		c.withFloating(pick, func(tx *world.Tx, f *model.FloatingIP) error {
			if yes {
				return c.rules.DeleteFloatingIP(tx, admin, f)
			}
			w := &model.PortForwarding{FloatingIP: f.ID, Port: port, Protocol: "tcp"}
			return c.rules.CreatePortForwarding(tx, admin, w, &rules.PortForwardingExtra{
				InternalPort: rules.Some(model.PortRange{First: 22, Last: 22}), ExternalPort: rules.Some(model.PortRange{First: 2222, Last: 2222})})
		})
	case 5:
		_ = c.do(func(tx *world.Tx) error {
			for w := range tx.PortForwardings.All() {
				return c.rules.DeletePortForwarding(tx, admin, w)
			}
			return nil
		})
	case 6, 7:
		_ = c.do(func(tx *world.Tx) error {
			x := &rules.RouterExtra{Gateway: rules.Some[*rules.GatewayRequest](nil)}
			if kind == 6 || yes {
				x.Gateway = rules.Some(&rules.GatewayRequest{Network: external, EnableSNAT: rules.Some(yes)})
			}
			return c.update(tx, router, x, func(*model.Router) {})
		})
	case 8: // to the other kind, as Neutron allows it: down first
		_ = c.do(func(tx *world.Tx) error {
			if err := c.update(tx, router, &rules.RouterExtra{}, func(r *model.Router) { r.AdminStateUp = false }); err != nil || yes {
				return err
			}
			x := &rules.RouterExtra{Distributed: rules.Some(!tx.Routers.Get(router).Distributed)}
			if err := c.update(tx, router, x, func(*model.Router) {}); err != nil {
				return err
			}
			return c.update(tx, router, &rules.RouterExtra{}, func(r *model.Router) { r.AdminStateUp = true })
		})
	case 9:
		subnet := v.subnets[pick("subnet", len(v.subnets))]
		_ = c.do(func(tx *world.Tx) error {
			q := rules.InterfaceRequest{Subnet: rules.Some(subnet)}
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				_, err := c.rules.RemoveInterface(tx, admin, tx.Routers.Get(router), q)
				return err
			}
			_, err := c.rules.AddInterface(tx, admin, tx.Routers.Get(router), q)
			return err
		})
	case 10, 11:
		_ = c.do(func(tx *world.Tx) error {
			old := tx.Ports.Get(port)
			p := *old
			if p.Host = h.name; yes && kind == 11 {
				p.Host = ""
			}
			return c.rules.UpdatePort(tx, admin, old, &p, &rules.PortExtra{})
		})
	case 12:
		_ = c.do(func(tx *world.Tx) error {
			for a := range tx.Agents.ByHost(h.name) {
				if a.Type == model.AgentL3 && yes {
					return c.rules.AddRouter(tx, a, router)
				} else if a.Type == model.AgentL3 {
					return c.rules.RemoveRouter(tx, a, router)
				}
			}
			return c.rules.Failover(tx)
		})
	case 14, 15, 16:
		c.proxies(v, router, port, kind, yes)
	case 17, 18:
		c.wired(v, kind, yes)
	case 13:
		if h.stop == nil {
			c.start(h)
			return
		}
		c.lose(h, yes)
	}
}

// lose has a host's agent die; forget: somebody deletes it from the API, too.
func (c *cloud) lose(h *host, forget bool) {
	c.kill(h)
	_ = c.do(func(tx *world.Tx) error {
		if host := tx.Hosts.Get(h.name); host != nil { // so that the feed looks at once who serves now
			again := *host
			tx.Hosts.Put(&again)
		}
		for _, a := range slices.Collect(tx.Agents.ByHost(h.name)) {
			if forget {
				if err := c.rules.DeleteAgent(tx, admin, a); err != nil {
					return err
				}
			}
		}
		return c.rules.Failover(tx)
	})
}

// wired makes one of the things happen by which it depends whether, and by whom, the vlan network's machines are served: a distributed
// router's interface there, and DHCP.
func (c *cloud) wired(v *tenancy, kind int, yes bool) {
	_ = c.do(func(tx *world.Tx) error {
		if kind == 17 {
			s := *tx.Subnets.Get(v.wire[0])
			s.EnableDHCP = yes
			tx.Subnets.Put(&s)
			return nil
		}
		q := rules.InterfaceRequest{Subnet: rules.Some(v.wire[rapid.IntRange(0, 1).Draw(c.t, "family")])}
		if yes {
			_, err := c.rules.AddInterface(tx, admin, tx.Routers.Get(v.routers[0]), q)
			return err
		}
		_, err := c.rules.RemoveInterface(tx, admin, tx.Routers.Get(v.routers[0]), q)
		return err
	})
}

// open gives the first router a gateway, legs on the IPv6 subnets, and NDP proxies for two ports on different hosts: by chance alone all
// that comes together too seldom.
func (c *cloud) open(v *tenancy) error {
	return c.do(func(tx *world.Tx) error {
		x := &rules.RouterExtra{Gateway: rules.Some(&rules.GatewayRequest{Network: v.public[0]}), NDP: rules.Some(true)}
		if err := c.update(tx, v.routers[0], x, func(*model.Router) {}); err != nil {
			return err
		}
		for i := range 2 {
			q := rules.InterfaceRequest{Subnet: rules.Some(v.subnets[2*i+1])}
			if _, err := c.rules.AddInterface(tx, admin, tx.Routers.Get(v.routers[0]), q); err != nil {
				return err
			}
			old := tx.Ports.Get(v.ports[i])
			p := *old
			p.Host = []string{"c2", "c3"}[i]
			if err := c.rules.UpdatePort(tx, admin, old, &p, &rules.PortExtra{}); err != nil {
				return err
			}
			n := &model.NDPProxy{ProjectID: "p", Router: v.routers[0], PortID: v.ports[i]}
			if err := c.rules.CreateNDPProxy(tx, admin, n, &rules.NDPProxyExtra{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// proxies makes one of the things happen that NDP proxies depend on.
func (c *cloud) proxies(v *tenancy, router model.RouterID, port model.PortID, kind int, yes bool) {
	_ = c.do(func(tx *world.Tx) error {
		switch {
		case kind == 14:
			return c.update(tx, router, &rules.RouterExtra{NDP: rules.Some(yes)}, func(*model.Router) {})
		case yes:
			if err := c.update(tx, router, &rules.RouterExtra{NDP: rules.Some(true)}, func(*model.Router) {}); err != nil {
				return err
			}
			return c.rules.CreateNDPProxy(tx, admin, &model.NDPProxy{ProjectID: "p", Router: router, PortID: port}, &rules.NDPProxyExtra{})
		case kind == 15: // the scope outside becomes another one, and the same again
			p := *tx.SubnetPools.Get(v.outer)
			if p.AddressScope = v.scope; tx.SubnetPools.Get(v.outer).AddressScope == v.scope {
				p.AddressScope = model.AddressScopeID{}
			}
			tx.SubnetPools.Put(&p)
			return nil
		}
		for n := range tx.NDPProxies.All() {
			return c.rules.DeleteNDPProxy(tx, admin, n)
		}
		return nil
	})
}

func (c *cloud) update(tx *world.Tx, id model.RouterID, x *rules.RouterExtra, change func(*model.Router)) error {
	old := tx.Routers.Get(id)
	r := *old
	change(&r)
	return c.rules.UpdateRouter(tx, admin, old, &r, x)
}

func (c *cloud) withFloating(pick func(string, int) int, f func(*world.Tx, *model.FloatingIP) error) {
	_ = c.do(func(tx *world.Tx) error {
		all := slices.Collect(tx.FloatingIPs.All())
		if len(all) == 0 {
			return nil
		}
		v := *all[pick("floating", 3)%len(all)]
		return f(tx, &v)
	})
}

// fixed4 is the IPv4 address of a port.
func fixed4(tx *world.Tx, id model.PortID) netip.Addr {
	for _, f := range tx.Ports.Get(id).FixedIPs {
		if f.Address.Is4() {
			return f.Address
		}
	}
	return netip.Addr{}
}

var equal = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.IgnoreFields(hostplan.State{}, "Position"),
}

// differs says how a host's State differs from that of one which starts now; "" if it does not.
func (c *cloud) differs(h *host, w *world.World) string {
	want, err := agent.Compile(h.name, options, feed.Scope(w, c.lives, h.name))
	check(c.t, err)
	got := h.state.Load()
	if got == nil {
		return "it has no State yet"
	}
	return cmp.Diff(want, got, equal...)
}

// speaks reports whether the host speaks for routers on a network, as far as it has heard.
func (h *host) speaks(n model.NetworkID) bool {
	s := h.state.Load()
	return s != nil && s.Networks[n] != nil && s.Networks[n].Speaks
}

// unserved names a provider network that not exactly one live host speaks for, or serves with DHCP, though one could and must; "": none.
func (c *cloud) unserved(w *world.World, v *tenancy) string {
	n := w.Subnets.Get(v.wire[0]).NetworkID
	router := false
	for p := range w.Ports.ByNetwork(n) {
		router = router || p.DeviceOwner == model.OwnerDVRInterface
	}
	var can, speak []string
	for name, h := range c.hosts {
		if h.stop == nil {
			continue
		}
		if host := w.Hosts.Get(name); host != nil && len(host.BridgeMappings) > 0 {
			can = append(can, name)
		}
		if h.speaks(n) {
			speak = append(speak, name)
		}
	}
	if must := router && len(can) > 0; must && len(speak) != 1 || len(speak) > 1 {
		return fmt.Sprintf("%v speak for the router on the wire (a router is there: %v); %v can", speak, router, can)
	}
	return ""
}

// untrue names a floating IP whose status is not what its host does, or an NDP proxy that a host has which it is not placed on; "" if there
// is none.
func (c *cloud) untrue(w *world.World) string {
	for n := range w.NDPProxies.All() {
		at := rules.PlaceNDPProxy(w, n)
		for name, h := range c.hosts {
			if h.stop != nil && h.state.Load().NDPProxies[n.ID] != nil && name != at.Host {
				return fmt.Sprintf("NDP proxy %+v is placed at %+v, but %s has it", n, at, name)
			}
		}
	}
	for f := range w.FloatingIPs.All() {
		at, _ := rules.PlaceFloatingIP(w, f)
		h := c.hosts[at]
		if h == nil || h.stop == nil {
			continue // nobody is there to say anything
		}
		_, programmed := h.state.Load().FloatingIPs[f.ID]
		if active := rules.FloatingIPActive(w, f); active != programmed {
			return fmt.Sprintf("floating IP %+v is at %s, programmed %v, active %v", f, at, programmed, active)
		}
	}
	return ""
}

// Whatever happens in whatever order, every host that lives ends in the State of one that has just started, and what the API
// shows of floating IPs is what the hosts do.
func TestAnyOrderEndsAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCloud(t)
		c.add(1, "c1", model.ModeDVRSNAT, true)
		c.add(2, "c2", model.ModeDVR, true)
		c.add(3, "c3", model.ModeDVRNoExternal, false)
		c.add(4, "c4", rapid.SampledFrom([]string{model.ModeLegacy, model.ModeDVRSNAT}).Draw(t, "mode"), true)
		v := c.build()
		if rapid.Bool().Draw(t, "IPv6 open") {
			check(t, c.open(v))
		}
		wired := rapid.Bool().Draw(t, "router on the wire")
		if wired {
			c.wired(v, 18, true)
		}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			c.event(v)
		}
		if wired && rapid.Bool().Draw(t, "the host that speaks dies") {
			c.wired(v, 18, true)
			for _, name := range []string{"c1", "c2", "c4"} {
				if h := c.hosts[name]; h.stop != nil && h.speaks(c.writer.Snapshot().Subnets.Get(v.wire[0]).NetworkID) {
					c.lose(h, false)
					break
				}
			}
		}
		c.settle(v)
	})
}
