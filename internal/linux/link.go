package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is what the kernel says of an interface.
type Link struct {
	Name  string
	Index int
	Kind  string // "veth", "bridge", "tun", "device", …
	Alias string
	MAC   net.HardwareAddr
	MTU   int
	Up    bool // administratively
	// Master is the index of the bridge or the like whose port it is; 0: none.
	Master int
}

// Veth describes a pair of virtual Ethernet devices, each end made directly in its namespace.
type Veth struct {
	Name, Netns string
	Peer        End
	MTU         int
	MAC         net.HardwareAddr // nil: the kernel's choice
	Alias       string           // of both ends
}

// End is the other end of a Veth.
type End struct {
	Name, Netns string
	MAC         net.HardwareAddr
}

// AddVeth makes the pair; both ends are down.
func AddVeth(v Veth) error {
	here, err := openNetns(v.Netns)
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := openNetns(v.Peer.Netns)
	if err != nil {
		return err
	}
	defer there.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = v.Name, v.MTU, v.MAC
	attrs.Namespace = netlink.NsFd(int(here.Fd()))
	err = netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: v.Peer.Name, PeerHardwareAddr: v.Peer.MAC, PeerMTU: uint32(v.MTU), //nolint:gosec // an MTU
		PeerNamespace: netlink.NsFd(int(there.Fd())),
	})
	runtime.KeepAlive(here)
	runtime.KeepAlive(there)
	if err != nil {
		return fmt.Errorf("add veth %s in %s to %s in %s: %w", v.Name, v.Netns, v.Peer.Name, v.Peer.Netns, err)
	}
	if v.Alias == "" {
		return nil
	}
	return errors.Join(setAlias(v.Netns, v.Name, v.Alias), setAlias(v.Peer.Netns, v.Peer.Name, v.Alias))
}

func openNetns(name string) (*os.File, error) {
	path := threadNetns()
	if name != "" {
		path = NetnsPath(name)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	return f, nil
}

// AddBridge makes a bridge, up, that forwards at once and takes no part in multicast snooping or spanning trees.
func AddBridge(ns, name string, mtu int) error {
	return InNetns(ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, mtu
		off := false
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
			return fmt.Errorf("add bridge %s: %w", name, err)
		}
		return SetUp("", name)
	})
}

// SetMaster makes link a port of bridge.
func SetMaster(ns, link, bridge string) error {
	return withLink(ns, link, "put under "+bridge, func(l netlink.Link) error {
		b, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, b)
	})
}

// SetUp brings link up.
func SetUp(ns, link string) error { return withLink(ns, link, "set up", netlink.LinkSetUp) }

// Operational reports whether the operational state of link (RFC 2863) is up: the kernel has noticed the carrier, by a task of its own
// (net/core/link_watch.c), and sends what it is given. Until then it drops it, also of a veth whose two ends are up already. Devices that
// never tell of a carrier stay at "unknown", which is not up.
func Operational(ns, link string) (bool, error) {
	var up bool
	err := withLink(ns, link, "find", func(l netlink.Link) error { up = l.Attrs().OperState == netlink.OperUp; return nil })
	return up, err
}

// SetDown takes link down.
func SetDown(ns, link string) error { return withLink(ns, link, "set down", netlink.LinkSetDown) }

// SetMTU sets the MTU of link, in bytes.
func SetMTU(ns, link string, mtu int) error {
	return withLink(ns, link, "set mtu of", func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
}

// SetMAC sets the Ethernet address of link.
func SetMAC(ns, link string, mac net.HardwareAddr) error {
	return withLink(ns, link, "set address of", func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, mac) })
}

func setAlias(ns, link, alias string) error {
	return withLink(ns, link, "set alias of", func(l netlink.Link) error { return netlink.LinkSetAlias(l, alias) })
}

// AddAddr gives link an address; one that it has already is no error. An IPv6 address is usable at once: it is not
// probed for duplicates (RFC 4862, section 5.4).
func AddAddr(ns, link string, p netip.Prefix) error {
	return withLink(ns, link, "add "+p.String()+" to", func(l netlink.Link) error {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrReplace(l, a)
	})
}

// DelAddr takes an address off link; one that it does not have is no error.
func DelAddr(ns, link string, p netip.Prefix) error {
	return withLink(ns, link, "remove "+p.String()+" from", func(l netlink.Link) error {
		err := netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)})
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil
		}
		return err
	})
}

// Addrs lists the addresses of link, tentative ones left out.
func Addrs(ns, link string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := withLink(ns, link, "list addresses of", func(l netlink.Link) error {
		list, err := retryDump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.Flags&unix.IFA_F_TENTATIVE != 0 {
				continue
			}
			if ip, ok := netip.AddrFromSlice(a.IP); ok {
				ones, _ := a.Mask.Size()
				out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
		return nil
	})
	return out, err
}

// ReplaceRoute sends dst out of link, through via unless that is invalid.
func ReplaceRoute(ns, link string, dst netip.Prefix, via netip.Addr) error {
	return withLink(ns, link, "route "+dst.String()+" over", func(l netlink.Link) error {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst)}
		if via.IsValid() {
			r.Gw = via.AsSlice()
			r.Flags = int(netlink.FLAG_ONLINK)
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		return netlink.RouteReplace(r)
	})
}

// DelLink removes link; it is no error if it is not there.
func DelLink(ns, link string) error {
	err := withLink(ns, link, "delete", netlink.LinkDel)
	if IsNoLink(err) {
		return nil
	}
	return err
}

// IsNoLink reports whether err says that there is no such link.
func IsNoLink(err error) bool {
	var no netlink.LinkNotFoundError
	return errors.As(err, &no) || errors.Is(err, unix.ENODEV)
}

// LinkByName looks a link up.
func LinkByName(ns, name string) (Link, error) {
	var out Link
	err := withLink(ns, name, "find", func(l netlink.Link) error { out = fromNetlink(l); return nil })
	return out, err
}

// Links lists all links of a namespace.
func Links(ns string) ([]Link, error) {
	var out []Link
	err := InNetns(ns, func() error {
		list, err := retryDump(netlink.LinkList)
		if err != nil {
			return fmt.Errorf("list links of %q: %w", ns, err)
		}
		for _, l := range list {
			out = append(out, fromNetlink(l))
		}
		return nil
	})
	return out, err
}

func fromNetlink(l netlink.Link) Link {
	a := l.Attrs()
	return Link{Name: a.Name, Index: a.Index, Kind: l.Type(), Alias: a.Alias, MAC: a.HardwareAddr, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Master: a.MasterIndex}
}

func withLink(ns, name, op string, fn func(netlink.Link) error) error {
	return InNetns(ns, func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = fn(l)
		}
		if err != nil {
			return fmt.Errorf("%s link %s: %w", op, name, err)
		}
		return nil
	})
}

// retryDump repeats a netlink dump that was interrupted by a change (NLM_F_DUMP_INTR): its answer may lack objects.
func retryDump[T any](dump func() ([]T, error)) ([]T, error) {
	for range 10 {
		list, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, netlink.ErrDumpInterrupted
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
