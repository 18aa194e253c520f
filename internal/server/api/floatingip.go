package api

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type floatingIPs = Resource[model.FloatingIP, rules.FloatingIPExtra]

func floatingIPResource(ru *rules.Rules) *floatingIPs {
	type T = model.FloatingIP
	type X = rules.FloatingIPExtra
	r := &floatingIPs{
		single: true, name: "floatingip", plural: "floatingips", word: "FloatingIP", quota: model.KindFloatingIP, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.FloatingIPID, T] { return &w.FloatingIPs.Table }),
		id:         func(f *T) model.UUID { return f.ID.UUID },
		meta:       func(f *T) *model.Meta { return &f.Meta },
		project:    func(f *T) string { return f.ProjectID },
		setProject: func(f *T, project string) { f.ProjectID = project },
		create:     ru.CreateFloatingIP,
		remove:     ru.DeleteFloatingIP,
		gone:       "Floating IP %s could not be found",
		indexes: []index[T]{
			{"port_id", func(w *world.World, v string) rows[T] { return w.FloatingIPs.ByPort(model.PortID{UUID: idOf(v)}) }},
			{"floating_ip_address", func(w *world.World, v string) rows[T] {
				a, _ := netip.ParseAddr(v)
				return w.FloatingIPs.ByAddress(a)
			}},
			{"router_id", func(w *world.World, v string) rows[T] { return w.FloatingIPs.ByRouter(model.RouterID{UUID: idOf(v)}) }},
			{"project_id", func(w *world.World, v string) rows[T] { return w.FloatingIPs.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[T] { return w.FloatingIPs.ByProject(v) }},
			{"floating_network_id", func(w *world.World, v string) rows[T] {
				return w.FloatingIPs.ByNetwork(model.NetworkID{UUID: idOf(v)})
			}},
		},
	}
	r.update = func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
		blank := !slices.ContainsFunc(r.attrs, func(a *attr[T, X]) bool { return c.Has(a.name) })
		return ru.UpdateFloatingIP(tx, by, c.New, c.X, blank)
	}
	r.identified()
	r.owned()
	r.uuid("floating_network_id", func(f *T) *model.UUID { return &f.NetworkID.UUID }).must()
	floatingAddresses(r)
	r.uuid("router_id", func(f *T) *model.UUID { return &f.Router.UUID })
	r.derived("status", func(b []byte, f *T, x *View) []byte { return appendString(b, floatingStatus(f, x)) }).
		filterBy(func(x *View, values []string) (func(*T) bool, error) {
			return func(f *T) bool { return slices.Contains(values, floatingStatus(f, x)) }, nil
		}).compareIn = func(x *View) func(a, b *T) int {
		return func(a, b *T) int { return cmp.Compare(floatingStatus(a, x), floatingStatus(b, x)) }
	}
	lowered(r.text("dns_name", func(f *T) *string { return &f.DNSName }).inPost(), floatingFault)
	lowered(r.text("dns_domain", func(f *T) *string { return &f.DNSDomain }).inPost(), domainFault)
	r.uuid("qos_policy_id", func(f *T) *model.UUID { return &f.QoSPolicy.UUID }).rw().guardAny().check(checkQoSPolicyID)
	r.derived("port_details", appendPortDetails)
	r.derived("port_forwardings", func(b []byte, f *T, x *View) []byte {
		return appendList(b, slices.Collect(x.W.PortForwardings.ByFloatingIP(f.ID)), appendNestedForwarding)
	})
	r.standard()
	nest(r, portForwardingResource(ru))
	return r
}

// floatingStatus is ACTIVE once the host that translates the floating IP has programmed it.
func floatingStatus(f *model.FloatingIP, x *View) string {
	if rules.FloatingIPActive(x.W, f) {
		return model.StatusActive
	}
	return model.StatusDown
}

// floatingAddresses declares the two addresses, the port, and the subnet to take an address of.
func floatingAddresses(r *floatingIPs) {
	type T = model.FloatingIP
	type X = rules.FloatingIPExtra
	address := func(name string, get func(*T) netip.Addr, set func(x *X, a netip.Addr)) *attr[T, X] {
		a := r.derived(name, func(b []byte, f *T, _ *View) []byte { return appendAddr(b, get(f)) }).inPost()
		a.convert(func(v Value) (assign[T, X], error) {
			if v.kind == isNull {
				return func(*T, *X) {}, nil
			}
			addr, err := addrValue(v)
			return func(_ *T, x *X) { set(x, addr) }, err
		})
		a.compare = func(p, q *T) int { return get(p).Compare(get(q)) }
		return a.filterBy(func(_ *View, values []string) (func(*T) bool, error) {
			return func(f *T) bool {
				if !get(f).IsValid() {
					return slices.Contains(values, "")
				}
				return slices.Contains(values, get(f).String())
			}, nil
		})
	}
	address("floating_ip_address", func(f *T) netip.Addr { return f.Address }, func(x *X, a netip.Addr) { x.Address = a }).guardAny()
	address("fixed_ip_address", func(f *T) netip.Addr { return f.FixedIP }, func(x *X, a netip.Addr) { x.FixedIP = a }).inPut()
	r.uuid("port_id", func(f *T) *model.UUID { return &f.Port.UUID }).rw().convert(func(v Value) (assign[T, X], error) {
		u, err := uuidValue(v, true)
		return func(_ *T, x *X) { x.Port = rules.Some(model.PortID{UUID: u}) }, err
	})
	r.input("subnet_id", func(v Value) (assign[T, X], error) {
		u, err := uuidValue(v, true)
		return func(_ *T, x *X) { x.Subnet.UUID = u }, err
	}).inPost()
}

func appendPortDetails(b []byte, f *model.FloatingIP, x *View) []byte {
	p := x.W.Ports.Get(f.Port)
	if p == nil {
		return append(b, "null"...)
	}
	b = appendString(append(b, `{"name": `...), p.Name)
	b = appendUUID(append(b, `, "network_id": `...), p.NetworkID.UUID)
	b = appendMAC(append(b, `, "mac_address": `...), p.MAC)
	b = appendBool(append(b, `, "admin_state_up": `...), p.AdminStateUp)
	b = appendString(append(b, `, "status": `...), p.Status)
	b = appendString(append(b, `, "device_id": `...), p.DeviceID)
	return append(appendString(append(b, `, "device_owner": `...), p.DeviceOwner), '}')
}

// serveFloatingPools answers GET /floatingip_pools: the IPv4 subnets of the external networks that the caller may use.
func serveFloatingPools(c *call, rest []string) error {
	if c.r.Method != http.MethodGet {
		return errMethod
	}
	if len(rest) != 0 {
		return errNoPath
	}
	x := c.view()
	// Each pool is shown as the caller's own; to whom policy shows none there is none, as in Neutron.
	shown := x.May.Allows("get_floatingip_pool", policy.Project(c.by.Project))
	b := append(c.buffer(), `{"floatingip_pools": [`...)
	first := true
	for n := range x.W.Networks.External() {
		if !shown {
			break
		}
		if !c.by.Admin && n.ProjectID != c.by.Project && !rules.ExternalFor(x.W, n.ID, c.by.Project) {
			continue
		}
		for s := range x.W.Subnets.ByNetwork(n.ID) {
			if s.IPVersion() != 4 {
				continue
			}
			if !first {
				b = append(b, ", "...)
			}
			first = false
			b = appendPrefix(append(b, `{"cidr": `...), s.CIDR)
			b = appendUUID(append(b, `, "subnet_id": `...), s.ID.UUID)
			b = appendString(append(b, `, "subnet_name": `...), s.Name)
			b = appendUUID(append(b, `, "network_id": `...), n.ID.UUID)
			// The caller's project, as in Neutron: whose the network is does not concern him.
			b = appendStringOrNull(append(b, `, "project_id": `...), c.by.Project)
			b = append(appendStringOrNull(append(b, `, "tenant_id": `...), c.by.Project), '}')
		}
	}
	c.reply(http.StatusOK, append(b, "]}"...))
	return nil
}

type portForwardings = Resource[model.PortForwarding, rules.PortForwardingExtra]

func portForwardingResource(ru *rules.Rules) *portForwardings {
	type T = model.PortForwarding
	type X = rules.PortForwardingExtra
	r := &portForwardings{
		name: "port_forwarding", plural: "port_forwardings", path: "port_forwardings", word: "PortForwarding",
		policy: "floatingip_port_forwarding",
		source: table(func(w *world.World) *world.Table[model.PortForwardingID, T] { return &w.PortForwardings.Table }),
		id:     func(v *T) model.UUID { return v.ID.UUID },
		meta:   func(v *T) *model.Meta { return &v.Meta },
		create: ru.CreatePortForwarding,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdatePortForwarding(tx, by, c.Old, c.New, c.X)
		},
		remove:     ru.DeletePortForwarding,
		gone:       "Port Forwarding %s could not be found.",
		parent:     func(v *T) model.UUID { return v.FloatingIP.UUID },
		bindParent: func(v *T, parent model.UUID) { v.FloatingIP.UUID = parent },
		parentProject: func(v *T, x *View) string {
			if f := x.W.FloatingIPs.Get(v.FloatingIP); f != nil {
				return f.ProjectID
			}
			return ""
		},
		reach: func(x *View) []*T {
			return slices.Collect(x.W.PortForwardings.ByFloatingIP(model.FloatingIPID{UUID: x.Parent}))
		},
	}
	r.identified()
	ignoredOwner(r)
	protocolOf(r.text("protocol", func(v *T) *string { return &v.Protocol }).rw().must(), "tcp", "udp", "icmp", "sctp", "dccp")
	r.uuid("internal_port_id", func(v *T) *model.UUID { return &v.Port.UUID }).rw().must()
	r.derived("internal_ip_address", func(b []byte, v *T, _ *View) []byte { return appendAddr(b, v.Address) }).rw().must().
		convert(func(v Value) (assign[T, X], error) {
			a, err := addrValue(v)
			return func(t *T, _ *X) { t.Address = a }, err
		})
	forwardedPorts(r, "internal_port", func(v *T) *model.PortRange { return &v.Internal },
		func(x *X) (one, many *rules.Opt[model.PortRange]) { return &x.InternalPort, &x.InternalRange })
	forwardedPorts(r, "external_port", func(v *T) *model.PortRange { return &v.External },
		func(x *X) (one, many *rules.Opt[model.PortRange]) { return &x.ExternalPort, &x.ExternalRange })
	r.text("description", func(v *T) *string { return &v.Description }).rw()
	return r
}

// forwardedPorts declares a range of ports in its two forms.
func forwardedPorts(r *portForwardings, name string, field func(*model.PortForwarding) *model.PortRange,
	opt func(*rules.PortForwardingExtra) (one, many *rules.Opt[model.PortRange])) {
	type T = model.PortForwarding
	type X = rules.PortForwardingExtra
	byFirst := func(a, b *T) int { return cmp.Compare(field(a).First, field(b).First) }
	one := r.derived(name, func(b []byte, v *T, _ *View) []byte { return appendSinglePort(b, *field(v)) }).rw().sortBy(byFirst)
	one.convert(func(v Value) (assign[T, X], error) {
		if v.kind == isNull {
			return func(*T, *X) {}, nil
		}
		n, err := portValue(v)
		if _, whole := strconv.Atoi(v.text); err == nil && whole != nil { // neither true nor 1.5 is a port
			err = reasonf("'%s' is not an integer.", v)
		}
		return func(_ *T, x *X) { o, _ := opt(x); *o = rules.Some(model.PortRange{First: n, Last: n}) }, err
	}).filterBy(func(_ *View, values []string) (func(*T) bool, error) {
		return func(v *T) bool { return slices.Contains(values, string(appendSinglePort(nil, *field(v)))) }, nil
	})
	r.derived(name+"_range", func(b []byte, v *T, _ *View) []byte { return append(appendRange(append(b, '"'), *field(v)), '"') }).rw().
		convert(func(v Value) (assign[T, X], error) {
			if v.kind == isNull {
				return func(*T, *X) {}, nil
			}
			p, err := portRangeValue(v)
			return func(_ *T, x *X) { _, o := opt(x); *o = rules.Some(p) }, err
		}).filterBy(func(_ *View, values []string) (func(*T) bool, error) {
		return func(v *T) bool { return slices.Contains(values, string(appendRange(nil, *field(v)))) }, nil
	})
}

func appendSinglePort(b []byte, p model.PortRange) []byte {
	if p.First != p.Last {
		return append(b, "null"...)
	}
	return strconv.AppendUint(b, uint64(p.First), 10)
}

func appendRange(b []byte, p model.PortRange) []byte {
	b = append(strconv.AppendUint(b, uint64(p.First), 10), ':')
	return strconv.AppendUint(b, uint64(p.Last), 10)
}

func portValue(v Value) (uint16, error) {
	n, err := intValue(v)
	switch {
	case err != nil:
		return 0, reasonf("'%s' is not an integer.", v)
	case n < 1:
		return 0, reasonf("'%d' is too small - must be at least '1'.", n)
	case n > 65535:
		return 0, reasonf("'%d' is too large - must be no larger than '65535'.", n)
	}
	return uint16(n), nil
}

// portRangeValue reads "first:last", or one port.
func portRangeValue(v Value) (model.PortRange, error) {
	var ports []uint16
	texts := strings.Split(v.String(), ":")
	for _, p := range texts {
		if p == "" || len(texts) > 2 {
			return model.PortRange{}, reasonf("Port range must be two integers separated by a colon.")
		}
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 65535 {
			return model.PortRange{}, reasonf("Invalid port: %s.", p)
		}
		if n == 0 {
			return model.PortRange{}, reasonf("Invalid port: 0, the port must be in the range [1, 65535].")
		}
		ports = append(ports, uint16(n))
	}
	r := model.PortRange{First: ports[0], Last: ports[len(ports)-1]}
	if r.Last < r.First {
		return r, reasonf("First port in a port range must be lower than the second port.")
	}
	return r, nil
}

// appendNestedForwarding shows a forwarding within its floating IP.
func appendNestedForwarding(b []byte, v *model.PortForwarding) []byte {
	b = appendUUID(append(b, `{"id": `...), v.ID.UUID)
	b = appendString(append(b, `, "protocol": `...), v.Protocol)
	b = appendAddr(append(b, `, "internal_ip_address": `...), v.Address)
	b = appendUUID(append(b, `, "internal_port_id": `...), v.Port.UUID)
	b = appendSinglePort(append(b, `, "internal_port": `...), v.Internal)
	return append(appendSinglePort(append(b, `, "external_port": `...), v.External), '}')
}
