package model

// KindSegmentRange is the kind of network segment ranges.
const KindSegmentRange Kind = "network_segment_range"

// SegmentRangeID identifies a network segment range.
type SegmentRangeID struct{ UUID }

// SegmentRange is segmentation ids that networks are given by themselves (API reference: network segment ranges).
type SegmentRange struct {
	ID   SegmentRangeID `json:"id"`
	Name string         `json:"name,omitempty"`
	// Default ranges stand for the configuration's and are not to be changed.
	Default bool `json:"default,omitempty"`
	// Shared: for all projects; else for ProjectID alone.
	Shared      bool   `json:"shared,omitempty"`
	ProjectID   string `json:"project_id,omitempty"`
	NetworkType string `json:"network_type"`
	Physnet     string `json:"physnet,omitempty"`
	// Min and Max are both included.
	Min uint32 `json:"min"`
	Max uint32 `json:"max"`
	Meta
}
