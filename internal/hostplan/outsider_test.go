package hostplan

import (
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
)

// TestOnWire: a machine that no agent plugs in is told of the distributed routers on its network by the host that speaks for them, and of
// no resolver that would not answer it.
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
	if len(n.OnWire) != 1 || n.OnWire[0].MAC != redRouterMAC || len(n.OnWire[0].Prefixes) != 1 || len(n.OnWire[0].DNS) != 0 || s.Outsiders[machine.ID] == nil {
		t.Errorf("on the wire %+v, machine %+v", n.OnWire, s.Outsiders[machine.ID])
	}
	if len(n.Advertisements) != 1 || len(n.Advertisements[0].DNS) != 1 {
		t.Errorf("its own instances are told %+v", n.Advertisements)
	}
	w.Subnets[subID(3)].DNS = []netip.Addr{adr("fd00:42::53")}
	if n = w.compile().Networks[netID(1)]; len(n.OnWire) != 1 || len(n.OnWire[0].DNS) != 1 {
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
