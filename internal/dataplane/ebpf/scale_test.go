package ebpf

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// BenchmarkApply is the cost of one more port on a network that has many already, and of a State that brings nothing new.
func BenchmarkApply(b *testing.B) {
	for _, ports := range []int{0, 1000, 10000} {
		for _, change := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d ports/change %v", ports, change), func(b *testing.B) {
				r := testRunner(b)
				s := dptest.Demo().States()["compute1"]
				s.Neighbors = maps.Clone(s.Neighbors)
				for i := range ports {
					addNeighbor(s, i)
				}
				r.Apply(s, Limits{})
				b.ResetTimer()
				for i := range b.N {
					next := *s
					if change {
						next.Neighbors = maps.Clone(s.Neighbors)
						addNeighbor(&next, ports+i)
					}
					if p := r.Apply(&next, Limits{}); len(p) > 0 {
						b.Fatal(p)
					}
				}
			})
		}
	}
}

func addNeighbor(s *hostplan.State, i int) {
	id := model.PortID{UUID: model.UUID{1, 2, byte(i >> 16), byte(i >> 8), byte(i)}}
	s.Neighbors[id] = &hostplan.Neighbor{Port: id, Network: dptest.NetworkID("red"), MAC: model.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)},
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, Host: "compute2"}
}
