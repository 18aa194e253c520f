package world

import (
	"iter"
	"slices"
)

// Expand yields the values under which an index lists a row; none leaves the row out.
type expand[T, V any] func(v *T, yield func(V))

// order is the index of rows by a value of type V, and among equal values by key.
type order[T, V any] struct {
	tree   *tree
	expand expand[T, V]
	place  func(V) place
}

// indexBy declares an index. expand may yield several values for a row.
func indexBy[K, T, V any](by func(V) place, ex expand[T, V]) func(*spec[K, T]) index[T] {
	return func(s *spec[K, T]) index[T] {
		key := func(row any) place { return s.place(s.key(row.(*T))) }
		return &order[T, V]{newTree(key), ex, by}
	}
}

func (o *order[T, V]) copy() index[T] {
	return &order[T, V]{o.tree.Copy(), o.expand, o.place}
}

func (o *order[T, V]) replace(old, new *T) {
	if old != nil {
		o.expand(old, func(v V) { o.tree.Delete(item{o.place(v), old}) })
	}
	if new != nil {
		o.expand(new, func(v V) { o.tree.Set(item{o.place(v), new}) })
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
		at := o.place(value)
		o.tree.Ascend(item{place: at}, func(i item) bool { return i.place == at && yield(i.row.(*T)) })
	}
}

// beyond yields the rows that index number i lists under value whose key is beyond that of after (nil: all of them), in
// the order of keys, or in the opposite order.
func beyond[K, T, V any](t *Table[K, T], i int, value V, after *T, reverse bool) iter.Seq[*T] {
	o := t.idx[i].(*order[T, V])
	return func(yield func(*T) bool) {
		at := o.place(value)
		visit := func(i item) bool {
			v := i.row.(*T)
			return i.place == at && (v == after || yield(v))
		}
		switch {
		case !reverse:
			o.tree.Ascend(item{at, boxed(after)}, visit)
		case after != nil:
			o.tree.Descend(item{at, after}, visit)
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

// from yields places and rows of index number i from value on, in order.
func from[K, T, V any](t *Table[K, T], i int, value V) iter.Seq2[place, *T] {
	o := t.idx[i].(*order[T, V])
	return func(yield func(place, *T) bool) {
		o.tree.Ascend(item{place: o.place(value)}, func(i item) bool { return yield(i.place, i.row.(*T)) })
	}
}

// first is the first row of a sequence, nil if it is empty.
func first[T any](s iter.Seq[*T]) *T {
	for v := range s {
		return v
	}
	return nil
}
