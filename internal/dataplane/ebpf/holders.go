package ebpf

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/prefix"
)

// holders know, of each prefix that some remote has, which remotes hold all of it, and keep that in class_addr and class_net. A prefix that
// comes or goes is looked at with those inside of it, and no other: of an address there are none.
type holders struct {
	t       *tables
	numbers numbering
	sources map[remote]prefix.Set
	// direct are the remotes that have the prefix itself, sorted; lengths count the prefixes by lengthKey.
	direct  map[netip.Prefix][]remote
	lengths map[int]int
	// of is the combination of each prefix, combos are all by their remotes' names.
	of     map[netip.Prefix]*combo
	combos map[string]*combo
	// dirty are the prefixes to be looked at. changed: combinations came or went since the rules were written.
	dirty   map[netip.Prefix]struct{}
	changed bool
}

// combo is a combination of remotes that some prefixes are held by: a class set.
type combo struct {
	name    string
	remotes []remote // sorted
	set     uint32
	// prefixes are how many there are.
	prefixes int
}

func newHolders(t *tables) *holders {
	return &holders{t: t, numbers: numbering{}, sources: map[remote]prefix.Set{}, direct: map[netip.Prefix][]remote{}, lengths: map[int]int{},
		of: map[netip.Prefix]*combo{}, combos: map[string]*combo{}, dirty: map[netip.Prefix]struct{}{}}
}

// hold says what a remote has now.
func (h *holders) hold(r remote, now prefix.Set) {
	added, removed := prefix.Diff(h.sources[r], now)
	for _, p := range removed {
		at, found := slices.BinarySearch(h.direct[p], r)
		if !found {
			continue
		}
		h.dirty[p] = struct{}{}
		if h.direct[p] = slices.Delete(h.direct[p], at, at+1); len(h.direct[p]) == 0 {
			delete(h.direct, p)
			if h.lengths[lengthKey(p)]--; h.lengths[lengthKey(p)] == 0 {
				delete(h.lengths, lengthKey(p))
			}
		}
	}
	for _, p := range added {
		if mapped(p) {
			continue
		}
		h.dirty[p] = struct{}{}
		if len(h.direct[p]) == 0 {
			h.lengths[lengthKey(p)]++
		}
		at, _ := slices.BinarySearch(h.direct[p], r)
		h.direct[p] = slices.Insert(h.direct[p], at, r)
	}
	if h.sources[r] = now; now.Len() == 0 {
		delete(h.sources, r)
	}
}

// mapped reports whether the prefix is in ::ffff:0:0/96. Packets with such addresses are malformed, so that it matches none; in the maps it
// would stand where an IPv4 prefix does.
func mapped(p netip.Prefix) bool { return p.Addr().Is4In6() && p.Bits() >= 96 }

// settle gives each prefix that was touched the combination that it has now.
func (h *holders) settle() {
	wide := map[int]bool{}
	for p := range h.dirty {
		if !p.IsSingleIP() {
			wide[lengthKey(p)] = true
		}
	}
	if len(wide) > 0 {
		for p := range h.direct {
			h.touch(p, wide)
		}
	}
	for p := range h.dirty {
		h.place(p, h.combination(p))
	}
	clear(h.dirty)
}

// touch marks a prefix that is inside of a touched one of the lengths.
func (h *holders) touch(p netip.Prefix, wide map[int]bool) {
	for l := range wide {
		if l/1000 != lengthKey(p)/1000 || l >= lengthKey(p) {
			continue
		}
		if _, ok := h.dirty[netip.PrefixFrom(p.Addr(), l%1000).Masked()]; ok {
			h.dirty[p] = struct{}{}
			return
		}
	}
}

// combination is which remotes hold a prefix that some remote has; nil: none has it.
func (h *holders) combination(p netip.Prefix) *combo {
	if len(h.direct[p]) == 0 {
		return nil
	}
	var held []remote
	for l := range h.lengths {
		if l/1000 == lengthKey(p)/1000 && l <= lengthKey(p) {
			held = append(held, h.direct[netip.PrefixFrom(p.Addr(), l%1000).Masked()]...)
		}
	}
	slices.Sort(held)
	held = slices.Compact(held)
	names := make([]string, len(held))
	for i, r := range held {
		names[i] = string(r)
	}
	name := strings.Join(names, "\n")
	c := h.combos[name]
	if c == nil {
		c = &combo{name: name, remotes: held, set: h.numbers.of("set\n" + name)}
		h.combos[name], h.changed = c, true
	}
	return c
}

// place writes a prefix's combination into its table; nil takes it out.
func (h *holders) place(p netip.Prefix, c *combo) {
	old := h.of[p]
	if c == old {
		return
	}
	if c != nil {
		c.prefixes++
	}
	if old != nil {
		if old.prefixes--; old.prefixes == 0 {
			delete(h.combos, old.name)
			delete(h.numbers, old.set)
			h.changed = true
		}
	}
	if c == nil {
		delete(h.of, p)
		if p.IsSingleIP() {
			h.t.classAddr.drop(weftAddrKey{Addr: ip16(p.Addr())})
		} else {
			h.t.classNet.drop(lpm(0, p))
		}
		return
	}
	h.of[p] = c
	switch {
	case p.IsSingleIP():
		h.t.classAddr.set(weftAddrKey{Addr: ip16(p.Addr())}, c.set)
	case p.Addr().Is4():
		h.t.classNet.set(lpm(0, p), c.set)
	default:
		h.t.classNet.set(lpm(0, p), c.set|classV6)
	}
}

func lengthKey(p netip.Prefix) int {
	if p.Addr().Is4() {
		return p.Bits()
	}
	return 1000 + p.Bits()
}
