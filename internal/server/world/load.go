package world

import (
	"context"
	"fmt"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// loadBatch is how many entries go at a time from the one that reads to the one that decodes them.
const loadBatch = 256

// load makes the World of what is in the store. One goroutine reads while another decodes, which take about as long; the
// indexes are built when everything is there.
func load(ctx context.Context, s store.Store) (*World, error) {
	tx := begin(New(model.UUID{}), 0, 0)
	tables := map[string]table{}
	for _, t := range tx.tables() {
		tables[string(t.kind())] = t
	}
	var snap store.Snapshot
	batches, rows := make(chan []store.Entry, 8), map[string][]any{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		defer close(batches)
		var batch []store.Entry
		send := func() error {
			select {
			case batches <- batch:
				batch = nil
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		snap, err = s.Load(ctx, func(e store.Entry) error {
			if batch = append(batch, e); len(batch) == loadBatch {
				return send()
			}
			return nil
		})
		if err != nil {
			return err
		}
		return send()
	})
	g.Go(func() error {
		known := words{}
		for batch := range batches {
			for _, e := range batch {
				t := tables[e.Kind]
				if t == nil {
					continue // of a newer version; it stays in the store
				}
				v, err := t.decode(e.Body, e.Revision, known)
				if err != nil {
					return fmt.Errorf("object %s %s of revision %d: %w; repair with: weft store drop %s/%s", e.Kind, e.Key, e.Revision, err, e.Kind, e.Key)
				}
				rows[e.Kind] = append(rows[e.Kind], v)
			}
		}
		return nil
	})
	err := g.Wait()
	for kind, rows := range rows {
		if err == nil {
			err = tables[kind].fill(rows)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load world: %w", err)
	}
	w, _ := tx.end()
	w.pos, w.batch = snap.Position, snap.Batch
	return w, nil
}

// words are texts that have been read, each once: most of what ports say many say alike.
type words map[string]string

// text puts what is known in place of an equal text.
func (w words) text(s *string) {
	if *s == "" {
		return
	}
	known, ok := w[*s]
	if !ok {
		known = *s
		w[known] = known
	}
	*s = known
}

// bytes is text for bytes that nobody writes.
func (w words) bytes(b *[]byte) {
	if len(*b) == 0 {
		return
	}
	s := unsafe.String(&(*b)[0], len(*b))
	w.text(&s)
	*b = unsafe.Slice(unsafe.StringData(s), len(s))
}
