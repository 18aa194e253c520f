package hostplan

import (
	"reflect"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// policyEntry is a policy that ports with the same groups share.
type policyEntry struct {
	groups []model.SecurityGroupID
	policy *Policy
	stale  bool
}

// policy is the union of the groups' rules. It fails closed: a group that is not known adds nothing, so that a port whose
// groups are all unknown passes only what is always allowed.
func (c *Compiler) policy(groups []model.SecurityGroupID) *Policy {
	if !c.opts.Firewall {
		return &Policy{AllowAll: true}
	}
	if len(groups) == 0 {
		return nil
	}
	groups = slices.SortedFunc(slices.Values(groups), func(a, b model.SecurityGroupID) int { return a.Compare(b.UUID) })
	var key []byte
	for _, g := range groups {
		key = append(key, g.UUID[:]...)
	}
	e := c.policies[string(key)]
	if e == nil {
		e = &policyEntry{groups: groups, stale: true}
		c.policies[string(key)] = e
	}
	if e.stale {
		if p := c.flatten(groups); !reflect.DeepEqual(p, e.policy) {
			e.policy = p
		}
		e.stale = false
	}
	return e.policy
}

func (c *Compiler) flatten(groups []model.SecurityGroupID) *Policy {
	p := &Policy{}
	known := false
	for _, id := range groups {
		g := c.in.Groups[id]
		if g == nil {
			continue
		}
		known = true
		p.Stateful = p.Stateful || g.Stateful
		for _, r := range g.Rules {
			if r.Remote.IsValid() {
				r.Remote = r.Remote.Masked()
			}
			p.Rules = append(p.Rules, r)
		}
	}
	p.Stateful = p.Stateful || !known
	slices.SortFunc(p.Rules, func(a, b Rule) int { return a.ID.Compare(b.ID) })
	p.Rules = slices.CompactFunc(p.Rules, func(a, b Rule) bool { return a.ID == b.ID })
	return p
}

// sweepPolicies forgets policies that no endpoint has any more, once they are the larger part.
func (c *Compiler) sweepPolicies() {
	if len(c.policies) <= 2*len(c.endpoints.m)+16 {
		return
	}
	used := set[*Policy]{}
	for _, e := range c.endpoints.m {
		used[e.Policy] = struct{}{}
	}
	for k, e := range c.policies {
		if _, ok := used[e.policy]; !ok {
			delete(c.policies, k)
		}
	}
}
