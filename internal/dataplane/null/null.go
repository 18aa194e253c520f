// Package null is a data plane that moves no packets: it says of everything that it is programmed. It is for hosts which
// only have to look alive to the API (conformance runs); no instance can communicate on such a host.
package null

import (
	"context"
	"sync"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
)

// Plane implements dataplane.Plane.
type Plane struct {
	punts chan dataplane.Punt
	once  sync.Once
}

var _ dataplane.Plane = (*Plane)(nil)

// New returns a ready Plane.
func New() *Plane { return &Plane{punts: make(chan dataplane.Punt)} }

// Apply says that all endpoints and floating IPs are programmed, also without a device: there need not be any instance.
func (p *Plane) Apply(_ context.Context, d dataplane.Desired) (dataplane.Result, error) {
	r := dataplane.Result{Programmed: make(map[model.PortID]bool, len(d.State.Endpoints)),
		FloatingIPs: make(map[model.FloatingIPID]bool, len(d.State.FloatingIPs)), NDPProxies: make(map[model.NDPProxyID]bool, len(d.State.NDPProxies))}
	for id := range d.State.Endpoints {
		r.Programmed[id] = true
	}
	for id := range d.State.FloatingIPs {
		r.FloatingIPs[id] = true
	}
	for id := range d.State.NDPProxies {
		r.NDPProxies[id] = true
	}
	return r, nil
}

// Punts delivers nothing and is closed by Close.
func (p *Plane) Punts() <-chan dataplane.Punt { return p.punts }

// Inject drops the frame.
func (p *Plane) Inject(model.PortID, []byte) error { return nil }

// Close implements dataplane.Plane.
func (p *Plane) Close() error {
	p.once.Do(func() { close(p.punts) })
	return nil
}
