package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// The plane learns by itself which port has an address that several may have, also when this process is dead. This file tells
// the server of what this host's own ports have, for hosts that come later, and keeps alive what would be forgotten: an address
// that no pair lists (a port without port security may have any) is asked for while it is silent, and announced to the other
// hosts while it answers.

const (
	// refreshEvery is how often what no pair lists is looked after; planes forget it after some minutes.
	refreshEvery = time.Minute
	// silentAfter is how long such an address may be silent before its port is asked.
	silentAfter = 90 * time.Second
)

// fact is what the server is told.
type fact struct {
	port    model.PortID
	address netip.Addr
	mac     model.MAC
}

// learn follows what the plane learns until ctx is done.
func (a *Agent) learn(ctx context.Context, l dataplane.Learner) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	known := map[fact]bool{}
	for {
		refresh := false
		select {
		case <-ctx.Done():
			return
		case <-l.LearnedChanged():
		case <-tick.C:
			refresh = true
		}
		all, err := l.Learned()
		if err != nil {
			if ctx.Err() == nil {
				a.Log.Warn("what was learned cannot be read", "error", err)
			}
			continue
		}
		now := make([]fact, 0, len(all))
		seen := make(map[fact]bool, len(all))
		for _, x := range all {
			f := fact{x.Port, x.Address, x.MAC}
			now, seen[f] = append(now, f), true
			if !x.Listed && (refresh || !known[f]) {
				a.keepAlive(x, refresh)
			}
		}
		known = seen
		a.call(ctx, func() {
			if a.core.learnedKnown && slices.Equal(a.core.learned, now) {
				return
			}
			a.core.learned, a.core.learnedKnown = now, true
			a.wakeReport()
		})
	}
}

// keepAlive announces an address to the other hosts, in its port's name, or asks the port whether it still has it. What fails is
// repeated at the next turn.
func (a *Agent) keepAlive(x dataplane.Learned, refresh bool) {
	var err error
	if refresh && x.Age > silentAfter {
		err = a.Plane.Inject(x.Port, frame.Probe(x.Address, x.MAC, a.asker(x.Port)))
	} else if r, ok := a.Plane.(dataplane.Resender); ok {
		err = r.Resend(x.Port, frame.Announcement(x.Address, x.MAC))
	}
	if err != nil {
		a.Log.Debug("a learned address is not looked after", "port", x.Port, "address", x.Address, "error", err)
	}
}

// asker is the MAC that a port is asked by: one at which the programs take answers and do not hand them on.
func (a *Agent) asker(id model.PortID) model.MAC {
	nobody := model.MAC{0x02, 0x57, 0x45, 0x46, 0x54, 0x01}
	st := a.state.Load()
	if st == nil || st.Endpoints[id] == nil {
		return nobody
	}
	n := st.Networks[st.Endpoints[id].Network]
	if n == nil {
		return nobody
	}
	for _, s := range n.Services {
		return s.MAC
	}
	for _, s := range n.Subnets {
		if !s.RouterMAC.IsZero() {
			return s.RouterMAC
		}
	}
	return nobody
}

// learnedReport is what a report says of it; nil: nothing new.
func (c *core) learnedReport() *wire.LearnedList {
	if !c.learnedKnown || c.told.learnedKnown && slices.Equal(c.told.learned, c.learned) {
		return nil
	}
	out := &wire.LearnedList{}
	for _, f := range c.learned {
		out.Entries = append(out.Entries, &wire.Learned{PortId: wire.ID(f.port.UUID), Mac: f.mac[:], Address: wire.AddrBytes(f.address)})
	}
	return out
}
