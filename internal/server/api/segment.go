package api

import (
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	segments      = Resource[model.Segment, rules.SegmentExtra]
	segmentRanges = Resource[model.SegmentRange, rules.SegmentRangeExtra]
)

func segmentResource(ru *rules.Rules) *segments {
	type T = model.Segment
	type X = rules.SegmentExtra
	r := &segments{
		single: true, loaded: true, name: "segment", plural: "segments", word: "Segment", extra: rules.NewSegmentExtra,
		source: table(func(w *world.World) *world.Table[model.SegmentID, T] { return &w.Segments.Table }),
		id:     func(s *T) model.UUID { return s.ID.UUID },
		meta:   func(s *T) *model.Meta { return &s.Meta },
		create: ru.CreateSegment,
		update: func(tx *world.Tx, _ *rules.Actor, c Change[T, X]) error { return ru.UpdateSegment(tx, c.New) },
		remove: ru.DeleteSegment,
		indexes: []index[T]{{"network_id", func(w *world.World, v string) rows[T] {
			return w.Segments.ByNetwork(model.NetworkID{UUID: idOf(v)})
		}}},
	}
	r.identified()
	ignoredOwner(r)
	r.uuid("network_id", func(s *T) *model.UUID { return &s.NetworkID.UUID }).must()
	r.nullable("name", func(s *T) *string { return &s.Name }).rw()
	r.text("network_type", func(s *T) *string { return &s.NetworkType }).must().limit(32)
	r.nullable("physical_network", func(s *T) *string { return &s.Physnet }).inPost().limit(64).null = false
	a := r.number("segmentation_id", func(s *T) int64 { return int64(s.SegmentationID) }).inPost()
	a.append = func(b []byte, s *T, _ *View) []byte { return appendSegmentationID(b, s) }
	a.convert(func(v Value) (assign[T, X], error) {
		q := rules.SegmentRequest{SegmentationID: -1}
		if _, err := intValue(v); err != nil {
			return nil, err
		}
		err := setSegmentationID(&q, v)
		return func(_ *T, x *X) { x.SegmentationID = q.SegmentationID }, err
	})
	r.standard()
	nullDescription(r)
	return r
}

// ignoredOwner lets clients say whose a thing is that is nobody's.
func ignoredOwner[P, E any](r *resource[P, E]) {
	for _, name := range []string{"project_id", "tenant_id"} {
		r.input(name, func(v Value) (assignment[P, E], error) {
			_, err := textValue(v, 255)
			return func(P, E) {}, err
		}).inPost()
	}
}

// nullDescription shows a description that nobody has given as null; nobody may write null.
func nullDescription[P, E any](r *resource[P, E]) {
	a := r.attr("description")
	a.append = func(b []byte, v P, _ *View) []byte { return appendStringOrNull(b, r.meta(v).Description) }
	a.convert(func(v Value) (assignment[P, E], error) {
		s, err := textValue(v, 255)
		return func(t P, _ E) { r.meta(t).Description = s }, err
	})
}

// maxAvailable bounds how many free ids of a range are listed: a range may have 16 million.
const maxAvailable = 1 << 16

func segmentRangeResource(ru *rules.Rules) *segmentRanges {
	type T = model.SegmentRange
	type X = rules.SegmentRangeExtra
	r := &segmentRanges{
		name: "network_segment_range", plural: "network_segment_ranges", path: "network_segment_ranges",
		word: "NetworkSegmentRange", gone: "Network Segment Range %s could not be found.", tagged: true, loaded: true,
		source:     table(func(w *world.World) *world.Table[model.SegmentRangeID, T] { return &w.SegmentRanges.Table }),
		id:         func(g *T) model.UUID { return g.ID.UUID },
		meta:       func(g *T) *model.Meta { return &g.Meta },
		project:    func(g *T) string { return g.ProjectID },
		setProject: func(g *T, p string) { g.ProjectID = p },
		create:     ru.CreateSegmentRange,
		update: func(tx *world.Tx, _ *rules.Actor, c Change[T, X]) error {
			return ru.UpdateSegmentRange(tx, c.Old, c.New, c.X)
		},
		remove: ru.DeleteSegmentRange,
	}
	r.identified()
	r.text("name", func(g *T) *string { return &g.Name }).rw()
	r.owned()
	r.attr("tenant_id").append = nil
	r.attr("project_id").append = func(b []byte, g *T, _ *View) []byte { return appendStringOrNull(b, g.ProjectID) }
	r.flag("default", func(g *T) *bool { return &g.Default })
	r.flag("shared", func(g *T) *bool { return &g.Shared }).noFilter().inPost().initially(func(g *T, _ *X) { g.Shared = true })
	oneOf(r.text("network_type", func(g *T) *string { return &g.NetworkType }).inPost(), "vlan", "vxlan", "gre", "geneve")
	r.nullable("physical_network", func(g *T) *string { return &g.Physnet }).inPost().limit(64).null = false
	bound(r, "minimum", func(g *T) *uint32 { return &g.Min })
	bound(r, "maximum", func(g *T) *uint32 { return &g.Max })
	r.derived("used", appendRangeUse)
	r.derived("available", appendAvailable)
	r.standard()
	return r
}

// bound declares an end of a range.
func bound(r *segmentRanges, name string, field func(*model.SegmentRange) *uint32) {
	r.number(name, func(g *model.SegmentRange) int64 { return int64(*field(g)) }).must().inPut().
		convert(func(v Value) (assign[model.SegmentRange, rules.SegmentRangeExtra], error) {
			n, err := intValue(v)
			switch {
			case err != nil:
				return nil, err
			case n < 1:
				return nil, reasonf("'%d' is too small - must be at least '1'.", n)
			case n > 1<<32-1:
				return nil, reasonf("'%d' is too large - must be no larger than '%d'.", n, 1<<32-1)
			}
			return func(g *model.SegmentRange, x *rules.SegmentRangeExtra) { *field(g), x.Bounds = uint32(n), true }, nil
		})
}

// appendRangeUse shows which ids are used, and by whose networks.
func appendRangeUse(b []byte, g *model.SegmentRange, x *View) []byte {
	b = append(b, '{')
	first := true
	for id, s := range rules.RangeUse(x.W, g) {
		n := x.W.Networks.Get(s.NetworkID)
		if n == nil {
			continue
		}
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = append(strconv.AppendUint(append(b, '"'), uint64(id), 10), `": `...)
		b = appendString(b, n.ProjectID)
	}
	return append(b, '}')
}

// appendAvailable shows which ids are free, at most the first maxAvailable.
func appendAvailable(b []byte, g *model.SegmentRange, x *View) []byte {
	var used []uint32
	for id := range rules.RangeUse(x.W, g) {
		used = append(used, id)
	}
	b = append(b, '[')
	n := 0
	for id := uint64(g.Min); id <= uint64(g.Max) && n < maxAvailable; id++ {
		if _, taken := slices.BinarySearch(used, uint32(id)); taken {
			continue
		}
		if n++; n > 1 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, id, 10)
	}
	return append(b, ']')
}
