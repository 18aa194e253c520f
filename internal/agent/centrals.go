package agent

import "github.com/weft-cloud/weft/internal/model"

// centrals are the central parts of routers on this host; true: they are as the State says. The plane that carries out nothing
// says so of all.
func (a *Agent) centrals() map[model.RouterID]bool {
	c := &a.core
	out := map[model.RouterID]bool{}
	for id := range c.done.state.Centrals {
		out[id] = c.central.Routers[id] || a.Config.DataPlane == "null"
	}
	return out
}
