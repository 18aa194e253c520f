package world

import (
	"context"
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// decoded is an object on its way from the store to its table.
type decoded struct {
	into table
	v    any
}

// loadBatch is how many objects go at a time from the one that decodes to the one that indexes them.
const loadBatch = 256

// load makes the World of what is in the store. One goroutine reads and decodes while another indexes: the two take about
// as long.
func load(ctx context.Context, s store.Store) (*World, error) {
	tx := begin(New(model.UUID{}), 0, 0)
	tables := map[string]table{}
	for _, t := range tx.tables() {
		tables[string(t.kind())] = t
	}
	batches, indexed := make(chan []decoded, 8), make(chan struct{})
	go func() {
		defer close(indexed)
		for batch := range batches {
			for _, d := range batch {
				d.into.set(d.v)
			}
		}
	}()
	var batch []decoded
	snap, err := s.Load(ctx, func(e store.Entry) error {
		t := tables[e.Kind]
		if t == nil {
			return nil // of a newer version; it stays in the store
		}
		v, err := t.decode(e.Body, e.Revision)
		if err != nil {
			return fmt.Errorf("object %s %s of revision %d: %w; repair with: weft store drop %s/%s", e.Kind, e.Key, e.Revision, err, e.Kind, e.Key)
		}
		if batch = append(batch, decoded{t, v}); len(batch) == loadBatch {
			batches <- batch
			batch = make([]decoded, 0, loadBatch)
		}
		return nil
	})
	batches <- batch
	close(batches)
	<-indexed
	if err != nil {
		return nil, fmt.Errorf("load world: %w", err)
	}
	w := tx.end()
	w.pos, w.batch = snap.Position, snap.Batch
	return w, nil
}
