package wire

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
)

// RouterParts is a router with what belongs to it.
type RouterParts struct {
	Router *model.Router
	// Interfaces are its inner legs and centralized SNAT ports.
	Interfaces []*model.Port
	Gateway    *model.Port // nil: none
	Helpers    []Helper
	// Plain are the inner prefixes in the address scope of the external network.
	Plain []netip.Prefix
}

// Helper is a conntrack helper of a router, its protocol by number.
type Helper struct {
	Protocol uint8
	Port     uint16
	Name     string
}

// FromRouter projects a router.
func FromRouter(p RouterParts) *Router {
	r := p.Router
	m := &Router{Id: ID(r.ID.UUID), AdminUp: r.AdminStateUp, Distributed: r.Distributed, Routes: fromRoutes(r.Routes),
		EnableSnat: r.EnableSNAT, GatewayHost: r.GatewayHost}
	for _, i := range p.Interfaces {
		m.Interfaces = append(m.Interfaces, FromPort(i))
	}
	if p.Gateway != nil {
		m.Gateway = FromPort(p.Gateway)
	}
	for _, h := range p.Helpers {
		m.Helpers = append(m.Helpers, &ConntrackHelper{Protocol: uint32(h.Protocol), Port: uint32(h.Port), Name: h.Name})
	}
	for _, x := range p.Plain {
		m.Plain = append(m.Plain, FromPrefix(x))
	}
	return m
}

// ToRouter is the reverse of FromRouter.
func ToRouter(m *Router) (RouterParts, error) {
	var c check
	r := &model.Router{AdminStateUp: m.AdminUp, Distributed: m.Distributed, EnableSNAT: m.EnableSnat, GatewayHost: m.GatewayHost}
	r.ID.UUID = get(&c, "id", m.Id, ParseID)
	r.Routes = get(&c, "routes", m.Routes, toRoutes)
	parts := RouterParts{Router: r}
	for _, i := range m.Interfaces {
		parts.Interfaces = append(parts.Interfaces, get(&c, "interfaces", i, ToPort))
	}
	if m.Gateway != nil {
		parts.Gateway = get(&c, "gateway", m.Gateway, ToPort)
		r.GatewayPort = parts.Gateway.ID
	}
	for _, h := range m.Helpers {
		parts.Helpers = append(parts.Helpers, Helper{Protocol: get(&c, "helpers.protocol", h.Protocol, narrow[uint8]),
			Port: get(&c, "helpers.port", h.Port, narrow[uint16]), Name: h.Name})
	}
	for _, x := range m.Plain {
		parts.Plain = append(parts.Plain, get(&c, "plain", x, ParsePrefix))
	}
	return parts, c.err
}

// narrow reads a number that must fit its field.
func narrow[N uint8 | uint16](v uint32) (N, error) {
	if n := N(v); uint32(n) == v {
		return n, nil
	}
	return 0, fmt.Errorf("%d is too large", v)
}

// ExternalParts is an external network as routers reach it.
type ExternalParts struct {
	Network  *model.Network // ID and MTU alone
	Segments []*model.Segment
	Subnets  []*model.Subnet // ID, NetworkID, CIDR and GatewayIP alone
}

// FromExternal projects an external network.
func FromExternal(p ExternalParts) *External {
	m := &External{Id: ID(p.Network.ID.UUID), Mtu: p.Network.MTU, Segments: fromSegments(p.Segments)}
	for _, s := range p.Subnets {
		m.Subnets = append(m.Subnets, &ExternalSubnet{Id: ID(s.ID.UUID), Cidr: FromPrefix(s.CIDR), Gateway: AddrBytes(s.GatewayIP)})
	}
	return m
}

// ToExternal is the reverse of FromExternal.
func ToExternal(m *External) (ExternalParts, error) {
	var c check
	p := ExternalParts{Network: &model.Network{MTU: m.Mtu, External: true}}
	p.Network.ID.UUID = get(&c, "id", m.Id, ParseID)
	p.Segments = toSegments(&c, p.Network.ID, m.Segments)
	for _, s := range m.Subnets {
		v := &model.Subnet{NetworkID: p.Network.ID}
		v.ID.UUID = get(&c, "subnets.id", s.Id, ParseID)
		v.CIDR = get(&c, "subnets.cidr", s.Cidr, ParsePrefix)
		v.GatewayIP = get(&c, "subnets.gateway", s.Gateway, ParseAddr)
		if c.err == nil && !v.CIDR.IsValid() {
			c.err = fmt.Errorf("subnets.cidr: missing")
		}
		p.Subnets = append(p.Subnets, v)
	}
	return p, c.err
}

// FloatingIPParts is a floating IP as its host must know it.
type FloatingIPParts struct {
	FloatingIP  *model.FloatingIP // ID, NetworkID, Address, Port, FixedIP, Router and Since alone
	MAC         model.MAC         // of its own port
	Central     bool
	Forwardings []Forwarding // sorted by id
}

// Forwarding is a port forwarding, its protocol by number.
type Forwarding struct {
	*model.PortForwarding       // ID, Port, Address, External and Internal alone
	Number                uint8 // of the protocol
}

// FromFloatingIP projects a floating IP.
func FromFloatingIP(p FloatingIPParts) *FloatingIP {
	f := p.FloatingIP
	m := &FloatingIP{Id: ID(f.ID.UUID), NetworkId: ID(f.NetworkID.UUID), Address: AddrBytes(f.Address), Mac: macBytes(p.MAC),
		RouterId: ID(f.Router.UUID), PortId: ID(f.Port.UUID), FixedAddress: AddrBytes(f.FixedIP), Central: p.Central, Generation: f.Since}
	for _, w := range p.Forwardings {
		m.Forwardings = append(m.Forwardings, &PortForwarding{Id: ID(w.ID.UUID), Protocol: uint32(w.Number), PortId: ID(w.Port.UUID),
			Address: AddrBytes(w.Address), ExternalFirst: uint32(w.External.First), ExternalLast: uint32(w.External.Last),
			InternalFirst: uint32(w.Internal.First), InternalLast: uint32(w.Internal.Last)})
	}
	return m
}

// ToFloatingIP is the reverse of FromFloatingIP.
func ToFloatingIP(m *FloatingIP) (FloatingIPParts, error) {
	var c check
	f := &model.FloatingIP{Since: m.Generation}
	f.ID.UUID = get(&c, "id", m.Id, ParseID)
	f.NetworkID.UUID = get(&c, "network_id", m.NetworkId, ParseID)
	f.Router.UUID = get(&c, "router_id", m.RouterId, ParseID)
	f.Port.UUID = get(&c, "port_id", m.PortId, ParseID)
	f.Address = get(&c, "address", m.Address, ParseAddr)
	f.FixedIP = get(&c, "fixed_address", m.FixedAddress, ParseAddr)
	p := FloatingIPParts{FloatingIP: f, Central: m.Central, MAC: get(&c, "mac", m.Mac, parseMAC)}
	for _, w := range m.Forwardings {
		v := &model.PortForwarding{FloatingIP: f.ID, Address: get(&c, "forwardings.address", w.Address, ParseAddr)}
		v.ID.UUID = get(&c, "forwardings.id", w.Id, ParseID)
		v.Port.UUID = get(&c, "forwardings.port_id", w.PortId, ParseID)
		v.External = model.PortRange{First: get(&c, "forwardings.external_first", w.ExternalFirst, narrow[uint16]),
			Last: get(&c, "forwardings.external_last", w.ExternalLast, narrow[uint16])}
		v.Internal = model.PortRange{First: get(&c, "forwardings.internal_first", w.InternalFirst, narrow[uint16]),
			Last: get(&c, "forwardings.internal_last", w.InternalLast, narrow[uint16])}
		p.Forwardings = append(p.Forwardings, Forwarding{v, get(&c, "forwardings.protocol", w.Protocol, narrow[uint8])})
	}
	if c.err == nil && !f.Address.IsValid() {
		c.err = fmt.Errorf("address: missing")
	}
	return p, c.err
}
