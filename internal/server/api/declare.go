package api

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// What descriptors write. T is what is stored, X what else a client may send. The engine is generic over the pointers to
// them, which all look alike to the compiler (as long as the constraint is any): it makes the engine once. Generic over T and
// X themselves it was made for each of the 40 resources.
type (
	// Resource declares a resource of the API.
	Resource[T, X any] = resource[*T, *X]
	// Change is what an update is asked for.
	Change[T, X any] = update[*T, *X]

	attr[T, X any]   = attribute[*T, *X]
	assign[T, X any] = assignment[*T, *X]
	source[T any]    = rowSource[*T]
	index[T any]     = rowIndex[*T]
	rows[T any]      = iter.Seq[*T] // in the order of ids
)

// table makes a source of a World's table whose key is an identifier.
func table[K ~struct{ model.UUID }, T any](of func(*world.World) *world.Table[K, T]) source[T] {
	return source[T]{
		get: func(w *world.World, id model.UUID) *T { return of(w).Get(K{id}) },
		all: func(w *world.World) iter.Seq[*T] { return of(w).All() },
		after: func(w *world.World, id model.UUID, reverse bool) iter.Seq[*T] {
			rows := of(w).From(K{id})
			if reverse {
				rows = of(w).BackwardFrom(K{id})
			}
			return func(yield func(*T) bool) {
				skip := of(w).Get(K{id})
				for v := range rows {
					if v != skip && !yield(v) {
						return
					}
				}
			}
		},
		back:  func(w *world.World) iter.Seq[*T] { return of(w).Backward() },
		put:   func(tx *world.Tx, v *T) { of(&tx.World).Put(v) },
		clone: clone[T],
	}
}

// clone is a copy of an object, or a new one.
func clone[T any](v *T) *T {
	c := new(T)
	if v != nil {
		*c = *v
	}
	return c
}

// isNil tells of a pointer whose type is a parameter what == nil would.
func isNil[P any](v P) bool {
	var none P
	return any(v) == any(none)
}
