package hostplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// routing collects routes; the first to a destination stays.
type routing struct {
	legs []Interface
	g    *Gateway
	x    *External // of g
	out  []Route
	seen map[netip.Prefix]bool
}

// routes are what the legs are connected to, then the external network's prefixes, then the extra routes whose next hop is
// on one of these, then the default routes of the external network.
func (c *Compiler) routes(legs []Interface, g *Gateway, extra []model.Route) (routes []Route, problems []string) {
	t := routing{legs: legs, g: g, seen: map[netip.Prefix]bool{}}
	for _, i := range legs {
		for _, a := range i.Addresses {
			t.add(Route{Dst: a.Masked(), Interface: i.Port})
		}
	}
	if g != nil {
		t.x = c.externals.m[g.External]
		for _, s := range t.x.Subnets {
			t.add(Route{Dst: s.Prefix, Interface: g.Port})
		}
	}
	extra = slices.SortedFunc(slices.Values(extra), func(a, b model.Route) int {
		return cmp.Or(comparePrefix(a.Destination, b.Destination), a.NextHop.Compare(b.NextHop))
	})
	for _, e := range extra {
		port, why := t.reach(e)
		if why == "" && !t.add(Route{Dst: e.Destination.Masked(), Via: e.NextHop, Interface: port}) {
			why = "there is another route to the same destination"
		}
		if why != "" {
			problems = append(problems, fmt.Sprintf("route %s via %s: %s", e.Destination, e.NextHop, why))
		}
	}
	if g != nil {
		t.defaults()
	}
	slices.SortFunc(t.out, func(a, b Route) int { return comparePrefix(a.Dst, b.Dst) })
	return t.out, problems
}

// add reports whether the destination was new.
func (t *routing) add(r Route) bool {
	if t.seen[r.Dst] {
		return false
	}
	t.seen[r.Dst] = true
	t.out = append(t.out, r)
	return true
}

// defaults adds, for each family, the way by the gateway of a subnet on which the router has an address, else of the first
// subnet that has a gateway. One that is on none of the subnets is reached directly all the same.
func (t *routing) defaults() {
	for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		var via netip.Addr
		for _, a := range t.g.Addresses {
			for _, s := range t.x.Subnets {
				if !via.IsValid() && s.Prefix == a.Masked() {
					via = ofFamily(s.Gateway, all)
				}
			}
		}
		for _, s := range t.x.Subnets {
			if !via.IsValid() {
				via = ofFamily(s.Gateway, all)
			}
		}
		if !via.IsValid() || t.own(via) {
			continue
		}
		if !via.IsLinkLocalUnicast() && !slices.ContainsFunc(t.x.Subnets, func(s ExternalSubnet) bool { return s.Prefix.Contains(via) }) {
			t.add(Route{Dst: netip.PrefixFrom(via, via.BitLen()), Interface: t.g.Port})
		}
		t.add(Route{Dst: netip.PrefixFrom(all, 0), Via: via, Interface: t.g.Port})
	}
}

// ofFamily is a if it is of like's family, else invalid.
func ofFamily(a, like netip.Addr) netip.Addr {
	if a.IsValid() && a.Is4() == like.Is4() {
		return a
	}
	return netip.Addr{}
}

// own reports whether an address is the router's.
func (t *routing) own(a netip.Addr) bool {
	is := func(p netip.Prefix) bool { return p.Addr() == a }
	return t.g != nil && slices.ContainsFunc(t.g.Addresses, is) ||
		slices.ContainsFunc(t.legs, func(i Interface) bool { return slices.ContainsFunc(i.Addresses, is) })
}

// reach finds the leg on whose prefix a route's next hop is; of several the longest prefix, then the lowest port; else the
// gateway, if the next hop is on the external network.
func (t *routing) reach(e model.Route) (model.PortID, string) {
	if !e.Destination.IsValid() || !e.NextHop.IsValid() || e.Destination.Addr().Is4() != e.NextHop.Is4() {
		return model.PortID{}, "destination and next hop are not addresses of one family"
	}
	if t.own(e.NextHop) {
		return model.PortID{}, "the next hop is the router itself"
	}
	var best model.PortID
	bits := -1
	for _, i := range t.legs {
		for _, a := range i.Addresses {
			if a.Masked().Contains(e.NextHop) && a.Bits() > bits {
				best, bits = i.Port, a.Bits()
			}
		}
	}
	if bits >= 0 {
		return best, ""
	}
	if t.g != nil && slices.ContainsFunc(t.x.Subnets, func(s ExternalSubnet) bool { return s.Prefix.Contains(e.NextHop) }) {
		return t.g.Port, ""
	}
	return model.PortID{}, "the next hop is on none of the router's networks"
}
