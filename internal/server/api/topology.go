package api

import (
	"net/http"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/world"
)

// autoTopology answers /auto-allocated-topology/PROJECT: GET makes one if there is none, or with fields=dry-run says
// whether it could; DELETE takes it away.
func autoTopology(c *call, rest []string) error {
	if len(rest) != 1 {
		return errNoPath
	}
	project := rest[0]
	if project == "None" { // as clients write "mine"
		project = c.by.Project
	}
	if project == "" {
		return errNoProject
	}
	action := map[string]string{http.MethodGet: "get_auto_allocated_topology", http.MethodDelete: "delete_auto_allocated_topology"}[c.r.Method]
	if action == "" {
		return errMethod
	}
	if project != c.by.Project && !c.by.Admin {
		return model.Errf(model.KindForbidden, "NotAuthorized", "Not authorized.")
	}
	if err := c.may.Enforce(action, nil, policy.Project(project)); err != nil {
		return err
	}
	ru := c.s.deps.Rules
	if c.r.Method == http.MethodDelete {
		_, err := c.do(action, func(tx *world.Tx) error { return ru.DeleteTopology(tx, project) })
		if err == nil {
			c.reply(http.StatusNoContent, nil)
		}
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery, 0)
	if err != nil {
		return err
	}
	for _, f := range q.fields {
		if f != "dry-run" {
			continue
		}
		if err := ru.CheckTopology(c.s.deps.Writer.Snapshot()); err != nil {
			return err
		}
		b := append(c.buffer(), `{"auto_allocated_topology": {"id": "dry-run=pass", "tenant_id": `...)
		c.reply(http.StatusOK, append(appendString(b, project), "}}"...))
		return nil
	}
	t := c.s.deps.Writer.Snapshot().Topologies.Get(project)
	if t == nil {
		w, err := c.do(action, func(tx *world.Tx) (err error) { t, err = ru.EnsureTopology(tx, project); return err })
		if err != nil {
			return err
		}
		c.warn(w, w.Networks.Get(t.NetworkID), nil)
		c.warn(w, w.Routers.Get(t.RouterID), nil)
	}
	b := appendUUID(append(c.buffer(), `{"auto_allocated_topology": {"id": `...), t.NetworkID.UUID)
	b = appendString(append(b, `, "tenant_id": `...), project)
	c.reply(http.StatusOK, append(appendString(append(b, `, "project_id": `...), project), "}}"...))
	return nil
}
