package forward

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Host is one host's State prepared for lookups. It is immutable and may be shared; it keeps the State.
type Host struct {
	State *hostplan.State

	vnis  map[uint32]*hostplan.Network
	vteps map[netip.Addr]*hostplan.Peer
	dvr   map[model.MAC]bool // DVR MACs of all peers
	// services are where the host itself answers, serviceMACs under which MACs.
	services    map[netAddr]hostplan.Service
	serviceMACs map[netMAC]bool
	byMAC       map[netMAC]*hostplan.Neighbor
	byAddr      map[netAddr]claim
	legs        map[netMAC]leg
	// legAddrs finds a router's interface by an address on its network.
	legAddrs map[netAddr]leg
	local    map[model.NetworkID][]*hostplan.Endpoint // sorted by port id
	routes   map[model.RouterID]*bart.Table[hostplan.Route]
	sets     map[model.UUID]*bart.Lite
	// networks, endpoints and neighbors are the State's, and what the outside adds to them.
	networks  map[model.NetworkID]*hostplan.Network
	endpoints map[model.PortID]*hostplan.Endpoint
	neighbors map[model.PortID]*hostplan.Neighbor
	wires     map[wire]*hostplan.Network
	fips      map[netAddr]*hostplan.FloatingIP
	fipMACs   map[netMAC]bool
	floating  map[floatKey]*hostplan.FloatingIP
}

type netMAC struct {
	net model.NetworkID
	mac model.MAC
}

type netAddr struct {
	net  model.NetworkID
	addr netip.Addr
}

// leg is a router's interface on a network.
type leg struct {
	router *hostplan.Router
	iface  *hostplan.Interface
}

// claim is who has an address on a network, and under which MAC.
type claim struct {
	neighbor *hostplan.Neighbor
	mac      model.MAC
	fixed    bool // a fixed IP, which is never learned
}

// NewHost indexes a State, which must not be written any more.
func NewHost(s *hostplan.State) *Host {
	h := &Host{
		State: s,
		vnis:  map[uint32]*hostplan.Network{}, vteps: map[netip.Addr]*hostplan.Peer{}, dvr: map[model.MAC]bool{},
		services: map[netAddr]hostplan.Service{}, serviceMACs: map[netMAC]bool{},
		byMAC: map[netMAC]*hostplan.Neighbor{}, byAddr: map[netAddr]claim{},
		legs: map[netMAC]leg{}, legAddrs: map[netAddr]leg{},
		local:  map[model.NetworkID][]*hostplan.Endpoint{},
		routes: map[model.RouterID]*bart.Table[hostplan.Route]{}, sets: map[model.UUID]*bart.Lite{},
		networks: map[model.NetworkID]*hostplan.Network{}, endpoints: map[model.PortID]*hostplan.Endpoint{},
		neighbors: map[model.PortID]*hostplan.Neighbor{}, wires: map[wire]*hostplan.Network{},
		fips: map[netAddr]*hostplan.FloatingIP{}, fipMACs: map[netMAC]bool{}, floating: map[floatKey]*hostplan.FloatingIP{},
	}
	h.indexOutside()
	h.indexFloating()
	for _, n := range s.Networks {
		if n.Type == "vxlan" {
			h.vnis[n.VNI] = n
		}
	}
	for _, p := range s.Peers {
		h.vteps[p.VTEP] = p
		if !p.DVRMAC.IsZero() {
			h.dvr[p.DVRMAC] = true
		}
	}
	for _, e := range h.endpoints {
		h.local[e.Network] = append(h.local[e.Network], e)
	}
	for _, l := range h.local {
		slices.SortFunc(l, func(a, b *hostplan.Endpoint) int { return a.Port.Compare(b.Port.UUID) })
	}
	for _, n := range s.Networks {
		for _, v := range n.Services {
			h.services[netAddr{n.ID, v.Address}] = v
			h.serviceMACs[netMAC{n.ID, v.MAC}] = true
		}
	}
	h.indexNeighbors()
	h.indexRouters()
	for id, set := range s.AddressSets {
		t := &bart.Lite{}
		for p := range set.Prefixes.All() {
			t.Insert(p)
		}
		h.sets[id] = t
	}
	return h
}

// indexNeighbors lets the port with the lowest id win where several claim one MAC or address: an address that is the
// port's own comes before one of a pair.
func (h *Host) indexNeighbors() {
	ids := make([]model.PortID, 0, len(h.neighbors))
	for id := range h.neighbors {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b model.PortID) int { return a.Compare(b.UUID) })
	for _, id := range ids {
		n := h.neighbors[id]
		if n.Host == "" {
			continue
		}
		putNew(h.byMAC, netMAC{n.Network, n.MAC}, n)
		for _, a := range n.Addresses {
			putNew(h.byAddr, netAddr{n.Network, a}, claim{n, n.MAC, true})
		}
	}
	for _, id := range ids {
		n := h.neighbors[id]
		if n.Host == "" {
			continue
		}
		for _, p := range n.Pairs {
			if p.Prefix.IsSingleIP() {
				putNew(h.byMAC, netMAC{n.Network, p.MAC}, n)
				putNew(h.byAddr, netAddr{n.Network, p.Prefix.Addr()}, claim{n, p.MAC, false})
			}
		}
	}
}

func (h *Host) indexRouters() {
	for _, r := range h.State.Routers {
		t := &bart.Table[hostplan.Route]{}
		for _, rt := range r.Routes {
			t.Insert(rt.Dst, rt)
		}
		h.routes[r.ID] = t
		for i := range r.Interfaces {
			f := &r.Interfaces[i]
			l := leg{r, f}
			h.legs[netMAC{f.Network, f.MAC}] = l
			for _, a := range f.Addresses {
				h.legAddrs[netAddr{f.Network, a.Addr()}] = l
			}
		}
	}
}

func putNew[K comparable, V any](m map[K]V, k K, v V) {
	if _, ok := m[k]; !ok {
		m[k] = v
	}
}

// linkLocal is the IPv6 link-local address that a MAC makes (RFC 4291, appendix A).
func linkLocal(m model.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe,
		13: m[3], 14: m[4], 15: m[5]})
}

// address is the interface's own address to answer src from: the one whose subnet holds src, else the first of its
// family, else the link-local one.
func (l leg) address(src netip.Addr) (netip.Addr, bool) {
	var first netip.Addr
	for _, p := range l.iface.Addresses {
		if p.Addr().Is4() != src.Is4() {
			continue
		}
		if p.Contains(src) {
			return p.Addr(), true
		}
		if !first.IsValid() {
			first = p.Addr()
		}
	}
	if !first.IsValid() && src.Is6() {
		first = linkLocal(l.iface.MAC)
	}
	return first, first.IsValid()
}

// macOf is the MAC that a link-local address was made of.
func macOf(a netip.Addr) (model.MAC, bool) {
	b := a.As16()
	m := model.MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	return m, a.Is6() && linkLocal(m) == a
}

// owns reports whether addr is one of the router's own, on any interface.
func (l leg) owns(addr netip.Addr) bool {
	for i := range l.router.Interfaces {
		f := &l.router.Interfaces[i]
		for _, p := range f.Addresses {
			if p.Addr() == addr {
				return true
			}
		}
	}
	return addr == linkLocal(l.iface.MAC)
}

// find is the router's interface that has the port.
func (h *Host) find(router *hostplan.Router, port model.PortID) (*hostplan.Interface, bool) {
	for i := range router.Interfaces {
		if router.Interfaces[i].Port == port {
			return &router.Interfaces[i], true
		}
	}
	return nil, false
}
