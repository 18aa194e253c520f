package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/lab/guest"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/linux"
)

// The outside's addresses (RFC 5737 and RFC 3849: for documentation, routed nowhere).
func internetAddrs() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("2001:db8:cb00:7100::1/64")}
}

// buildUnderlay makes the namespaces and joins them. Each end of each cable is made in its namespace, so that nothing
// appears in the root namespace even for a moment.
func (r *Record) buildUnderlay() error {
	if err := linux.CreateNetns(switchNetns, r.Mark()); err != nil {
		return err
	}
	for bridge, mtu := range map[string]int{"underlay": r.Options.UnderlayMTU, "external": externalMTU} {
		if err := linux.AddBridge(switchNetns, bridge, mtu); err != nil {
			return err
		}
	}
	for _, h := range r.Hosts() {
		if err := r.buildHost(h); err != nil {
			return err
		}
	}
	return r.buildInternet()
}

// externalMTU is the MTU of the external network, in bytes.
const externalMTU = 1500

func (r *Record) buildHost(h Host) error {
	if err := linux.CreateNetns(h.Netns, r.Mark()); err != nil {
		return err
	}
	// A host forwards nothing by itself, whatever the machine's own defaults are.
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if _, err := linux.SetSysctl(h.Netns, key, "0"); err != nil {
			return err
		}
	}
	if err := cable(h.Netns, UnderlayNIC, h.Name, "underlay", r.Options.UnderlayMTU); err != nil {
		return err
	}
	if err := linux.AddAddr(h.Netns, UnderlayNIC, netip.PrefixFrom(h.Underlay, 24)); err != nil {
		return err
	}
	return cable(h.Netns, ExternalNIC, h.Name+"-ext", "external", externalMTU)
}

// removeHost takes a host's namespace away, with its cables.
func (r *Record) removeHost(h Host) error {
	if err := linux.DeleteNetns(h.Netns); err != nil {
		return err
	}
	// The kernel removes a namespace a moment later, but the names of the switch's ports are needed at once.
	for _, port := range []string{h.Name, h.Name + "-ext"} {
		if err := linux.DelLink(switchNetns, port); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) buildInternet() error {
	ns := hypervisor.HostNetns(internet)
	if err := linux.CreateNetns(ns, r.Mark()); err != nil {
		return err
	}
	if err := cable(ns, ExternalNIC, internet, "external", externalMTU); err != nil {
		return err
	}
	for _, a := range internetAddrs() {
		if err := linux.AddAddr(ns, ExternalNIC, a); err != nil {
			return err
		}
	}
	return nil
}

// cable joins nic in ns to a bridge of the switch by a port of that name.
func cable(ns, nic, port, bridge string, mtu int) error {
	err := linux.AddVeth(linux.Veth{Name: nic, Netns: ns, MTU: mtu, Peer: linux.End{Name: port, Netns: switchNetns}})
	if err != nil {
		return err
	}
	// The switch's own stack stays out of it.
	if _, err := linux.SetSysctl(switchNetns, "net/ipv6/conf/"+port+"/disable_ipv6", "1"); err != nil {
		return err
	}
	if err := linux.SetMaster(switchNetns, port, bridge); err != nil {
		return err
	}
	if err := linux.SetUp(switchNetns, port); err != nil {
		return err
	}
	return linux.SetUp(ns, nic)
}

// ownNetns lists the namespaces that bear the lab's mark, and files with a lab's names that are no namespaces: what a
// kill in the middle of making one leaves.
func (r *Record) ownNetns() (marked, broken []string, err error) {
	names, err := linux.NetnsNames()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "weft-") {
			continue
		}
		switch mark, merr := linux.NetnsMark(name); {
		case merr != nil:
			err = errors.Join(err, merr)
		case mark == r.Mark():
			marked = append(marked, name)
		case mark == "" && r.couldBeOurs(name):
			broken = append(broken, name)
		}
	}
	return marked, broken, err
}

func (r *Record) couldBeOurs(name string) bool {
	return name == switchNetns || name == hypervisor.HostNetns(internet) || strings.HasPrefix(name, hypervisor.Netns("")) ||
		slices.ContainsFunc(r.Hosts(), func(h Host) bool { return h.Netns == name })
}

// removeNamespaces removes the lab's namespaces, once their processes have ended.
func (r *Record) removeNamespaces() error {
	marked, broken, err := r.ownNetns()
	routers, rerr := r.routerNetns()
	err = errors.Join(err, rerr)
	for _, name := range slices.Concat(marked, broken, routers) {
		err = errors.Join(err, linux.DeleteNetns(name))
	}
	return err
}

// pidsInside are the processes in the lab's namespaces, whoever started them.
func (r *Record) pidsInside() ([]int, error) {
	marked, _, err := r.ownNetns()
	routers, rerr := r.routerNetns()
	err = errors.Join(err, rerr)
	var pids []int
	for _, name := range append(marked, routers...) {
		p, perr := linux.NetnsPIDs(name)
		pids, err = append(pids, p...), errors.Join(err, perr)
	}
	return pids, err
}

// Guests lists the names of the instances' namespaces, sorted.
func (r *Record) Guests() ([]string, error) {
	names, err := linux.NetnsNames()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if g, ok := strings.CutPrefix(name, hypervisor.Netns("")); ok {
			out = append(out, g)
		}
	}
	return out, nil
}

// GuestAddrs are the addresses that a guest really has, link-local ones left out.
func GuestAddrs(name string) ([]netip.Addr, error) {
	list, err := linux.Addrs(hypervisor.Netns(name), guest.Interface)
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", name, err)
	}
	var out []netip.Addr
	for _, p := range list {
		if a := p.Addr(); !a.IsLinkLocalUnicast() {
			out = append(out, a)
		}
	}
	return out, nil
}
