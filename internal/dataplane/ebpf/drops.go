package ebpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Drops implements dataplane.Teller.
func (p *Plane) Drops() ([]dataplane.DropCount, error) {
	var out []dataplane.DropCount
	var k weftDropKey
	var v []weftCounter
	it := p.coll.Maps["drops"].Iterate()
	for it.Next(&k, &v) {
		d := dataplane.DropCount{Reason: reason.Reason(k.Reason)} //nolint:gosec // a small enumeration
		var e weftEndpoint
		if k.Ep != 0 && p.coll.Maps["endpoints"].Lookup(k.Ep, &e) == nil {
			d.Port = model.PortID{UUID: e.Uuid}
		}
		for _, c := range v {
			d.Packets += c.Packets
			d.Bytes += c.Bytes
		}
		out = append(out, d)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map drops: %w", err)
	}
	slices.SortFunc(out, func(a, b dataplane.DropCount) int {
		return cmp.Or(a.Port.Compare(b.Port.UUID), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// Rules implements dataplane.Teller.
func (p *Plane) Rules() ([]dataplane.RuleCount, error) {
	var out []dataplane.RuleCount
	var slot uint32
	var id weftRuleId
	it := p.coll.Maps["rule_ids"].Iterate()
	for it.Next(&slot, &id) {
		var hits []weftRuleHits
		if err := p.coll.Maps["rules"].Lookup(slot, &hits); err != nil {
			return nil, fmt.Errorf("read map rules: %w", err)
		}
		r := dataplane.RuleCount{Rule: id.Uuid}
		for _, h := range hits {
			r.Connections += h.Conns
			r.Drops += h.Drops
			r.DropBytes += h.DropBytes
		}
		out = append(out, r)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map rule_ids: %w", err)
	}
	slices.SortFunc(out, func(a, b dataplane.RuleCount) int { return a.Rule.Compare(b.Rule) })
	return out, nil
}

// Events implements dataplane.Teller.
func (p *Plane) Events() <-chan dataplane.DropEvent { return p.events }

func (p *Plane) watch() {
	defer p.running.Done()
	boot := bootTime()
	for {
		rec, err := p.ev.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		} else if err != nil {
			p.cfg.Logger.Warn("read drop events", "error", err)
			return
		}
		select {
		case p.events <- dropEvent(rec.RawSample, boot):
		default:
		}
	}
}

// dropEvent decodes struct event of bpf/lib/maps.h.
func dropEvent(b []byte, boot time.Time) dataplane.DropEvent {
	const head = 48
	if len(b) < head {
		return dataplane.DropEvent{}
	}
	u16, u32 := binary.NativeEndian.Uint16, binary.NativeEndian.Uint32
	n := min(int(u16(b[42:])), len(b)-head)
	return dataplane.DropEvent{Time: boot.Add(time.Duration(binary.NativeEndian.Uint64(b))), //nolint:gosec // since boot
		Port: model.PortID{UUID: model.UUID(b[8:24])}, Rule: model.UUID(b[24:40]), Reason: reason.Reason(u16(b[40:])),
		Len: int(u32(b[44:])), Data: slices.Clone(b[head : head+n])}
}

// bootTime is when the clock of the events was 0.
func bootTime() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}
