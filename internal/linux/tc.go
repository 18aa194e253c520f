package linux

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tcPriority and tcHandle place the filter; together with its name they are its mark.
const tcPriority, tcHandle = 0x77, 1

// ReplaceIngressFilter puts a tc program on the ingress of the link by a clsact qdisc: in place of the one of that name, if it
// is there, in one step; else in front of those whose names begin with prefix, the owner's mark.
func ReplaceIngressFilter(ns, link, name, prefix string, fd int) error {
	return withLink(ns, link, "attach tc program to", func(l netlink.Link) error {
		q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		if err := netlink.QdiscAdd(q); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add clsact qdisc: %w", err)
		}
		priority := uint16(tcPriority)
		ours, _, err := ingressFilters(l, prefix)
		if err != nil {
			return err
		}
		for _, f := range ours {
			if f.Name == name {
				priority = f.Priority
				break
			}
			priority = min(priority, f.Priority-1)
		}
		if priority == 0 {
			return errors.New("no priority is left in front of our own filters; delete them (tc filter del dev " + link + " ingress)")
		}
		return netlink.FilterReplace(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: tcHandle, Priority: priority, Protocol: unix.ETH_P_ALL,
			},
			Fd: fd, Name: name, DirectAction: true,
		})
	})
}

// ingressFilters are the tc programs on the link's ingress whose names begin with prefix, and how many other filters there are.
func ingressFilters(l netlink.Link, prefix string) (ours []*netlink.BpfFilter, others int, err error) {
	list, err := retryDump(func() ([]netlink.Filter, error) { return netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS) })
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok && strings.HasPrefix(b.Name, prefix) {
			ours = append(ours, b)
		} else {
			others++
		}
	}
	return ours, others, err
}

// HasOtherIngressFilter reports whether the link's ingress has a tc program whose name begins with prefix and is not name.
func HasOtherIngressFilter(ns, link, prefix, name string) (has bool, err error) {
	err = withLink(ns, link, "list tc programs of", func(l netlink.Link) error {
		ours, _, err := ingressFilters(l, prefix)
		for _, f := range ours {
			has = has || f.Name != name
		}
		return err
	})
	return has, err
}

// HasIngressFilter reports whether the link's ingress has a tc program of that name.
func HasIngressFilter(ns, link, name string) (has bool, err error) {
	err = withLink(ns, link, "list tc programs of", func(l netlink.Link) error {
		ours, _, err := ingressFilters(l, name)
		for _, f := range ours {
			has = has || f.Name == name
		}
		return err
	})
	return has, err
}

// DelOtherIngressFilters deletes the tc programs on the link's ingress whose name begins with prefix and is not name. A link
// that is gone is no error.
func DelOtherIngressFilters(ns, link, prefix, name string) error {
	err := withLink(ns, link, "detach tc programs from", func(l netlink.Link) error {
		ours, _, err := ingressFilters(l, prefix)
		for _, f := range ours {
			if f.Name != name {
				err = errors.Join(err, netlink.FilterDel(f))
			}
		}
		return err
	})
	if IsNoLink(err) {
		return nil
	}
	return err
}

// DelIngressFilters deletes the tc programs on the link's ingress whose name begins so, and the clsact qdisc if nothing else
// hangs on it. A link that is gone is no error.
func DelIngressFilters(ns, link, prefix string) error {
	err := withLink(ns, link, "detach tc programs from", func(l netlink.Link) error {
		ours, others, err := ingressFilters(l, prefix)
		if err != nil {
			return err
		}
		for _, f := range ours {
			if err := netlink.FilterDel(f); err != nil {
				return err
			}
		}
		if len(ours) == 0 || others > 0 {
			return nil
		}
		egress, err := retryDump(func() ([]netlink.Filter, error) { return netlink.FilterList(l, netlink.HANDLE_MIN_EGRESS) })
		if err != nil || len(egress) > 0 {
			return err
		}
		return netlink.QdiscDel(&netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}})
	})
	if IsNoLink(err) {
		return nil
	}
	return err
}
