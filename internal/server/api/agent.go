package api

import (
	"cmp"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type none struct{}

type agents = Resource[model.Agent, none]

func agentResource(ru *rules.Rules) *agents {
	r := &agents{
		single: true, name: "agent", plural: "agents", word: "Agent",
		source: table(func(w *world.World) *world.Table[model.AgentID, model.Agent] { return &w.Agents.Table }),
		id:     func(a *model.Agent) model.UUID { return a.ID.UUID },
		meta:   func(a *model.Agent) *model.Meta { return &a.Meta },
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.Agent, none]) error {
			return ru.UpdateAgent(tx, by, c.New)
		},
		remove: ru.DeleteAgent,
		indexes: []index[model.Agent]{
			{"host", func(w *world.World, v string) rows[model.Agent] { return w.Agents.ByHost(v) }},
		},
	}
	r.identified()
	r.text("agent_type", func(a *model.Agent) *string { return &a.Type })
	r.text("binary", func(a *model.Agent) *string { return &a.Binary })
	r.text("topic", func(a *model.Agent) *string { return &a.Topic })
	r.text("host", func(a *model.Agent) *string { return &a.Host })
	r.nullable("availability_zone", func(a *model.Agent) *string { return &a.AZ })
	r.flag("admin_state_up", func(a *model.Agent) *bool { return &a.AdminStateUp }).inPut()
	r.flagOf("alive", func(a *model.Agent, x *View) bool {
		_, alive := x.Rules.Alive(a.Host)
		return alive
	})
	r.derived("heartbeat_timestamp", func(b []byte, a *model.Agent, x *View) []byte {
		last, _ := x.Rules.Alive(a.Host)
		if last.IsZero() {
			return appendSpaceTime(b, a.UpdatedAt)
		}
		return appendSpaceTime(b, model.Time(last.Unix()))
	})
	r.derived("created_at", func(b []byte, a *model.Agent, _ *View) []byte { return appendSpaceTime(b, a.CreatedAt) }).
		sortBy(func(a, b *model.Agent) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
	r.derived("started_at", func(b []byte, a *model.Agent, _ *View) []byte { return appendSpaceTime(b, a.StartedAt) }).
		sortBy(func(a, b *model.Agent) int { return cmp.Compare(a.StartedAt, b.StartedAt) })
	r.derived("configurations", appendConfigurations)
	detail := func(_ *model.Agent, x *View) bool { return x.Detail }
	r.derived("ha_state", func(b []byte, _ *model.Agent, _ *View) []byte { return append(b, "null"...) }).
		when(func(a *model.Agent, x *View) bool { return x.Detail && a.Type == model.AgentL3 })
	r.derived("resource_versions", func(b []byte, _ *model.Agent, _ *View) []byte { return append(b, "{}"...) }).when(detail)
	r.derived("resources_synced", func(b []byte, _ *model.Agent, _ *View) []byte { return append(b, "null"...) })
	r.add(&attr[model.Agent, none]{name: "description", append: func(b []byte, a *model.Agent, _ *View) []byte {
		return appendStringOrNull(b, a.Description)
	}}).inPut().filterBy(func(_ *View, values []string) (func(*model.Agent) bool, error) {
		return func(a *model.Agent) bool { return slices.Contains(values, a.Description) }, nil
	}).convert(func(v Value) (assign[model.Agent, none], error) {
		if v.kind == isNull {
			return func(a *model.Agent, _ *none) { a.Description = "" }, nil
		}
		s, err := textValue(v, 255)
		return func(a *model.Agent, _ *none) { a.Description = s }, err
	})
	return r
}

// appendConfigurations is what the agent said of itself, and under "problems", if there are any, what it or the server finds
// wrong with its host, in words. The L3 and the Open vSwitch agent's rows have them, where one agent is shown: there people
// look, and a list of many hosts stays cheap.
func appendConfigurations(b []byte, a *model.Agent, x *View) []byte {
	at := len(b)
	b = appendRaw(b, a.Configurations)
	if !x.One || a.Type != model.AgentL3 && a.Type != model.AgentOVS || b[len(b)-1] != '}' {
		return b
	}
	troubles := x.Rules.Troubles(x.W, a.Host)
	if len(troubles) == 0 {
		return b
	}
	b = b[:len(b)-1]
	if len(b) > at+1 {
		b = append(b, ", "...)
	}
	return append(appendStrings(append(b, `"problems": `...), troubles), '}')
}
