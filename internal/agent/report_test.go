package agent

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// Each step changes what is known and expects what the server is told of a floating IP, of a router and of its central part.
func TestReportsOutside(t *testing.T) {
	f, r := model.FloatingIPID{UUID: uuid('f', 1)}, model.RouterID{UUID: uuid('r', 1)}
	a := New(Deps{Config: Config{Host: "h0"}})
	part, router := &hostplan.Central{Router: r}, &hostplan.Router{ID: r}
	state := func(generation uint64, central bool) *hostplan.State {
		return &hostplan.State{FloatingIPs: map[model.FloatingIPID]*hostplan.FloatingIP{f: {ID: f, Generation: generation, Central: central}},
			Centrals: map[model.RouterID]*hostplan.Central{r: part}, Routers: map[model.RouterID]*hostplan.Router{r: router}}
	}
	c := &a.core
	for _, step := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"not programmed yet", func() { c.done.state = state(5, false) }, []string{"router false", "central false", "floating false 5"}},
		{"programmed", func() { c.done.result.FloatingIPs = map[model.FloatingIPID]bool{f: true} }, []string{"floating true 5"}},
		{"nothing new", func() {}, nil},
		{"the plane takes it", func() { c.done.applied = true }, []string{"router true"}},
		{"the central part is up", func() { c.central.Routers = map[model.RouterID]bool{r: true} }, []string{"central true"}},
		{"the central part gets another leg", func() {
			part = &hostplan.Central{Router: r, Legs: make([]hostplan.Leg, 1)}
			c.done.state = state(5, false)
		}, []string{"central true"}},
		{"every host gets another leg", func() { router = &hostplan.Router{ID: r, AdminUp: true}; c.done.state = state(5, false) }, []string{"router true"}},
		{"nothing of it has changed", func() { c.done.state = state(5, false) }, nil},
		{"taken away and given back", func() { c.scope.dropped = []model.FloatingIPID{f} }, []string{"floating true 5"}},
		{"leads elsewhere", func() { c.done.state = state(6, false) }, []string{"floating true 6"}},
		{"is central now, and not up there", func() { c.done.state = state(6, true) }, []string{"floating false 6"}},
		{"up there as which it was before", func() { c.central.FloatingIPs = map[model.FloatingIPID]uint64{f: 5} }, nil},
		{"up there", func() { c.central.FloatingIPs = map[model.FloatingIPID]uint64{f: 6} }, []string{"floating true 6"}},
		{"gone", func() { c.done.state = &hostplan.State{} }, []string{"floating false 6"}},
		{"still gone", func() {}, nil},
		{"another server", func() { c.done.state, c.told = state(6, true), newTold() }, []string{"router true", "central true", "floating true 6"}},
	} {
		step.change()
		var got []string
		if m := a.report(); m != nil {
			for _, v := range m.GetReport().Routers {
				got = append(got, fmt.Sprint("router ", v.Up))
			}
			for _, v := range m.GetReport().Centrals {
				got = append(got, fmt.Sprint("central ", v.Up))
			}
			for _, v := range m.GetReport().FloatingIps {
				got = append(got, fmt.Sprint("floating ", v.Up, " ", v.Generation))
			}
		}
		if d := cmp.Diff(step.want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", step.name, d)
		}
	}
}

// TestReportsPortThatIsBack: a port that left for another host and came back within two reports is down in the server's eyes.
func TestReportsPortThatIsBack(t *testing.T) {
	p := model.PortID{UUID: uuid('p', 1)}
	a := New(Deps{Config: Config{Host: "h0"}})
	c := &a.core
	c.done.state, c.done.result.Programmed = &hostplan.State{}, map[model.PortID]bool{p: true}
	here := &wire.Object{Kind: wire.Kind_KIND_ENDPOINT, Id: wire.ID(p.UUID), Body: wire.Encode(&wire.Endpoint{Id: wire.ID(p.UUID)})}
	for _, step := range []struct {
		name   string
		change func()
		want   []bool
	}{
		{"here", func() { c.scope.put(here) }, []bool{true}},
		{"put again", func() { c.scope.put(here) }, nil},
		{"gone and back", func() { c.scope.delete(key{here.Kind, string(here.Id)}); c.scope.put(here) }, []bool{true}},
		{"nothing new", func() {}, nil},
		{"gone", func() { c.scope.delete(key{here.Kind, string(here.Id)}) }, nil},
	} {
		step.change()
		var got []bool
		if m := a.report(); m != nil {
			for _, v := range m.GetReport().Ports {
				got = append(got, v.Up)
			}
		}
		if d := cmp.Diff(step.want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", step.name, d)
		}
	}
}
