package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// What the programs learn (docs/pipeline.md, section 12) is theirs; the agent takes out what is not allowed any more, ages what
// no pair lists, and puts in what the feed says where nothing was heard.

const (
	learnAddr, learnMAC = 1, 2

	// claimPeer marks the place of a claim as a peer's slot.
	claimPeer = 1 << 31

	// claimBits are those of a claim's key before the address.
	claimBits = 160

	addrFixed = 1

	// heardFor is how long an address that no pair lists is believed after it was last heard.
	heardFor = 5 * time.Minute
	// freshFor is how long what was heard here counts more than a word of the feed that differs: that may be on its way since
	// before. What is newer is reported by the host that heard it, well within this time.
	freshFor = 5 * time.Second
	// learnedEvery is how often it is looked whether something was learned; the look is one lookup.
	learnedEvery = 200 * time.Millisecond
)

// learnMaps are the two maps of what was heard: of what some pair lists, and of what none does.
var learnMaps = [...]string{"learned", "heard"}

// raiser adds to counters that programs raise, too.
type raiser struct{ prog *ebpf.Program }

func (r raiser) raise(gs uint32) error {
	frame := make([]byte, 20)
	binary.NativeEndian.PutUint32(frame[16:], gs)
	if _, err := r.prog.Run(&ebpf.RunOptions{Data: frame}); err != nil {
		return fmt.Errorf("raise counter %d: %w", gs, err)
	}
	return nil
}

// learnFacts are all entries of one map.
func learnFacts(m *ebpf.Map) (map[weftFactKey]weftFact, error) {
	out := map[weftFactKey]weftFact{}
	keys, vals := make([]weftFactKey, 4096), make([]weftFact, 4096)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		for i := range n {
			out[keys[i]] = vals[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what was learned: %w", err)
		}
	}
}

// claim says that a neighbour may be heard; of two that may have the same, the one of lower id.
func (c *compiler) claim(n *hostplan.Neighbor, slot uint32, at uint32, p hostplan.AddressPair, families uint32) {
	k := weftClaimKey{Plen: claimBits + bits(p.Prefix), Net: c.t.ids[rootNetwork].find(n.Network.UUID), At: at, Mac: p.MAC, Addr: ip16(p.Prefix.Masked().Addr())}
	if by, taken := c.claimBy[k]; taken && by.Compare(n.Port.UUID) <= 0 {
		return
	}
	c.claimBy[k] = n.Port
	c.t.claims.want[k] = weftClaim{Neighbor: slot, Families: families}
}

// mayBeHeard wants what says where a neighbour may be heard, and under what.
func (c *compiler) mayBeHeard(n *hostplan.Neighbor, slot uint32, v weftNeighbor) {
	at := v.Ep
	if v.Peer != 0 {
		at = claimPeer | v.Peer
	}
	if n.Open {
		c.claim(n, slot, at, hostplan.AddressPair{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}, spoofV4|spoofV6)
		return
	}
	for _, p := range n.Pairs {
		family := uint32(spoofV6)
		if p.Prefix.Addr().Is4() {
			family = spoofV4
		}
		c.claim(n, slot, at, p, family)
	}
}

// learnCounter is the counter of what is heard on a network and, on a flat or vlan one, of who is here: one for as long as the
// network's slot is used.
func (t *tables) learnCounter(slot uint32) (uint32, error) {
	if gs := t.learnGs[slot]; gs != 0 {
		return gs, nil
	}
	gs, err := t.gens.alloc()
	if err == nil {
		t.learnGs[slot] = gs
	}
	return gs, err
}

// learnedIn are networks whose decisions about what is learned are void; raise lets that count.
func (t *tables) voidLearned(nets map[uint32]bool) error {
	var err error
	for slot := range nets {
		if gs := t.learnGs[slot]; gs != 0 {
			err = errors.Join(err, t.gens.raiser.raise(gs))
		}
	}
	if len(nets) > 0 {
		err = errors.Join(err, t.gens.raiser.raise(0))
	}
	return err
}

// syncLearned takes out what the State does not allow (unless it is not whole), and puts in what the feed says of who was heard
// last: where nothing was heard here, and where the feed's word has changed since what was heard. unsettled: what was heard is too
// fresh to tell which of both is the newer.
func (c *compiler) syncLearned(d dataplane.Desired) (unsettled bool, err error) {
	changed := map[uint32]bool{}
	facts, err := c.forgetFacts(d.InSync, changed)
	if err != nil {
		return false, err
	}
	now := monotonic()
	hints := map[weftFactKey]model.PortID{}
	for id, n := range c.s.Neighbors {
		slot := c.t.ids[rootNeighbor].find(id.UUID)
		if _, ok := c.t.neighbors.want[slot]; !ok {
			continue
		}
		for _, l := range n.Learned {
			k := weftFactKey{Net: c.t.ids[rootNetwork].find(n.Network.UUID), Kind: learnAddr, Addr: ip16(l.Prefix.Addr())}
			v := weftFact{Neighbor: slot, Mac: l.MAC, Seen: now - min(now, uint64(freshFor))} // any other word of the feed may replace it
			for _, k := range []weftFactKey{k, macFact(k.Net, l.MAC)} {
				i := c.learnMap(k)
				old, known := facts[i][k]
				follow := c.allowed(k, v)
				if follow && known {
					age := time.Duration(now - min(now, old.Seen)) //nolint:gosec // not negative
					follow = old.Neighbor != slot && c.t.hints != nil && c.t.hints[k] != id
					if follow && age < freshFor+d.Away {
						follow = false
						if d.Away == 0 {
							unsettled = true
							hints[k] = c.t.hints[k] // looked at again
							continue
						}
					}
				}
				hints[k] = id
				if !follow {
					continue
				}
				if err := c.t.learn[i].Put(&k, &v); err != nil {
					return false, fmt.Errorf("note what the server says was learned: %w", explain(err))
				}
				changed[k.Net] = true
			}
		}
	}
	c.t.hints = hints
	return unsettled, c.t.voidLearned(changed)
}

// forgetFacts takes out of the maps what the State does not allow, if deletes, and returns what is left. What is in the other map
// than it belongs in, since an address pair came or went, moves there.
func (c *compiler) forgetFacts(deletes bool, changed map[uint32]bool) (facts [2]map[weftFactKey]weftFact, err error) {
	for i, m := range c.t.learn {
		if facts[i], err = learnFacts(m); err != nil {
			return facts, err
		}
	}
	if !deletes {
		return facts, nil
	}
	for i, m := range c.t.learn {
		for k, v := range facts[i] {
			to := c.learnMap(k)
			allowed := c.allowed(k, v)
			if allowed && to == i {
				continue
			}
			if other, there := facts[to][k]; allowed && (!there || other.Seen < v.Seen) {
				if err := c.t.learn[to].Put(&k, &v); err != nil {
					return facts, fmt.Errorf("note what was learned: %w", explain(err))
				}
				facts[to][k] = v
			}
			if err := m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return facts, fmt.Errorf("forget what was learned: %w", err)
			}
			delete(facts[i], k)
			changed[k.Net] = true
		}
	}
	return facts, nil
}

// learnMap is which of learnMaps a fact belongs in.
func (c *compiler) learnMap(k weftFactKey) int {
	if c.listed(k) {
		return 0
	}
	return 1
}

func macFact(net uint32, m model.MAC) weftFactKey {
	var b [16]byte
	copy(b[:], m[:])
	return weftFactKey{Net: net, Kind: learnMAC, Addr: weftIp{D: [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}}}
}

func factMAC(k weftFactKey) (m model.MAC) {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], k.Addr.D[0])
	copy(m[:], b[:])
	return m
}

// listed reports whether some neighbour's pair or MAC names what the fact is about.
func (c *compiler) listed(k weftFactKey) bool {
	if k.Kind == learnMAC {
		_, ok := c.t.macs.want[weftMacKey{Net: k.Net, Mac: factMAC(k)}]
		return ok
	}
	_, ok := c.t.addrs.want[weftAddrKey{Net: k.Net, Addr: k.Addr}]
	return ok
}

// allowed reports whether the State lets the neighbour have what it was heard to have.
func (c *compiler) allowed(k weftFactKey, v weftFact) bool {
	w, ok := c.t.neighbors.want[v.Neighbor]
	if !ok || w.Net != k.Net {
		return false
	}
	n := c.s.Neighbors[model.PortID{UUID: w.Uuid}]
	if n == nil {
		return false
	}
	if k.Kind == learnMAC {
		m := factMAC(k)
		if s, ok := c.t.macs.want[weftMacKey{Net: k.Net, Mac: m}]; ok && (s.Kind != kindNeighbor || c.t.neighbors.want[s.Slot].Mac == m) {
			return false
		}
		return n.Open || slices.ContainsFunc(n.Pairs, func(p hostplan.AddressPair) bool { return p.MAC == m })
	}
	addr := addrOf(k.Addr)
	if s, ok := c.t.addrs.want[weftAddrKey{Net: k.Net, Addr: k.Addr}]; ok && (s.Kind != kindNeighbor || s.Flags&addrFixed != 0) {
		return false
	}
	if m, ok := macOfEUI64(addr); ok {
		if s, ok := c.t.macs.want[weftMacKey{Net: k.Net, Mac: m}]; ok && (s.Kind != kindNeighbor || c.t.neighbors.want[s.Slot].Mac == m) {
			return false
		}
	}
	return n.Open || slices.ContainsFunc(n.Pairs, func(p hostplan.AddressPair) bool { return p.MAC == v.Mac && p.Prefix.Contains(addr) })
}

// macOfEUI64 is the MAC that a link-local address was made of.
func macOfEUI64(a netip.Addr) (model.MAC, bool) {
	b := a.As16()
	m := model.MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	return m, a.Is6() && eui64(m) == a
}

// monotonic is the time that programs note.
func monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0 // it cannot fail for a clock that there is
	}
	return uint64(ts.Nano()) //nolint:gosec // since boot
}

// age forgets what no pair lists and was not heard for a while.
func age(m *ebpf.Map, r raiser, networks *ebpf.Map, now uint64) error {
	facts, err := learnFacts(m)
	if err != nil {
		return err
	}
	changed := map[uint32]bool{}
	for k, v := range facts {
		if v.Seen+uint64(heardFor) >= now {
			continue
		}
		if err := m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget what was heard long ago: %w", err)
		}
		changed[k.Net] = true
	}
	for slot := range changed {
		var n weftNetwork
		if err := networks.Lookup(slot, &n); err == nil && n.LearnGs != 0 {
			err = r.raise(n.LearnGs)
			if err != nil {
				return err
			}
		}
	}
	if len(changed) > 0 {
		return r.raise(0)
	}
	return nil
}

var _ dataplane.Learner = (*Plane)(nil)

// LearnedChanged implements dataplane.Learner.
func (p *Plane) LearnedChanged() <-chan struct{} { return p.heardNew }

// follow tells when the programs have learned something, and ages what they have.
func (p *Plane) follow(stop <-chan struct{}) {
	tick, aging := time.NewTicker(learnedEvery), time.NewTicker(heardFor/10)
	defer tick.Stop()
	defer aging.Stop()
	var last uint32
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			var epoch uint32
			if err := p.coll.Maps["gens"].Lookup(uint32(0), &epoch); err != nil || epoch == last {
				continue
			}
			last = epoch
			select {
			case p.heardNew <- struct{}{}:
			default:
			}
		case <-aging.C:
			if err := age(p.coll.Maps["heard"], raiser{p.coll.Programs["raise"]}, p.coll.Maps["networks"], monotonic()); err != nil {
				p.cfg.Logger.Warn("age what was heard", "error", err)
			}
		}
	}
}

// Learned implements dataplane.Learner.
func (p *Plane) Learned() ([]dataplane.Learned, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, errors.New("the plane is closed")
	}
	now := monotonic()
	var out []dataplane.Learned
	for i, name := range learnMaps {
		facts, err := learnFacts(p.coll.Maps[name])
		if err != nil {
			return nil, err
		}
		for k, v := range facts {
			var n weftNeighbor
			if err := p.coll.Maps["neighbors"].Lookup(v.Neighbor, &n); err != nil || n.Ep == 0 || k.Kind != learnAddr {
				continue // it went meanwhile, or is elsewhere
			}
			out = append(out, dataplane.Learned{Port: model.PortID{UUID: n.Uuid}, Address: addrOf(k.Addr), MAC: v.Mac, Listed: i == 0,
				Age: time.Duration(now - min(now, v.Seen))}) //nolint:gosec // not negative
		}
	}
	slices.SortFunc(out, func(a, b dataplane.Learned) int {
		if c := a.Port.Compare(b.Port.UUID); c != 0 {
			return c
		}
		return a.Address.Compare(b.Address)
	})
	return out, nil
}
