package wire

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
)

// The From functions project what the data plane needs; the model's other fields do not cross the wire, and a change to
// one of them alone sends nothing. The To functions give model objects with just these fields set. To errors name the
// field; a reader quarantines such an object and goes on.

// FromHost projects a host.
func FromHost(h *model.Host) *Host {
	return &Host{Name: h.Name, Vtep: AddrBytes(h.VTEP), DvrMac: macBytes(h.DVRMAC), AgentMode: h.AgentMode}
}

// ToHost is the reverse of FromHost.
func ToHost(m *Host) (*model.Host, error) {
	var c check
	h := &model.Host{Name: m.Name, AgentMode: m.AgentMode}
	h.VTEP = get(&c, "vtep", m.Vtep, ParseAddr)
	h.DVRMAC = get(&c, "dvr_mac", m.DvrMac, parseMAC)
	return h, c.err
}

// check keeps the first error of a translation.
type check struct{ err error }

func get[B, V any](c *check, field string, b B, parse func(B) (V, error)) V {
	v, err := parse(b)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s: %w", field, err)
	}
	return v
}

// FromNetwork projects a network with its segments.
func FromNetwork(n *model.Network, segments []*model.Segment) *Network {
	return &Network{Id: ID(n.ID.UUID), AdminUp: n.AdminStateUp, Mtu: n.MTU, External: n.External, DnsDomain: n.DNSDomain,
		Segments: fromSegments(segments)}
}

// ToNetwork is the reverse of FromNetwork.
func ToNetwork(m *Network) (*model.Network, []*model.Segment, error) {
	var c check
	n := &model.Network{AdminStateUp: m.AdminUp, MTU: m.Mtu, External: m.External, DNSDomain: m.DnsDomain}
	n.ID.UUID = get(&c, "id", m.Id, ParseID)
	segments := toSegments(&c, n.ID, m.Segments)
	return n, segments, c.err
}

func fromSegments(segments []*model.Segment) []*Segment {
	var out []*Segment
	for _, s := range segments {
		out = append(out, &Segment{Id: ID(s.ID.UUID), Type: s.NetworkType, Physnet: s.Physnet, SegmentationId: s.SegmentationID})
	}
	return out
}

func toSegments(c *check, n model.NetworkID, segments []*Segment) []*model.Segment {
	var out []*model.Segment
	for i, s := range segments {
		g := &model.Segment{NetworkID: n, NetworkType: s.Type, Physnet: s.Physnet, SegmentationID: s.SegmentationId, Index: i}
		g.ID.UUID = get(c, "segments.id", s.Id, ParseID)
		out = append(out, g)
	}
	return out
}

// FromSubnet projects a subnet.
func FromSubnet(s *model.Subnet) *Subnet {
	m := &Subnet{Id: ID(s.ID.UUID), NetworkId: ID(s.NetworkID.UUID), Cidr: FromPrefix(s.CIDR), Gateway: AddrBytes(s.GatewayIP),
		Dhcp: s.EnableDHCP, RaMode: s.RAMode, AddressMode: s.AddressMode}
	for _, a := range s.DNS {
		m.Dns = append(m.Dns, AddrBytes(a))
	}
	m.HostRoutes = fromRoutes(s.HostRoutes)
	return m
}

// ToSubnet is the reverse of FromSubnet.
func ToSubnet(m *Subnet) (*model.Subnet, error) {
	var c check
	s := &model.Subnet{EnableDHCP: m.Dhcp, RAMode: m.RaMode, AddressMode: m.AddressMode}
	s.ID.UUID = get(&c, "id", m.Id, ParseID)
	s.NetworkID.UUID = get(&c, "network_id", m.NetworkId, ParseID)
	s.CIDR = get(&c, "cidr", m.Cidr, ParsePrefix)
	s.GatewayIP = get(&c, "gateway", m.Gateway, ParseAddr)
	for _, b := range m.Dns {
		s.DNS = append(s.DNS, get(&c, "dns", b, ParseAddr))
	}
	s.HostRoutes = get(&c, "host_routes", m.HostRoutes, toRoutes)
	if c.err == nil && !s.CIDR.IsValid() {
		c.err = fmt.Errorf("cidr: missing")
	}
	return s, c.err
}

func fromRoutes(routes []model.Route) []*Route {
	var out []*Route
	for _, r := range routes {
		out = append(out, &Route{Destination: FromPrefix(r.Destination), Nexthop: AddrBytes(r.NextHop)})
	}
	return out
}

func toRoutes(routes []*Route) ([]model.Route, error) {
	var c check
	var out []model.Route
	for _, r := range routes {
		out = append(out, model.Route{
			Destination: get(&c, "destination", r.Destination, ParsePrefix),
			NextHop:     get(&c, "nexthop", r.Nexthop, ParseAddr),
		})
	}
	return out, c.err
}

// FromPort projects what everybody on the network may know of a port.
func FromPort(p *model.Port) *Port {
	m := &Port{Id: ID(p.ID.UUID), NetworkId: ID(p.NetworkID.UUID), Mac: macBytes(p.MAC), Host: p.Host,
		DeviceOwner: p.DeviceOwner, PortSecurity: p.PortSecurity, DnsName: p.DNSName, DnsDomain: p.DNSDomain}
	if len(p.DeviceOwner) > len(model.OwnerNetworkPrefix) && p.DeviceOwner[:len(model.OwnerNetworkPrefix)] == model.OwnerNetworkPrefix {
		m.DeviceId = p.DeviceID
	}
	for _, f := range p.FixedIPs {
		m.FixedIps = append(m.FixedIps, &FixedIP{SubnetId: ID(f.SubnetID.UUID), Address: AddrBytes(f.Address)})
	}
	for _, a := range p.AddressPairs {
		m.AddressPairs = append(m.AddressPairs, &AddressPair{Mac: macBytes(a.MAC), Prefix: FromPrefix(a.Prefix)})
	}
	for _, a := range p.Learned {
		m.Learned = append(m.Learned, &AddressPair{Mac: macBytes(a.MAC), Prefix: FromPrefix(a.Prefix)})
	}
	return m
}

// ToPort is the reverse of FromPort.
func ToPort(m *Port) (*model.Port, error) {
	var c check
	p := &model.Port{Host: m.Host, DeviceOwner: m.DeviceOwner, PortSecurity: m.PortSecurity, DeviceID: m.DeviceId,
		DNSName: m.DnsName, DNSDomain: m.DnsDomain}
	p.ID.UUID = get(&c, "id", m.Id, ParseID)
	p.NetworkID.UUID = get(&c, "network_id", m.NetworkId, ParseID)
	p.MAC = get(&c, "mac", m.Mac, parseMAC)
	for _, f := range m.FixedIps {
		ip := model.FixedIP{Address: get(&c, "fixed_ips", f.Address, ParseAddr)}
		ip.SubnetID.UUID = get(&c, "fixed_ips.subnet_id", f.SubnetId, ParseID)
		p.FixedIPs = append(p.FixedIPs, ip)
	}
	for _, a := range m.AddressPairs {
		p.AddressPairs = append(p.AddressPairs, model.AddressPair{
			MAC:    get(&c, "address_pairs.mac", a.Mac, parseMAC),
			Prefix: get(&c, "address_pairs.prefix", a.Prefix, ParsePrefix),
		})
	}
	for _, a := range m.Learned {
		p.Learned = append(p.Learned, model.AddressPair{
			MAC: get(&c, "learned.mac", a.Mac, parseMAC), Prefix: get(&c, "learned.prefix", a.Prefix, ParsePrefix),
		})
	}
	return p, c.err
}

// FromEndpoint projects the rest of a port, for the host that it is bound to.
func FromEndpoint(p *model.Port) *Endpoint {
	m := &Endpoint{Id: ID(p.ID.UUID), Name: p.Name, ProjectId: p.ProjectID, DeviceId: p.DeviceID, AdminUp: p.AdminStateUp,
		DnsName: p.DNSName, DnsDomain: p.DNSDomain, VnicType: p.VNICType}
	for _, g := range p.SecurityGroups {
		m.SecurityGroups = append(m.SecurityGroups, ID(g.UUID))
	}
	for _, o := range p.ExtraDHCP {
		m.ExtraDhcp = append(m.ExtraDhcp, &DHCPOption{Name: o.Name, Value: o.Value, IpVersion: uint32(o.IPVersion)})
	}
	return m
}

// ToEndpoint fills p, which ToPort made, with the rest.
func ToEndpoint(m *Endpoint, p *model.Port) error {
	var c check
	p.Name, p.ProjectID, p.DeviceID, p.AdminStateUp = m.Name, m.ProjectId, m.DeviceId, m.AdminUp
	p.DNSName, p.DNSDomain, p.VNICType = m.DnsName, m.DnsDomain, m.VnicType
	p.SecurityGroups, p.ExtraDHCP = nil, nil
	for _, b := range m.SecurityGroups {
		p.SecurityGroups = append(p.SecurityGroups, model.SecurityGroupID{UUID: get(&c, "security_groups", b, ParseID)})
	}
	for _, o := range m.ExtraDhcp {
		p.ExtraDHCP = append(p.ExtraDHCP, model.ExtraDHCPOpt{Name: o.Name, Value: o.Value, IPVersion: int(o.IpVersion)})
	}
	return c.err
}

// FromOutsider projects a port that no agent plugs in.
func FromOutsider(p *model.Port) *Outsider {
	return &Outsider{Port: FromPort(p), Endpoint: FromEndpoint(p)}
}

// ToOutsider is the reverse of FromOutsider.
func ToOutsider(m *Outsider) (*model.Port, error) {
	if m.Port == nil || m.Endpoint == nil {
		return nil, fmt.Errorf("port, endpoint: missing")
	}
	p, err := ToPort(m.Port)
	if err != nil {
		return nil, err
	}
	return p, ToEndpoint(m.Endpoint, p)
}
