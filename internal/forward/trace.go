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
}

// NewWorld prepares States, by host name.
func NewWorld(states map[string]*hostplan.State) *World {
	w := &World{Hosts: make(map[string]*Host, len(states)), Conns: map[string]*Conns{}}
	for name, s := range states {
		w.Hosts[name] = NewHost(s)
	}
	return w
}

// ErrNoPort: the port is bound to no host that is known.
var ErrNoPort = errors.New("bound to no known host")

// Hop is what one host did with the frame.
type Hop struct {
	Host  string
	In    Input
	Frame []byte
	Result
	// Missing: the host's State is not known, so nothing can be said of it.
	Missing bool
}

// Path is a frame's whole way: the sender's host, then every host that a tunnel packet went to.
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
			if o.Kind == kind {
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
// by two goroutines at once. A frame crosses at most one tunnel, so that Trace always ends.
func (w *World) Trace(port model.PortID, frame []byte) (Path, error) {
	for name, h := range w.Hosts {
		if _, ok := h.endpoints[port]; ok {
			return w.walk(name, port, frame), nil
		}
	}
	return Path{From: port}, fmt.Errorf("trace from port %s: %w", port, ErrNoPort)
}

func (w *World) walk(host string, port model.PortID, frame []byte) Path {
	path := Path{From: port}
	first := w.step(host, FromPort(port), frame)
	path.Hops = append(path.Hops, first)
	for _, o := range first.Outputs {
		if o.Kind != Tunnel {
			continue
		}
		in := FromTunnel(o.VNI, w.Hosts[host].State.VTEP) // what is traced is never to be cut
		path.Hops = append(path.Hops, w.step(o.Peer, in, o.Frame))
	}
	return path
}

func (w *World) step(host string, in Input, frame []byte) Hop {
	h, ok := w.Hosts[host]
	if !ok {
		return Hop{Host: host, In: in, Frame: frame, Missing: true}
	}
	in.Conns = w.Conns[host]
	res := Step(h, in, frame)
	if res.Conns != nil {
		w.Conns[host] = res.Conns
	}
	in.Conns = nil
	return Hop{Host: host, In: in, Frame: frame, Result: res}
}
