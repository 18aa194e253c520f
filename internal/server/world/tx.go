package world

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
)

// Tx is a World that may be written by one rule: a scratch copy, thrown away if the rule fails. What the rule puts is
// seen by its own later reads.
type Tx struct {
	World
	revision uint64
	now      model.Time
	changes  []Change
	touched  map[touch]int // where in changes
	intents  []Intent
	random   func() model.UUID
}

// NewUUID makes an identifier.
func (tx *Tx) NewUUID() model.UUID { return tx.random() }

type touch struct {
	kind model.Kind
	key  string
}

// Change is one object before and after; Old is nil for a new one, New for a deleted one. Both are pointers to model
// types and must not be written.
type Change struct {
	Kind     model.Kind
	Key      string
	Old, New any
}

// Intent is an effect that leaves the process (an event to Nova, a notification): stored with the mutations of its
// transaction and delivered at least once, by any server.
type Intent struct {
	Kind string
	Body []byte
}

// begin makes a transaction on w at the given revision and time.
func begin(w *World, revision uint64, now model.Time) *Tx {
	tx := &Tx{World: *w, revision: revision, now: now}
	tx.Usage.own = false
	for _, t := range tx.tables() {
		t.bind(tx)
	}
	return tx
}

// Revision is the revision that this transaction's changes will have.
func (tx *Tx) Revision() uint64 { return tx.revision }

// Now is the time of the transaction, in whole seconds.
func (tx *Tx) Now() model.Time { return tx.now }

// Emit asks for an effect outside of the process once the transaction is durable.
func (tx *Tx) Emit(kind string, body []byte) { tx.intents = append(tx.intents, Intent{kind, body}) }

// Changes are the changes so far, one per object (the last state wins), in the order of first touch.
func (tx *Tx) Changes() []Change { return tx.changes }

func (tx *Tx) note(c Change) {
	at, ok := tx.touched[touch{c.Kind, c.Key}]
	if !ok {
		if tx.touched == nil {
			tx.touched = map[touch]int{}
		}
		tx.touched[touch{c.Kind, c.Key}] = len(tx.changes)
		tx.changes = append(tx.changes, c)
		return
	}
	tx.changes[at].New = c.New
}

// end closes the transaction and returns its World, which nobody may write any more, and its changes. The World is where it was made: a copy
// of its tables' heads would be 2 KB more for each write.
func (tx *Tx) end() (*World, []Change) {
	w, changes := &tx.World, tx.changes
	w.pos.Revision = tx.revision
	w.Usage.own = false
	for _, t := range w.tables() {
		t.bind(nil)
	}
	tx.changes, tx.intents, tx.touched = nil, nil, nil // the World outlives them
	return w, changes
}

// replay puts a stored after-image (nil: a deletion) as another server, or an earlier run, made it. Objects of kinds
// that this version does not know stay in the store untouched.
func (tx *Tx) replay(kind model.Kind, key string, body []byte, revision uint64) error {
	t := tx.table(kind)
	if t == nil {
		return nil
	}
	c := Change{Kind: kind, Key: key}
	var err error
	if body == nil {
		c.Old, err = t.drop(key)
	} else {
		c.Old, c.New, err = t.load(body, revision)
	}
	if err != nil {
		return fmt.Errorf("%s %s at revision %d: %w", kind, key, revision, err)
	}
	tx.note(c)
	return nil
}
