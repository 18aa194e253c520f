package api

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

func rbacPolicyResource(ru *rules.Rules) *Resource[model.RBACPolicy, rules.RBACPolicyExtra] {
	type T = model.RBACPolicy
	type X = rules.RBACPolicyExtra
	r := &Resource[T, X]{
		name: "rbac_policy", plural: "rbac_policies", word: "RbacPolicy", quota: model.KindRBACPolicy,
		source:     table(func(w *world.World) *world.Table[model.RBACPolicyID, T] { return &w.RBACPolicies.Table }),
		id:         func(p *T) model.UUID { return p.ID.UUID },
		meta:       func(p *T) *model.Meta { return &p.Meta },
		project:    func(p *T) string { return p.ProjectID },
		setProject: func(p *T, s string) { p.ProjectID = s },
		create:     ru.CreateRBACPolicy,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.UpdateRBACPolicy(tx, by, c.Old, c.New, c.X)
		},
		remove:  ru.DeleteRBACPolicy,
		gone:    "RBAC policy of type unknown with ID %s not found",
		indexes: []index[T]{{"object_id", func(w *world.World, v string) rows[T] { return w.RBACPolicies.ByObject(idOf(v)) }}},
	}
	r.identified()
	r.owned()
	types := make([]string, 0, len(rules.RBACActions))
	for t := range rules.RBACActions {
		types = append(types, t)
	}
	slices.Sort(types)
	typ := r.text("object_type", func(p *T) *string { return &p.ObjectType }).needs().guardAll()
	parse := typ.parse
	check := func(v Value) error {
		if v.kind != isString || !slices.Contains(types, v.text) {
			return model.Invalid("'%s' is not a valid RBAC object type: write one of %s.", v, pyList(types))
		}
		return nil
	}
	typ.convert(func(v Value) (assign[T, X], error) {
		if err := check(v); err != nil {
			return nil, err
		}
		return parse(v)
	})
	filter := typ.filter
	typ.filterBy(func(x *View, values []string) (func(*T) bool, error) {
		for _, s := range values {
			if err := check(Value{kind: isString, text: s}); err != nil {
				return nil, err
			}
		}
		return filter(x, values)
	})
	r.uuid("object_id", func(p *T) *model.UUID { return &p.ObjectID }).must().guardAll()
	r.text("action", func(p *T) *string { return &p.Action }).must().guardAll()
	r.text("target_tenant", func(p *T) *string { return &p.Target }).must().inPut().guard()
	return r
}
