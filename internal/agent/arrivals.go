package agent

import (
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// arrivals is when devices and ports came to this host, of those that were not there when the agent started. Who was served before, here or on another
// host, need not ask again for half a day; the doctor must know.
type arrivals struct {
	devices map[string]time.Time
	ports   map[model.PortID]time.Time // zero: it was there before
}

func newArrivals() arrivals {
	return arrivals{devices: map[string]time.Time{}, ports: map[model.PortID]time.Time{}}
}

// sawDevices compares what is there with what was.
func (r *arrivals) sawDevices(before, now Found, at time.Time) {
	for name := range now.Devices {
		if _, had := before.Devices[name]; !had {
			r.devices[name] = at
		}
	}
	for name := range r.devices {
		if _, has := now.Devices[name]; !has {
			delete(r.devices, name)
		}
	}
}

// sawPorts compares a State with the one before. Those of the first ones, before the server has listed all, came before the agent.
func (r *arrivals) sawPorts(st *hostplan.State, inSync bool, now time.Time) {
	for id := range st.Endpoints {
		if _, had := r.ports[id]; had {
			continue
		}
		r.ports[id] = time.Time{}
		if inSync {
			r.ports[id] = now
		}
	}
	if len(r.ports) == len(st.Endpoints) {
		return
	}
	for id := range r.ports {
		if st.Endpoints[id] == nil {
			delete(r.ports, id)
		}
	}
}
