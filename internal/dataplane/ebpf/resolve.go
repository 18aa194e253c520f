package ebpf

import (
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
)

var _ dataplane.Resolver = (*Plane)(nil)

// Resolves implements dataplane.Resolver: it looks where the programs look (docs/pipeline.md, sections 4 and 5). What was only heard is left
// out: who is heard of is asked by flooding.
func (p *Plane) Resolves(id model.PortID, target netip.Addr) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	index, err := p.deviceOf(id)
	if err != nil {
		return false
	}
	var slot uint32
	var e weftEndpoint
	maps := p.coll.Maps
	if maps["devices"].Lookup(uint32(index), &slot) != nil || maps["endpoints"].Lookup(slot, &e) != nil { //nolint:gosec // an interface index is positive
		return false
	}
	var v weftAddrVal
	if maps["addrs"].Lookup(weftAddrKey{Net: e.Net, Addr: ip16(target)}, &v) == nil {
		return v.Kind != kindNeighbor || bound(maps["neighbors"], v.Slot)
	}
	mac, ok := macOfEUI64(target)
	if !ok {
		return false
	}
	var m weftMacVal
	if maps["macs"].Lookup(weftMacKey{Net: e.Net, Mac: mac}, &m) != nil {
		return false
	}
	return m.Kind == kindRif || m.Kind == kindNeighbor && bound(maps["neighbors"], m.Slot)
}

// bound reports whether the neighbour is on some host.
func bound(neighbors *ebpf.Map, slot uint32) bool {
	var n weftNeighbor
	return neighbors.Lookup(slot, &n) == nil && (n.Ep != 0 || n.Peer != 0)
}
