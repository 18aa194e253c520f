package agent

import (
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// TestAstray: an interface whose port is bound to another host is told with that host; an endpoint's own, and one of nobody, are not.
func TestAstray(t *testing.T) {
	here, away, gone := model.PortID{UUID: model.UUID{1}}, model.PortID{UUID: model.UUID{2}}, model.PortID{UUID: model.UUID{3}}
	st := &hostplan.State{Host: "compute1",
		Endpoints: map[model.PortID]*hostplan.Endpoint{here: {Port: here, Device: here.DeviceName()}},
		Neighbors: map[model.PortID]*hostplan.Neighbor{here: {Port: here, Host: "compute1"}, away: {Port: away, Host: "compute2"}, gone: {Port: gone, Host: "compute2"}}}
	devices := map[string]dataplane.Device{}
	for _, name := range []string{here.DeviceName(), away.DeviceName(), "tapdeadbeef-00"} {
		devices[name] = dataplane.Device{Name: name}
	}
	got := astray(st, devices)
	if len(got) != 1 || got[0].Port != away || got[0].Device != away.DeviceName() || got[0].Bound != "compute2" || len(devices) != 3 {
		t.Errorf("%+v", got)
	}
}
