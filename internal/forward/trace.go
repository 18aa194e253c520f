package forward

import (
	"errors"
	"fmt"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// World is all hosts' States, prepared for Trace. Conns holds the hosts' connection tables; it may be nil.
type World struct {
	Hosts map[string]*Host
	Conns map[string]*Conns
	// Learned is what each host has learned; it may be nil.
	Learned map[string]*Learned
}

// NewWorld prepares States, by host name.
func NewWorld(states map[string]*hostplan.State) *World {
	w := &World{Hosts: make(map[string]*Host, len(states)), Conns: map[string]*Conns{}, Learned: map[string]*Learned{}}
	for name, s := range states {
		w.Hosts[name] = NewHost(s)
	}
	return w
}

// ErrNoPort: the port is bound to no host that is known.
var ErrNoPort = errors.New("bound to no known host")

// Hop is what one host did with the frame; or, with a Central, what the central part of that router did with it there.
type Hop struct {
	Host  string
	In    Input
	Frame []byte
	Result
	// Central is the router whose central part took the frame. SourcePorts: Exit.SourcePorts.
	Central     model.RouterID
	SourcePorts model.PortRange
	// Missing: the host's State is not known, so nothing can be said of it.
	Missing bool
}

// Path is a frame's whole way: the sender's host, then every host that a tunnel packet went to, and the central parts of routers on the way,
// until it is delivered or leaves the cloud.
type Path struct {
	From model.PortID
	Hops []Hop
}

// Arrival is a frame at an endpoint.
type Arrival struct {
	Host  string
	Port  model.PortID
	Frame []byte
}

// Delivered are the endpoints that got the frame, in the order of the hops.
func (p Path) Delivered() []Arrival { return p.outputs(Deliver) }

// Replies are the frames that came back to the sender.
func (p Path) Replies() []Arrival { return p.outputs(Reply) }

func (p Path) outputs(kind OutputKind) []Arrival {
	var a []Arrival
	for _, h := range p.Hops {
		for _, o := range h.Outputs {
			if o.Kind == kind && o.Central.IsZero() {
				a = append(a, Arrival{h.Host, o.Port, o.Frame})
			}
		}
	}
	return a
}

// Reason is why the frame was dropped: the first one on the way; None if no host dropped it.
func (p Path) Reason() reason.Reason {
	for _, h := range p.Hops {
		if h.Reason != reason.None {
			return h.Reason
		}
	}
	return reason.None
}

// Trace follows a frame that the instance of port sends, across hosts, to its end. It writes w.Conns; w must not be used
// by two goroutines at once. Of next hops outside it takes each to be there. It ends after maxHops.
func (w *World) Trace(port model.PortID, frame []byte) (Path, error) {
	for name, h := range w.Hosts {
		if _, ok := h.endpoints[port]; ok {
			return w.walk(name, port, frame), nil
		}
	}
	return Path{From: port}, fmt.Errorf("trace from port %s: %w", port, ErrNoPort)
}

func (w *World) walk(host string, port model.PortID, frame []byte) Path {
	type entry struct {
		host  string
		in    Input
		frame []byte
	}
	path := Path{From: port}
	queue := []entry{{host, FromPort(port), frame}} // what is traced is never to be cut
	for len(queue) > 0 && len(path.Hops) < maxHops {
		at := queue[0]
		queue = queue[1:]
		hop := w.step(at.host, at.in, at.frame)
		if hop.Missing {
			path.Hops = append(path.Hops, hop)
			continue
		}
		h := w.Hosts[at.host]
		var parts []Hop
		for i := range hop.Outputs {
			o := &hop.Outputs[i]
			if o.Kind == Tunnel {
				queue = append(queue, entry{o.Peer, FromTunnel(o.VNI, h.State.VTEP), o.Frame})
			}
			c := h.centralOf(o.Port)
			if o.Kind != Deliver || c == nil {
				continue
			}
			o.Central = c.Router
			x := h.central(c, o.Port, o.Frame)
			parts = append(parts, Hop{Host: at.host, In: FromPort(o.Port), Frame: o.Frame, Central: c.Router, SourcePorts: x.SourcePorts,
				Result: Result{Reason: x.Reason, Trail: x.Trail}})
			if x.Frame != nil {
				queue = append(queue, entry{at.host, FromPort(x.Port), x.Frame})
			}
		}
		path.Hops = append(append(path.Hops, hop), parts...)
	}
	return path
}

// maxHops bounds a Path.
const maxHops = 32

// centralOf is the central part that has the port as a leg here; nil: none.
func (h *Host) centralOf(port model.PortID) *hostplan.Central {
	for _, c := range h.State.Centrals {
		if c.Gateway != nil && c.Gateway.Port == port {
			return c
		}
		for _, l := range c.Legs {
			if l.Port == port {
				return c
			}
		}
	}
	return nil
}

func (w *World) step(host string, in Input, frame []byte) Hop {
	h, ok := w.Hosts[host]
	if !ok {
		return Hop{Host: host, In: in, Frame: frame, Missing: true}
	}
	in.Conns, in.Learned, in.AnyNeighbor = w.Conns[host], w.Learned[host], true
	res := Step(h, in, frame)
	if res.Conns != nil {
		w.Conns[host] = res.Conns
	}
	if res.Learned != nil && w.Learned != nil {
		w.Learned[host] = res.Learned
	}
	in.Conns, in.Learned, in.AnyNeighbor = nil, nil, false
	return Hop{Host: host, In: in, Frame: frame, Result: res}
}
