package promise

import (
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// scopes looks up address scopes as they are once a pool is what it is here: a pool's former state is asked about in the
// world that has the new one.
type scopes struct {
	w    *world.World
	pool *model.SubnetPool
	met  bool // a subnet of that pool was met
}

// of are the address scopes of a network's subnets of one family, zero for those in none.
func (s *scopes) of(n model.NetworkID, six bool) map[model.AddressScopeID]bool {
	out := map[model.AddressScopeID]bool{}
	for sub := range s.w.Subnets.ByNetwork(n) {
		if (sub.IPVersion() == 6) != six {
			continue
		}
		pool := s.w.SubnetPools.Get(sub.PoolID)
		if s.pool != nil && pool != nil && pool.ID == s.pool.ID {
			pool, s.met = s.pool, true
		}
		if pool == nil {
			out[model.AddressScopeID{}] = true
		} else {
			out[pool.AddressScope] = true
		}
	}
	return out
}

// joins reports whether a router leads untranslated packets from one address scope into another: between two of its
// interfaces, or by its gateway, where only IPv4 with SNAT is translated.
func (s *scopes) joins(v *model.Router) bool {
	for _, six := range []bool{false, true} {
		met := map[model.AddressScopeID]bool{}
		for p := range s.w.Ports.ByDevice(v.ID.String()) {
			if !p.IsRouterInterface() {
				continue
			}
			for id := range s.of(p.NetworkID, six) {
				met[id] = true
			}
		}
		if g := s.w.Ports.Get(v.GatewayPort); g != nil && len(met) > 0 && (six || !v.EnableSNAT) {
			for id := range s.of(g.NetworkID, six) {
				met[id] = true
			}
		}
		if len(met) > 1 {
			return true
		}
	}
	return false
}

// poolJoins reports whether a pool's address scope makes a router join scopes.
func poolJoins(w *world.World, p *model.SubnetPool) bool {
	for v := range w.Routers.All() {
		if s := (scopes{w: w, pool: p}); s.joins(v) && s.met {
			return true
		}
	}
	return false
}
