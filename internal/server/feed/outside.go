package feed

import (
	"context"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// A provider network has machines that no agent plugs in: bare-metal ones, and whatever uses a port that is bound nowhere or none at all.
// Of the live hosts that have the physical network, one serves them: with DHCP, and as the network's distributed routers; which one, each server finds out by itself from the
// world and from who lives. Two servers that disagree for a moment have two hosts answer the same.

// electEvery is how often it is looked whether the hosts that serve still live.
const electEvery = time.Second

// outsider reports whether a port is one that no agent plugs in.
func outsider(p *model.Port) bool {
	if strings.HasPrefix(p.DeviceOwner, model.OwnerNetworkPrefix) {
		return false
	}
	return !p.PluggedIn()
}

// elect chooses the host for each provider network with DHCP or a router, so that a host that comes or goes moves no more networks than
// it must (rendezvous hashing).
func elect(w *world.World, alive func(string) bool) map[model.NetworkID]string {
	var hosts []*model.Host
	for h := range w.Hosts.All() {
		if len(h.BridgeMappings) > 0 && alive(h.Name) {
			hosts = append(hosts, h)
		}
	}
	out := map[model.NetworkID]string{}
	if len(hosts) == 0 {
		return out
	}
	for s := range w.Segments.All() {
		if (s.NetworkType != model.TypeFlat && s.NetworkType != model.TypeVLAN) || !served(w, s.NetworkID) {
			continue
		}
		best := uint64(0)
		for _, h := range hosts {
			if _, has := h.BridgeMappings[s.Physnet]; !has {
				continue
			}
			if rank := wire.Version(append(s.NetworkID.UUID[:], h.Name...)); out[s.NetworkID] == "" || rank > best {
				best, out[s.NetworkID] = rank, h.Name
			}
		}
	}
	return out
}

// served reports whether a network has DHCP or a distributed router and is carried by nothing but provider segments: agents carry others.
func served(w *world.World, n model.NetworkID) bool {
	for s := range w.Segments.ByNetwork(n) {
		if s.NetworkType == model.TypeVXLAN {
			return false
		}
	}
	for s := range w.Subnets.ByNetwork(n) {
		if s.EnableDHCP {
			return true
		}
	}
	for p := range w.Ports.ByNetwork(n) {
		if p.DeviceOwner == model.OwnerDVRInterface {
			return true
		}
	}
	return false
}

// decides reports whether a change may change who serves.
func decides(c world.Change) (yes bool) {
	each(c, func(v any) {
		switch v := v.(type) {
		case *model.Host, *model.Segment, *model.Subnet:
			yes = true
		case *model.Port:
			yes = yes || v.DeviceOwner == model.OwnerDVRInterface
		}
	})
	return yes
}

// outsideTopics adds what a host follows because it serves: as if it had a port on the network.
func outsideTopics(w *world.World, serving map[model.NetworkID]string, host string, in interest) {
	s := scoper{w: w, host: host, in: in}
	for n, by := range serving {
		if by == host {
			in[networkTopic(n)] = struct{}{}
			in[outsideTopic(n)] = struct{}{}
			s.routersOn(n)
		}
	}
}

// interest is all that a host must follow.
func (h *hub) interest(host string) interest {
	in := interestOf(h.world, host)
	outsideTopics(h.world, h.serving, host, in)
	return in
}

// elect looks who serves now, and returns the hosts for which that has changed.
func (h *hub) elect() []string {
	before := h.serving
	h.serving = elect(h.world, h.alive)
	var moved []string
	for n, host := range before {
		if h.serving[n] != host {
			moved = append(moved, host)
		}
	}
	for n, host := range h.serving {
		if before[n] != host {
			moved = append(moved, host)
		}
	}
	return moved
}

// serves reports whether a host is the one that serves the port, which no agent plugs in, on its physical network.
func (h *hub) serves(ctx context.Context, p *model.Port, host string) (yes bool) {
	return outsider(p) && h.do(ctx, func() { yes = h.serving[p.NetworkID] == host }) && yes
}

// reelect tells those concerned if others serve than before.
func (h *hub) reelect() {
	restless := map[*session]struct{}{}
	for _, host := range h.elect() {
		if s := h.sessions[host]; s != nil {
			restless[s] = struct{}{}
		}
	}
	if len(restless) > 0 {
		h.tell(func(of func(*session) *update) { h.shift(h.world, restless, of) })
	}
}
