package external

import (
	"errors"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// This file is about flat and vlan networks that distributed routers have interfaces on: the machines there that are no instances.

// routersHere adds the interfaces' addresses for which this host speaks.
func (s *Speaker) routersHere(own map[key]owned) {
	for id, r := range s.state.Routers {
		for _, i := range r.Interfaces {
			if n := s.state.Networks[i.Network]; n == nil || !n.Speaks || !r.AdminUp {
				continue
			}
			for _, a := range i.Addresses {
				own[key{i.Network, a.Addr()}] = owned{i.MAC, model.KindRouter, id.String()}
			}
		}
	}
}

// asRouter is how a host asks which routes to a machine on a network: by its DVR MAC, which it alone has. The router's address and MAC
// are those of the one host that speaks for it, and a question that named them would lead the machine astray: over IPv4 it names no
// sender, as a probe does (RFC 5227, section 2.1.1), over IPv6 the link-local address of the MAC.
func (s *Speaker) asRouter(k key) (netip.Addr, owned, bool) {
	n, mac := s.state.Networks[k.external], s.state.DVRMAC
	if n == nil || n.Physnet == "" || mac.IsZero() {
		return netip.Addr{}, owned{}, false
	}
	if k.addr.Is4() {
		return netip.IPv4Unspecified(), owned{mac: mac}, true
	}
	return hostplan.LinkLocal(mac), owned{mac: mac}, true
}

// sourceOf is where a packet that waits came from, and thus where it is put in again; false: it cannot be. What no port sent came from a
// wire, to the MAC of a router for which this host speaks there: that says which wire.
func (s *Speaker) sourceOf(p dataplane.Punt) (source, bool) {
	if !p.Port.IsZero() {
		return source{port: p.Port}, s.Resend != nil
	}
	if s.Receive == nil || len(p.Frame) < etherLen {
		return source{}, false
	}
	mac := model.MAC(p.Frame[:6])
	for _, r := range s.state.Routers {
		for _, i := range r.Interfaces {
			if n := s.state.Networks[i.Network]; i.MAC == mac && n != nil && n.Speaks {
				return source{wire: i.Network}, true
			}
		}
	}
	return source{}, false
}

// again puts a packet in where it came from.
func (s *Speaker) again(f waitingFrame) error {
	switch {
	case !f.from.wire.IsZero() && s.Receive != nil:
		return s.Receive(f.from.wire, f.frame)
	case !f.from.port.IsZero() && s.Resend != nil:
		return s.Resend(f.from.port, f.frame)
	}
	return errors.New("the plane takes no packet back")
}
