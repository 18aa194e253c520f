// Package prefix is sets of address prefixes that never change: a set with one prefix more or less shares all but a few nodes with the one
// that it was made of. So a set of ten thousand members that is held in many places costs, for a member that comes or goes, a handful of
// nodes, and two sets are compared by what they do not share. The package is pure and knows nothing of ours.
package prefix

import (
	"cmp"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
)

// Set is a set of prefixes of both families. The zero value is empty. Sets of equal members are equal to the node, however they came about.
// Prefixes are masked on their way in; invalid ones are passed over.
type Set struct{ roots [2]*node } // IPv4, IPv6

// node stands for a prefix: one that is in the set (here), or the longest that all below share, of which there are two then. It never changes.
type node struct {
	at   netip.Prefix
	here bool
	n    int // members here and below
	kids [2]*node
}

// Compare is the order of All: IPv4 first, by address, the shorter prefix first.
func Compare(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// Of is the set of the prefixes.
func Of(list ...netip.Prefix) Set {
	own := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if p.IsValid() {
			own = append(own, p.Masked())
		}
	}
	slices.SortFunc(own, Compare)
	own = slices.Compact(own)
	four, _ := slices.BinarySearchFunc(own, 1, func(p netip.Prefix, _ int) int { return family(p)*2 - 1 })
	return Set{[2]*node{build(own[:four]), build(own[four:])}}
}

// build makes a tree of prefixes of one family, in order. The first of them is the only one that may be what all share.
func build(list []netip.Prefix) *node {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return leaf(list[0])
	}
	first := list[0]
	n := common(first, list[len(list)-1])
	out := &node{at: netip.PrefixFrom(first.Addr(), n).Masked(), here: first.Bits() == n, n: len(list)}
	if out.here {
		list = list[1:]
	}
	ones, _ := slices.BinarySearchFunc(list, 1, func(p netip.Prefix, _ int) int { return bit(p, n)*2 - 1 })
	out.kids = [2]*node{build(list[:ones]), build(list[ones:])}
	return out
}

func leaf(p netip.Prefix) *node { return &node{at: p, here: true, n: 1} }

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// Len is the number of members.
func (s Set) Len() int { return s.roots[0].len() + s.roots[1].len() }

func (n *node) len() int {
	if n == nil {
		return 0
	}
	return n.n
}

// Has reports whether the prefix itself is a member.
func (s Set) Has(p netip.Prefix) bool {
	if !p.IsValid() {
		return false
	}
	p = p.Masked()
	for n := s.roots[family(p)]; n != nil && common(n.at, p) == n.at.Bits(); n = n.kids[bit(p, n.at.Bits())] {
		if n.at == p {
			return n.here
		}
	}
	return false
}

// With is the set and the prefix.
func (s Set) With(p netip.Prefix) Set {
	if !p.IsValid() || s.Has(p) {
		return s
	}
	p = p.Masked()
	f := family(p)
	s.roots[f] = s.roots[f].with(p)
	return s
}

// with adds a prefix that is no member.
func (n *node) with(p netip.Prefix) *node {
	if n == nil {
		return leaf(p)
	}
	shared := common(n.at, p)
	switch {
	case n.at == p:
		out := *n
		out.here, out.n = true, n.n+1
		return &out
	case shared == n.at.Bits(): // p is below
		out := *n
		out.n++
		b := bit(p, shared)
		out.kids[b] = n.kids[b].with(p)
		return &out
	case shared == p.Bits(): // n is below p
		out := leaf(p)
		out.n += n.n
		out.kids[bit(n.at, shared)] = n
		return out
	}
	out := &node{at: netip.PrefixFrom(p.Addr(), shared).Masked(), n: n.n + 1}
	out.kids[bit(p, shared)], out.kids[bit(n.at, shared)] = leaf(p), n
	return out
}

// Without is the set less the prefix.
func (s Set) Without(p netip.Prefix) Set {
	if !s.Has(p) {
		return s
	}
	p = p.Masked()
	f := family(p)
	s.roots[f] = s.roots[f].without(p)
	return s
}

// without takes away a member; a node that stands for nothing any more goes.
func (n *node) without(p netip.Prefix) *node {
	out := *n
	out.n--
	if n.at == p {
		out.here = false
	} else {
		b := bit(p, n.at.Bits())
		out.kids[b] = n.kids[b].without(p)
	}
	switch {
	case out.here || out.kids[0] != nil && out.kids[1] != nil:
		return &out
	case out.kids[0] != nil:
		return out.kids[0]
	}
	return out.kids[1]
}

// All yields the members in the order of Compare.
func (s Set) All() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		_ = s.roots[0].all(yield) && s.roots[1].all(yield)
	}
}

func (n *node) all(yield func(netip.Prefix) bool) bool {
	return n == nil || (!n.here || yield(n.at)) && n.kids[0].all(yield) && n.kids[1].all(yield)
}

// Equal reports whether both have the same members. What they share is not looked at.
func (s Set) Equal(o Set) bool { return s.roots[0].equal(o.roots[0]) && s.roots[1].equal(o.roots[1]) }

func (n *node) equal(o *node) bool {
	if n == o {
		return true
	}
	return n != nil && o != nil && n.n == o.n && n.at == o.at && n.here == o.here && n.kids[0].equal(o.kids[0]) && n.kids[1].equal(o.kids[1])
}

// Diff is what makes b of a, each in the order of Compare. What they share is not looked at.
func Diff(a, b Set) (added, removed []netip.Prefix) {
	var d diff
	d.between(a.roots[0], b.roots[0])
	d.between(a.roots[1], b.roots[1])
	return d.added, d.removed
}

type diff struct{ added, removed []netip.Prefix }

func (d *diff) add(p netip.Prefix) bool    { d.added = append(d.added, p); return true }
func (d *diff) remove(p netip.Prefix) bool { d.removed = append(d.removed, p); return true }

func (d *diff) between(a, b *node) {
	switch {
	case a == b:
		return
	case a == nil:
		b.all(d.add)
		return
	case b == nil:
		a.all(d.remove)
		return
	}
	shared := common(a.at, b.at)
	switch {
	case a.at == b.at:
		if a.here && !b.here {
			d.remove(a.at)
		} else if b.here && !a.here {
			d.add(b.at)
		}
		d.between(a.kids[0], b.kids[0])
		d.between(a.kids[1], b.kids[1])
	case shared == a.at.Bits(): // b is below a
		if a.here {
			d.remove(a.at)
		}
		within := [2]*node{}
		within[bit(b.at, shared)] = b
		d.between(a.kids[0], within[0])
		d.between(a.kids[1], within[1])
	case shared == b.at.Bits(): // a is below b
		if b.here {
			d.add(b.at)
		}
		within := [2]*node{}
		within[bit(a.at, shared)] = a
		d.between(within[0], b.kids[0])
		d.between(within[1], b.kids[1])
	default:
		a.all(d.remove)
		b.all(d.add)
	}
}

// common is how many leading bits two prefixes of one family share.
func common(a, b netip.Prefix) int {
	most := min(a.Bits(), b.Bits())
	if a.Addr().Is4() {
		x, y := a.Addr().As4(), b.Addr().As4()
		return min(most, equalBits(x[:], y[:]))
	}
	x, y := a.Addr().As16(), b.Addr().As16()
	return min(most, equalBits(x[:], y[:]))
}

func equalBits(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return 8*i + bits.LeadingZeros8(a[i]^b[i])
		}
	}
	return 8 * len(a)
}

// bit is the address's bit at place i from the left; 0 past its end.
func bit(p netip.Prefix, i int) int {
	if i >= p.Addr().BitLen() {
		return 0
	}
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return int(a[i/8]>>(7-i%8)) & 1
	}
	a := p.Addr().As16()
	return int(a[i/8]>>(7-i%8)) & 1
}
