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

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// DropCount is what was dropped at one endpoint for one reason since the host's maps were made.
type DropCount struct {
	// Port is zero for packets of no endpoint: from unknown devices and from the overlay.
	Port           model.PortID
	Reason         reason.Reason
	Packets, Bytes uint64
}

// Drops reads the counters, by port and reason. It may be called beside Apply.
func (p *Plane) Drops() ([]DropCount, error) {
	var out []DropCount
	var k weftDropKey
	var v []weftCounter
	it := p.coll.Maps["drops"].Iterate()
	for it.Next(&k, &v) {
		d := DropCount{Reason: reason.Reason(k.Reason)} //nolint:gosec // a small enumeration
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
	slices.SortFunc(out, func(a, b DropCount) int {
		return cmp.Or(a.Port.Compare(b.Port.UUID), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// RuleHits reads how many connections each security group rule has opened on this host.
func (p *Plane) RuleHits() (map[model.UUID]uint64, error) {
	out := map[model.UUID]uint64{}
	var slot uint32
	var id weftRuleId
	it := p.coll.Maps["rule_ids"].Iterate()
	for it.Next(&slot, &id) {
		var hits []weftRuleHits
		if err := p.coll.Maps["rules"].Lookup(slot, &hits); err != nil {
			return nil, fmt.Errorf("read map rules: %w", err)
		}
		for _, h := range hits {
			out[id.Uuid] += h.Conns
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map rule_ids: %w", err)
	}
	return out, nil
}

// DropEvent is one dropped packet. The programs tell a few a second for each port; the counters have all.
type DropEvent struct {
	Time   time.Time
	Port   model.PortID // zero: of no endpoint
	Reason reason.Reason
	Rule   model.UUID // the rule that had allowed it before, if any
	// Len is the frame's length, Data its first bytes.
	Len  int
	Data []byte
}

// Events delivers drops until Close. What nobody takes is lost.
func (p *Plane) Events() <-chan DropEvent { return p.events }

func (p *Plane) watch() {
	defer p.running.Done()
	defer close(p.events)
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
func dropEvent(b []byte, boot time.Time) DropEvent {
	const head = 48
	if len(b) < head {
		return DropEvent{}
	}
	u16, u32 := binary.NativeEndian.Uint16, binary.NativeEndian.Uint32
	n := min(int(u16(b[42:])), len(b)-head)
	return DropEvent{Time: boot.Add(time.Duration(binary.NativeEndian.Uint64(b))), //nolint:gosec // since boot
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
