package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
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
	// retellAfter is how long a host waits before it says again what another has taken from the server: two that both believe to have
	// an address do not chase each other.
	retellAfter = time.Second
	// unsettled is how long the plane may not tell whether it or the server has the newer word on an address.
	unsettled = 6 * time.Second
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
		case <-a.relearn:
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
		a.call(ctx, func() { a.hasLearned(now) })
	}
}

// hasLearned takes in what the plane has learned of this host's ports.
func (a *Agent) hasLearned(now []fact) {
	c := &a.core
	if !c.settled || c.learnedKnown && !c.retell && slices.Equal(c.learned, now) {
		return
	}
	if c.retell {
		c.retell, c.told.learnedKnown = false, false
	}
	c.learned, c.learnedKnown = now, true
	a.wakeReport()
}

// settle follows what an Apply means for what was learned. Only once the plane has weighed a new connection's list against what it
// heard itself is the server told: it believes whoever speaks last. What it had from this host and has no more, another host has
// taken; it is told again if the plane, which has the other's word by then, still disagrees.
func (a *Agent) settle(o outcome) {
	c := &a.core
	if o.err != nil {
		return
	}
	if o.away != 0 && o.away == c.away {
		c.away, c.settled = 0, true
		poke(a.relearn)
	}
	for _, f := range c.told.learned {
		n := o.state.Neighbors[f.port]
		known := n != nil && slices.Contains(n.Learned, hostplan.AddressPair{MAC: f.mac, Prefix: netip.PrefixFrom(f.address, f.address.BitLen())})
		if was := c.told.confirmed[f]; was == known {
			continue
		}
		c.told.confirmed[f] = known
		if !known && !c.retell {
			c.retell = true
			time.AfterFunc(retellAfter, func() { poke(a.relearn) })
		}
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
