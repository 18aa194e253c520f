package world

import (
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store/memory"
)

// unwritable is an object of which no row can be made.
type unwritable struct{}

func (unwritable) MarshalJSON() ([]byte, error) { panic("no row of it") }

// TestPanicBehindRule: what a rule leaves behind and panics only when it is put in the store's form is that request's failure, too.
func TestPanicBehindRule(t *testing.T) {
	n := byte(0)
	s, err := memory.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Open(t.Context(), Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Random: func() model.UUID { n++; return model.UUID{n} }})
	if err != nil {
		t.Fatal(err)
	}
	go w.Run(t.Context())
	for range 2 { // the second finds the turn free again
		_, err := w.Do(t.Context(), "bad", func(tx *Tx) error {
			tx.Networks.Put(&model.Network{ID: model.NetworkID{UUID: model.UUID{9}}})
			tx.changes = append(tx.changes, Change{Kind: model.KindNetwork, Key: "x", New: unwritable{}})
			return nil
		})
		if err == nil || w.Snapshot().Networks.Len() != 0 {
			t.Fatalf("err %v, networks %d", err, w.Snapshot().Networks.Len())
		}
	}
	_, err = w.Do(t.Context(), "good", func(tx *Tx) error {
		tx.Networks.Put(&model.Network{ID: model.NetworkID{UUID: model.UUID{8}}})
		return nil
	})
	if err != nil || w.Snapshot().Networks.Len() != 1 {
		t.Fatalf("err %v, networks %d", err, w.Snapshot().Networks.Len())
	}
}
