package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// SecurityGroups by id; index by project.
type SecurityGroups struct {
	Table[model.SecurityGroupID, model.SecurityGroup]
}

func newSecurityGroups() SecurityGroups {
	type T = model.SecurityGroup
	s := uuidSpec(model.KindSecurityGroup, func(v *T) model.SecurityGroupID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[model.SecurityGroupID, T]) index[T]{
		indexBy[model.SecurityGroupID](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
	}
	return SecurityGroups{newTable(s)}
}

// ByProject yields a project's security groups.
func (t *SecurityGroups) ByProject(p string) iter.Seq[*model.SecurityGroup] {
	return with(&t.Table, 0, p)
}

// SecurityGroupRules by id; indexes by group, by remote group and by remote address group.
type SecurityGroupRules struct {
	Table[model.SecurityGroupRuleID, model.SecurityGroupRule]
}

func newSecurityGroupRules() SecurityGroupRules {
	type T = model.SecurityGroupRule
	type K = model.SecurityGroupRuleID
	s := uuidSpec(model.KindSecurityGroupRule, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashUUID[model.SecurityGroupID], func(v *T, yield func(model.SecurityGroupID)) { yield(v.GroupID) }),
		indexBy[K](hashUUID[model.SecurityGroupID], func(v *T, yield func(model.SecurityGroupID)) {
			if !v.RemoteGroup.IsZero() {
				yield(v.RemoteGroup)
			}
		}),
		indexBy[K](hashUUID[model.AddressGroupID], func(v *T, yield func(model.AddressGroupID)) {
			if !v.RemoteAddrs.IsZero() {
				yield(v.RemoteAddrs)
			}
		}),
	}
	return SecurityGroupRules{newTable(s)}
}

// ByGroup yields a group's rules.
func (t *SecurityGroupRules) ByGroup(g model.SecurityGroupID) iter.Seq[*model.SecurityGroupRule] {
	return with(&t.Table, 0, g)
}

// ByRemoteGroup yields the rules whose remote side is a group's members.
func (t *SecurityGroupRules) ByRemoteGroup(g model.SecurityGroupID) iter.Seq[*model.SecurityGroupRule] {
	return with(&t.Table, 1, g)
}

// ByAddressGroup yields the rules whose remote side is an address group.
func (t *SecurityGroupRules) ByAddressGroup(g model.AddressGroupID) iter.Seq[*model.SecurityGroupRule] {
	return with(&t.Table, 2, g)
}

// AddressGroups by id.
type AddressGroups struct {
	Table[model.AddressGroupID, model.AddressGroup]
}

func newAddressGroups() AddressGroups {
	type T = model.AddressGroup
	return AddressGroups{newTable(uuidSpec(model.KindAddressGroup, func(v *T) model.AddressGroupID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID }))}
}
