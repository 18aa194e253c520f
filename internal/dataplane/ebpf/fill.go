package ebpf

import (
	"cmp"
	"slices"

	"github.com/weft-cloud/weft/internal/dataplane"
)

// Fill implements dataplane.Filler. It waits for an Apply that is going on.
func (p *Plane) Fill() []dataplane.TableFill {
	p.applying.Lock()
	out := p.t.fill()
	p.applying.Unlock()
	if n := p.connections.Load(); n >= 0 {
		out = append(out, dataplane.TableFill{Table: "conn", Entries: int(n), Room: int(p.coll.Maps["conn"].MaxEntries())})
	}
	slices.SortFunc(out, func(a, b dataplane.TableFill) int { return cmp.Compare(a.Table, b.Table) })
	return out
}

// fill is how full the maps are that the agent writes.
func (t *tables) fill() []dataplane.TableFill {
	var out []dataplane.TableFill
	for _, p := range slices.Concat(t.policy, t.parts) {
		out = append(out, p.fill())
	}
	return append(out, t.endpoints.fill("endpoints"), t.networks.fill("networks"), t.peers.fill("peers"), t.neighbors.fill("neighbors"), t.routers.fill("routers"))
}

func (t *table[K, V]) fill() dataplane.TableFill {
	return dataplane.TableFill{Table: t.name, Entries: len(t.have), Room: int(t.m.MaxEntries())}
}

func (t *rootTable[V]) fill(name string) dataplane.TableFill {
	return dataplane.TableFill{Table: name, Entries: len(t.have), Room: int(t.m.MaxEntries())}
}
