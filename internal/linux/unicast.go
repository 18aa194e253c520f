package linux

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddUnicast lets an interface take frames for another MAC than its own ("bridge fdb add MAC dev LINK self"). That it does
// already is no error.
func AddUnicast(ns, link string, mac net.HardwareAddr) error {
	err := unicast(ns, link, "take frames for "+mac.String(), mac, netlink.NeighAppend)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// DelUnicast takes that back. That it is not so is no error.
func DelUnicast(ns, link string, mac net.HardwareAddr) error {
	err := unicast(ns, link, "take no more frames for "+mac.String(), mac, netlink.NeighDel)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func unicast(ns, link, op string, mac net.HardwareAddr, do func(*netlink.Neigh) error) error {
	return withLink(ns, link, op, func(l netlink.Link) error {
		return do(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, Flags: unix.NTF_SELF, State: unix.NUD_PERMANENT, HardwareAddr: mac})
	})
}

// SetPromiscuous lets an interface take every frame, or no longer.
func SetPromiscuous(ns, link string, on bool) error {
	if on {
		return withLink(ns, link, "make promiscuous", netlink.SetPromiscOn)
	}
	return withLink(ns, link, "make no longer promiscuous", netlink.SetPromiscOff)
}

// Promiscuous reports whether the interface was told to take every frame, or has others behind it that need that.
func Promiscuous(ns, link string) (bool, error) {
	on := false
	err := withLink(ns, link, "look at", func(l netlink.Link) error {
		on = l.Attrs().Promisc > 0
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("promiscuous mode: %w", err)
	}
	return on, nil
}
