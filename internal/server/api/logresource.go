package api

import (
	"net/http"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

func logResource(ru *rules.Rules) *Resource[model.Log, rules.LogExtra] {
	type T = model.Log
	type X = rules.LogExtra
	r := &Resource[T, X]{
		name: "log", plural: "logs", path: "log/logs", word: "Log", notFound: "LogResourceNotFound", gone: "Log resource %s could not be found.", loaded: true, ownOnly: true,
		source:     table(func(w *world.World) *world.Table[model.LogID, T] { return &w.Logs.Table }),
		id:         func(l *T) model.UUID { return l.ID.UUID },
		meta:       func(l *T) *model.Meta { return &l.Meta },
		project:    func(l *T) string { return l.ProjectID },
		setProject: func(l *T, p string) { l.ProjectID = p },
		create:     ru.CreateLog,
		update:     func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error { return ru.UpdateLog(tx, by, c.New) },
		remove:     ru.DeleteLog,
		indexes: []index[T]{
			{"resource_id", func(w *world.World, v string) rows[T] { return w.Logs.ByResource(idOf(v)) }},
			{"target_id", func(w *world.World, v string) rows[T] { return w.Logs.ByTarget(model.PortID{UUID: idOf(v)}) }},
		},
	}
	r.identified()
	r.owned()
	r.text("name", func(l *T) *string { return &l.Name }).rw()
	r.text("resource_type", func(l *T) *string { return &l.ResourceType }).must()
	r.uuid("resource_id", func(l *T) *model.UUID { return &l.Resource }).inPost()
	oneOf(r.text("event", func(l *T) *string { return &l.Event }).inPost(), model.LogAccept, model.LogDrop, model.LogAll).
		initially(func(l *T, _ *X) { l.Event = model.LogAll })
	r.uuid("target_id", func(l *T) *model.UUID { return &l.Target.UUID }).inPost()
	r.flag("enabled", func(l *T) *bool { return &l.Enabled }).rw().initially(func(l *T, _ *X) { l.Enabled = true })
	r.standard()
	return r
}

// loggableResources answers GET /log/loggable-resources.
func loggableResources(c *call, rest []string) error {
	switch {
	case len(rest) > 0:
		return errNoPath
	case c.r.Method != http.MethodGet:
		return errMethod
	}
	var types []string // who may not is shown none, as in any list
	if c.may.Enforce("get_loggable_resource", nil, nil) == nil {
		types = rules.LoggableTypes
	}
	b := appendList(append(c.buffer(), `{"loggable_resources": `...), types, func(b []byte, t string) []byte {
		return append(appendString(append(b, `{"type": `...), t), '}')
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}
