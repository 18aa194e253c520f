package rules

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Shared reports whether an object is shared with a project.
func Shared(w *world.World, _ model.Kind, id model.UUID, project string) bool {
	return granted(w, id, model.ActionShared, project)
}

// ExternalFor reports whether a project may use a network as an external one.
func ExternalFor(w *world.World, n model.NetworkID, project string) bool {
	return granted(w, n.UUID, model.ActionExternal, project)
}

func granted(w *world.World, id model.UUID, action, project string) bool {
	for p := range w.RBACPolicies.ByObject(id) {
		if p.Action == action && (p.Target == model.TargetAll || p.Target == project) {
			return true
		}
	}
	return false
}

func policyFor(w *world.World, kind model.Kind, id model.UUID, action, target string) *model.RBACPolicy {
	for p := range w.RBACPolicies.ByObject(id) {
		if p.ObjectType == string(kind) && p.Action == action && p.Target == target {
			return p
		}
	}
	return nil
}

// share gives everybody access to an object, if they have not got it yet.
func share(tx *world.Tx, project string, kind model.Kind, id model.UUID, action string) {
	if policyFor(&tx.World, kind, id, action, model.TargetAll) != nil {
		return
	}
	tx.RBACPolicies.Put(&model.RBACPolicy{ID: model.RBACPolicyID{UUID: tx.NewUUID()}, ProjectID: project, ObjectType: string(kind),
		ObjectID: id, Action: action, Target: model.TargetAll})
}

// unshare removes every policy about an object that goes away.
func unshare(tx *world.Tx, id model.UUID) {
	for _, p := range slices.Collect(tx.RBACPolicies.ByObject(id)) {
		tx.RBACPolicies.Delete(p.ID)
	}
}

// RBACActions are the actions that each type of object knows. Types whose objects do not exist are not offered.
var RBACActions = map[string][]string{
	string(model.KindNetwork):       {model.ActionShared, model.ActionExternal},
	string(model.KindSecurityGroup): {model.ActionShared},
	string(model.KindAddressGroup):  {model.ActionShared},
	string(model.KindQoSPolicy):     {model.ActionShared},
	string(model.KindSubnetPool):    {model.ActionShared},
	string(model.KindAddressScope):  {model.ActionShared},
}

// ownerOf is the project that an object of a type belongs to.
func ownerOf(w *world.World, typ string, id model.UUID) (project string, ok bool) {
	switch model.Kind(typ) {
	case model.KindNetwork:
		if n := w.Networks.Get(model.NetworkID{UUID: id}); n != nil {
			return n.ProjectID, true
		}
	case model.KindSecurityGroup:
		if g := w.SecurityGroups.Get(model.SecurityGroupID{UUID: id}); g != nil {
			return g.ProjectID, true
		}
	case model.KindAddressGroup:
		if g := w.AddressGroups.Get(model.AddressGroupID{UUID: id}); g != nil {
			return g.ProjectID, true
		}
	case model.KindQoSPolicy:
		if p := w.QoSPolicies.Get(model.QoSPolicyID{UUID: id}); p != nil {
			return p.ProjectID, true
		}
	case model.KindSubnetPool:
		if p := w.SubnetPools.Get(model.SubnetPoolID{UUID: id}); p != nil {
			return p.ProjectID, true
		}
	case model.KindAddressScope:
		if s := w.AddressScopes.Get(model.AddressScopeID{UUID: id}); s != nil {
			return s.ProjectID, true
		}
	}
	return "", false
}

// RBACPolicyExtra is what a client sends for a policy beyond what is stored in it.
type RBACPolicyExtra struct{}

// CreateRBACPolicy checks p and puts it.
func (r *Rules) CreateRBACPolicy(tx *world.Tx, by *Actor, p *model.RBACPolicy, _ *RBACPolicyExtra) error {
	actions, known := RBACActions[p.ObjectType]
	if !known {
		return model.Errf(model.KindInvalid, "InvalidInput", "Invalid input for operation: RBAC policies are not supported for objects of type %s.", p.ObjectType)
	}
	if !slices.Contains(actions, p.Action) {
		return model.Errf(model.KindInvalid, "InvalidActionForType", "Invalid action '%s' for object type '%s'. Valid actions: %s", p.Action, p.ObjectType, pythonTuple(actions))
	}
	owner, ok := ownerOf(&tx.World, p.ObjectType, p.ObjectID)
	switch {
	case !by.Admin && (!ok || owner != by.Project): // one answer, lest it tell what others have
		return model.Invalid("Only admins can manipulate policies on objects they do not own")
	case !ok:
		return model.Errf(model.KindNotFound, "RbacPolicyNotFound", "The %s %s of the policy could not be found.", p.ObjectType, p.ObjectID)
	}
	if policyFor(&tx.World, model.Kind(p.ObjectType), p.ObjectID, p.Action, p.Target) != nil {
		return model.Errf(model.KindConflict, "DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
	}
	if err := scopeReached(&tx.World, p); err != nil {
		return err
	}
	p.ID = model.RBACPolicyID{UUID: tx.NewUUID()}
	tx.RBACPolicies.Put(p)
	r.sharingChanged(tx, p)
	return nil
}

// scopeReached refuses to share a subnet pool with projects that may not use its address scope.
func scopeReached(w *world.World, p *model.RBACPolicy) error {
	pool := w.SubnetPools.Get(model.SubnetPoolID{UUID: p.ObjectID})
	if pool == nil || pool.AddressScope.IsZero() || granted(w, pool.AddressScope.UUID, model.ActionShared, p.Target) {
		return nil
	}
	return model.Errf(model.KindInvalid, "RbacPolicyInitError",
		"Failed to create RBAC policy on object %s because target project doesn't have access to associated address scope.", p.ObjectID)
}

// UpdateRBACPolicy puts p, which is old with another target.
func (r *Rules) UpdateRBACPolicy(tx *world.Tx, by *Actor, old, p *model.RBACPolicy, _ *RBACPolicyExtra) error {
	if owner, _ := ownerOf(&tx.World, p.ObjectType, p.ObjectID); !by.Admin && owner != by.Project {
		return model.Invalid("Only admins can manipulate policies on objects they do not own")
	}
	if other := policyFor(&tx.World, model.Kind(p.ObjectType), p.ObjectID, p.Action, p.Target); other != nil && other.ID != p.ID {
		return model.Errf(model.KindConflict, "DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
	}
	// Of anything but networks, Neutron asks of a narrower target what it asks of a deletion.
	asDeletion := p.ObjectType != string(model.KindNetwork) && p.Target != model.TargetAll && p.Target != old.Target
	if asDeletion {
		tx.RBACPolicies.Delete(old.ID)
	} else {
		tx.RBACPolicies.Put(p)
	}
	if err := r.stillUsable(tx, old); err != nil {
		return err
	}
	tx.RBACPolicies.Put(p)
	r.sharingChanged(tx, p)
	return nil
}

// DeleteRBACPolicy removes a policy that nobody depends on.
func (r *Rules) DeleteRBACPolicy(tx *world.Tx, _ *Actor, p *model.RBACPolicy) error {
	if n := tx.Networks.Get(model.NetworkID{UUID: p.ObjectID}); n != nil && n.IsDefault && p.Action == model.ActionExternal && p.Target == model.TargetAll {
		return model.Errf(model.KindConflict, "DefaultExternalNetworkExists",
			"RBAC policy %s cannot be deleted: network %s is the default external network; make another one that first.", p.ID, n.ID)
	}
	tx.RBACPolicies.Delete(p.ID)
	if err := r.stillUsable(tx, p); err != nil {
		return err
	}
	r.sharingChanged(tx, p)
	return nil
}

// stillUsable refuses a change, already made in tx, that takes away what somebody uses under policy p.
func (r *Rules) stillUsable(tx *world.Tx, p *model.RBACPolicy) error {
	if l := losers(&tx.World, p); len(l) > 0 {
		return model.Errf(model.KindConflict, "RbacPolicyInUse",
			"RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: in use by project %s", p.ObjectID, l[0])
	}
	return nil
}

// losers are the projects that use an object under policy p and, as w stands, may not any more.
func losers(w *world.World, p *model.RBACPolicy) []string {
	owner, ok := ownerOf(w, p.ObjectType, p.ObjectID)
	if !ok {
		return nil
	}
	var out []string
	// Of QoS policies, Neutron counts the owner's own networks and ports, too.
	ownCounts := p.ObjectType == string(model.KindQoSPolicy)
	check := func(project string) {
		if (project != owner || ownCounts) && project != "" && (p.Target == model.TargetAll || p.Target == project) &&
			!granted(w, p.ObjectID, p.Action, project) && !slices.Contains(out, project) {
			out = append(out, project)
		}
	}
	users(w, p, check)
	return out
}

// users yields the projects that use an object in the way that a policy is about.
func users(w *world.World, p *model.RBACPolicy, yield func(project string)) {
	switch {
	case p.ObjectType == string(model.KindNetwork) && p.Action == model.ActionExternal:
		for port := range w.Ports.ByNetwork(model.NetworkID{UUID: p.ObjectID}) {
			if rid := port.DeviceID; port.DeviceOwner == model.OwnerRouterGateway {
				if u, err := model.ParseUUID(rid); err == nil {
					if router := w.Routers.Get(model.RouterID{UUID: u}); router != nil {
						yield(router.ProjectID)
					}
				}
			}
		}
	case p.ObjectType == string(model.KindNetwork):
		for port := range w.Ports.ByNetwork(model.NetworkID{UUID: p.ObjectID}) {
			if !isTrusted(port.DeviceOwner) || port.IsRouterInterface() {
				yield(port.ProjectID)
			}
		}
	case p.ObjectType == string(model.KindSecurityGroup):
		for port := range w.Ports.BySecurityGroup(model.SecurityGroupID{UUID: p.ObjectID}) {
			yield(port.ProjectID)
		}
	case p.ObjectType == string(model.KindQoSPolicy):
		for n := range w.Networks.ByQoSPolicy(model.QoSPolicyID{UUID: p.ObjectID}) {
			yield(n.ProjectID)
		}
		for port := range w.Ports.ByQoSPolicy(model.QoSPolicyID{UUID: p.ObjectID}) {
			yield(port.ProjectID)
		}
		for f := range w.FloatingIPs.ByQoSPolicy(model.QoSPolicyID{UUID: p.ObjectID}) {
			yield(f.ProjectID)
		}
		for v := range w.Routers.All() {
			if v.GatewayQoS.UUID == p.ObjectID {
				yield(v.ProjectID)
			}
		}
	case p.ObjectType == string(model.KindAddressGroup):
		for rule := range w.SecurityGroupRules.ByAddressGroup(model.AddressGroupID{UUID: p.ObjectID}) {
			yield(rule.ProjectID)
		}
	case p.ObjectType == string(model.KindSubnetPool):
		for subnet := range w.Subnets.ByPool(model.SubnetPoolID{UUID: p.ObjectID}) {
			yield(subnet.ProjectID)
		}
	case p.ObjectType == string(model.KindAddressScope):
		for pool := range w.SubnetPools.ByAddressScope(model.AddressScopeID{UUID: p.ObjectID}) {
			yield(pool.ProjectID)
		}
	}
}

// sharingChanged gives the object a new revision; and a network is external as long as anybody may use it so.
func (r *Rules) sharingChanged(tx *world.Tx, p *model.RBACPolicy) {
	switch p.ObjectType {
	case string(model.KindNetwork):
		n := tx.Networks.Get(model.NetworkID{UUID: p.ObjectID})
		if n == nil {
			return
		}
		c := *n
		if p.Action == model.ActionExternal {
			c.External = false
			for q := range tx.RBACPolicies.ByObject(p.ObjectID) {
				c.External = c.External || q.Action == model.ActionExternal
			}
		}
		tx.Networks.Put(&c)
	case string(model.KindSecurityGroup):
		touchGroup(tx, model.SecurityGroupID{UUID: p.ObjectID})
	case string(model.KindQoSPolicy):
		touchQoSPolicy(tx, model.QoSPolicyID{UUID: p.ObjectID})
	}
}

// pythonTuple is how Neutron shows words from which one may be chosen.
func pythonTuple(words []string) string {
	text := "('" + strings.Join(words, "', '") + "'"
	if len(words) == 1 {
		text += ","
	}
	return text + ")"
}
