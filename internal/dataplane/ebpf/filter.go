package ebpf

import (
	"fmt"
	"net"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// macFilter lets NICs take frames for MACs that are here and not the NIC's own: a real NIC drops all others. A NIC that cannot, or that
// carries tagged networks, is made promiscuous: for the kernel's filter of VLANs knows those of the kernel's own VLAN devices only.
type macFilter struct {
	// have are the MACs that each NIC has been told, by its index: at first, those that a former process left in the tables.
	have    map[uint32]map[[6]byte]bool
	promisc map[uint32]bool
	again   bool
}

// newFilter takes over from a former process, whose tables t holds. Being told a MAC twice does no harm, so that only what is to go is
// taken from there: all MACs are told again.
func newFilter(t *tables) macFilter {
	had, _ := filterOf(t)
	return macFilter{have: had, promisc: map[uint32]bool{}, again: true}
}

// apply brings the filters of the NICs in line with the tables, after they have been written.
func (f *macFilter) apply(t *tables, physical map[string][]nic) []hostplan.Problem {
	names := nicNames(physical)
	want, tagged := filterOf(t)
	var failed []hostplan.Problem
	for index, name := range names {
		if f.have[index] == nil {
			f.have[index] = map[[6]byte]bool{}
		}
		err := f.tell(index, name, want[index])
		why := ""
		if err != nil {
			why = fmt.Sprintf("its filter of addresses takes no more (%v): it takes every frame instead", err)
		}
		if err != nil || tagged[index] {
			if err := linux.SetPromiscuous("", name, true); err != nil {
				why = fmt.Sprintf("it takes no frames for floating IPs, gateways and instances, nor every frame: %v", err)
			} else {
				f.promisc[index] = true
			}
		} else if f.promisc[index] && linux.SetPromiscuous("", name, false) == nil {
			delete(f.promisc, index)
		}
		if why != "" {
			failed = append(failed, hostplan.Problem{Kind: "device", ID: name, Why: why})
		}
	}
	f.again = false
	return failed
}

// nicNames are the interfaces behind the physical networks, by index.
func nicNames(physical map[string][]nic) map[uint32]string {
	out := map[uint32]string{}
	for _, nics := range physical {
		for _, n := range nics {
			out[n.ifindex] = n.name
		}
	}
	return out
}

// filterOf are the MACs of ours on each NIC, and the NICs that carry a tagged network.
func filterOf(t *tables) (macs map[uint32]map[[6]byte]bool, tagged map[uint32]bool) {
	macs, tagged = map[uint32]map[[6]byte]bool{}, map[uint32]bool{}
	nics := map[uint32][]uint32{} // of each network
	for k, v := range t.physicalNets.have {
		nics[v.Net] = append(nics[v.Net], k.Ifindex)
		tagged[k.Ifindex] = tagged[k.Ifindex] || k.Vlan != 0
	}
	for k, v := range t.macs.have {
		var ours [][6]byte
		switch v.Kind {
		case kindFip:
			ours = append(ours, k.Mac)
		case kindNeighbor:
			if t.neighbors.have[v.Slot].Ep != 0 {
				ours = append(ours, k.Mac)
			}
		case kindRif: // its router asks for machines there with the host's DVR MAC
			if t.host.DvrMac != [6]byte{} {
				ours = append(ours, t.host.DvrMac)
			}
			if t.networks.have[k.Net].Flags&netSpeaks != 0 {
				ours = append(ours, k.Mac)
			}
		}
		for _, index := range nics[k.Net] {
			if macs[index] == nil {
				macs[index] = map[[6]byte]bool{}
			}
			for _, m := range ours {
				macs[index][m] = true
			}
		}
	}
	return macs, tagged
}

// tell adds and removes MACs of one NIC. It returns the last error; what is told stays told.
func (f *macFilter) tell(index uint32, name string, want map[[6]byte]bool) (last error) {
	have := f.have[index]
	for m := range want {
		if have[m] && !f.again {
			continue
		}
		if err := linux.AddUnicast("", name, net.HardwareAddr(m[:])); err != nil {
			last = err
			continue
		}
		have[m] = true
	}
	for m := range have {
		if want[m] {
			continue
		}
		if err := linux.DelUnicast("", name, net.HardwareAddr(m[:])); err != nil {
			last = err
			continue
		}
		delete(have, m)
	}
	return last
}
