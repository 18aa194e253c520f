package world

import (
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"unsafe"

	segmentio "github.com/segmentio/encoding/json"
	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/model"
)

// spec is what never changes about a table.
type spec[K, T any] struct {
	kind    model.Kind
	key     func(*T) K
	text    func(K) string // the key in the store
	parse   func(string) (K, error)
	place   func(K) wide         // the key in the order of rows: one of each
	meta    func(*T) *model.Meta // nil: no standard attributes
	project func(*T) string      // nil: not counted per project
	share   func(*T, words)      // makes of what was read as little memory as can be, texts that many rows have one; nil: rows are few
	indexes []func(*spec[K, T]) index[T]
}

// Table is the objects of one kind in the order of their keys, with their indexes. Objects in it are never written. Who
// writes a table while he reads a sequence of it must collect the sequence first (slices.Collect).
type Table[K, T any] struct {
	spec *spec[K, T]
	rows *tree[wide]
	idx  []index[T]
	tx   *Tx  // the transaction that may write; nil in a published World
	own  bool // rows and idx are this transaction's own copies
}

func newTable[K, T any](s spec[K, T]) Table[K, T] {
	t := Table[K, T]{spec: &s, rows: newTree[wide](nil)}
	for _, build := range s.indexes {
		t.idx = append(t.idx, build(t.spec))
	}
	return t
}

// Len is the number of rows.
func (t *Table[K, T]) Len() int { return t.rows.n }

// Get returns the row of a key, nil if there is none.
func (t *Table[K, T]) Get(k K) *T { return (*T)(t.rows.get(t.spec.place(k))) }

// at is where a row stands.
func (s *spec[K, T]) at(v *T) wide { return s.place(s.key(v)) }

// within orders rows by their keys.
func (s *spec[K, T]) within(a, b unsafe.Pointer) int {
	p, q := s.at((*T)(a)), s.at((*T)(b))
	return compare(&p, &q)
}

// rowsTo hands the rows that a tree visits to yield.
func rowsTo[T any](yield func(*T) bool) func(*item[wide]) bool {
	return func(i *item[wide]) bool { return yield((*T)(i.row)) }
}

// All yields every row in the order of keys.
func (t *Table[K, T]) All() iter.Seq[*T] {
	rows := t.rows
	return func(yield func(*T) bool) {
		rows.ascend(nil, rowsTo(yield))
	}
}

// From yields the rows whose key is k or later, in the order of keys.
func (t *Table[K, T]) From(k K) iter.Seq[*T] {
	rows, at := t.rows, t.spec.place(k)
	return func(yield func(*T) bool) {
		rows.ascend(&item[wide]{at: at}, rowsTo(yield))
	}
}

// Backward yields every row, last key first.
func (t *Table[K, T]) Backward() iter.Seq[*T] {
	rows := t.rows
	return func(yield func(*T) bool) {
		rows.descend(nil, rowsTo(yield))
	}
}

// BackwardFrom yields the rows whose key is k or earlier, last key first.
func (t *Table[K, T]) BackwardFrom(k K) iter.Seq[*T] {
	rows, at := t.rows, t.spec.place(k)
	return func(yield func(*T) bool) {
		rows.descend(&item[wide]{at: at}, rowsTo(yield))
	}
}

// Put stores v under its key, in place of what was there. It takes v over: stamps it with the transaction's revision
// and time, and nobody may write it afterwards. Only in a transaction.
func (t *Table[K, T]) Put(v *T) {
	k := t.spec.key(v)
	old := t.Get(k)
	if t.spec.meta != nil {
		m := t.spec.meta(v)
		m.Revision = t.tx.revision
		m.UpdatedAt = t.tx.now
		if old == nil && m.CreatedAt == 0 {
			m.CreatedAt = t.tx.now
		}
	}
	t.replace(old, v)
	t.tx.note(Change{Kind: t.spec.kind, Key: t.spec.text(k), Old: boxed(old), New: v})
}

// Delete removes the row of a key and returns it; nil if there is none. Only in a transaction.
func (t *Table[K, T]) Delete(k K) *T {
	old := t.Get(k)
	if old == nil {
		return nil
	}
	t.replace(old, nil)
	t.tx.note(Change{Kind: t.spec.kind, Key: t.spec.text(k), Old: old})
	return old
}

// boxed keeps a nil pointer a nil interface.
func boxed[T any](v *T) any {
	if v == nil {
		return nil
	}
	return v
}

// replace swaps old for new (either may be nil, both have the same key) in rows, indexes and usage.
func (t *Table[K, T]) replace(old, new *T) {
	if t.tx == nil {
		panic("world: a published world is not written: " + string(t.spec.kind))
	}
	t.unshare()
	if new != nil {
		t.rows.set(item[wide]{t.spec.at(new), unsafe.Pointer(new)})
	} else {
		t.rows.remove(item[wide]{at: t.spec.at(old)})
	}
	for _, x := range t.idx {
		x.replace(old, new)
	}
	if t.spec.project == nil {
		return
	}
	if old != nil {
		t.tx.Usage.add(t.spec.kind, t.spec.project(old), -1)
	}
	if new != nil {
		t.tx.Usage.add(t.spec.kind, t.spec.project(new), +1)
	}
}

// unshare gives the transaction its own copies; O(1), the trees share all their nodes until they are written.
func (t *Table[K, T]) unshare() {
	if t.own {
		return
	}
	t.rows = t.rows.copy()
	idx := make([]index[T], len(t.idx))
	for i, x := range t.idx {
		idx[i] = x.copy()
	}
	t.idx, t.own = idx, true
}

// The methods below let a World treat its tables alike.

func (t *Table[K, T]) kind() model.Kind { return t.spec.kind }

func (t *Table[K, T]) bind(tx *Tx) { t.tx, t.own = tx, false }

// load decodes a stored after-image and puts it, keeping its own revision and times. It returns what was there before
// and what is there now.
func (t *Table[K, T]) load(body []byte, revision uint64) (before, after any, err error) {
	v, err := t.decode(body, revision, words{})
	if err != nil {
		return nil, nil, err
	}
	row := v.(*T)
	old := t.Get(t.spec.key(row))
	t.replace(old, row)
	return boxed(old), v, nil
}

// decode makes an object of a stored after-image. It may run beside anything else. A start decodes every row: segmentio's reader takes a
// third of the time that encoding/json does.
func (t *Table[K, T]) decode(body []byte, revision uint64, known words) (any, error) {
	v := new(T)
	if err := segmentio.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if t.spec.meta != nil {
		t.spec.meta(v).Revision = revision
	}
	if t.spec.share != nil {
		t.spec.share(v, known)
	}
	return v, nil
}

// fill puts what decode has made into an empty table. Building trees of all rows at once takes a third of the time of
// putting one after the other, and leaves them dense.
func (t *Table[K, T]) fill(rows []any) error {
	t.unshare()
	items := make([]item[wide], len(rows))
	for i, v := range rows {
		items[i] = item[wide]{t.spec.at(v.(*T)), unsafe.Pointer(v.(*T))}
	}
	slices.SortFunc(items, func(a, b item[wide]) int { return compare(&a.at, &b.at) })
	all := make([]*T, len(items))
	for i := range items {
		all[i] = (*T)(items[i].row)
		if i > 0 && items[i].at == items[i-1].at {
			return fmt.Errorf("%s %s is there twice", t.spec.kind, t.spec.text(t.spec.key(all[i])))
		}
		if t.spec.project != nil {
			t.tx.Usage.add(t.spec.kind, t.spec.project(all[i]), 1)
		}
	}
	t.rows.build(items)
	var building errgroup.Group
	building.SetLimit(runtime.GOMAXPROCS(0)) // each takes twice the memory of what it makes
	for _, x := range t.idx {
		building.Go(func() error {
			x.build(all)
			return nil
		})
	}
	return building.Wait()
}

// drop removes the row of a key in the store's text and returns it; a row that is not there is no error.
func (t *Table[K, T]) drop(text string) (any, error) {
	k, err := t.spec.parse(text)
	if err != nil {
		return nil, err
	}
	old := t.Get(k)
	if old == nil {
		return nil, nil
	}
	t.replace(old, nil)
	return old, nil
}

// encode is the after-image of an object for the store; nil for a deletion.
func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// identified is what the types of identifiers in model have in common.
type identified interface {
	comparable
	Bits() model.UUID
	String() string
}

// uuidSpec is the spec of a table whose key is an identifier of type K.
func uuidSpec[K identified, PK interface {
	*K
	UnmarshalText([]byte) error
}, T any](kind model.Kind, key func(*T) K, meta func(*T) *model.Meta, project func(*T) string) spec[K, T] {
	return spec[K, T]{
		kind: kind, key: key, meta: meta, project: project,
		text:  func(k K) string { return k.String() },
		place: byUUID[K],
		parse: func(s string) (K, error) {
			var k K
			err := PK(&k).UnmarshalText([]byte(s))
			return k, err
		},
	}
}

// textSpec is the spec of a table whose key is a text.
func textSpec[T any](kind model.Kind, key func(*T) string, meta func(*T) *model.Meta) spec[string, T] {
	return spec[string, T]{
		kind: kind, key: key, meta: meta, place: byText,
		text:  func(k string) string { return k },
		parse: func(s string) (string, error) { return s, nil },
	}
}
