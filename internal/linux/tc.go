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

// ReplaceIngressFilter puts a tc program on the ingress of the link by a clsact qdisc, in place of the one that is there, if
// any, in one step. name is the filter's, and its owner's mark.
func ReplaceIngressFilter(ns, link, name string, fd int) error {
	return withLink(ns, link, "attach tc program to", func(l netlink.Link) error {
		q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		if err := netlink.QdiscAdd(q); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add clsact qdisc: %w", err)
		}
		return netlink.FilterReplace(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: tcHandle, Priority: tcPriority, Protocol: unix.ETH_P_ALL,
			},
			Fd: fd, Name: name, DirectAction: true,
		})
	})
}

// DelIngressFilters deletes the tc programs on the link's ingress whose name begins so, and the clsact qdisc if nothing else
// hangs on it. A link that is gone is no error.
func DelIngressFilters(ns, link, prefix string) error {
	err := withLink(ns, link, "detach tc programs from", func(l netlink.Link) error {
		list, err := retryDump(func() ([]netlink.Filter, error) { return netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS) })
		if err != nil {
			return err
		}
		ours, others := 0, 0
		for _, f := range list {
			b, ok := f.(*netlink.BpfFilter)
			if !ok || !strings.HasPrefix(b.Name, prefix) {
				others++
				continue
			}
			ours++
			if err := netlink.FilterDel(f); err != nil {
				return err
			}
		}
		if ours == 0 || others > 0 {
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
