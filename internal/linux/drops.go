package linux

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// LinkDrop is one of the kernel's counters of packets that an interface lost.
type LinkDrop struct {
	Link  string
	Index int
	// Counter is the kernel's name: "rx_dropped" (ip -s link), or the kind of queueing discipline with "qdisc " before it.
	Counter string
	Packets uint64
}

// LinkDrops are the counters of lost packets of all interfaces, and of the queueing disciplines on their way out, in ns.
func LinkDrops(ns string) ([]LinkDrop, error) {
	var out []LinkDrop
	err := InNetns(ns, func() error {
		links, err := retryDump(netlink.LinkList)
		if err != nil {
			return fmt.Errorf("list links of %q: %w", ns, err)
		}
		for _, l := range links {
			a := l.Attrs()
			add := func(name string, n uint64) { out = append(out, LinkDrop{a.Name, a.Index, name, n}) }
			if s := a.Statistics; s != nil {
				add("rx_dropped", s.RxDropped)
				add("rx_errors", s.RxErrors)
				add("tx_dropped", s.TxDropped)
				add("tx_errors", s.TxErrors)
			}
			// Those of a queue drop before the interface sees the packet. Ingress ones count what the data plane dropped.
			qdiscs, err := retryDump(func() ([]netlink.Qdisc, error) { return netlink.QdiscList(l) })
			if err != nil {
				return fmt.Errorf("list queueing disciplines of %s: %w", a.Name, err)
			}
			for _, q := range qdiscs {
				if s := q.Attrs().Statistics; s != nil && s.Queue != nil && q.Type() != "clsact" && q.Type() != "ingress" {
					add("qdisc "+q.Type(), uint64(s.Queue.Drops))
				}
			}
		}
		return nil
	})
	return out, err
}
