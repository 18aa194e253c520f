package ebpf

import (
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What the kernel says of a full map: of hashes, and of tries and others.
const errTooBig, errNoRoom = unix.E2BIG, unix.ENOSPC

// slots hands out small numbers for identities, and with each a place in the map of generations. Numbers begin at 1: 0
// means "none" in every map.
type slots struct {
	max  uint32
	byID map[[16]byte]uint32
	used map[uint32]bool
	// touched are the slots asked for since the last compilation began.
	touched map[uint32]bool
	next    uint32
	gs      map[uint32]uint32
	gens    *generations
}

func newSlots(limit uint32, g *generations) *slots {
	return &slots{max: limit, byID: map[[16]byte]uint32{}, used: map[uint32]bool{}, touched: map[uint32]bool{},
		next: 1, gs: map[uint32]uint32{}, gens: g}
}

// of is the slot of an identity, allotted if it has none.
func (s *slots) of(id [16]byte) (uint32, error) {
	if slot, ok := s.byID[id]; ok {
		s.touched[slot] = true
		return slot, nil
	}
	for range s.max {
		slot := s.next
		s.next++
		if s.next >= s.max {
			s.next = 1
		}
		if s.used[slot] {
			continue
		}
		s.byID[id], s.used[slot], s.touched[slot] = slot, true, true
		if s.gens != nil {
			gs, err := s.gens.alloc()
			if err != nil {
				return 0, err
			}
			s.gs[slot] = gs
		}
		return slot, nil
	}
	return 0, fmt.Errorf("more than %d objects of one kind on this host", s.max-1)
}

// find is the slot of an identity, 0 if it has none.
func (s *slots) find(id [16]byte) uint32 { return s.byID[id] }

func (s *slots) restore(id [16]byte, slot, gs uint32) {
	s.byID[id], s.used[slot] = slot, true
	if s.gens != nil {
		s.gs[slot] = gs
		s.gens.take(gs)
	}
}

func (s *slots) release(id [16]byte, slot uint32) {
	if s.byID[id] == slot {
		delete(s.byID, id)
	}
	delete(s.used, slot)
	if s.gens != nil {
		s.gens.free(s.gs[slot])
		delete(s.gs, slot)
	}
}

// generations is the map gens: counters that only grow, also when their place is used anew. Place 0 is the host's epoch: it
// grows after any other has, and tells flows to compare theirs. The epoch and the counters of what is learned are raised by
// programs, too, so they are never written from here.
type generations struct {
	m     *ebpf.Map
	cur   map[uint32]uint32
	used  map[uint32]bool
	next  uint32
	limit uint32
	// unpublished counts what was set since the epoch last grew.
	unpublished int
	raiser      raiser
}

// publishEvery is how many generations may be set before the epoch grows.
const publishEvery = 64

func newGenerations(m *ebpf.Map, r raiser) *generations {
	return &generations{m: m, raiser: r, cur: map[uint32]uint32{}, used: map[uint32]bool{0: true}, next: 1, limit: m.MaxEntries()}
}

func (g *generations) alloc() (uint32, error) {
	for range g.limit {
		gs := g.next
		g.next++
		if g.next >= g.limit {
			g.next = 1
		}
		if !g.used[gs] {
			g.used[gs] = true
			return gs, nil
		}
	}
	return 0, fmt.Errorf("all %d generation counters are in use", g.limit)
}

func (g *generations) take(gs uint32) { g.used[gs] = true }
func (g *generations) free(gs uint32) { delete(g.used, gs) }

// at is the counter's value.
func (g *generations) at(gs uint32) (uint32, error) {
	if v, ok := g.cur[gs]; ok {
		return v, nil
	}
	var v uint32
	if err := g.m.Lookup(gs, &v); err != nil {
		return 0, fmt.Errorf("read generation %d: %w", gs, err)
	}
	g.cur[gs] = v
	return v, nil
}

func (g *generations) set(gs, v uint32) error {
	if g.cur[gs] == v {
		return nil
	}
	if err := g.m.Put(gs, v); err != nil {
		return fmt.Errorf("write generation %d: %w", gs, err)
	}
	g.cur[gs] = v
	if g.unpublished++; g.unpublished >= publishEvery {
		return g.publish()
	}
	return nil
}

// publish makes what was set count: until then, flows may go by what they compared before.
func (g *generations) publish() error {
	if g.unpublished == 0 {
		return nil
	}
	if err := g.raiser.raise(0); err != nil {
		return fmt.Errorf("raise the epoch: %w", err)
	}
	g.unpublished = 0
	return nil
}
