package feed

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// learnedOf reads what a host's ports are known to have besides their fixed IPs.
func learnedOf(l *wire.LearnedList) (map[model.PortID][]model.AddressPair, error) {
	out := map[model.PortID][]model.AddressPair{}
	for _, e := range l.Entries {
		u, err := wire.ParseID(e.PortId)
		if err != nil {
			return nil, fmt.Errorf("report of what port has learned: %w", err)
		}
		a, err := wire.ParseAddr(e.Address)
		if err != nil || !a.IsValid() || len(e.Mac) != len(model.MAC{}) {
			return nil, fmt.Errorf("report of what port %s has: address of %d bytes, MAC of %d", u, len(e.Address), len(e.Mac))
		}
		id := model.PortID{UUID: u}
		out[id] = append(out[id], model.AddressPair{MAC: model.MAC(e.Mac), Prefix: netip.PrefixFrom(a, a.BitLen())})
	}
	return out, nil
}
