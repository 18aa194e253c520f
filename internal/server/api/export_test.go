package api

import (
	"maps"
	"net/http"
	"slices"
)

// Collection is what tests must know of a part of the API to leave none out.
type Collection struct {
	Path, Name string // "qos/policies", "policy"
	// Attrs are the names of its attributes; Below what may follow an object's id.
	Attrs, Below []string
}

// Surface is everything that a handler made by New offers.
func Surface(h http.Handler) []Collection {
	s := h.(*server)
	var out []Collection
	for _, path := range slices.Sorted(maps.Keys(s.endpoints)) {
		if s.endpoints[path].pathName() != path {
			continue // the same by its other name
		}
		c := Collection{Path: path, Name: "object"}
		if r, ok := s.endpoints[path].(interface{ surface() Collection }); ok {
			c = r.surface()
		}
		out = append(out, c)
	}
	return out
}

func (r *resource[P, E]) surface() Collection {
	c := Collection{Path: r.path, Name: r.name, Below: []string{"tags", "tags/x"}}
	for _, a := range r.attrs {
		c.Attrs = append(c.Attrs, a.name)
	}
	c.Below = slices.Concat(c.Below, slices.Sorted(maps.Keys(r.actions)), slices.Sorted(maps.Keys(r.subs)))
	return c
}

// FillLane takes every place in the lane of long answers, until the returned function is called.
func FillLane(h http.Handler) (empty func()) {
	lane := h.(*server).lane
	for range cap(lane) {
		lane <- struct{}{}
	}
	return func() {
		for range cap(lane) {
			<-lane
		}
	}
}

// LaneInUse is how many answers are in the lane.
func LaneInUse(h http.Handler) int { return len(h.(*server).lane) }
