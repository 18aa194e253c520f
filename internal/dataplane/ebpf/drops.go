package ebpf

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// DropCount is what was dropped at one endpoint for one reason since the host's state was made.
type DropCount struct {
	// Port is zero for packets of no endpoint: from unknown devices and from the overlay.
	Port           model.PortID
	Reason         reason.Reason
	Packets, Bytes uint64
}

// Drops reads the counters, by port and reason.
func (p *Plane) Drops() ([]DropCount, error) {
	var out []DropCount
	var k weftDropKey
	var v []weftCounter
	it := p.coll.Maps["drops"].Iterate()
	for it.Next(&k, &v) {
		d := DropCount{Port: model.PortID{UUID: p.t.endpoints.have[k.Ep].Uuid}, Reason: reason.Reason(k.Reason)} //nolint:gosec // a small enumeration
		for _, c := range v {
			d.Packets += c.Packets
			d.Bytes += c.Bytes
		}
		out = append(out, d)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map drops: %w", err)
	}
	slices.SortFunc(out, func(a, b DropCount) int {
		return cmp.Or(a.Port.Compare(b.Port.UUID), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}
