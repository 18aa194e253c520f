package prefix

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// draw makes prefixes that are often within each other.
func draw(t *rapid.T) netip.Prefix {
	b := byte(rapid.SampledFrom([]int{0, 1, 2, 3, 128, 129, 254, 255}).Draw(t, "byte"))
	if rapid.Bool().Draw(t, "IPv6") {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 7: b, 15: b}), rapid.SampledFrom([]int{0, 8, 60, 64, 121, 127, 128}).Draw(t, "bits")).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, b, b}), rapid.SampledFrom([]int{0, 8, 17, 24, 30, 31, 32}).Draw(t, "bits")).Masked()
}

func members(m map[netip.Prefix]bool) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), Compare)
}

// A set is what a map of prefixes is, whatever comes and goes in whatever order, and each is left as it was by what is made of it.
func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		m := map[netip.Prefix]bool{}
		var before []Set
		var then [][]netip.Prefix
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before, then = append(before, s), append(then, members(m))
			p := draw(t)
			if s.Has(p) != m[p] {
				t.Fatalf("has %s: %v", p, s.Has(p))
			}
			if rapid.Bool().Draw(t, "goes") {
				s = s.Without(p)
				delete(m, p)
			} else {
				s = s.With(p)
				m[p] = true
			}
		}
		want := members(m)
		if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != len(want) {
			t.Fatalf("%d members %v, want %v", s.Len(), got, want)
		}
		fresh := Of(want...)
		if !reflect.DeepEqual(s, fresh) || !s.Equal(fresh) {
			t.Fatalf("made step by step it is another set than made at once: %v", want)
		}
		for i, b := range before {
			if got := slices.Collect(b.All()); !slices.Equal(got, then[i]) {
				t.Fatalf("the set of step %d is %v now, and was %v", i, got, then[i])
			}
			same := slices.Equal(then[i], want)
			if s.Equal(b) != same || b.Equal(s) != same {
				t.Fatalf("equal: %v, want %v", s.Equal(b), same)
			}
			added, removed := Diff(b, s)
			check(t, then[i], want, added, removed)
			added, removed = Diff(Of(then[i]...), fresh) // nothing is shared
			check(t, then[i], want, added, removed)
		}
	})
}

func check(t *rapid.T, old, now, added, removed []netip.Prefix) {
	t.Helper()
	less := func(a, b []netip.Prefix) (out []netip.Prefix) {
		for _, p := range a {
			if !slices.Contains(b, p) {
				out = append(out, p)
			}
		}
		return out
	}
	if !slices.Equal(added, less(now, old)) || !slices.Equal(removed, less(old, now)) {
		t.Fatalf("from %v to %v: added %v, removed %v", old, now, added, removed)
	}
}

// What is no prefix is no member, and bits past a prefix's length mean nothing.
func TestMasked(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.7/24")
	s := Of(p, netip.Prefix{}).With(netip.Prefix{}).Without(netip.Prefix{})
	if s.Len() != 1 || !s.Has(netip.MustParsePrefix("10.0.0.0/24")) || !s.Has(p) || s.Has(netip.Prefix{}) {
		t.Errorf("%v", slices.Collect(s.All()))
	}
	if s.With(netip.MustParsePrefix("10.0.0.9/24")).Len() != 1 || s.Without(netip.MustParsePrefix("10.0.0.9/24")).Len() != 0 {
		t.Error("a prefix was told from itself by what is past its length")
	}
}

// BenchmarkMember is one member that comes to a set of so many and goes again, and what it takes to see that.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var list []netip.Prefix
			for i := range n {
				list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
			}
			s, p := Of(list...), netip.MustParsePrefix("10.0.255.255/32")
			b.ReportAllocs()
			for b.Loop() {
				with := s.With(p)
				if added, _ := Diff(s, with); len(added) != 1 {
					b.Fatal(added)
				}
				if !with.Without(p).Equal(s) {
					b.Fatal("not as before")
				}
			}
		})
	}
}
