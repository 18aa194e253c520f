package null

import (
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

func TestAllIsProgrammed(t *testing.T) {
	id := model.PortID{UUID: model.UUID{1}}
	p := New()
	r, err := p.Apply(t.Context(), dataplane.Desired{State: &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{id: {Port: id}}}})
	if err != nil || !r.Programmed[id] || len(r.Failed) > 0 {
		t.Errorf("Apply = %+v, %v; want the endpoint programmed", r, err)
	}
	for _, time := range []string{"first", "second"} {
		if err := p.Close(); err != nil {
			t.Errorf("the %s Close fails: %v", time, err)
		}
	}
	if _, open := <-p.Punts(); open {
		t.Error("Punts is open after Close")
	}
}
