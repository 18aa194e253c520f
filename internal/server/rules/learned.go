package rules

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// maxLearned is how many addresses besides its fixed IPs are remembered of one port. What is beyond is learned by hosts all the
// same, but not by those that come later.
const maxLearned = 64

// PortsLearned records everything that a host's ports were the last to announce. An address belongs to one port of a network: the
// one that is reported last. What a port may not have (by its address pairs, if it has port security) is passed over.
func (r *Rules) PortsLearned(tx *world.Tx, host string, learned map[model.PortID][]model.AddressPair) error {
	taken := map[model.NetworkID]map[model.AddressPair]model.PortID{}
	for _, p := range slices.Collect(tx.Ports.ByHost(host)) {
		mine := mayHave(p, learned[p.ID])
		if !slices.Equal(mine, p.Learned) {
			c := *p
			c.Learned = mine
			tx.Ports.Put(&c)
		}
		for _, a := range mine {
			if taken[p.NetworkID] == nil {
				taken[p.NetworkID] = map[model.AddressPair]model.PortID{}
			}
			taken[p.NetworkID][model.AddressPair{Prefix: a.Prefix}] = p.ID
		}
	}
	for network, by := range taken {
		for _, p := range slices.Collect(tx.Ports.ByNetwork(network)) {
			lost := func(a model.AddressPair) bool {
				id, ok := by[model.AddressPair{Prefix: a.Prefix}]
				return ok && id != p.ID
			}
			if slices.ContainsFunc(p.Learned, lost) {
				c := *p
				c.Learned = slices.DeleteFunc(slices.Clone(p.Learned), lost)
				tx.Ports.Put(&c)
			}
		}
	}
	return nil
}

// mayHave are those of the addresses that the port may have, sorted.
func mayHave(p *model.Port, all []model.AddressPair) []model.AddressPair {
	var out []model.AddressPair
	for _, a := range all {
		allowed := !p.PortSecurity || slices.ContainsFunc(p.AddressPairs, func(x model.AddressPair) bool {
			mac := x.MAC
			if mac.IsZero() {
				mac = p.MAC
			}
			return mac == a.MAC && x.Prefix.Masked().Contains(a.Prefix.Addr())
		})
		if allowed {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b model.AddressPair) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), bytes.Compare(a.MAC[:], b.MAC[:]))
	})
	return out[:min(len(out), maxLearned)]
}
