package rules

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// DefaultGroup is the name of the group that every project has.
const DefaultGroup = "default"

// defaultGroup is a project's default group, nil if it has none yet.
func defaultGroup(w *world.World, project string) *model.SecurityGroup {
	for g := range w.SecurityGroups.ByProject(project) {
		if g.Name == DefaultGroup {
			return g
		}
	}
	return nil
}

// HasDefaultGroup reports whether a project has its default group.
func HasDefaultGroup(w *world.World, project string) bool {
	return project == "" || defaultGroup(w, project) != nil
}

// EnsureDefaultGroup gives a project its default group, with the default rules for such. It is made at the project's first touch, as Neutron does.
func (r *Rules) EnsureDefaultGroup(tx *world.Tx, project string) *model.SecurityGroup {
	if g := defaultGroup(&tx.World, project); g != nil || project == "" {
		return g
	}
	g := &model.SecurityGroup{ID: model.SecurityGroupID{UUID: tx.NewUUID()}, ProjectID: project, Name: DefaultGroup, Stateful: true}
	g.Description = "Default security group"
	tx.SecurityGroups.Put(g)
	putBeginning(tx, g)
	return g
}

// SecurityGroupExtra is what a client sends for a group beyond what is stored in it.
type SecurityGroupExtra struct{}

// CreateSecurityGroup completes g, gives it the default rules for new groups, and puts it.
func (r *Rules) CreateSecurityGroup(tx *world.Tx, _ *Actor, g *model.SecurityGroup, _ *SecurityGroupExtra) error {
	if g.Name == DefaultGroup && defaultGroup(&tx.World, g.ProjectID) != nil {
		return model.Errf(model.KindConflict, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	if g.Name != DefaultGroup {
		r.EnsureDefaultGroup(tx, g.ProjectID)
	}
	if err := r.CheckQuota(tx, model.KindSecurityGroupRule, g.ProjectID, len(beginningRules(&tx.World, g))); err != nil {
		return err
	}
	g.ID = model.SecurityGroupID{UUID: tx.NewUUID()}
	tx.SecurityGroups.Put(g)
	putBeginning(tx, g)
	return nil
}

// UpdateSecurityGroup puts g, which is old with what the client changed.
func (r *Rules) UpdateSecurityGroup(tx *world.Tx, _ *Actor, old, g *model.SecurityGroup, _ *SecurityGroupExtra) error {
	if (old.Name == DefaultGroup || g.Name == DefaultGroup) && g.Name != old.Name {
		return model.Errf(model.KindConflict, "SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
	}
	if old.Stateful != g.Stateful && groupUsed(tx, g.ID) {
		return inUse(g.ID)
	}
	tx.SecurityGroups.Put(g)
	return nil
}

func groupUsed(tx *world.Tx, g model.SecurityGroupID) bool {
	for range tx.Ports.BySecurityGroup(g) {
		return true
	}
	return false
}

func inUse(g model.SecurityGroupID) error {
	return model.Errf(model.KindConflict, "SecurityGroupInUse", "Security Group %s in use.", g)
}

// DeleteSecurityGroup removes a group that no port is in, with its rules and those of others that refer to it.
func (r *Rules) DeleteSecurityGroup(tx *world.Tx, by *Actor, g *model.SecurityGroup) error {
	if groupUsed(tx, g.ID) {
		return inUse(g.ID)
	}
	if g.Name == DefaultGroup && !by.Admin {
		return model.Errf(model.KindConflict, "SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	rules := slices.Collect(tx.SecurityGroupRules.ByGroup(g.ID))
	for rule := range tx.SecurityGroupRules.ByRemoteGroup(g.ID) {
		if rule.GroupID != g.ID {
			rules = append(rules, rule)
		}
	}
	for _, rule := range rules {
		tx.SecurityGroupRules.Delete(rule.ID)
	}
	unshare(tx, g.ID.UUID)
	dropLogs(tx, g.ID.UUID, model.PortID{})
	tx.SecurityGroups.Delete(g.ID)
	return nil
}

// touchGroup gives a group a new revision: one of its rules came or went.
func touchGroup(tx *world.Tx, id model.SecurityGroupID) {
	if g := tx.SecurityGroups.Get(id); g != nil {
		c := *g
		tx.SecurityGroups.Put(&c)
	}
}

// groups gives the port the security groups asked for; a new port without a word about them joins its project's default
// group, if it has port security.
func (r *Rules) groups(tx *world.Tx, p *model.Port, x *PortExtra) error {
	isNew := tx.Ports.Get(p.ID) == nil
	if !x.SecurityGroups.Set {
		if isNew && p.PortSecurity && p.ProjectID != "" {
			p.SecurityGroups = []model.SecurityGroupID{r.EnsureDefaultGroup(tx, p.ProjectID).ID}
		}
		if !isNew && x.PortSecurity.Set && !p.PortSecurity && len(p.SecurityGroups) > 0 {
			return model.Errf(model.KindConflict, "PortSecurityPortHasSecurityGroup",
				"Port has security group associated. Cannot disable port security or IP address until security group is removed.")
		}
		return nil
	}
	if len(x.SecurityGroups.V) > 0 && !p.PortSecurity {
		return model.Errf(model.KindInvalid, "PortSecurityAndIPRequiredForSecurityGroups",
			"Port security must be enabled and port must have an IP address in order to use security groups.")
	}
	var ids []model.SecurityGroupID
	for _, id := range x.SecurityGroups.V {
		g := tx.SecurityGroups.Get(id)
		if g == nil || (g.ProjectID != p.ProjectID && !Shared(&tx.World, model.KindSecurityGroup, id.UUID, p.ProjectID)) {
			return noGroup("", id)
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b model.SecurityGroupID) int { return a.Compare(b.UUID) })
	p.SecurityGroups = slices.Compact(ids)
	return nil
}

// noGroup is the fault of a group that is not there; text is what was said instead of an identifier.
func noGroup(text string, id model.SecurityGroupID) error {
	return model.Errf(model.KindNotFound, "SecurityGroupNotFound", "Security group %s does not exist", cmp.Or(text, idText(id.UUID)))
}

// AddressGroupExtra is what a client sends for an address group beyond what is stored in it.
type AddressGroupExtra struct{}

// CreateAddressGroup completes g and puts it.
func (r *Rules) CreateAddressGroup(tx *world.Tx, _ *Actor, g *model.AddressGroup, _ *AddressGroupExtra) error {
	g.ID = model.AddressGroupID{UUID: tx.NewUUID()}
	g.Addresses = sortedPrefixes(g.Addresses)
	tx.AddressGroups.Put(g)
	return nil
}

// UpdateAddressGroup puts g.
func (r *Rules) UpdateAddressGroup(tx *world.Tx, _ *Actor, _, g *model.AddressGroup, _ *AddressGroupExtra) error {
	tx.AddressGroups.Put(g)
	return nil
}

// DeleteAddressGroup removes a group that no rule refers to.
func (r *Rules) DeleteAddressGroup(tx *world.Tx, _ *Actor, g *model.AddressGroup) error {
	for range tx.SecurityGroupRules.ByAddressGroup(g.ID) {
		return model.Errf(model.KindConflict, "AddressGroupInUse", "Address group %s is in use on one or more security group rules.", g.ID)
	}
	unshare(tx, g.ID.UUID)
	tx.AddressGroups.Delete(g.ID)
	return nil
}

// AddAddresses adds prefixes, none of which the group may have already; those that it has are named together.
func (r *Rules) AddAddresses(tx *world.Tx, g *model.AddressGroup, add []netip.Prefix) error {
	if there, _ := divided(g, add); len(there) > 0 {
		return model.Errf(model.KindInvalid, "AddressesAlreadyExist", "Addresses %s already exist in the address group %s.", pythonPrefixes(there), g.ID)
	}
	c := *g
	c.Addresses = sortedPrefixes(slices.Concat(g.Addresses, add))
	tx.AddressGroups.Put(&c)
	return nil
}

// RemoveAddresses takes prefixes out, all of which the group must have; those that it has not are named together.
func (r *Rules) RemoveAddresses(tx *world.Tx, g *model.AddressGroup, remove []netip.Prefix) error {
	if _, absent := divided(g, remove); len(absent) > 0 {
		return model.Errf(model.KindNotFound, "AddressesNotFound", "Addresses %s not found in the address group %s.", pythonPrefixes(absent), g.ID)
	}
	c := *g
	c.Addresses = slices.DeleteFunc(slices.Clone(g.Addresses), func(p netip.Prefix) bool { return slices.Contains(remove, p) })
	tx.AddressGroups.Put(&c)
	return nil
}

// divided are the prefixes of a request that a group has, and those that it has not, each once and in order.
func divided(g *model.AddressGroup, asked []netip.Prefix) (there, absent []netip.Prefix) {
	for _, p := range sortedPrefixes(asked) {
		if slices.Contains(g.Addresses, p) {
			there = append(there, p)
		} else {
			absent = append(absent, p)
		}
	}
	return there, absent
}

// pythonPrefixes writes prefixes as Python writes a list of texts.
func pythonPrefixes(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = "'" + p.String() + "'"
	}
	return "[" + strings.Join(words, ", ") + "]"
}

func sortedPrefixes(in []netip.Prefix) []netip.Prefix {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(out)
}
