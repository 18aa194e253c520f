package linux

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is one entry of the main routing table.
type Route struct {
	Dst  netip.Prefix
	Via  netip.Addr // invalid: on link
	Link string     // "" of a blackhole
	// Blackhole drops what is sent to Dst.
	Blackhole bool
}

// RoutesOf lists the routes of the main table that bear proto (rtnetlink(7), rtm_protocol), both families.
func RoutesOf(ns string, proto int) ([]Route, error) {
	var out []Route
	err := InNetns(ns, func() error {
		names := map[int]string{}
		links, err := retryDump(netlink.LinkList)
		if err != nil {
			return fmt.Errorf("list links: %w", err)
		}
		for _, l := range links {
			names[l.Attrs().Index] = l.Attrs().Name
		}
		list, err := retryDump(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: netlink.RouteProtocol(proto)}, netlink.RT_FILTER_PROTOCOL)
		})
		if err != nil {
			return fmt.Errorf("list routes of %q: %w", ns, err)
		}
		for _, r := range list {
			out = append(out, fromRoute(r, names))
		}
		return nil
	})
	return out, err
}

func fromRoute(r netlink.Route, names map[int]string) Route {
	out := Route{Blackhole: r.Type == unix.RTN_BLACKHOLE}
	if !out.Blackhole { // IPv6 puts those on the loopback
		out.Link = names[r.LinkIndex]
	}
	if via, ok := netip.AddrFromSlice(r.Gw); ok {
		out.Via = via.Unmap()
	}
	zero := netip.IPv4Unspecified()
	if r.Family == unix.AF_INET6 {
		zero = netip.IPv6Unspecified()
	}
	out.Dst = netip.PrefixFrom(zero, 0)
	if r.Dst != nil {
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			ones, _ := r.Dst.Mask.Size()
			if r.Family == unix.AF_INET {
				a = a.Unmap()
			}
			out.Dst = netip.PrefixFrom(a, ones)
		}
	}
	return out
}

// SetRoute puts r, with proto as its mark, in the place of what the main table has for the destination.
func SetRoute(ns string, proto int, r Route) error {
	err := InNetns(ns, func() error {
		nr, err := toRoute(proto, r)
		if err != nil {
			return err
		}
		return netlink.RouteReplace(nr)
	})
	if err != nil {
		return fmt.Errorf("add route %s via %s over %s: %w", r.Dst, r.Via, r.Link, err)
	}
	return nil
}

// DelRoute deletes r, if it is there and bears proto.
func DelRoute(ns string, proto int, r Route) error {
	err := InNetns(ns, func() error {
		nr, err := toRoute(proto, r)
		if err != nil {
			return err
		}
		return netlink.RouteDel(nr)
	})
	if errors.Is(err, unix.ESRCH) || IsNoLink(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete route %s via %s over %s: %w", r.Dst, r.Via, r.Link, err)
	}
	return nil
}

func toRoute(proto int, r Route) (*netlink.Route, error) {
	out := &netlink.Route{Dst: ipNet(r.Dst), Protocol: netlink.RouteProtocol(proto), Table: unix.RT_TABLE_MAIN}
	if r.Blackhole {
		out.Type = unix.RTN_BLACKHOLE
		return out, nil
	}
	l, err := netlink.LinkByName(r.Link)
	if err != nil {
		return nil, err
	}
	out.LinkIndex = l.Attrs().Index
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
		out.Flags = int(netlink.FLAG_ONLINK)
	} else if r.Dst.Addr().Is4() {
		out.Scope = netlink.SCOPE_LINK
	}
	return out, nil
}
