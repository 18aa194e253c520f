package rules

import (
	"maps"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// QuotaKinds are the resources that quotas are held against, in the order in which they are shown.
var QuotaKinds = []model.Kind{
	model.KindNetwork, model.KindSubnet, "subnetpool", model.KindPort, model.KindRouter, "floatingip", model.KindSecurityGroup,
	model.KindSecurityGroupRule, model.KindRBACPolicy, "trunk",
}

// QuotaOf is how many objects of a kind a project may have; negative: any number.
func (r *Rules) QuotaOf(w *world.World, kind model.Kind, project string) int {
	if q := w.Quotas.Get(project); q != nil {
		if n, ok := q.Limits[kind]; ok {
			return n
		}
	}
	return r.DefaultQuota(kind)
}

// DefaultQuota is the limit of projects that have none of their own.
func (r *Rules) DefaultQuota(kind model.Kind) int {
	if n, ok := r.cfg.Quotas[kind]; ok {
		return n
	}
	return r.cfg.DefaultQuota
}

// CheckQuota refuses n more objects of a kind if the project's quota would be exceeded.
func (r *Rules) CheckQuota(tx *world.Tx, kind model.Kind, project string, n int) error {
	limit := r.QuotaOf(&tx.World, kind, project)
	if limit < 0 || tx.Usage.Of(kind, project)+n <= limit {
		return nil
	}
	return model.Errf(model.KindOverQuota, "OverQuota", "Quota exceeded for resources: ['%s'].", kind)
}

// SetQuota changes some of a project's limits. With check, a limit below what is in use is refused.
func (r *Rules) SetQuota(tx *world.Tx, project string, limits map[model.Kind]int, check bool) error {
	q := &model.Quota{ProjectID: project, Limits: map[model.Kind]int{}}
	if old := tx.Quotas.Get(project); old != nil {
		q.Meta = old.Meta
		maps.Copy(q.Limits, old.Limits)
	}
	for kind, n := range limits {
		if used := tx.Usage.Of(kind, project); check && n >= 0 && n < used {
			return model.Errf(model.KindInvalid, "HTTPBadRequest",
				"Quota limit %d for %s must be greater than or equal to already used %d", n, kind, used)
		}
		q.Limits[kind] = n
	}
	tx.Quotas.Put(q)
	return nil
}

// ResetQuota gives a project the defaults again; false if it had no limits of its own.
func (r *Rules) ResetQuota(tx *world.Tx, project string) bool {
	return tx.Quotas.Delete(project) != nil
}
