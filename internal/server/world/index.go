package world

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"
)

// Expand yields the values under which an index lists a row; none leaves the row out.
type expand[T, V any] func(v *T, yield func(V))

type entry[T, V any] struct {
	value V
	v     *T // nil sorts before every row of the value
}

// order is the index of rows by a value of type V, and among equal values by key.
type order[T, V any] struct {
	tree    *btree.BTreeG[entry[T, V]]
	expand  expand[T, V]
	compare func(a, b V) int
}

// indexBy declares an index. expand may yield several values for a row.
func indexBy[K, T, V any](compare func(a, b V) int, ex expand[T, V]) func(*spec[K, T]) index[T] {
	return func(s *spec[K, T]) index[T] {
		less := func(a, b entry[T, V]) bool {
			if c := compare(a.value, b.value); c != 0 {
				return c < 0
			}
			switch {
			case a.v == nil || b.v == nil:
				return a.v == nil && b.v != nil
			default:
				return s.compare(s.key(a.v), s.key(b.v)) < 0
			}
		}
		return &order[T, V]{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: degree}), ex, compare}
	}
}

func (o *order[T, V]) copy() index[T] {
	return &order[T, V]{o.tree.Copy(), o.expand, o.compare}
}

func (o *order[T, V]) replace(old, new *T) {
	if old != nil {
		o.expand(old, func(v V) { o.tree.Delete(entry[T, V]{v, old}) })
	}
	if new != nil {
		o.expand(new, func(v V) { o.tree.Set(entry[T, V]{v, new}) })
	}
}

// index is a secondary order of a table's rows.
type index[T any] interface {
	copy() index[T]
	replace(old, new *T)
}

// with yields the rows that index number i lists under value, in the order of keys.
func with[K, T, V any](t *Table[K, T], i int, value V) iter.Seq[*T] {
	o := t.idx[i].(*order[T, V])
	return func(yield func(*T) bool) {
		o.tree.Ascend(entry[T, V]{value: value}, func(e entry[T, V]) bool {
			return o.compare(e.value, value) == 0 && yield(e.v)
		})
	}
}

// beyond yields the rows that index number i lists under value whose key is beyond that of after (nil: all of them), in
// the order of keys, or in the opposite order.
func beyond[K, T, V any](t *Table[K, T], i int, value V, after *T, reverse bool) iter.Seq[*T] {
	o := t.idx[i].(*order[T, V])
	return func(yield func(*T) bool) {
		visit := func(e entry[T, V]) bool {
			return o.compare(e.value, value) == 0 && (e.v == after || yield(e.v))
		}
		switch {
		case !reverse:
			o.tree.Ascend(entry[T, V]{value, after}, visit)
		case after != nil:
			o.tree.Descend(entry[T, V]{value, after}, visit)
		default:
			rows := slices.Collect(with(t, i, value))
			for _, v := range slices.Backward(rows) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// from yields values and rows of index number i from value on, in order.
func from[K, T, V any](t *Table[K, T], i int, value V) iter.Seq2[V, *T] {
	o := t.idx[i].(*order[T, V])
	return func(yield func(V, *T) bool) {
		o.tree.Ascend(entry[T, V]{value: value}, func(e entry[T, V]) bool { return yield(e.value, e.v) })
	}
}

// first is the first row of a sequence, nil if it is empty.
func first[T any](s iter.Seq[*T]) *T {
	for v := range s {
		return v
	}
	return nil
}
