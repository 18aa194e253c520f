package feed

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// A host whose last agent is deleted while it is connected has to come back, for nobody knows it any more; others are left alone.
func TestDeletedHostIsDismissed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		b.write(func(tx *world.Tx) {
			tx.Hosts.Put(&model.Host{Name: "c1"})
			tx.Hosts.Put(&model.Host{Name: "c2"})
		})
		b.settled()
		gone, stays := b.connect("c1", nil, model.Position{}), b.connect("c2", nil, model.Position{})
		b.write(func(tx *world.Tx) { tx.Hosts.Put(&model.Host{Name: "c1", AgentMode: model.ModeDVR}) })
		b.settled()
		gone.drain(t)
		b.write(func(tx *world.Tx) { tx.Hosts.Delete("c1") })
		b.settled()
		if _, err := gone.session.take(); !errors.Is(err, errDeleted) {
			t.Fatalf("the deleted host: %v", err)
		}
		stays.drain(t)
	})
}
