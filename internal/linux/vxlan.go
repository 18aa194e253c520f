package linux

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// VXLAN describes a device that takes the tunnel's key from each packet (collect-metadata mode).
type VXLAN struct {
	Name string
	Port int
	MTU  int // 0: the kernel's choice
}

// EnsureVXLAN makes the device and sets it up, or leaves it if it is there as described. A taken UDP port is an error that
// names the owner.
func EnsureVXLAN(ns string, v VXLAN) (Link, error) {
	var out Link
	err := InNetns(ns, func() error {
		l, err := netlink.LinkByName(v.Name)
		if err == nil {
			x, ok := l.(*netlink.Vxlan)
			if ok && x.FlowBased && x.Port == v.Port && (v.MTU == 0 || x.MTU == v.MTU) && x.Flags&net.FlagUp != 0 {
				out = fromNetlink(l)
				return nil
			}
			if err := netlink.LinkDel(l); err != nil {
				return fmt.Errorf("replace: %w", err)
			}
		} else if !IsNoLink(err) {
			return err
		}
		out, err = addVXLAN(v)
		return err
	})
	if err != nil {
		return Link{}, fmt.Errorf("vxlan device %s in %q: %w", v.Name, ns, err)
	}
	return out, nil
}

func addVXLAN(v VXLAN) (Link, error) {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = v.Name, v.MTU
	x := &netlink.Vxlan{LinkAttrs: a, FlowBased: true, Port: v.Port, UDP6ZeroCSumRx: true}
	if err := netlink.LinkAdd(x); err != nil {
		return Link{}, named(err, v)
	}
	// The device must not speak by itself.
	_, err := SetSysctl("", "net/ipv6/conf/"+v.Name+"/disable_ipv6", "1")
	if err == nil {
		err = netlink.LinkSetUp(x)
	}
	var l netlink.Link
	if err == nil {
		l, err = netlink.LinkByName(v.Name)
	}
	if err != nil {
		_ = netlink.LinkDel(x) // the first error tells more
		return Link{}, named(err, v)
	}
	return fromNetlink(l), nil
}

// named adds to "address in use" who uses it.
func named(err error, v VXLAN) error {
	if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return fmt.Errorf("UDP port %d is taken by %s; stop it, or give it another port: %w", v.Port, udpOwner(v), err)
}

// udpOwner finds who holds the UDP port in this namespace: another vxlan device, or a process.
func udpOwner(v VXLAN) string {
	if list, err := retryDump(netlink.LinkList); err == nil {
		for _, l := range list {
			if x, ok := l.(*netlink.Vxlan); ok && x.Port == v.Port && x.Name != v.Name {
				return "the vxlan device " + x.Name
			}
		}
	}
	inodes := map[string]bool{}
	for _, f := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			w := strings.Fields(line)
			if len(w) > 9 && strings.HasSuffix(w[1], fmt.Sprintf(":%04X", v.Port)) {
				inodes["socket:["+w[9]+"]"] = true
			}
		}
	}
	for _, pid := range allPIDs() {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && inodes[to] {
				comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // without a name the pid must do
				return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(comm)))
			}
		}
	}
	return "a socket of the kernel or of another mount namespace"
}

// VethPeerElsewhere reports whether the device is a veth whose other end is in another network namespace.
func VethPeerElsewhere(ns, name string) (bool, error) {
	elsewhere := false
	err := withLink(ns, name, "find", func(l netlink.Link) error {
		elsewhere = l.Type() == "veth" && l.Attrs().NetNsID >= 0
		return nil
	})
	return elsewhere, err
}
