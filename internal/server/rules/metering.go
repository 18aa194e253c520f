package rules

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// MeteringExtra is what a client sends for a metering label or rule beyond what is stored in it.
type MeteringExtra struct{}

// CreateMeteringLabel completes l and puts it.
func (r *Rules) CreateMeteringLabel(tx *world.Tx, _ *Actor, l *model.MeteringLabel, _ *MeteringExtra) error {
	l.ID = model.MeteringLabelID{UUID: tx.NewUUID()}
	tx.MeteringLabels.Put(l)
	return nil
}

// DeleteMeteringLabel deletes a label with its rules.
func (r *Rules) DeleteMeteringLabel(tx *world.Tx, _ *Actor, l *model.MeteringLabel) error {
	for _, m := range slices.Collect(tx.MeteringLabelRules.ByLabel(l.ID)) {
		tx.MeteringLabelRules.Delete(m.ID)
	}
	tx.MeteringLabels.Delete(l.ID)
	return nil
}

// CreateMeteringLabelRule completes m and puts it. Its prefixes overlap with those of no other rule of the label, in
// the same direction and sense.
func (r *Rules) CreateMeteringLabelRule(tx *world.Tx, _ *Actor, m *model.MeteringLabelRule, _ *MeteringExtra) error {
	l := tx.MeteringLabels.Get(m.LabelID)
	if l == nil {
		return model.Errf(model.KindNotFound, "MeteringLabelNotFound", "Metering label '%s' does not exist.", idText(m.LabelID.UUID))
	}
	switch parts := m.Source.IsValid() || m.Destination.IsValid(); {
	case m.Remote.IsValid() && parts:
		return model.Errf(model.KindInvalid, "Invalid",
			"remote_ip_prefix cannot be given together with source_ip_prefix or destination_ip_prefix: leave one or the others out.")
	case !m.Remote.IsValid() && !parts:
		return model.Errf(model.KindInvalid, "Invalid",
			"A metering label rule needs source_ip_prefix, destination_ip_prefix, or remote_ip_prefix alone.")
	}
	for o := range tx.MeteringLabelRules.ByLabel(m.LabelID) {
		if o.Direction == m.Direction && o.Excluded == m.Excluded && metersSame(o, m) {
			return model.Errf(model.KindConflict, "MeteringLabelRuleOverlaps",
				"Metering label rule with remote_ip_prefix '%s' overlaps another.", prefixText(m.Remote))
		}
	}
	m.ID, m.ProjectID = model.MeteringLabelRuleID{UUID: tx.NewUUID()}, l.ProjectID
	tx.MeteringLabelRules.Put(m)
	return nil
}

// metersSame reports whether some packet is matched by both rules' prefixes, and both rules are of one form: remote, or
// source and destination.
func metersSame(a, b *model.MeteringLabelRule) bool {
	if a.Remote.IsValid() != b.Remote.IsValid() {
		return false
	}
	if a.Remote.IsValid() {
		return a.Remote.Overlaps(b.Remote)
	}
	meet := func(p, q netip.Prefix) bool { return !p.IsValid() || !q.IsValid() || p.Overlaps(q) }
	return meet(a.Source, b.Source) && meet(a.Destination, b.Destination)
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return "None"
	}
	return p.String()
}

// DeleteMeteringLabelRule deletes a rule.
func (r *Rules) DeleteMeteringLabelRule(tx *world.Tx, _ *Actor, m *model.MeteringLabelRule) error {
	tx.MeteringLabelRules.Delete(m.ID)
	return nil
}
