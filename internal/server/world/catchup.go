package world

import (
	"context"
	"errors"
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// catchUp reads what another server has committed, and publishes it, after a commit of ours was refused because of lost. A store whose
// history is not the one that led here (somebody put an older state of the database back, or its address leads to a server that had not
// got everything) is loaded anew, as another lineage. An error wraps lost if there is nothing to catch up with: whoever was in the way has written
// nothing, and may be in the way for long.
func (w *Writer) catchUp(ctx context.Context, lost error) error {
	for moved := false; ; moved = true {
		now := w.Snapshot()
		batches, err := w.cfg.Store.Tail(ctx, now.pos, 1000)
		if err == nil && len(batches) == 0 {
			if moved {
				return nil
			}
			head, err := w.cfg.Store.Head(ctx)
			if err != nil {
				return err
			}
			if head.Position == now.pos && head.Batch == now.batch {
				return fmt.Errorf("nobody else has written: %w", lost)
			}
			return w.another(ctx)
		}
		switch {
		case err == nil && batches[0].Prev != now.batch, errors.Is(err, store.ErrLineage):
			return w.another(ctx)
		case errors.Is(err, store.ErrTruncated):
			return w.reload(ctx)
		case err != nil:
			return err
		}
		if err := w.follow(now, batches); err != nil {
			return err
		}
	}
}

// reload publishes what is in the store.
func (w *Writer) reload(ctx context.Context) error {
	world, err := load(ctx, w.cfg.Store)
	if err == nil {
		w.publish(&Commit{World: world, Reset: true})
	}
	return err
}

// another goes on with a store that has another history. If that has the name of ours it is given one of its own, since what has
// happened in ours up to a revision did not happen in it: agents see by the name that what they know may be newer.
func (w *Writer) another(ctx context.Context) error {
	had := w.Snapshot().pos
	head, err := w.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	if head.Lineage == had.Lineage {
		if _, err := w.cfg.Store.NewLineage(ctx, head.Position); err != nil {
			return fmt.Errorf("begin another lineage: %w", err)
		}
	}
	if err := w.reload(ctx); err != nil {
		return err
	}
	w.cfg.Log.Error("the store has another history than this server: an older state was put back, or its address leads to a server that lacks the last commits; "+
		"what is not in it is gone, and hosts delete nothing until weft server release", "had", had.String(), "store", head.Position.String(), "now", w.Snapshot().pos.String())
	return nil
}

// follow publishes the batches that come after a World.
func (w *Writer) follow(now *World, batches []store.Batch) error {
	c := &Commit{World: now}
	for _, b := range batches {
		tx := begin(c.World, b.Revision, model.Time(b.At.Unix()))
		for _, m := range b.Mutations {
			if err := tx.replay(model.Kind(m.Kind), m.Key, m.Body, b.Revision); err != nil {
				return err
			}
		}
		made, changes := tx.end()
		made.batch = b.ID
		c.World, c.Batches = made, append(c.Batches, Batch{b.Revision, changes})
	}
	w.publish(c)
	return nil
}
