package hostplan

import (
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
)

// TestOnWire: a machine that no agent plugs in is told of the distributed routers on its network by the host that speaks for them, and of
// the resolvers.
func TestOnWire(t *testing.T) {
	w := reference()
	w.c.opts.ServeDNS = true
	w.Networks[netID(1)] = NetworkParts{Network: &model.Network{ID: netID(1), AdminStateUp: true, MTU: 1450},
		Segments: []*model.Segment{{NetworkType: model.TypeVLAN, Physnet: "rack", SegmentationID: 7}}}
	w.Subnets[subID(1)].EnableDHCP = false
	w.Subnets[subID(3)].DNS = nil
	w.Ports[portID(30)] = owned(instance(30, 1, 3, "h0", "fd00:42::2"), model.OwnerDHCP)
	machine := instance(31, 1, 3, "", "fd00:42::31")
	machine.AdminStateUp = true
	w.Outsiders = map[model.PortID]*model.Port{machine.ID: machine}
	s := w.compile()
	if n := s.Networks[netID(1)]; n.OnWire != nil || s.Outsiders[machine.ID] != nil || len(n.Advertisements) != 1 {
		t.Errorf("it does not serve the wire: %v, %v", n.OnWire, s.Outsiders[machine.ID])
	}
	w.Wires = map[model.NetworkID]struct{}{netID(1): {}}
	s = w.compile()
	n := s.Networks[netID(1)]
	if len(n.OnWire) != 1 || n.OnWire[0].MAC != redRouterMAC || len(n.OnWire[0].Prefixes) != 1 || len(n.OnWire[0].DNS) != 1 || n.OnWire[0].DNS[0] != adr("fd00:42::2") || s.Outsiders[machine.ID] == nil {
		t.Errorf("on the wire %+v, machine %+v", n.OnWire, s.Outsiders[machine.ID])
	}
	if len(n.Advertisements) != 1 || len(n.Advertisements[0].DNS) != 1 {
		t.Errorf("its own instances are told %+v", n.Advertisements)
	}
	w.Subnets[subID(3)].DNS = []netip.Addr{adr("fd00:42::53")}
	if n = w.compile().Networks[netID(1)]; len(n.OnWire) != 1 || len(n.OnWire[0].DNS) != 1 || n.OnWire[0].DNS[0] != adr("fd00:42::53") {
		t.Errorf("with dns_nameservers: %+v", n.OnWire)
	}
	r := w.router1()
	r.Router.Distributed, r.Router.GatewayHost = false, "h1"
	for _, p := range r.Interfaces {
		p.DeviceOwner = model.OwnerRouterInterface
	}
	w.Routers[r.Router.ID] = r
	if s = w.compile(); len(s.Networks[netID(1)].OnWire) != 0 || s.Outsiders[machine.ID] != nil {
		t.Errorf("another host speaks for a centralized router: %+v", s.Networks[netID(1)].OnWire)
	}
}

// TestOnWireLease: a machine on a wire is given the network:dhcp port's address as resolver and as the way to metadata, whether a router has the
// gateway's address or not; without such a port, or without metadata on this host, no way at all.
func TestOnWireLease(t *testing.T) {
	w := reference()
	w.c.opts.ServeDNS, w.c.opts.ServeMetadata, w.c.opts.IsolatedMetadata = true, true, false
	w.Networks[netID(1)] = NetworkParts{Network: &model.Network{ID: netID(1), AdminStateUp: true, MTU: 1450},
		Segments: []*model.Segment{{NetworkType: model.TypeFlat, Physnet: "rack"}}}
	w.Ports[portID(30)] = owned(instance(30, 1, 1, "h0", "172.16.42.2"), model.OwnerDHCP)
	machine := instance(31, 1, 1, "", "172.16.42.31")
	machine.AdminStateUp, machine.DNSName, machine.DNSDomain = true, "metal", "rack.example."
	w.Outsiders = map[model.PortID]*model.Port{machine.ID: machine}
	way := func(s *State) (via netip.Addr) {
		for _, r := range s.Outsiders[machine.ID].DHCP4.Routes {
			if r.Dst == pfx("169.254.169.254/32") {
				via = r.Via
			}
		}
		return via
	}
	s := w.compile()
	e := s.Outsiders[machine.ID]
	if e.DNSName != "metal" || e.DNSDomain != "rack.example." || len(e.DHCP4.DNS) != 1 || e.DHCP4.DNS[0] != adr("172.16.42.2") || way(s) != adr("172.16.42.2") {
		t.Errorf("%+v", e)
	}
	for _, r := range s.Endpoints[portID(1)].DHCP4.Routes {
		if r.Dst == pfx("169.254.169.254/32") {
			t.Error("an instance, whose packets are picked up on their way to the router, is told another one")
		}
	}
	w.c.opts.ServeMetadata = false
	if via := way(w.compile()); via.IsValid() {
		t.Errorf("without metadata: %v", via)
	}
	w.c.opts.ServeMetadata = true
	delete(w.Ports, portID(30))
	if via := way(w.compile()); via.IsValid() {
		t.Errorf("without a network:dhcp port: %v", via)
	}
}
