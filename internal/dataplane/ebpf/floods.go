package ebpf

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
)

// floodList is where broadcast of one network goes: endpoints first.
type floodList struct {
	version   uint32
	endpoints []uint32
	peers     []uint32
	// others are peers that announcements alone go to.
	others []uint32
}

func (l floodList) same(o floodList) bool {
	return slices.Equal(l.endpoints, o.endpoints) && slices.Equal(l.peers, o.peers) && slices.Equal(l.others, o.others)
}

func (l floodList) len() int { return len(l.endpoints) + len(l.peers) + len(l.others) }

func (l floodList) at(i int) weftFloodVal {
	if i < len(l.endpoints) {
		return weftFloodVal{Ep: l.endpoints[i]}
	}
	if i -= len(l.endpoints); i < len(l.peers) {
		return weftFloodVal{Peer: l.peers[i]}
	}
	return weftFloodVal{Peer: l.others[i-len(l.peers)]}
}

// floodTable is the map floods: whole lists under a version that the network's entry names, so that a packet sees either the
// old list or the new one.
type floodTable struct {
	m     *ebpf.Map
	have  map[uint32]floodList
	want  map[uint32]floodList
	stale []weftFloodKey
}

func (t *floodTable) load(networks map[uint32]weftNetwork) error {
	var k weftFloodKey
	var v weftFloodVal
	for slot, n := range networks {
		l := floodList{version: n.FloodVersion}
		for i := range n.AnnounceTotal {
			if err := t.m.Lookup(weftFloodKey{Net: slot, Version: n.FloodVersion, Index: i}, &v); err != nil {
				continue // a hole is only a target less; the next change writes the whole list
			}
			switch {
			case i < n.FloodEndpoints:
				l.endpoints = append(l.endpoints, v.Ep)
			case i < n.FloodTotal:
				l.peers = append(l.peers, v.Peer)
			default:
				l.others = append(l.others, v.Peer)
			}
		}
		t.have[slot] = l
	}
	it := t.m.Iterate()
	for it.Next(&k, &v) {
		if n, ok := networks[k.Net]; !ok || n.FloodVersion != k.Version || k.Index >= n.AnnounceTotal {
			t.stale = append(t.stale, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map floods: %w", err)
	}
	return nil
}

// write stores lists that changed under their next version and puts it into what is wanted of the network. Without deletes
// a list only grows.
func (t *floodTable) write(nets *rootTable[weftNetwork], deletes bool, failed map[root]error) {
	for slot, n := range nets.want {
		old, l := t.have[slot], t.want[slot]
		if !deletes {
			l.endpoints = union(l.endpoints, old.endpoints)
			l.peers = union(l.peers, old.peers)
			l.others = union(l.others, old.others)
		}
		l.version = old.version
		if !l.same(old) {
			l.version++
			if err := t.store(slot, l); err != nil {
				failed[root{rootNetwork, slot}] = err
				l = old
			} else {
				t.retire(slot, old)
				t.have[slot] = l
			}
		}
		n.FloodVersion, n.FloodEndpoints = l.version, uint32(len(l.endpoints))                 //nolint:gosec // short lists
		n.FloodTotal, n.AnnounceTotal = uint32(len(l.endpoints)+len(l.peers)), uint32(l.len()) //nolint:gosec // short lists
		nets.want[slot] = n
	}
}

func union(want, have []uint32) []uint32 {
	for _, v := range have {
		if !slices.Contains(want, v) {
			want = append(want, v)
		}
	}
	return want
}

func (t *floodTable) store(slot uint32, l floodList) error {
	for i := range l.len() {
		k, v := weftFloodKey{Net: slot, Version: l.version, Index: uint32(i)}, l.at(i) //nolint:gosec // short lists
		if err := t.m.Put(&k, &v); err != nil {
			return fmt.Errorf("write map floods: %w", explain(err))
		}
	}
	return nil
}

func (t *floodTable) retire(slot uint32, l floodList) {
	for i := range l.len() {
		t.stale = append(t.stale, weftFloodKey{Net: slot, Version: l.version, Index: uint32(i)}) //nolint:gosec // short lists
	}
}

// prune deletes lists that no network names any more.
func (t *floodTable) prune(nets map[uint32]weftNetwork) {
	for slot, l := range t.have {
		if _, ok := nets[slot]; !ok {
			t.retire(slot, l)
			delete(t.have, slot)
		}
	}
	for _, k := range t.stale {
		_ = t.m.Delete(&k) // gone already is as good; left over it costs one entry
	}
	t.stale = nil
}
