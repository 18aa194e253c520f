package world

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// Networks by id; indexes by project, name and external.
type Networks struct {
	Table[model.NetworkID, model.Network]
}

const (
	networksByProject = iota
	networksByName
	networksExternal
	networksByQoSPolicy
)

func newNetworks() Networks {
	type T = model.Network
	s := uuidSpec(model.KindNetwork, func(n *T) model.NetworkID { return n.ID },
		func(n *T) *model.Meta { return &n.Meta }, func(n *T) string { return n.ProjectID })
	s.indexes = []func(*spec[model.NetworkID, T]) index[T]{
		networksByProject: indexBy[model.NetworkID](hashText, func(n *T, yield func(string)) { yield(n.ProjectID) }),
		networksByName:    indexBy[model.NetworkID](hashText, func(n *T, yield func(string)) { yield(n.Name) }),
		networksExternal: indexBy[model.NetworkID](hashText, func(n *T, yield func(string)) {
			if n.External {
				yield("")
			}
		}),
		networksByQoSPolicy: indexBy[model.NetworkID](hashUUID[model.QoSPolicyID], func(n *T, yield func(model.QoSPolicyID)) {
			if !n.QoSPolicy.IsZero() {
				yield(n.QoSPolicy)
			}
		}),
	}
	return Networks{newTable(s)}
}

// ByProject yields a project's networks.
func (t *Networks) ByProject(project string) iter.Seq[*model.Network] {
	return with(&t.Table, networksByProject, project)
}

// ByName yields the networks of a name.
func (t *Networks) ByName(name string) iter.Seq[*model.Network] {
	return with(&t.Table, networksByName, name)
}

// External yields the external networks.
func (t *Networks) External() iter.Seq[*model.Network] { return with(&t.Table, networksExternal, "") }

// Segments by id; indexes by network, and by type, physical network and segmentation id.
type Segments struct {
	Table[model.SegmentID, model.Segment]
}

// Carrier identifies a segment on the wire: unique in the cloud.
type Carrier struct {
	Type, Physnet string
	ID            uint32
}

func newSegments() Segments {
	type T = model.Segment
	s := uuidSpec(model.KindSegment, func(v *T) model.SegmentID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[model.SegmentID, T]) index[T]{
		indexBy[model.SegmentID](hashUUID[model.NetworkID], func(v *T, yield func(model.NetworkID)) { yield(v.NetworkID) }),
		orderBy[model.SegmentID](byCarrier, func(v *T, yield func(Carrier)) {
			yield(Carrier{v.NetworkType, v.Physnet, v.SegmentationID})
		}),
	}
	return Segments{newTable(s)}
}

// ByNetwork yields a network's segments.
func (t *Segments) ByNetwork(n model.NetworkID) iter.Seq[*model.Segment] { return with(&t.Table, 0, n) }

// ByCarrier returns the segment carried so, nil if the carrier is free.
func (t *Segments) ByCarrier(c Carrier) *model.Segment { return exactly(&t.Table, 1, c) }

// CarriersFrom yields the carriers in use from c on: those of its type and physical network in the order of ids, then others.
func (t *Segments) CarriersFrom(c Carrier) iter.Seq2[Carrier, *model.Segment] {
	return func(yield func(Carrier, *model.Segment) bool) {
		for _, s := range from(&t.Table, 1, c) {
			if !yield(Carrier{s.NetworkType, s.Physnet, s.SegmentationID}, s) {
				return
			}
		}
	}
}

// Subnets by id; indexes by network, project and pool.
type Subnets struct {
	Table[model.SubnetID, model.Subnet]
}

func newSubnets() Subnets {
	type T = model.Subnet
	s := uuidSpec(model.KindSubnet, func(v *T) model.SubnetID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[model.SubnetID, T]) index[T]{
		indexBy[model.SubnetID](hashUUID[model.NetworkID], func(v *T, yield func(model.NetworkID)) { yield(v.NetworkID) }),
		indexBy[model.SubnetID](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		indexBy[model.SubnetID](hashUUID[model.SubnetPoolID], func(v *T, yield func(model.SubnetPoolID)) {
			if !v.PoolID.IsZero() {
				yield(v.PoolID)
			}
		}),
	}
	return Subnets{newTable(s)}
}

// ByNetwork yields a network's subnets.
func (t *Subnets) ByNetwork(n model.NetworkID) iter.Seq[*model.Subnet] { return with(&t.Table, 0, n) }

// ByProject yields a project's subnets.
func (t *Subnets) ByProject(project string) iter.Seq[*model.Subnet] {
	return with(&t.Table, 1, project)
}

// ByPool yields the subnets cut from a pool.
func (t *Subnets) ByPool(p model.SubnetPoolID) iter.Seq[*model.Subnet] { return with(&t.Table, 2, p) }

// Ports by id, with the indexes that rules and filters ask for.
type Ports struct {
	Table[model.PortID, model.Port]
}

const (
	portsByNetwork = iota
	portsByProject
	portsByDevice
	portsByHost
	portsByMAC
	portsByAddress
	portsBySecurityGroup
	portsByName
	portsByQoSPolicy
	portsByMigration
)

func newPorts() Ports {
	type T = model.Port
	type K = model.PortID
	s := uuidSpec(model.KindPort, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.share = func(v *T, known words) {
		for _, text := range []*string{&v.ProjectID, &v.DeviceOwner, &v.Status, &v.Host, &v.VNICType, &v.VIFType, &v.IPAllocation, &v.DNSDomain} {
			known.text(text)
		}
		known.bytes((*[]byte)(&v.VIFDetails))
		known.bytes((*[]byte)(&v.Profile))
		// The reader makes room for ten of everything.
		v.FixedIPs, v.SecurityGroups = slices.Clone(v.FixedIPs), slices.Clone(v.SecurityGroups)
		v.AddressPairs, v.ExtraDHCP, v.Learned = slices.Clone(v.AddressPairs), slices.Clone(v.ExtraDHCP), slices.Clone(v.Learned)
	}
	s.indexes = []func(*spec[K, T]) index[T]{
		portsByNetwork: indexBy[K](hashUUID[model.NetworkID], func(v *T, yield func(model.NetworkID)) { yield(v.NetworkID) }),
		portsByProject: indexBy[K](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		portsByDevice: indexBy[K](hashText, func(v *T, yield func(string)) {
			if v.DeviceID != "" {
				yield(v.DeviceID)
			}
		}),
		portsByHost: indexBy[K](hashText, func(v *T, yield func(string)) {
			if v.Host != "" {
				yield(v.Host)
			}
		}),
		portsByMAC: indexBy[K](hashMAC, func(v *T, yield func(model.MAC)) { yield(v.MAC) }),
		portsByAddress: orderBy[K](byAt, func(v *T, yield func(at)) {
			for _, f := range v.FixedIPs {
				yield(at{f.SubnetID, f.Address})
			}
		}),
		portsBySecurityGroup: indexBy[K](hashUUID[model.SecurityGroupID], func(v *T, yield func(model.SecurityGroupID)) {
			for _, g := range v.SecurityGroups {
				yield(g)
			}
		}),
		portsByName: indexBy[K](hashText, func(v *T, yield func(string)) {
			if v.Name != "" {
				yield(v.Name)
			}
		}),
		portsByQoSPolicy: indexBy[K](hashUUID[model.QoSPolicyID], func(v *T, yield func(model.QoSPolicyID)) {
			if !v.QoSPolicy.IsZero() {
				yield(v.QoSPolicy)
			}
		}),
		portsByMigration: indexBy[K](hashText, func(v *T, yield func(string)) {
			if h := MigratingTo(v); h != "" {
				yield(h)
			}
		}),
	}
	return Ports{newTable(s)}
}

// MigratingTo is the host that a port is about to move to: migrating_to in its binding profile, which Nova sets before a live
// migration. "": none.
func MigratingTo(p *model.Port) string {
	if !bytes.Contains(p.Profile, []byte("migrating_to")) {
		return ""
	}
	var profile struct {
		To string `json:"migrating_to"`
	}
	if json.Unmarshal(p.Profile, &profile) != nil || profile.To == p.Host {
		return "" // a profile is whatever its writer likes
	}
	return profile.To
}

// ByMigration yields the ports that are about to move to a host.
func (t *Ports) ByMigration(host string) iter.Seq[*model.Port] {
	return with(&t.Table, portsByMigration, host)
}

// ByNetwork yields a network's ports.
func (t *Ports) ByNetwork(n model.NetworkID) iter.Seq[*model.Port] {
	return with(&t.Table, portsByNetwork, n)
}

// ByNetworkBeyond yields a network's ports whose id is beyond that of after (nil: all), in order or reversed.
func (t *Ports) ByNetworkBeyond(n model.NetworkID, after *model.Port, reverse bool) iter.Seq[*model.Port] {
	return beyond(&t.Table, portsByNetwork, n, after, reverse)
}

// ByProjectBeyond yields a project's ports whose id is beyond that of after (nil: all), in order or reversed.
func (t *Ports) ByProjectBeyond(p string, after *model.Port, reverse bool) iter.Seq[*model.Port] {
	return beyond(&t.Table, portsByProject, p, after, reverse)
}

// ByHostBeyond yields the ports bound to a host whose id is beyond that of after (nil: all), in order or reversed.
func (t *Ports) ByHostBeyond(host string, after *model.Port, reverse bool) iter.Seq[*model.Port] {
	return beyond(&t.Table, portsByHost, host, after, reverse)
}

// ByProject yields a project's ports.
func (t *Ports) ByProject(p string) iter.Seq[*model.Port] { return with(&t.Table, portsByProject, p) }

// ByDevice yields the ports of a device: an instance, or a router.
func (t *Ports) ByDevice(id string) iter.Seq[*model.Port] { return with(&t.Table, portsByDevice, id) }

// ByHost yields the ports bound to a host.
func (t *Ports) ByHost(host string) iter.Seq[*model.Port] { return with(&t.Table, portsByHost, host) }

// ByMAC yields the ports of a MAC, in all networks.
func (t *Ports) ByMAC(m model.MAC) iter.Seq[*model.Port] { return with(&t.Table, portsByMAC, m) }

// ByName yields the ports of a name.
func (t *Ports) ByName(name string) iter.Seq[*model.Port] { return with(&t.Table, portsByName, name) }

// BySecurityGroup yields the ports in a security group.
func (t *Ports) BySecurityGroup(g model.SecurityGroupID) iter.Seq[*model.Port] {
	return with(&t.Table, portsBySecurityGroup, g)
}

// ByAddress returns the port that has an address of a subnet, nil if it is free.
func (t *Ports) ByAddress(s model.SubnetID, a netip.Addr) *model.Port {
	return exactly(&t.Table, portsByAddress, at{s, a})
}

// Addresses yields the addresses in use of a subnet from a on, in order, with the ports that have them.
func (t *Ports) Addresses(s model.SubnetID, a netip.Addr) iter.Seq2[netip.Addr, *model.Port] {
	return func(yield func(netip.Addr, *model.Port) bool) {
		first := byAt(at{s, a})
		for k, p := range from(&t.Table, portsByAddress, at{s, a}) {
			if k[0] != first[0] || k[1] != first[1] || !yield(k.address(), p) {
				return
			}
		}
	}
}

// BindingKey is the key of a port's binding on a host.
type BindingKey struct {
	Port model.PortID
	Host string
}

// Bindings by port and host.
type Bindings struct {
	Table[BindingKey, model.PortBinding]
}

func newBindings() Bindings {
	type T = model.PortBinding
	s := spec[BindingKey, T]{
		kind: model.KindPortBinding,
		key:  func(v *T) BindingKey { return BindingKey{v.PortID, v.Host} },
		meta: func(v *T) *model.Meta { return &v.Meta },
		text: func(k BindingKey) string { return k.Port.String() + "@" + k.Host },
		parse: func(s string) (BindingKey, error) {
			id, host, _ := strings.Cut(s, "@")
			u, err := model.ParseUUID(id)
			return BindingKey{model.PortID{UUID: u}, host}, err
		},
		place: func(k BindingKey) wide { return byPair(k.Port.Bits(), k.Host) },
		indexes: []func(*spec[BindingKey, T]) index[T]{
			indexBy[BindingKey](hashText, func(v *T, yield func(string)) { yield(v.Host) }),
		},
	}
	return Bindings{newTable(s)}
}

// ByPort yields a port's bindings.
func (t *Bindings) ByPort(p model.PortID) iter.Seq[*model.PortBinding] {
	return func(yield func(*model.PortBinding) bool) {
		for b := range t.From(BindingKey{Port: p}) {
			if b.PortID != p || !yield(b) {
				return
			}
		}
	}
}

// ByHost yields the bindings on a host.
func (t *Bindings) ByHost(host string) iter.Seq[*model.PortBinding] { return with(&t.Table, 0, host) }

// Routers by id; indexes by project and gateway host.
type Routers struct {
	Table[model.RouterID, model.Router]
}

func newRouters() Routers {
	type T = model.Router
	s := uuidSpec(model.KindRouter, func(v *T) model.RouterID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[model.RouterID, T]) index[T]{
		indexBy[model.RouterID](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		indexBy[model.RouterID](hashText, func(v *T, yield func(string)) {
			if v.GatewayHost != "" {
				yield(v.GatewayHost)
			}
		}),
	}
	return Routers{newTable(s)}
}

// ByProject yields a project's routers.
func (t *Routers) ByProject(p string) iter.Seq[*model.Router] { return with(&t.Table, 0, p) }

// ByGatewayHost yields the routers whose central part is on a host.
func (t *Routers) ByGatewayHost(h string) iter.Seq[*model.Router] { return with(&t.Table, 1, h) }

// Agents by id; index by host.
type Agents struct {
	Table[model.AgentID, model.Agent]
}

func newAgents() Agents {
	type T = model.Agent
	s := uuidSpec(model.KindAgent, func(v *T) model.AgentID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[model.AgentID, T]) index[T]{
		indexBy[model.AgentID](hashText, func(v *T, yield func(string)) { yield(v.Host) }),
	}
	return Agents{newTable(s)}
}

// ByHost yields the agent rows of a host.
func (t *Agents) ByHost(h string) iter.Seq[*model.Agent] { return with(&t.Table, 0, h) }

// Hosts by name; index by DVR MAC.
type Hosts struct {
	Table[string, model.Host]
}

func newHosts() Hosts {
	type T = model.Host
	s := textSpec(model.KindHost, func(v *T) string { return v.Name }, func(v *T) *model.Meta { return &v.Meta })
	s.indexes = []func(*spec[string, T]) index[T]{
		indexBy[string](hashMAC, func(v *T, yield func(model.MAC)) {
			if !v.DVRMAC.IsZero() {
				yield(v.DVRMAC)
			}
		}),
	}
	return Hosts{newTable(s)}
}

// ByDVRMAC returns the host that a DVR MAC was allotted to, nil if it is free.
func (t *Hosts) ByDVRMAC(m model.MAC) *model.Host { return first(with(&t.Table, 0, m)) }
