package api

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type ports = Resource[model.Port, rules.PortExtra]

func portResource(ru *rules.Rules) *ports {
	r := &ports{
		name: "port", plural: "ports", word: "Port", quota: model.KindPort, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.PortID, model.Port] { return &w.Ports.Table }),
		id:         func(p *model.Port) model.UUID { return p.ID.UUID },
		meta:       func(p *model.Port) *model.Meta { return &p.Meta },
		project:    func(p *model.Port) string { return p.ProjectID },
		setProject: func(p *model.Port, project string) { p.ProjectID = project },
		create:     ru.CreatePort,
		place: func(tx *world.Tx, by *rules.Actor, p *model.Port) error {
			return ru.MayPut(tx, by, p.NetworkID, "port")
		},
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.Port, rules.PortExtra]) error {
			return ru.UpdatePort(tx, by, c.Old, c.New, c.X)
		},
		remove:  ru.DeletePort,
		network: func(p *model.Port) model.NetworkID { return p.NetworkID },
		indexes: portIndexes(),
	}
	portSeeks(r)
	bindings := bindingShape()
	r.subs = map[string]func(c *call, id string, rest []string) error{
		"bindings": func(c *call, id string, rest []string) error { return portBindings(c, r, bindings, id, rest) },
	}
	r.identified()
	r.text("name", func(p *model.Port) *string { return &p.Name }).rw()
	r.uuid("network_id", func(p *model.Port) *model.UUID { return &p.NetworkID.UUID }).must()
	r.owned()
	r.flag("admin_state_up", func(p *model.Port) *bool { return &p.AdminStateUp }).rw().
		initially(func(p *model.Port, _ *rules.PortExtra) { p.AdminStateUp = true })
	r.text("device_id", func(p *model.Port) *string { return &p.DeviceID }).rw()
	r.text("device_owner", func(p *model.Port) *string { return &p.DeviceOwner }).rw().guard()
	r.text("status", func(p *model.Port) *string { return &p.Status })
	portAddresses(r)
	portSecurity(r)
	portBinding(r)
	portDNS(r)
	portRest(r)
	trunkDetails(r)
	r.standard()
	r.attr("tags").inPost().convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		tags, err := tagsValue(v)
		if err != nil {
			err = reasonf("%v.", err) // a sentence here, and not where the tags are all that is sent
		}
		slices.Sort(tags)
		return func(p *model.Port, _ *rules.PortExtra) { p.Tags = tags }, err
	})
	return r
}

// portIndexes are the equality filters that an index answers, the sharpest first.
func portIndexes() []index[model.Port] {
	return []index[model.Port]{
		{"mac_address", func(w *world.World, v string) rows[model.Port] {
			m, err := model.ParseMAC(v)
			if err != nil {
				return func(func(*model.Port) bool) {}
			}
			return w.Ports.ByMAC(m)
		}},
		{"device_id", func(w *world.World, v string) rows[model.Port] { return w.Ports.ByDevice(v) }},
		{"name", func(w *world.World, v string) rows[model.Port] { return w.Ports.ByName(v) }},
		{"network_id", func(w *world.World, v string) rows[model.Port] {
			return w.Ports.ByNetwork(model.NetworkID{UUID: idOf(v)})
		}},
		{"binding:host_id", func(w *world.World, v string) rows[model.Port] { return w.Ports.ByHost(v) }},
		{"security_groups", func(w *world.World, v string) rows[model.Port] {
			return w.Ports.BySecurityGroup(model.SecurityGroupID{UUID: idOf(v)})
		}},
		{"project_id", func(w *world.World, v string) rows[model.Port] { return w.Ports.ByProject(v) }},
		{"tenant_id", func(w *world.World, v string) rows[model.Port] { return w.Ports.ByProject(v) }},
	}
}

// portSeeks declares where pages of long lists start, and in which ports a member's are.
func portSeeks(r *ports) {
	r.seeks = map[string]func(*world.World, string, *model.Port, bool) rows[model.Port]{
		"network_id": func(w *world.World, v string, after *model.Port, reverse bool) rows[model.Port] {
			return w.Ports.ByNetworkBeyond(model.NetworkID{UUID: idOf(v)}, after, reverse)
		},
		"binding:host_id": func(w *world.World, v string, after *model.Port, reverse bool) rows[model.Port] {
			return w.Ports.ByHostBeyond(v, after, reverse)
		},
		"project_id": func(w *world.World, v string, after *model.Port, reverse bool) rows[model.Port] {
			return w.Ports.ByProjectBeyond(v, after, reverse)
		},
	}
	r.seeks["tenant_id"] = r.seeks["project_id"]
	r.reach = func(x *View) []*model.Port {
		out := slices.Collect(x.W.Ports.ByProject(x.By.Project))
		for n := range x.W.Networks.ByProject(x.By.Project) {
			out = slices.AppendSeq(out, x.W.Ports.ByNetwork(n.ID))
		}
		return out
	}
}

// portAddresses declares MAC, fixed IPs and allowed address pairs.
func portAddresses(r *ports) {
	mac := r.derived("mac_address", func(b []byte, p *model.Port, _ *View) []byte { return appendMAC(b, p.MAC) }).rw().guard()
	mac.convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		if v.kind == isNull { // port-mac-address-regenerate
			return func(p *model.Port, _ *rules.PortExtra) { p.MAC = model.MAC{} }, nil
		}
		m, err := macValue(v)
		return func(p *model.Port, _ *rules.PortExtra) { p.MAC = m }, err
	})
	mac.filterBy(func(_ *View, values []string) (func(*model.Port) bool, error) {
		var want []model.MAC
		for _, s := range values {
			if m, err := model.ParseMAC(s); err == nil {
				want = append(want, m)
			}
		}
		return func(p *model.Port) bool { return slices.Contains(want, p.MAC) }, nil
	})
	mac.compare = func(a, b *model.Port) int { return strings.Compare(string(a.MAC[:]), string(b.MAC[:])) }
	r.derived("fixed_ips", func(b []byte, p *model.Port, _ *View) []byte {
		return appendList(b, p.FixedIPs, func(b []byte, f model.FixedIP) []byte {
			b = appendUUID(append(b, `{"subnet_id": `...), f.SubnetID.UUID)
			return append(appendAddr(append(b, `, "ip_address": `...), f.Address), '}')
		})
	}).rw().guard("ip_address", "subnet_id").filterBy(fixedIPsFilter).convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		want, err := fixedIPsValue(v)
		return func(_ *model.Port, x *rules.PortExtra) { x.FixedIPs = rules.Some(want) }, err
	})
	r.derived("allowed_address_pairs", func(b []byte, p *model.Port, _ *View) []byte {
		return appendList(b, p.AddressPairs, func(b []byte, a model.AddressPair) []byte {
			b = append(b, `{"ip_address": `...)
			if a.Host {
				b = appendAddr(b, a.Prefix.Addr())
			} else {
				b = appendPrefix(b, a.Prefix)
			}
			m := a.MAC
			if m.IsZero() {
				m = p.MAC
			}
			return append(appendMAC(append(b, `, "mac_address": `...), m), '}')
		})
	}).rw().guard("mac_address", "ip_address").convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		pairs, err := pairsValue(v)
		return func(p *model.Port, _ *rules.PortExtra) { p.AddressPairs = pairs }, err
	})
}

// fixedIPsFilter understands ip_address=, ip_address_substr= and subnet_id=, repeated. Values of one kind are
// alternatives, kinds are all to hold.
func fixedIPsFilter(_ *View, values []string) (func(*model.Port) bool, error) {
	var addrs []netip.Addr
	var subnets []model.UUID
	var parts []string
	asked := [3]bool{}
	for _, v := range values {
		kind, value, _ := strings.Cut(v, "=")
		switch kind {
		case "ip_address":
			asked[0] = true
			if a, err := netip.ParseAddr(value); err == nil {
				addrs = append(addrs, a)
			}
		case "subnet_id":
			asked[1] = true
			subnets = append(subnets, idOf(value))
		case "ip_address_substr":
			asked[2] = true
			parts = append(parts, value)
		default:
			return nil, model.Invalid("Invalid filter value '%s' for fixed_ips: write ip_address=A, subnet_id=ID or ip_address_substr=TEXT.", v)
		}
	}
	return func(p *model.Port) bool {
		return slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool {
			text := ""
			if asked[2] {
				text = f.Address.String()
			}
			return (!asked[0] || slices.Contains(addrs, f.Address)) && (!asked[1] || slices.Contains(subnets, f.SubnetID.UUID)) &&
				(!asked[2] || slices.ContainsFunc(parts, func(s string) bool { return strings.Contains(text, s) }))
		})
	}, nil
}

// pairsValue reads allowed_address_pairs.
func pairsValue(v Value) ([]model.AddressPair, error) {
	if v.kind == isNull {
		return nil, nil
	}
	if v.kind != isList {
		return nil, model.Errf(model.KindInvalid, "HTTPBadRequest", "Allowed address pairs must be a list.")
	}
	var out []model.AddressPair
	for _, item := range v.items {
		var pair model.AddressPair
		if item.kind != isObject {
			return nil, reasonf("'%s' is not a dictionary.", item)
		}
		ip, ok := item.get("ip_address")
		if !ok || ip.kind != isString {
			return nil, model.Errf(model.KindInvalid, "AllowedAddressPairsMissingIP", "AllowedAddressPair must contain ip_address")
		}
		for _, m := range item.members {
			switch m.name {
			case "ip_address":
				if a, err := addrValue(m.value); err == nil {
					pair.Prefix, pair.Host = netip.PrefixFrom(a, a.BitLen()), true
				} else if pair.Prefix, err = subnetValue(m.value); err != nil { // shown as sent; the range is what counts
					return nil, reasonf("'%s' is not a valid IP address or subnet.", m.value)
				}
			case "mac_address":
				if m.value.kind == isNull {
					continue
				}
				var err error
				if pair.MAC, err = macValue(m.value); err != nil {
					return nil, err
				}
			default:
				return nil, badRequest("Unrecognized attribute(s) '%s'", m.name)
			}
		}
		out = append(out, pair)
	}
	return out, nil
}

// portSecurity declares port security and security groups.
func portSecurity(r *ports) {
	a := r.flag("port_security_enabled", func(p *model.Port) *bool { return &p.PortSecurity }).rw().guardAny()
	a.convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		on, err := boolValue(v)
		return func(_ *model.Port, x *rules.PortExtra) { x.PortSecurity = rules.Some(on) }, err
	})
	groups := r.derived("security_groups", func(b []byte, p *model.Port, _ *View) []byte {
		return appendList(b, p.SecurityGroups, func(b []byte, g model.SecurityGroupID) []byte { return appendUUID(b, g.UUID) })
	}).rw()
	groups.convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		if v.kind == isNull {
			return func(_ *model.Port, x *rules.PortExtra) { x.SecurityGroups = rules.Some[[]model.SecurityGroupID](nil) }, nil
		}
		items, err := listValue(v)
		if err != nil {
			return nil, err
		}
		var ids []model.SecurityGroupID
		for _, item := range items {
			u, err := uuidValue(item, false)
			if err != nil {
				return nil, reasonf("'%s' is not a valid UUID.", item)
			}
			if slices.Contains(ids, model.SecurityGroupID{UUID: u}) {
				return nil, reasonf("Duplicate items in the list: '%s'.", item)
			}
			ids = append(ids, model.SecurityGroupID{UUID: u})
		}
		return func(_ *model.Port, x *rules.PortExtra) { x.SecurityGroups = rules.Some(ids) }, nil
	})
	groups.filterBy(func(_ *View, values []string) (func(*model.Port) bool, error) {
		want := parseUUIDs(values)
		return func(p *model.Port) bool {
			return slices.ContainsFunc(p.SecurityGroups, func(g model.SecurityGroupID) bool { return slices.Contains(want, g.UUID) })
		}, nil
	})
}

// portBinding declares binding:*.
func portBinding(r *ports) {
	r.text("binding:host_id", func(p *model.Port) *string { return &p.Host }).rw().guardAll().orNull().late()
	r.text("binding:vnic_type", func(p *model.Port) *string { return &p.VNICType }).rw().guard().
		initially(func(p *model.Port, _ *rules.PortExtra) { p.VNICType = model.VNICNormal }).check(checkVNIC)
	r.text("binding:vif_type", func(p *model.Port) *string { return &p.VIFType })
	r.derived("binding:vif_details", func(b []byte, p *model.Port, _ *View) []byte { return appendRaw(b, p.VIFDetails) })
	r.derived("binding:profile", func(b []byte, p *model.Port, _ *View) []byte { return appendRaw(b, p.Profile) }).rw().guardAll().
		convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
			raw, err := dictValue(v)
			return func(p *model.Port, _ *rules.PortExtra) { p.Profile = raw }, err
		})
}

var vnicTypes = []string{"normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "accelerator-direct", "accelerator-direct-physical", "vdpa", "remote-managed"}

func checkVNIC(v Value) error {
	if v.kind == isString && slices.Contains(vnicTypes, v.text) {
		return nil
	}
	return reasonf("'%s' is not in %s.", v, pyList(vnicTypes))
}

// dictValue reads an object that is stored as it is; null and {} are nothing.
func dictValue(v Value) (json.RawMessage, error) {
	switch {
	case v.kind == isNull || (v.kind == isObject && len(v.members) == 0):
		return nil, nil
	case v.kind != isObject:
		return nil, reasonf("'%s' is not a dictionary.", v)
	}
	raw := v.appendJSON(nil)
	if len(raw) > 4095 {
		return nil, reasonf("'%s' exceeds maximum length of 4095.", v)
	}
	return raw, nil
}

// portDNS declares dns_name, dns_domain and dns_assignment.
func portDNS(r *ports) {
	lowered(r.text("dns_name", func(p *model.Port) *string { return &p.DNSName }).rw(), hostFault)
	lowered(r.text("dns_domain", func(p *model.Port) *string { return &p.DNSDomain }).rw(), domainFault)
	r.derived("dns_assignment", func(b []byte, p *model.Port, x *View) []byte {
		domain := x.Rules.Config().DNSDomain
		return appendList(b, p.FixedIPs, func(b []byte, f model.FixedIP) []byte {
			b = appendAddr(append(b, `{"ip_address": `...), f.Address)
			b = append(appendHostname(append(b, `, "hostname": "`...), p, f.Address), '"')
			b = appendHostname(append(b, `, "fqdn": "`...), p, f.Address)
			return append(append(append(b, '.'), domain...), `"}`...)
		})
	})
}

// appendHostname appends the port's name, or one made of its address; both are safe within quotes.
func appendHostname(b []byte, p *model.Port, a netip.Addr) []byte {
	if p.DNSName != "" {
		return append(b, p.DNSName...)
	}
	b = append(b, "host-"...)
	start := len(b)
	b = a.AppendTo(b)
	for i, c := range b[start:] {
		if c == '.' || c == ':' {
			b[start+i] = '-'
		}
	}
	return b
}

// portRest declares what is stored and shown only.
func portRest(r *ports) {
	r.derived("extra_dhcp_opts", func(b []byte, p *model.Port, _ *View) []byte {
		return appendList(b, p.ExtraDHCP, func(b []byte, o model.ExtraDHCPOpt) []byte {
			b = appendString(append(b, `{"opt_name": `...), o.Name)
			b = appendString(append(b, `, "opt_value": `...), o.Value)
			return append(strconv.AppendInt(append(b, `, "ip_version": `...), int64(o.IPVersion), 10), '}')
		})
	}).rw().convert(func(v Value) (assign[model.Port, rules.PortExtra], error) {
		f, err := extraDHCPValue(v)
		var why reason
		if errors.As(err, &why) { // Neutron reads them in its converter
			err = model.Invalid("%s", why)
		}
		return f, err
	})
	r.uuid("qos_policy_id", func(p *model.Port) *model.UUID { return &p.QoSPolicy.UUID }).rw().guardAny().check(checkQoSPolicyID)
	r.derived("qos_network_policy_id", func(b []byte, p *model.Port, x *View) []byte {
		if n := x.W.Networks.Get(p.NetworkID); n != nil {
			return appendUUID(b, n.QoSPolicy.UUID)
		}
		return append(b, "null"...)
	})
	r.derived("resource_request", appendResourceRequest)
	rareText(r, "data_plane_status", func(p *model.RarePort) *string { return &p.DataPlaneStatus }).inPut().guard().check(checkPlaneStatus)
	rareText(r, "device_profile", func(p *model.RarePort) *string { return &p.DeviceProfile }).inPost()
	rareText(r, "numa_affinity_policy", func(p *model.RarePort) *string { return &p.NUMAAffinityPolicy }).rw().check(checkNUMA)
	rareText(r, "hardware_offload_type", func(p *model.RarePort) *string { return &p.HardwareOffload }).inPost().check(checkOffload)
	r.derived("hints", func(b []byte, p *model.Port, _ *View) []byte { return appendRawOrNull(b, p.Rare().Hints) }).rw().guardAny().convert(hintsValue)
	r.flag("propagate_uplink_status", func(p *model.Port) *bool { return &p.PropagateUplinkStatus }).inPost().
		initially(func(p *model.Port, _ *rules.PortExtra) { p.PropagateUplinkStatus = true })
	r.text("ip_allocation", func(p *model.Port) *string { return &p.IPAllocation })
}

// rareText declares a nullable text that few ports have.
func rareText(r *ports, name string, field func(*model.RarePort) *string) *attribute[*model.Port, *rules.PortExtra] {
	return r.nullableOf(name, func(p *model.Port) string {
		if p.RarePort == nil {
			return ""
		}
		return *field(p.RarePort) // of a copy it would be garbage for each port of a list
	}, func(p *model.Port, s string) { p.SetRare(func(rare *model.RarePort) { *field(rare) = s }) })
}

func checkPlaneStatus(v Value) error {
	if v.kind != isNull && v.text != model.StatusActive && v.text != model.StatusDown {
		return reasonf("'%s' is not in ['ACTIVE', 'DOWN'].", v)
	}
	return nil
}

func checkOffload(v Value) error {
	if v.kind == isNull || v.text == "switchdev" {
		return nil
	}
	return reasonf("'%s' is not in [None, 'switchdev'].", v)
}

// hintsValue reads hints, which are for outside drivers and kept as they are.
func hintsValue(v Value) (assign[model.Port, rules.PortExtra], error) {
	raw, err := dictValue(v)
	return func(p *model.Port, _ *rules.PortExtra) {
		p.SetRare(func(rare *model.RarePort) { rare.Hints = raw })
	}, err
}

func checkNUMA(v Value) error {
	if v.kind == isNull || slices.Contains([]string{"required", "preferred", "legacy", "socket"}, v.text) {
		return nil
	}
	return reasonf("'%s' is not in [None, 'required', 'preferred', 'legacy', 'socket'].", v)
}

// extraDHCPValue reads extra_dhcp_opts.
func extraDHCPValue(v Value) (assign[model.Port, rules.PortExtra], error) {
	if v.kind == isNull {
		v.kind = isList
	}
	items, err := listValue(v)
	if err != nil {
		return nil, model.Invalid("'%s' is not a list.", v)
	}
	var opts []model.ExtraDHCPOpt
	for _, item := range items {
		o := model.ExtraDHCPOpt{IPVersion: 4}
		for _, m := range item.members {
			var err error
			switch m.name {
			case "opt_name":
				o.Name, err = textValue(m.value, 64)
			case "opt_value":
				if m.value.kind != isNull {
					o.Value, err = textValue(m.value, 255)
				}
			case "ip_version":
				var n int64
				if n, err = intValue(m.value); n != 4 && n != 6 {
					err = reasonf("'%s' is not in [4, 6].", m.value)
				}
				o.IPVersion = int(n)
			default:
				err = reasonf("'%s' is not a key of an extra DHCP option.", m.name)
			}
			if err != nil {
				return nil, err
			}
		}
		if o.Name == "" {
			return nil, reasonf("an extra DHCP option needs opt_name.")
		}
		opts = append(opts, o)
	}
	return func(p *model.Port, _ *rules.PortExtra) { p.ExtraDHCP = mergeDHCP(p.ExtraDHCP, opts) }, nil
}

// mergeDHCP changes the options named and leaves the others; one without a value goes.
func mergeDHCP(old, opts []model.ExtraDHCPOpt) []model.ExtraDHCPOpt {
	out := slices.Clone(old)
	for _, o := range opts {
		i := slices.IndexFunc(out, func(x model.ExtraDHCPOpt) bool { return x.Name == o.Name && x.IPVersion == o.IPVersion })
		switch {
		case i >= 0 && o.Value == "":
			out = slices.Delete(out, i, i+1)
		case i >= 0:
			out[i] = o
		case o.Value != "":
			out = append(out, o)
		}
	}
	return out
}
