package wire

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// What makes one set of another does so, to the byte, and names nothing that stays.
func TestSetChanges(t *testing.T) {
	set := func(t *rapid.T, name string) *AddressSet {
		m := &AddressSet{Id: []byte("0123456789abcdef")}
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 20, rapid.ID[int]).Draw(t, name) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
			if n > 30 {
				a = netip.AddrFrom16([16]byte{0xfd, 15: byte(n)})
			}
			m.Prefixes = append(m.Prefixes, FromPrefix(netip.PrefixFrom(a, a.BitLen()-n%3)))
		}
		m.Prefixes = (&SetChange{Added: m.Prefixes}).Apply(nil)
		return m
	}
	rapid.Check(t, func(t *rapid.T) {
		old, now := set(t, "old"), set(t, "new")
		c := &SetChange{}
		c.Added, c.Removed = DiffSets(old.Prefixes, now.Prefixes)
		if len(old.Prefixes)+len(c.Added)-len(c.Removed) != len(now.Prefixes) {
			t.Fatalf("%d + %d - %d prefixes, want %d", len(old.Prefixes), len(c.Added), len(c.Removed), len(now.Prefixes))
		}
		got := &AddressSet{Id: old.Id, Prefixes: c.Apply(old.Prefixes)}
		if !proto.Equal(got, now) || Version(Encode(got)) != Version(Encode(now)) {
			t.Fatalf("%v, want %v", got, now)
		}
	})
}
