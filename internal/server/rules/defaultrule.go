package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// builtInRules are the default rules that every cloud begins with: everything out of any group; and into a default
// group from its own members. Their identifiers are the same in every cloud.
func builtInRules() []*model.DefaultRule {
	out := make([]*model.DefaultRule, 0, 4)
	add := func(n byte, direction, ether string, parent bool) {
		id := model.NewUUIDv4([16]byte{'w', 'e', 'f', 't', 's', 'g', 0, 0, 0, 0, 0, 0, 0, 0, 0, n})
		out = append(out, &model.DefaultRule{Rule: model.SecurityGroupRule{ID: model.SecurityGroupRuleID{UUID: id}, Direction: direction, EtherType: ether},
			RemoteParent: parent, InDefault: true, InCustom: !parent})
	}
	add(1, model.Egress, model.EtherIP4, false)
	add(2, model.Egress, model.EtherIP6, false)
	add(3, model.Ingress, model.EtherIP4, true)
	add(4, model.Ingress, model.EtherIP6, true)
	return out
}

// DefaultRules are the rules that new security groups begin with, in the order of ids.
func DefaultRules(w *world.World) []*model.DefaultRule {
	var out []*model.DefaultRule
	for _, d := range builtInRules() {
		if w.DefaultRules.Get(d.Rule.ID) == nil {
			out = append(out, d)
		}
	}
	for d := range w.DefaultRules.All() {
		if !d.Gone {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *model.DefaultRule) int { return a.Rule.ID.Compare(b.Rule.ID.UUID) })
	return out
}

// beginningRules are the rules of a new group.
func beginningRules(w *world.World, g *model.SecurityGroup) []*model.SecurityGroupRule {
	var out []*model.SecurityGroupRule
	isDefault := g.Name == DefaultGroup
	for _, d := range DefaultRules(w) {
		if isDefault && !d.InDefault || !isDefault && !d.InCustom {
			continue
		}
		v := d.Rule
		v.Meta = model.Meta{Description: d.Rule.Description}
		v.ProjectID, v.GroupID, v.BelongsDefault = g.ProjectID, g.ID, isDefault
		if d.RemoteParent {
			v.RemoteGroup = g.ID
		}
		out = append(out, &v)
	}
	return out
}

// putBeginning puts the rules that a new group begins with.
func putBeginning(tx *world.Tx, g *model.SecurityGroup) {
	for _, v := range beginningRules(&tx.World, g) {
		v.ID = model.SecurityGroupRuleID{UUID: tx.NewUUID()}
		tx.SecurityGroupRules.Put(v)
	}
}

// DefaultRuleExtra is what a client sends for a default rule beyond what is stored in it.
type DefaultRuleExtra struct{}

// CreateDefaultRule completes d and puts it.
func (r *Rules) CreateDefaultRule(tx *world.Tx, by *Actor, d *model.DefaultRule, _ *DefaultRuleExtra) error {
	if err := checkRule(&d.Rule); err != nil {
		return err
	}
	probe := d.Rule
	if d.RemoteParent { // any group stands for it: that there is at most one remote side is what is tested
		if probe.RemotePrefix.IsValid() || !probe.RemoteAddrs.IsZero() {
			return model.Errf(model.KindInvalid, "SecurityGroupMultipleRemoteEntites",
				"Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
		}
	}
	if err := oneRemote(&probe, &SecurityGroupRuleExtra{}); err != nil {
		return err
	}
	if err := checkRemotes(tx, by, &probe, &SecurityGroupRuleExtra{}); err != nil {
		return err
	}
	for _, o := range DefaultRules(&tx.World) {
		if o.RemoteParent == d.RemoteParent && o.InDefault == d.InDefault && o.InCustom == d.InCustom && sameRule(&o.Rule, &d.Rule) {
			return model.Errf(model.KindConflict, "DefaultSecurityGroupRuleExists", "Default Security group rule already exists. Rule id is %s.", o.Rule.ID)
		}
	}
	d.Rule.ID = model.SecurityGroupRuleID{UUID: tx.NewUUID()}
	tx.DefaultRules.Put(d)
	return nil
}

// DeleteDefaultRule deletes a default rule; groups that have begun with it keep theirs.
func (r *Rules) DeleteDefaultRule(tx *world.Tx, _ *Actor, d *model.DefaultRule) error {
	if slices.ContainsFunc(builtInRules(), func(b *model.DefaultRule) bool { return b.Rule.ID == d.Rule.ID }) {
		c := *d
		c.Gone = true
		tx.DefaultRules.Put(&c)
		return nil
	}
	tx.DefaultRules.Delete(d.Rule.ID)
	return nil
}
