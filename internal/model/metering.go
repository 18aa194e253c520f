package model

import "net/netip"

// The kinds of metering.
const (
	KindMeteringLabel     Kind = "metering_label"
	KindMeteringLabelRule Kind = "metering_label_rule"
)

// The identifiers of metering.
type (
	MeteringLabelID     struct{ UUID }
	MeteringLabelRuleID struct{ UUID }
)

// MeteringLabel names traffic that is counted at a project's routers (API reference: metering labels).
type MeteringLabel struct {
	ID        MeteringLabelID `json:"id"`
	ProjectID string          `json:"project_id"`
	Name      string          `json:"name"`
	// Shared: the routers of all projects, not of ProjectID alone.
	Shared bool `json:"shared,omitempty"`
	Meta
}

// MeteringLabelRule says which traffic a label counts, or (Excluded) does not. Remote is given alone; Source and
// Destination alone or together.
type MeteringLabelRule struct {
	ID          MeteringLabelRuleID `json:"id"`
	LabelID     MeteringLabelID     `json:"label_id"`
	ProjectID   string              `json:"project_id"` // the label's
	Direction   string              `json:"direction"`  // Ingress or Egress, seen from the project
	Excluded    bool                `json:"excluded,omitempty"`
	Remote      netip.Prefix        `json:"remote,omitzero"`
	Source      netip.Prefix        `json:"source,omitzero"`
	Destination netip.Prefix        `json:"destination,omitzero"`
	Meta
}
