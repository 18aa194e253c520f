package rules

import (
	"math/big"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// PoolSize is how many addresses the allocation pools of a subnet hold; of one without pools, how many its range has.
func PoolSize(s *model.Subnet) *big.Int {
	if len(s.Pools) == 0 {
		return new(big.Int).Lsh(big.NewInt(1), uint(s.CIDR.Addr().BitLen()-s.CIDR.Bits()))
	}
	n := new(big.Int)
	for _, p := range s.Pools {
		n.Add(n, sizeOf(p))
	}
	return n
}

// UsedAddresses is how many addresses of a subnet ports have, in its pools or not.
func UsedAddresses(w *world.World, s *model.Subnet) int {
	n := 0
	for range w.Ports.Addresses(s.ID, s.CIDR.Masked().Addr()) {
		n++
	}
	return n
}
