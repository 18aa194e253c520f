package agent

import (
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// centrals are the central parts of routers on this host; true: they are as the State says. The plane that carries out nothing
// says so of all.
func (a *Agent) centrals() map[model.RouterID]routerState[hostplan.Central] {
	c := &a.core
	out := map[model.RouterID]routerState[hostplan.Central]{}
	for id, v := range c.done.state.Centrals {
		out[id] = routerState[hostplan.Central]{c.central.Routers[id] || a.Config.DataPlane == "null", v}
	}
	return out
}
