package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// maxQuota is the largest limit (neutron_lib/constants.py, DB_INTEGER_MAX_VALUE).
const maxQuota = 1<<31 - 1

// serveQuotas answers /quotas, /quotas/PROJECT, /quotas/PROJECT/default, /quotas/PROJECT/details and /quotas/tenant.
func serveQuotas(c *call, rest []string) error {
	get := c.r.Method == http.MethodGet
	switch {
	case len(rest) == 0 && get:
		return c.listQuotas()
	case len(rest) == 0:
		return errMethod
	case rest[0] == "tenant" || rest[0] == "project":
		if !get {
			return errMethod
		}
		if c.by.Project == "" {
			return model.Errf(model.KindInvalid, "QuotaMissingTenant", "Tenant-id was missing from quota request.")
		}
		b := append(appendString(append(c.buffer(), '{'), rest[0]), ": {"...)
		b = appendString(append(appendString(b, rest[0]+"_id"), ": "...), c.by.Project)
		c.reply(http.StatusOK, append(b, '}', '}'))
		return nil
	case len(rest) == 1 && get:
		return c.showQuota(rest[0], appendLimit)
	case len(rest) == 1 && c.r.Method == http.MethodPut:
		return c.setQuota(rest[0])
	case len(rest) == 1 && c.r.Method == http.MethodDelete:
		return c.resetQuota(rest[0])
	case len(rest) == 1:
		return errMethod
	case len(rest) == 2 && get && rest[1] == "default":
		return c.showQuota(rest[0], func(b []byte, c *call, _ *world.World, _ string, kind model.Kind) []byte {
			return strconv.AppendInt(b, int64(c.s.deps.Rules.DefaultQuota(kind)), 10)
		})
	case len(rest) == 2 && get && rest[1] == "details":
		if rest[0] != c.by.Project && !c.by.Admin { // neutron/extensions/quotasv2_detail.py, before policy
			return model.Errf(model.KindForbidden, "AdminRequired",
				"User does not have admin privileges: Only admin is authorized to access quotas for another project.")
		}
		return c.showQuota(rest[0], appendDetails)
	}
	return errNoPath
}

func appendLimit(b []byte, c *call, w *world.World, project string, kind model.Kind) []byte {
	return strconv.AppendInt(b, int64(c.s.deps.Rules.QuotaOf(w, kind, project)), 10)
}

func appendDetails(b []byte, c *call, w *world.World, project string, kind model.Kind) []byte {
	b = appendLimit(append(b, `{"limit": `...), c, w, project, kind)
	b = strconv.AppendInt(append(b, `, "used": `...), int64(w.Usage.Of(kind, project)), 10)
	return append(b, `, "reserved": 0}`...)
}

// appendQuotas appends "kind": value for every kind that has a quota.
func appendQuotas(b []byte, kinds []model.Kind, one func(b []byte, kind model.Kind) []byte) []byte {
	for i, k := range kinds {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = one(append(appendString(b, string(k)), ": "...), k)
	}
	return b
}

func (c *call) showQuota(project string, one func([]byte, *call, *world.World, string, model.Kind) []byte) error {
	if project != c.by.Project {
		if err := c.may.Enforce("get_quota", nil, policy.Project(project)); err != nil {
			return err
		}
	}
	w := c.s.deps.Writer.Snapshot()
	b := append(c.buffer(), `{"quota": {`...)
	b = appendQuotas(b, rules.QuotaKinds, func(b []byte, k model.Kind) []byte { return one(b, c, w, project, k) })
	c.reply(http.StatusOK, append(b, '}', '}'))
	return nil
}

func (c *call) listQuotas() error {
	if err := c.may.Enforce("get_quota", nil, nil); err != nil {
		return err
	}
	w := c.s.deps.Writer.Snapshot()
	b := appendList(append(c.buffer(), `{"quotas": `...), slices.Collect(w.Quotas.All()), func(b []byte, q *model.Quota) []byte {
		b = append(b, '{')
		b = appendQuotas(b, rules.QuotaKinds, func(b []byte, k model.Kind) []byte { return appendLimit(b, c, w, q.ProjectID, k) })
		b = appendString(append(b, `, "project_id": `...), q.ProjectID)
		return append(appendString(append(b, `, "tenant_id": `...), q.ProjectID), '}')
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

func (c *call) setQuota(project string) error {
	if err := c.may.Enforce("update_quota", nil, policy.Project(project)); err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	q, ok := body.get("quota")
	if !ok || q.kind != isObject {
		return badRequest("Unable to find 'quota' in request body")
	}
	limits, check, err := limitsValue(q)
	if err != nil {
		return err
	}
	w, err := c.do("update_quota", func(tx *world.Tx) error { return c.s.deps.Rules.SetQuota(tx, project, limits, check) })
	if err != nil {
		return err
	}
	b := append(c.buffer(), `{"quota": {`...)
	b = appendQuotas(b, rules.QuotaKinds, func(b []byte, k model.Kind) []byte { return appendLimit(b, c, w, project, k) })
	c.reply(http.StatusOK, append(b, '}', '}'))
	return nil
}

// limitsValue reads the limits that a quota is given, and whether they are to be tested against what is used (check_limit, by
// Python's idea of what is true). What is unknown is found before what is wrong, as in Neutron.
func limitsValue(q Value) (limits map[model.Kind]int, check bool, err error) {
	var unknown []string
	for _, m := range q.members {
		switch {
		case m.name == "check_limit":
			check = m.value.truthy()
		case m.name != "force" && !slices.Contains(rules.QuotaKinds, model.Kind(m.name)):
			unknown = append(unknown, m.name)
		}
	}
	if len(unknown) > 0 {
		return nil, false, badRequest("Unrecognized attribute(s) '%s'", strings.Join(unknown, ", "))
	}
	limits = map[model.Kind]int{}
	for _, kind := range rules.QuotaKinds {
		v, has := q.get(string(kind))
		if !has {
			continue
		}
		n, err := intValue(v)
		switch {
		case err != nil:
			return nil, false, model.Invalid("'%s' is not an integer.", v)
		case n < -1:
			return nil, false, badRequest("Invalid input for %s. Reason: '%d' is too small - must be at least '-1'.", kind, n)
		case n > maxQuota:
			return nil, false, badRequest("Invalid input for %s. Reason: '%d' is too large - must be no larger than '%d'.", kind, n, maxQuota)
		}
		limits[kind] = int(n)
	}
	return limits, check, nil
}

func (c *call) resetQuota(project string) error {
	if err := c.may.Enforce("delete_quota", nil, policy.Project(project)); err != nil {
		return err
	}
	had := false
	if _, err := c.do("delete_quota", func(tx *world.Tx) error { had = c.s.deps.Rules.ResetQuota(tx, project); return nil }); err != nil {
		return err
	}
	if !had {
		return errNotFound("TenantQuotaNotFound", "Quota for tenant %s could not be found.", project)
	}
	c.reply(http.StatusNoContent, nil)
	return nil
}
