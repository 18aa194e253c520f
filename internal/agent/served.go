package agent

import (
	"context"

	"github.com/weft-cloud/weft/internal/agent/external"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Outside speaks for this host on external networks.
type Outside interface {
	Responder // of PuntExternal and PuntNeighbor
	// Update hands over a State, Serve what of it is served here now; neither blocks.
	Update(st *hostplan.State)
	Serve(a external.Active)
	// Run works until ctx is done, and tells the problems whenever they are others.
	Run(ctx context.Context, changed func([]hostplan.Problem)) error
}

// serve tells the outside what is served here.
func (a *Agent) serve() {
	if a.Outside == nil || a.core.done.state == nil {
		return
	}
	a.Outside.Serve(external.Active{FloatingIPs: a.floatingIPs(), NDPProxies: a.ndpProxies(), Gateways: a.core.central.Routers,
		Sure: a.core.link.Connected && a.core.settled})
}

// ndpProxies are those of this host; true: packets to them arrive now. For central ones the plane answers, and the router's namespace
// routes.
func (a *Agent) ndpProxies() map[model.NDPProxyID]bool {
	c := &a.core
	out := map[model.NDPProxyID]bool{}
	for id, n := range c.done.state.NDPProxies {
		out[id] = c.done.result.NDPProxies[id] && (!n.Central || c.central.Routers[n.Router])
	}
	return out
}

// floatingIPs are those of this host; true: packets of them are translated now. The plane says so of the distributed ones,
// the router's namespace of the central ones.
func (a *Agent) floatingIPs() map[model.FloatingIPID]bool {
	c := &a.core
	out := map[model.FloatingIPID]bool{}
	if c.done.state == nil {
		return out
	}
	for id, f := range c.done.state.FloatingIPs {
		if f.Central && a.Config.DataPlane != "null" {
			g, ok := c.central.FloatingIPs[id]
			out[id] = ok && g == f.Generation
		} else {
			out[id] = c.done.result.FloatingIPs[id]
		}
	}
	return out
}
