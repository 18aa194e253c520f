package rules

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// configured are the configuration's ranges of a carrier's type and physical network.
func (r *Rules) configured(c world.Carrier) []Range {
	switch c.Type {
	case model.TypeVXLAN:
		return r.cfg.VNIRanges
	case model.TypeGRE:
		return r.cfg.GRERanges
	case model.TypeVLAN:
		return r.cfg.VLANRanges[c.Physnet]
	}
	return nil
}

// free takes an unused id for a network of a project: of the project's own ranges first, then of those for all.
func (r *Rules) free(tx *world.Tx, c world.Carrier, project string) (world.Carrier, error) {
	if own := ownRanges(tx, c, project); own != nil {
		if got, err := freeIn(tx, c, own); err == nil {
			return got, nil
		}
	}
	return freeIn(tx, c, r.sharedRanges(tx, c, project))
}

// ownRanges are the ranges that a project has to itself.
func ownRanges(tx *world.Tx, c world.Carrier, project string) []Range {
	var out []Range
	for g := range tx.SegmentRanges.All() {
		if !g.Shared && g.ProjectID == project && g.NetworkType == c.Type && g.Physnet == c.Physnet {
			out = append(out, Range{g.Min, g.Max})
		}
	}
	return mergedRanges(out)
}

// sharedRanges are the configured ranges and the shared ones, without what other projects have to themselves.
func (r *Rules) sharedRanges(tx *world.Tx, c world.Carrier, project string) []Range {
	out := r.configured(c)
	if tx.SegmentRanges.Len() == 0 {
		return out
	}
	out = slices.Clone(out)
	var others []Range
	for g := range tx.SegmentRanges.All() {
		switch {
		case g.Default || g.NetworkType != c.Type || g.Physnet != c.Physnet:
		case g.Shared:
			out = append(out, Range{g.Min, g.Max})
		case g.ProjectID != project:
			others = append(others, Range{g.Min, g.Max})
		}
	}
	out = mergedRanges(out)
	for _, o := range others {
		out = withoutRange(out, o)
	}
	return out
}

// mergedRanges sorts ranges and makes one of those that meet.
func mergedRanges(in []Range) []Range {
	slices.SortFunc(in, func(a, b Range) int { return cmp.Compare(a.Min, b.Min) })
	var out []Range
	for _, g := range in {
		if n := len(out); n > 0 && g.Min <= out[n-1].Max {
			out[n-1].Max = max(out[n-1].Max, g.Max)
			continue
		}
		out = append(out, g)
	}
	return out
}

// withoutRange takes one range out of others.
func withoutRange(in []Range, x Range) []Range {
	var out []Range
	for _, g := range in {
		if x.Max < g.Min || g.Max < x.Min {
			out = append(out, g)
			continue
		}
		if g.Min < x.Min {
			out = append(out, Range{g.Min, x.Min - 1})
		}
		if x.Max < g.Max {
			out = append(out, Range{x.Max + 1, g.Max})
		}
	}
	return out
}

// SyncSegmentRanges makes the default ranges those of the configuration. It is for a server's start; a range that is
// there already keeps its id.
func (r *Rules) SyncSegmentRanges(tx *world.Tx) error {
	want := map[model.SegmentRangeID]*model.SegmentRange{}
	add := func(typ, physnet string, ranges []Range) {
		for _, g := range ranges {
			v := &model.SegmentRange{Default: true, Shared: true, NetworkType: typ, Physnet: physnet, Min: g.Min, Max: g.Max}
			sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", typ, physnet, g.Min, g.Max))
			v.ID = model.SegmentRangeID{UUID: model.NewUUIDv4([16]byte(sum[:16]))}
			want[v.ID] = v
		}
	}
	for _, typ := range r.cfg.TypeDrivers {
		if typ == model.TypeVLAN {
			for p, ranges := range r.cfg.VLANRanges {
				add(typ, p, ranges)
			}
			continue
		}
		add(typ, "", r.configured(world.Carrier{Type: typ}))
	}
	for _, g := range slices.Collect(tx.SegmentRanges.All()) {
		if want[g.ID] != nil {
			delete(want, g.ID)
		} else if g.Default {
			tx.SegmentRanges.Delete(g.ID)
		}
	}
	for _, g := range want {
		tx.SegmentRanges.Put(g)
	}
	return nil
}

// SegmentRangeExtra is what a client sends for a range beyond what is stored in it.
type SegmentRangeExtra struct{ Bounds bool } // Bounds: minimum or maximum was sent

// CreateSegmentRange checks g and puts it.
func (r *Rules) CreateSegmentRange(tx *world.Tx, _ *Actor, g *model.SegmentRange, _ *SegmentRangeExtra) error {
	if !slices.Contains([]string{model.TypeVLAN, model.TypeVXLAN, model.TypeGRE}, g.NetworkType) || !slices.Contains(r.cfg.TypeDrivers, g.NetworkType) {
		return model.Errf(model.KindInvalid, "NetworkSegmentRangeNetTypeNotSupported",
			"Network type %s does not support network segment ranges.", g.NetworkType)
	}
	switch _, known := r.cfg.VLANRanges[g.Physnet]; {
	case g.NetworkType != model.TypeVLAN:
		g.Physnet = ""
	case g.Physnet == "":
		return badRequest("network_segment_range", "Network type vlan requires 'physical_network' to be specified while creating new range")
	case !known:
		return badRequest("network_segment_range", "physical_network '%s' is not in network_vlan_ranges: add it there first", g.Physnet)
	}
	if g.Shared {
		g.ProjectID = ""
	} else if g.ProjectID == "" {
		return badRequest("network_segment_range", "A range that is not shared must have a project_id")
	}
	g.ID = model.SegmentRangeID{UUID: tx.NewUUID()}
	if err := checkRange(tx, g); err != nil {
		return err
	}
	tx.SegmentRanges.Put(g)
	return nil
}

func checkRange(tx *world.Tx, g *model.SegmentRange) error {
	most, typ, word := uint32(maxVNI), "NetworkTunnelRangeError", "tunnel"
	switch g.NetworkType {
	case model.TypeVLAN:
		most, typ, word = maxVLAN, "NetworkVlanRangeError", "VLAN"
	case model.TypeGRE:
		most = 1<<32 - 1
	}
	why := ""
	switch {
	case g.Max > most:
		why = fmt.Sprintf("%d is not a valid %s identifier: the largest is %d", g.Max, word, most)
	case g.Min > g.Max:
		why = "End of range is less than start of range"
	}
	if why != "" {
		return model.Errf(model.KindInvalid, typ, "Invalid network %s range: '%d:%d' - '%s'.", word, g.Min, g.Max, why)
	}
	var overlaps []string
	for o := range tx.SegmentRanges.All() {
		if !o.Default && o.ID != g.ID && o.NetworkType == g.NetworkType && o.Physnet == g.Physnet && g.Min <= o.Max && o.Min <= g.Max {
			overlaps = append(overlaps, o.ID.String())
		}
	}
	if overlaps != nil {
		return model.Errf(model.KindConflict, "NetworkSegmentRangeOverlaps",
			"Network segment range overlaps with range(s) with id %s", strings.Join(overlaps, ", "))
	}
	return nil
}

// UpdateSegmentRange puts g, which is old with what the client changed: only beyond what is in use, never up to it.
func (r *Rules) UpdateSegmentRange(tx *world.Tx, old, g *model.SegmentRange, x *SegmentRangeExtra) error {
	if old.Default {
		return errDefaultRange(g.ID)
	}
	if first, last, ok := usedWithin(&tx.World, old); x.Bounds && ok && (g.Min >= first || g.Max <= last) {
		return errRangeUsed(g.ID)
	}
	if err := checkRange(tx, g); err != nil {
		return err
	}
	tx.SegmentRanges.Put(g)
	return nil
}

// DeleteSegmentRange removes a range of which no id is in use.
func (r *Rules) DeleteSegmentRange(tx *world.Tx, _ *Actor, g *model.SegmentRange) error {
	if g.Default {
		return errDefaultRange(g.ID)
	}
	if _, _, ok := usedWithin(&tx.World, g); ok {
		return errRangeUsed(g.ID)
	}
	tx.SegmentRanges.Delete(g.ID)
	return nil
}

func errDefaultRange(id model.SegmentRangeID) error {
	return model.Errf(model.KindInvalid, "NetworkSegmentRangeDefaultReadOnly",
		"Network Segment Range %s is a default segment range which could not be updated or deleted.", id)
}

func errRangeUsed(id model.SegmentRangeID) error {
	return model.Errf(model.KindConflict, "NetworkSegmentRangeReferencedByProject",
		"Network Segment Range %s is referenced by one or more tenant networks.", id)
}

// RangeUse yields the segments whose id is in a range, in the order of ids.
func RangeUse(w *world.World, g *model.SegmentRange) func(yield func(id uint32, s *model.Segment) bool) {
	return func(yield func(uint32, *model.Segment) bool) {
		for c, s := range w.Segments.CarriersFrom(world.Carrier{Type: g.NetworkType, Physnet: g.Physnet, ID: g.Min}) {
			if c.Type != g.NetworkType || c.Physnet != g.Physnet || c.ID > g.Max || !yield(c.ID, s) {
				return
			}
		}
	}
}

func usedWithin(w *world.World, g *model.SegmentRange) (first, last uint32, ok bool) {
	for id := range RangeUse(w, g) {
		if !ok {
			first, ok = id, true
		}
		last = id
	}
	return first, last, ok
}
