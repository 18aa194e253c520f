package wire

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set's version is what its members make it, in whatever order they came, and follows each that comes or goes.
func TestSetVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &AddressSet{Id: []byte("0123456789abcdef")}
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 1, 20, rapid.ID[int]).Draw(t, "members") {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
			if n > 30 {
				a = netip.AddrFrom16([16]byte{0xfd, 15: byte(n)})
			}
			m.Prefixes = append(m.Prefixes, FromPrefix(netip.PrefixFrom(a, a.BitLen()-n%3)))
		}
		whole := SetVersion(m)
		turned := &AddressSet{Id: m.Id, Prefixes: slices.Clone(m.Prefixes)}
		slices.Reverse(turned.Prefixes)
		last := m.Prefixes[len(m.Prefixes)-1]
		less := &AddressSet{Id: m.Id, Prefixes: m.Prefixes[:len(m.Prefixes)-1]}
		if SetVersion(turned) != whole || SetVersion(less)+PrefixSum(last) != whole || SetVersion(less) == whole {
			t.Fatalf("%v: %d, turned %d, less %v: %d", m.Prefixes, whole, SetVersion(turned), last, SetVersion(less))
		}
		other := &AddressSet{Id: []byte("0123456789abcdeX"), Prefixes: m.Prefixes}
		longer := &AddressSet{Id: m.Id, Prefixes: append(slices.Clone(less.Prefixes), &Prefix{Address: last.Address, Bits: last.Bits - 1})}
		if SetVersion(other) == whole || SetVersion(longer) == whole {
			t.Fatalf("another set has the version of %v", m.Prefixes)
		}
	})
}
