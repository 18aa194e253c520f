package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

var _ dataplane.Outside = (*Plane)(nil)

// outsideNet is an external network as it is reached from here.
type outsideNet struct {
	slot    uint32
	ifindex int
	vlan    uint16
}

// nics puts the program on the NICs behind the physical networks, and says which they are. Nothing else is changed about them: they
// are the host's.
func (p *Plane) nics(d dataplane.Desired, res *dataplane.Result) map[string][]nic {
	out := map[string][]nic{}
	for name, devices := range d.Physical {
		for _, dev := range devices {
			l, err := linux.Peek(dev.Name)
			if err == nil {
				err = p.ensure(l.Index, dev.Name, "from_physical")
			}
			if err != nil {
				res.Failed = append(res.Failed, hostplan.Problem{Kind: "device", ID: dev.Name,
					Why: fmt.Sprintf("physical network %s: %v", name, err)})
				continue
			}
			n := nic{ifindex: uint32(l.Index), name: l.Name} //nolint:gosec // positive
			copy(n.mac[:], l.MAC)
			out[name] = append(out[name], n)
		}
	}
	return out
}

// reportOutside says which floating IPs are translated and which NDP proxies answered for now, and remembers where external networks are.
func (p *Plane) reportOutside(s *hostplan.State, failed map[root]error, res *dataplane.Result) {
	outs := map[model.NetworkID]outsideNet{}
	for slot, n := range p.t.networks.have {
		if n.PhysIfindex != 0 {
			outs[model.NetworkID{UUID: n.Uuid}] = outsideNet{slot, int(n.PhysIfindex), uint16(n.PhysVlan)} //nolint:gosec // 12 bits
		}
	}
	written := func(f *hostplan.FloatingIP) bool {
		out, ok := outs[f.External]
		key := weftAddrKey{Net: out.slot, Addr: ip16(f.Address)}
		v, have := p.t.fips.have[key]
		router := root{rootRouter, p.t.ids[rootRouter].find(f.Router.UUID)}
		return ok && have && v == p.t.fips.want[key] && failed[router] == nil && failed[root{rootNetwork, out.slot}] == nil
	}
	res.FloatingIPs = map[model.FloatingIPID]bool{}
	for id, f := range s.FloatingIPs {
		if !f.Central && res.Programmed[f.Port] && written(f) {
			res.FloatingIPs[id] = true
		}
	}
	res.NDPProxies = map[model.NDPProxyID]bool{}
	for id, n := range s.NDPProxies {
		if (n.Central || res.Programmed[n.Port]) && written(n.Floating()) {
			res.NDPProxies[id] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outs = outs
}

// outsideOf is where an external network is. Callers hold mu.
func (p *Plane) outsideOf(id model.NetworkID) (outsideNet, error) {
	if p.closed {
		return outsideNet{}, errors.New("the plane is closed")
	}
	out, ok := p.outs[id]
	if !ok {
		return outsideNet{}, errors.New("it is on no NIC of this host")
	}
	return out, nil
}

// SendOutside implements dataplane.Outside.
func (p *Plane) SendOutside(external model.NetworkID, frame []byte) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out, err := p.outsideOf(external)
	if err == nil {
		err = unix.Sendto(p.raw, tagged(frame, out.vlan), 0, &unix.SockaddrLinklayer{Ifindex: out.ifindex})
	}
	if err != nil {
		return fmt.Errorf("send to external network %s: %w", external, err)
	}
	return nil
}

// tagged is the frame with an 802.1Q tag; vlan 0: as it is.
func tagged(frame []byte, vlan uint16) []byte {
	if vlan == 0 || len(frame) < 12 {
		return frame
	}
	return slices.Concat(frame[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, frame[12:])
}

// Learn implements dataplane.Outside. A MAC that takes the place of another waits for an Apply that runs, for what was decided by
// the old one is void then.
func (p *Plane) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error {
	p.mu.RLock()
	out, err := p.outsideOf(external)
	if err != nil {
		p.mu.RUnlock()
		return fmt.Errorf("learn %s on external network %s: %w", addr, external, err)
	}
	changed, err := learn(p.coll, out.slot, addr, mac)
	p.mu.RUnlock()
	if err == nil && changed {
		err = p.void(out.slot)
	}
	return err
}

// learn writes who has the address, and reports whether somebody else had it before.
func learn(coll *ebpf.Collection, net uint32, addr netip.Addr, mac model.MAC) (changed bool, err error) {
	k, v := weftAddrKey{Net: net, Addr: ip16(addr)}, weftOuterVal{Mac: mac}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return false, fmt.Errorf("read the clock: %w", err)
	}
	v.Seen = uint64(ts.Nano()) //nolint:gosec // since boot
	var old weftOuterVal
	err = coll.Maps["outer"].Lookup(&k, &old)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, fmt.Errorf("read map outer: %w", err)
	}
	changed = err == nil && old.Mac != v.Mac
	if err := coll.Maps["outer"].Put(&k, &v); err != nil {
		return false, fmt.Errorf("write map outer: %w", explain(err))
	}
	return changed, nil
}

// Forget implements dataplane.Outside.
func (p *Plane) Forget(external model.NetworkID, addr netip.Addr) error {
	p.mu.RLock()
	out, err := p.outsideOf(external)
	if err == nil {
		err = p.coll.Maps["outer"].Delete(&weftAddrKey{Net: out.slot, Addr: ip16(addr)})
	}
	p.mu.RUnlock()
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget %s on external network %s: %w", addr, external, err)
	}
	return p.void(out.slot)
}

// void ends what was decided by a network.
func (p *Plane) void(net uint32) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil
	}
	return p.t.networks.void(p.t.gens, net)
}

// since is how long ago a time of CLOCK_MONOTONIC was, at now.
func since(ns uint64, now unix.Timespec) time.Duration {
	return time.Duration(max(0, now.Nano()-int64(ns))) //nolint:gosec // since boot
}

// OutsideNeighbors implements dataplane.OutsideLister.
func (p *Plane) OutsideNeighbors() ([]dataplane.OutsideNeighbor, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, errors.New("the plane is closed")
	}
	names := map[uint32]model.NetworkID{}
	for id, out := range p.outs {
		names[out.slot] = id
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	var list []dataplane.OutsideNeighbor
	var k weftAddrKey
	var v weftOuterVal
	it := p.coll.Maps["outer"].Iterate()
	for it.Next(&k, &v) {
		if id, ok := names[k.Net]; ok {
			list = append(list, dataplane.OutsideNeighbor{External: id, Address: addrOf(k.Addr), MAC: v.Mac, Silent: since(v.Seen, ts)})
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map outer: %w", err)
	}
	return list, nil
}
