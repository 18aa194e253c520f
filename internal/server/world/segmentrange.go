package world

import "github.com/weft-cloud/weft/internal/model"

// SegmentRanges by id.
type SegmentRanges struct {
	Table[model.SegmentRangeID, model.SegmentRange]
}

func newSegmentRanges() SegmentRanges {
	type T = model.SegmentRange
	return SegmentRanges{newTable(uuidSpec(model.KindSegmentRange, func(v *T) model.SegmentRangeID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, nil))}
}
