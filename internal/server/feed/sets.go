package feed

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// memberSet is an address set: a remote group's, of its ports' fixed IPs and address pairs, or an address group's. The hub keeps those that
// somebody follows in step with its world, so that a member that comes or goes is looked at, and the others are not.
type memberSet struct {
	id model.UUID
	// listed: it is an address group.
	listed bool
	// counts are how often each prefix is there: two ports may have one address.
	counts  map[netip.Prefix]int
	version uint64
}

// newMemberSet reads the set from a world; nil: there is no such set.
func newMemberSet(w *world.World, id model.UUID) *memberSet {
	m := &memberSet{id: id, counts: map[netip.Prefix]int{}, version: wire.SetVersion(&wire.AddressSet{Id: wire.ID(id)})}
	if g := w.AddressGroups.Get(model.AddressGroupID{UUID: id}); g != nil {
		m.listed = true
		m.change(delta(g, 1))
		return m
	}
	group := model.SecurityGroupID{UUID: id}
	if w.SecurityGroups.Get(group) == nil {
		return nil
	}
	for p := range w.Ports.BySecurityGroup(group) {
		m.change(delta(p, 1))
	}
	return m
}

// delta is what a port or an address group is to a set, by so many times: 1 if it comes, -1 if it goes.
func delta(v any, by int) map[netip.Prefix]int {
	out := map[netip.Prefix]int{}
	add := func(p netip.Prefix) {
		if p.IsValid() {
			out[p.Masked()] += by
		}
	}
	switch v := v.(type) {
	case *model.Port:
		for _, f := range v.FixedIPs {
			add(netip.PrefixFrom(f.Address, f.Address.BitLen()))
		}
		for _, a := range v.AddressPairs {
			add(a.Prefix)
		}
	case *model.AddressGroup:
		for _, p := range v.Addresses {
			add(p)
		}
	}
	return out
}

// change takes in who came and went, and tells the prefixes that are in the set now and were not, and those that are no more.
func (m *memberSet) change(by map[netip.Prefix]int) (added, removed []netip.Prefix) {
	for p, n := range by {
		was := m.counts[p]
		is := was + n
		if is == 0 {
			delete(m.counts, p)
		} else {
			m.counts[p] = is
		}
		switch {
		case was == 0 && is != 0:
			m.version += wire.PrefixSum(wire.FromPrefix(p))
			added = append(added, p)
		case was != 0 && is == 0:
			m.version -= wire.PrefixSum(wire.FromPrefix(p))
			removed = append(removed, p)
		}
	}
	return added, removed
}

// body is the set as it is sent whole.
func (m *memberSet) body() body {
	out := &wire.AddressSet{Id: wire.ID(m.id), Prefixes: toWire(slices.Collect(maps.Keys(m.counts)))}
	return body{wire.Encode(out), m.version}
}

func toWire(list []netip.Prefix) []*wire.Prefix {
	slices.SortFunc(list, prefix.Compare)
	var out []*wire.Prefix
	for _, p := range list {
		out = append(out, wire.FromPrefix(p))
	}
	return out
}

// setChange is what a commit did to an address set.
type setChange struct {
	set            *memberSet
	from           uint64
	added, removed []netip.Prefix
}

func (c *setChange) wire() *wire.SetChange {
	return &wire.SetChange{Id: wire.ID(c.set.id), From: c.from, Version: c.set.version, Added: toWire(c.added), Removed: toWire(c.removed)}
}

// follow takes a commit into the sets that are kept, and tells what it did to them. Sets that came into being or ceased to be are kept no more:
// they are read from the world when somebody asks.
func (h *hub) follow(c *world.Commit) map[model.UUID]*setChange {
	by := map[model.UUID]map[netip.Prefix]int{}
	note := func(id model.UUID, listed bool, d map[netip.Prefix]int) {
		if m := h.sets[id]; m == nil || m.listed != listed {
			return
		}
		if by[id] == nil {
			by[id] = map[netip.Prefix]int{}
		}
		for p, n := range d {
			by[id][p] += n
		}
	}
	for _, b := range c.Batches {
		for _, change := range b.Changes {
			h.noteChange(change, note)
		}
	}
	out := map[model.UUID]*setChange{}
	for id, d := range by {
		m := h.sets[id]
		if m == nil {
			continue
		}
		x := &setChange{set: m, from: m.version}
		x.added, x.removed = m.change(d)
		out[id] = x
	}
	return out
}

// noteChange says what one change is to the sets.
func (h *hub) noteChange(c world.Change, note func(id model.UUID, listed bool, d map[netip.Prefix]int)) {
	each := func(v any, by int) {
		switch v := v.(type) {
		case *model.Port:
			for i, g := range v.SecurityGroups {
				if h.sets[g.UUID] != nil && !slices.Contains(v.SecurityGroups[:i], g) {
					note(g.UUID, false, delta(v, by))
				}
			}
		case *model.AddressGroup:
			if c.Old == nil || c.New == nil {
				delete(h.sets, v.ID.UUID)
				return
			}
			note(v.ID.UUID, true, delta(v, by))
		case *model.SecurityGroup:
			if c.Old == nil || c.New == nil {
				delete(h.sets, v.ID.UUID)
			}
		}
	}
	each(c.Old, -1)
	each(c.New, 1)
}

// news is what a commit means to those who follow an object.
type news struct {
	gone bool
	// whole is the object as it is now; change, if not nil, says the same to those who take changes.
	whole  func() body
	change *wire.SetChange
}

// setNews is what a commit means to those who follow an address set; nil: nothing.
func (h *hub) setNews(before *world.World, id model.UUID, changes map[model.UUID]*setChange) *news {
	x := changes[id]
	if x == nil {
		old, now := newMemberSet(before, id), newMemberSet(h.world, id)
		switch {
		case now == nil && old == nil:
			return nil
		case now == nil:
			return &news{gone: true}
		}
		h.sets[id] = now
		if old == nil {
			return &news{whole: now.body}
		}
		x = &setChange{set: now, from: old.version}
		for p := range now.counts {
			if old.counts[p] == 0 {
				x.added = append(x.added, p)
			}
		}
		for p := range old.counts {
			if now.counts[p] == 0 {
				x.removed = append(x.removed, p)
			}
		}
	}
	if len(x.added)+len(x.removed) == 0 {
		return nil
	}
	n := &news{whole: x.set.body}
	if len(x.added)+len(x.removed) <= len(x.set.counts) {
		n.change = x.wire()
	}
	return n
}
