package ebpf

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
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

// BenchmarkApplyRules is the cost of one more port on a host where another has a group of so many rules, half of them for a prefix each;
// and of giving those rules to a port.
func BenchmarkApplyRules(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		var rules []hostplan.Rule
		for i := range n {
			r := dptest.Allow(false, false, 17, int32(1000+i), int32(1000+i))
			if i%2 == 1 {
				r.Protocol, r.Remote = 6, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
			}
			rules = append(rules, r)
		}
		ruled, bare := dptest.Stateful(rules...), dptest.Stateful()
		for _, what := range []string{"a port more", "the rules come and go"} {
			b.Run(fmt.Sprintf("%d rules/%s", n, what), func(b *testing.B) {
				r := testRunner(b)
				c := dptest.Demo()
				c.Port("red3").Policy = ruled
				s := c.States()["compute1"]
				r.Apply(s, Limits{})
				for i := range b.N {
					next := *s
					if what == "a port more" {
						next.Neighbors = maps.Clone(s.Neighbors)
						addNeighbor(&next, i)
					} else {
						next.Endpoints = maps.Clone(s.Endpoints)
						e := *next.Endpoints[dptest.PortID("red3")]
						if e.Policy = ruled; i%2 == 0 {
							e.Policy = bare
						}
						next.Endpoints[e.Port] = &e
					}
					if p := r.Apply(&next, Limits{}); len(p) > 0 {
						b.Fatal(p)
					}
				}
			})
		}
	}
}

// BenchmarkApplyMember is the cost of one member that comes to a remote group of so many, or goes.
func BenchmarkApplyMember(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("%d members", n), func(b *testing.B) {
			r := testRunner(b)
			in := dptest.Any(false, false)
			in.RemoteSet = dptest.SetID("members")
			c := dptest.Demo()
			c.Port("red3").Policy = dptest.Stateful(in)
			var list []netip.Prefix
			for i := range n + 1 {
				list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 32))
			}
			c.Sets = []dptest.Set{{Name: "members", Prefixes: list}}
			s := c.States()["compute1"]
			r.Apply(s, Limits{})
			set := prefix.Of(list[:n]...)
			sets := []prefix.Set{set, set.With(list[n])}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				next := *s
				next.AddressSets = maps.Clone(s.AddressSets)
				next.AddressSets[in.RemoteSet] = &hostplan.AddressSet{ID: in.RemoteSet, Prefixes: sets[i%2]}
				if p := r.Apply(&next, Limits{}); len(p) > 0 {
					b.Fatal(p)
				}
			}
		})
	}
}
