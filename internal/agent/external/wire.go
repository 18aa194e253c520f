package external

import (
	"net/netip"

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
