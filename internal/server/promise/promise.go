// Package promise says what objects ask for that no data plane carries out. The API keeps and shows such things as Neutron
// does; nobody may be led to think that they work. The one table here is what the warnings of the API, the server's status
// and the page of extensions are made of. Whoever makes a data plane carry something out takes its row away.
//
// The package looks at objects; it refuses nothing and decides nothing.
package promise

import (
	"iter"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Gap is one thing that is stored and shown, and not carried out.
type Gap struct {
	// Name is short, for logs and status.
	Name string
	// Partly: most of what the extensions do is carried out.
	Partly bool
	// Extensions are the aliases of the API's extensions that it is of; none: the core's.
	Extensions []string
	// What asks for it, in words.
	Asked string
	// Why is the sentence that a client is told: what does not happen. It has no quotation marks.
	Why string

	parts []part
}

// part is the objects of one type that may ask for a gap.
type part struct {
	asks  func(w *world.World, v any) bool
	count func(w *world.World) int
}

// by makes a part of the rows of a table that ask holds for.
func by[T any](rows func(w *world.World) iter.Seq[*T], ask func(w *world.World, v *T) bool) part {
	return part{
		asks: func(w *world.World, v any) bool {
			t, ok := v.(*T)
			return ok && t != nil && ask(w, t)
		},
		count: func(w *world.World) int {
			n := 0
			for v := range rows(w) {
				if ask(w, v) {
					n++
				}
			}
			return n
		},
	}
}

// told makes a part of objects that are warned about and not counted, since others that ask for the same are.
func told[T any](ask func(w *world.World, v *T) bool) part {
	return by(func(*world.World) iter.Seq[*T] { return func(func(*T) bool) {} }, ask)
}

func always[T any](*world.World, *T) bool { return true }

// Asks reports whether an object, a pointer to a type of model, asks for the gap. w is the world that it is in.
func (g *Gap) Asks(w *world.World, v any) bool {
	return slices.ContainsFunc(g.parts, func(p part) bool { return p.asks(w, v) })
}

// Objects is how many objects of a world ask for the gap.
func (g *Gap) Objects(w *world.World) int {
	n := 0
	for _, p := range g.parts {
		n += p.count(w)
	}
	return n
}

// Of are the gaps that an object asks for and that before, its former state (nil: none), did not ask for.
func Of(w *world.World, v, before any) []*Gap {
	var out []*Gap
	for _, g := range table {
		if g.Asks(w, v) && (before == nil || !g.Asks(w, before)) {
			out = append(out, g)
		}
	}
	return out
}

// Gaps is the table, in the order of names.
func Gaps() []*Gap { return slices.Clone(table) }

// Use is how far a gap matters in a world.
type Use struct {
	Name    string `json:"name"`
	Objects int    `json:"objects"`
	Why     string `json:"why"`
}

// InUse are the gaps that objects of a world ask for.
func InUse(w *world.World) []Use {
	out := []Use{}
	for _, g := range table {
		if n := g.Objects(w); n > 0 {
			out = append(out, Use{g.Name, n, g.Why})
		}
	}
	return out
}

// segments reports whether a network has a segment of which ask holds.
func segments(w *world.World, n model.NetworkID, ask func(*model.Segment) bool) bool {
	return slices.ContainsFunc(rules.NetworkSegments(w, n), ask)
}
