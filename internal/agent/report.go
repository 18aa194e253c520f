package agent

import (
	"maps"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/agent/pathmtu"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// told is what this connection's server has been told.
type told struct {
	any      bool
	position model.Position
	ports    map[model.PortID]bool
	routers  map[model.RouterID]routerState[hostplan.Router]
	centrals map[model.RouterID]routerState[hostplan.Central]
	floating map[model.FloatingIPID]floatingState
	problems []hostplan.Problem
	// learned is what was said of it last, if anything was; confirmed is which of it the server had in the last State.
	learned      []fact
	learnedKnown bool
	confirmed    map[fact]bool
}

// routerState is whether what a host does for a router is done, and what that was. The server records it of each port of the router: when
// what is to be done has changed, there may be ports of which it knows nothing yet, and it is told again.
type routerState[T any] struct {
	up   bool
	what *T
}

// floatingState is whether a floating IP is translated, since it leads where it does.
type floatingState struct {
	up         bool
	generation uint64
	// stale: it was taken away since the server was told. If it is here again, the server is told again: another host may
	// have had it.
	stale bool
}

func newTold() told {
	return told{ports: map[model.PortID]bool{}, routers: map[model.RouterID]routerState[hostplan.Router]{},
		centrals: map[model.RouterID]routerState[hostplan.Central]{}, floating: map[model.FloatingIPID]floatingState{}, confirmed: map[fact]bool{}}
}

// report says what has changed since the last one; nil: nothing has, or nothing is known yet.
func (a *Agent) report() *wire.AgentMessage {
	c := &a.core
	if c.done.state == nil {
		return nil
	}
	now := told{any: true, position: c.done.position, ports: a.ports(), routers: a.routers(), centrals: a.centrals(),
		floating: a.floating(), problems: a.problems()}
	r := &wire.Report{Applied: wire.FromPosition(now.position)}
	for id, up := range now.ports {
		if was, known := c.told.ports[id]; !known || was != up {
			r.Ports = append(r.Ports, &wire.PortState{Id: wire.ID(id.UUID), Up: up})
		}
	}
	r.Routers = routerStates(c.told.routers, now.routers)
	r.Centrals = routerStates(c.told.centrals, now.centrals)
	for id, v := range now.floating {
		if was, known := c.told.floating[id]; !known || was != v {
			r.FloatingIps = append(r.FloatingIps, &wire.FloatingIPState{Id: wire.ID(id.UUID), Up: v.up, Generation: v.generation})
		}
	}
	for _, p := range now.problems {
		r.Problems = append(r.Problems, &wire.Problem{Kind: p.Kind, Id: p.ID, Why: p.Why})
	}
	r.Learned = c.learnedReport()
	now.learned, now.learnedKnown, now.confirmed = c.learned, c.learnedKnown, c.told.confirmed
	if !c.learnedKnown {
		now.learned = nil
	}
	same := c.told.any && r.Learned == nil && now.position == c.told.position && len(r.Ports)+len(r.Routers)+len(r.Centrals)+len(r.FloatingIps) == 0 && slices.Equal(now.problems, c.told.problems)
	c.told = now
	if same {
		return nil
	}
	return &wire.AgentMessage{Kind: &wire.AgentMessage_Report{Report: r}}
}

// routerStates are those of now that differ from before.
func routerStates[T any](before, now map[model.RouterID]routerState[T]) []*wire.RouterState {
	var out []*wire.RouterState
	for id, v := range now {
		if was, known := before[id]; !known || was != v {
			out = append(out, &wire.RouterState{Id: wire.ID(id.UUID), Up: v.up})
		}
	}
	return out
}

// floating are the floating IPs of this host, and those that the server was told of and that are here no more.
func (a *Agent) floating() map[model.FloatingIPID]floatingState {
	c := &a.core
	for _, id := range c.scope.dropped {
		if was, known := c.told.floating[id]; known {
			was.stale = true
			c.told.floating[id] = was
		}
	}
	c.scope.dropped = nil
	out := map[model.FloatingIPID]floatingState{}
	for id, was := range c.told.floating {
		if was.up {
			out[id] = floatingState{generation: was.generation}
		}
	}
	for id, up := range a.floatingIPs() {
		out[id] = floatingState{up: up, generation: c.done.state.FloatingIPs[id].Generation}
	}
	return out
}

// ports are all ports that the server says are here, with whether the plane carries them out. The server is told again of one that was
// bound elsewhere and is back before anything was reported: with the move it has forgotten what it was told.
func (a *Agent) ports() map[model.PortID]bool {
	c := &a.core
	for _, id := range c.scope.droppedPorts {
		delete(c.told.ports, id)
	}
	c.scope.droppedPorts = nil
	out := map[model.PortID]bool{}
	for k := range c.scope.objects {
		if k.kind == wire.Kind_KIND_ENDPOINT {
			id := model.PortID{UUID: k.uuid()}
			out[id] = c.done.result.Programmed[id]
		}
	}
	return out
}

// routers are those that this host acts for. One that is among what failed is not up; nor is any before the plane has
// taken a State at all.
func (a *Agent) routers() map[model.RouterID]routerState[hostplan.Router] {
	c := &a.core
	out := make(map[model.RouterID]routerState[hostplan.Router], len(c.done.state.Routers))
	for id, r := range c.done.state.Routers {
		up := c.done.applied && !slices.ContainsFunc(c.done.result.Failed, func(p hostplan.Problem) bool {
			return p.Kind == string(model.KindRouter) && p.ID == id.String()
		})
		out[id] = routerState[hostplan.Router]{up, r}
	}
	return out
}

// problems are those of the compiler and of the plane.
func (a *Agent) problems() []hostplan.Problem {
	c := &a.core
	out := slices.Concat(c.done.state.Problems, c.done.result.Failed, c.found.Problems, c.central.Problems, c.claims, pathmtu.Problems(c.done.state))
	if c.done.err != nil {
		out = append(out, hostplan.Problem{Kind: "data_plane", ID: a.Config.Host, Why: c.done.err.Error()})
	}
	return out
}

func (a *Agent) heartbeat() *wire.AgentMessage {
	c := &a.core
	h := &wire.Heartbeat{TimeUnixNano: time.Now().UnixNano(), Applied: wire.FromPosition(c.done.position)}
	if s := c.done.state; s != nil {
		h.Endpoints, h.Networks, h.Routers = uint32(len(s.Endpoints)), uint32(len(s.Networks)), uint32(len(s.Routers))
	}
	return &wire.AgentMessage{Kind: &wire.AgentMessage_Heartbeat{Heartbeat: h}}
}

// sortedIDs orders ports for people.
func sortedIDs[V any](m map[model.PortID]V) []model.PortID {
	return slices.SortedFunc(maps.Keys(m), func(a, b model.PortID) int { return a.Compare(b.UUID) })
}
