package agent

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/wire"
)

// BenchmarkMember is what one member of an address set of so many costs the agent, from the change on the wire to the State.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			id := uuid('a', 1)
			set := func(n int) *wire.Object {
				m := &wire.AddressSet{Id: wire.ID(id)}
				for i := range n {
					m.Prefixes = append(m.Prefixes, wire.FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)))
				}
				body := wire.Encode(m)
				return &wire.Object{Kind: wire.Kind_KIND_ADDRESS_SET, Id: wire.ID(id), Version: wire.SetVersion(m), Body: body}
			}
			without, with := set(n), set(n+1)
			member := []*wire.Prefix{wire.FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 32))}
			s := newScope("h1", hostplan.Options{Firewall: true})
			s.put(without)
			s.state()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				c := &wire.SetChange{Id: wire.ID(id), From: without.Version, Version: with.Version, Added: member}
				if i%2 == 1 {
					c = &wire.SetChange{Id: wire.ID(id), From: with.Version, Version: without.Version, Removed: member}
				}
				if err := s.change(c); err != nil {
					b.Fatal(err)
				}
				s.state()
			}
		})
	}
}
