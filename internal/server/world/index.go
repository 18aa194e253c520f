package world

import (
	"iter"
	"math"
	"slices"
	"unsafe"
)

// Expand yields the values under which an index lists a row; none leaves the row out.
type expand[T, V any] func(v *T, yield func(V))

// index is a secondary order of a table's rows.
type index[T any] interface {
	copy() index[T]
	replace(old, new *T)
	// build fills an empty index with rows in the order of keys.
	build(rows []*T)
}

// lookup finds rows by a value of type V; rows of one value stand in the order of keys. It is in the order of a hash of the
// value and the beginning of the row's key, which takes half the memory of the value itself: what is found is compared.
type lookup[T any, V comparable] struct {
	tree   *tree[narrow]
	expand expand[T, V]
	hash   func(V) uint64
	key    func(*T) wide
}

// indexBy declares a lookup. ex may yield several values for a row.
func indexBy[K any, V comparable, T any](hash func(V) uint64, ex expand[T, V]) func(*spec[K, T]) index[T] {
	return func(s *spec[K, T]) index[T] {
		return &lookup[T, V]{newTree[narrow](s.within), ex, hash, s.at}
	}
}

func (x *lookup[T, V]) copy() index[T] {
	return &lookup[T, V]{x.tree.copy(), x.expand, x.hash, x.key}
}

func (x *lookup[T, V]) place(v *T, value V) narrow { return narrow{x.hash(value), x.key(v)[0]} }

func (x *lookup[T, V]) replace(old, new *T) {
	replaceIn(x.tree, old, new, func(v *T, yield func(narrow)) {
		x.expand(v, func(value V) { yield(x.place(v, value)) })
	})
}

func (x *lookup[T, V]) build(rows []*T) {
	items := make([]item[narrow], 0, len(rows))
	var row *T
	add := func(value V) { items = append(items, item[narrow]{x.place(row, value), unsafe.Pointer(row)}) }
	for _, row = range rows {
		x.expand(row, add)
	}
	x.tree.build(sorted(items, 1))
}

// ordered is the order of rows by a value of type V, and among equal values by key.
type ordered[T, V any] struct {
	tree   *tree[wide]
	expand expand[T, V]
	place  func(V) wide
}

// orderBy declares an order.
func orderBy[K, V, T any](place func(V) wide, ex expand[T, V]) func(*spec[K, T]) index[T] {
	return func(s *spec[K, T]) index[T] { return &ordered[T, V]{newTree[wide](s.within), ex, place} }
}

func (x *ordered[T, V]) copy() index[T] { return &ordered[T, V]{x.tree.copy(), x.expand, x.place} }

func (x *ordered[T, V]) replace(old, new *T) {
	replaceIn(x.tree, old, new, func(v *T, yield func(wide)) { x.expand(v, func(value V) { yield(x.place(value)) }) })
}

func (x *ordered[T, V]) build(rows []*T) {
	items := make([]item[wide], 0, len(rows))
	var row *T
	add := func(value V) { items = append(items, item[wide]{x.place(value), unsafe.Pointer(row)}) }
	for _, row = range rows {
		x.expand(row, add)
	}
	x.tree.build(sorted(items, len(wide{})))
}

// replaceIn swaps old for new, either of which may be nil, at the places that they have. What stays where it was is
// written over, which is half the work of removing and putting it.
func replaceIn[P place, T any](t *tree[P], old, new *T, places func(v *T, yield func(P))) {
	switch {
	case old == nil:
		places(new, func(p P) { t.set(item[P]{p, unsafe.Pointer(new)}) })
		return
	case new == nil:
		places(old, func(p P) { t.remove(item[P]{p, unsafe.Pointer(old)}) })
		return
	}
	var is []P
	places(new, func(p P) { is = append(is, p) })
	places(old, func(p P) {
		if !slices.Contains(is, p) {
			t.remove(item[P]{p, unsafe.Pointer(old)})
		}
	})
	for _, p := range is {
		t.set(item[P]{p, unsafe.Pointer(new)})
	}
}

// sorted orders items by the first words of their places, and leaves those that are alike in the order that they have: rows come in
// the order of their keys, by which the rest is ordered. It may use the items' memory. (It sorts by one byte after the other, the last
// first, which takes a tenth of the time of comparing.)
func sorted[P place](items []item[P], words int) []item[P] {
	from, to := items, make([]item[P], len(items))
	for word := words - 1; word >= 0; word-- {
		for shift := 0; shift < 64; shift += 8 {
			var begin [256]int // of each byte's items; first, how many there are
			for i := range from {
				begin[byte(from[i].at[word]>>shift)]++
			}
			if slices.Contains(begin[:], len(from)) {
				continue
			}
			n := 0
			for b, size := range begin {
				begin[b], n = n, n+size
			}
			for i := range from {
				b := byte(from[i].at[word] >> shift)
				to[begin[b]] = from[i]
				begin[b]++
			}
			from, to = to, from
		}
	}
	return from
}

// with yields the rows that index number i lists under value, in the order of keys.
func with[K, T any, V comparable](t *Table[K, T], i int, value V) iter.Seq[*T] {
	return beyond(t, i, value, nil, false)
}

// beyond yields the rows that index number i lists under value whose key is beyond that of after (nil: all of them), in
// the order of keys, or in the opposite order.
func beyond[K, T any, V comparable](t *Table[K, T], i int, value V, after *T, reverse bool) iter.Seq[*T] {
	x := t.idx[i].(*lookup[T, V])
	return func(yield func(*T) bool) {
		from, listed := item[narrow]{at: narrow{x.hash(value)}}, false
		compare := func(v V) { listed = listed || v == value }
		visit := func(i *item[narrow]) bool {
			v := (*T)(i.row)
			if listed = false; i.at[0] == from.at[0] && v != after {
				x.expand(v, compare)
			}
			return i.at[0] == from.at[0] && (!listed || yield(v))
		}
		if after != nil {
			from = item[narrow]{x.place(after, value), unsafe.Pointer(after)}
		}
		switch {
		case !reverse:
			x.tree.ascend(&from, visit)
		case after != nil:
			x.tree.descend(&from, visit)
		case from.at[0] == math.MaxUint64:
			x.tree.descend(nil, visit)
		default:
			x.tree.descend(&item[narrow]{at: narrow{from.at[0] + 1}}, visit)
		}
	}
}

// from yields places and rows of the order that is index number i from value on.
func from[K, V, T any](t *Table[K, T], i int, value V) iter.Seq2[*wide, *T] {
	x := t.idx[i].(*ordered[T, V])
	return func(yield func(*wide, *T) bool) {
		x.tree.ascend(&item[wide]{at: x.place(value)}, func(i *item[wide]) bool { return yield(&i.at, (*T)(i.row)) })
	}
}

// at returns the first row of exactly a value in the order that is index number i, nil if there is none.
func exactly[K, V, T any](t *Table[K, T], i int, value V) *T {
	want := t.idx[i].(*ordered[T, V]).place(value)
	for p, v := range from(t, i, value) {
		if *p == want {
			return v
		}
		break
	}
	return nil
}

// first is the first row of a sequence, nil if it is empty.
func first[T any](s iter.Seq[*T]) *T {
	for v := range s {
		return v
	}
	return nil
}
