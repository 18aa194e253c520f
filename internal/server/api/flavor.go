package api

import (
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type (
	flavors         = Resource[model.Flavor, rules.FlavorExtra]
	serviceProfiles = Resource[model.ServiceProfile, rules.FlavorExtra]
)

// longText is the length of descriptions and the like where they are long, in characters.
const longText = 1024

func flavorResource(ru *rules.Rules) *flavors {
	type T = model.Flavor
	type X = rules.FlavorExtra
	r := &flavors{
		single: true, name: "flavor", plural: "flavors", word: "Flavor",
		source: table(func(w *world.World) *world.Table[model.FlavorID, T] { return &w.Flavors.Table }),
		id:     func(f *T) model.UUID { return f.ID.UUID },
		meta:   func(f *T) *model.Meta { return &f.Meta },
		create: ru.CreateFlavor,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error { return ru.UpdateFlavor(tx, by, c.New) },
		remove: ru.DeleteFlavor,
	}
	r.identified()
	ignoredOwner(r)
	r.text("name", func(f *T) *string { return &f.Name }).rw()
	ownDescription(r).inPut().limit(longText)
	r.text("service_type", func(f *T) *string { return &f.ServiceType }).must().convert(func(v Value) (assign[T, X], error) {
		if v.kind != isString || !slices.Contains(rules.ServiceTypes, v.text) {
			return nil, model.Errf(model.KindInvalid, "InvalidServiceType", "Invalid service type: %s.", v)
		}
		return func(f *T, _ *X) { f.ServiceType = v.text }, nil
	})
	flagOrNull(r.flag("enabled", func(f *T) *bool { return &f.Enabled })).rw().initially(func(f *T, _ *X) { f.Enabled = true })
	r.derived("service_profiles", func(b []byte, f *T, _ *View) []byte {
		return appendList(b, f.Profiles, func(b []byte, p model.ServiceProfileID) []byte { return appendUUID(b, p.UUID) })
	}).rw().convert(func(v Value) (assign[T, X], error) {
		list, err := uuidList(v)
		return func(f *T, _ *X) {
			f.Profiles = nil
			for _, u := range list {
				f.Profiles = append(f.Profiles, model.ServiceProfileID{UUID: u})
			}
		}, err
	})
	r.subs = map[string]func(c *call, id string, rest []string) error{
		"service_profiles": func(c *call, id string, rest []string) error { return flavorProfiles(c, r, id, rest) },
		"next_providers":   func(c *call, id string, rest []string) error { return nextProviders(c, r, id, rest) },
	}
	return r
}

// flagOrNull makes a flag take null for false, as it is stored.
func flagOrNull[P, E any](a *attribute[P, E]) *attribute[P, E] {
	parse := a.parse
	return a.convert(func(v Value) (assignment[P, E], error) {
		if v.kind == isNull {
			v = Value{kind: isBool, text: "false"}
		}
		return parse(v)
	})
}

// uuidList reads a list of identifiers without repetitions.
func uuidList(v Value) ([]model.UUID, error) {
	items, err := listValue(v)
	if err != nil {
		return nil, err
	}
	var out []model.UUID
	for _, item := range items {
		u, err := uuidValue(item, false)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, u) {
			return nil, reasonf("Duplicate items in the list: '%s'.", item)
		}
		out = append(out, u)
	}
	return out, nil
}

// flavorProfiles answers /flavors/ID/service_profiles.
func flavorProfiles(c *call, r *flavors, id string, rest []string) error {
	ru := c.s.deps.Rules
	enforced := func(action string) error { return c.may.Enforce(action, nil, nil) }
	switch method := c.r.Method; {
	case len(rest) == 0 && method == http.MethodPost:
		body, err := c.body()
		if err != nil {
			return err
		}
		p, _ := body.get("service_profile")
		for _, m := range p.members {
			if m.name != "id" {
				return badRequest("Unrecognized attribute(s) '%s'", m.name)
			}
		}
		v, ok := p.get("id")
		if !ok {
			return badRequest("Failed to parse request. Required attribute 'id' not specified")
		}
		profile, err := uuidValue(v, false)
		if err != nil {
			return badRequest("Invalid input for id. Reason: %s", err)
		}
		if err := enforced("create_flavor_service_profile"); err != nil {
			return err
		}
		_, err = r.change(c, id, "create_flavor_service_profile", func(tx *world.Tx, f *model.Flavor) error {
			return ru.AddProfile(tx, f, model.ServiceProfileID{UUID: profile})
		})
		if err != nil {
			return err
		}
		// Neutron answers with the flavor's id.
		c.reply(http.StatusCreated, append(appendUUID(append(c.buffer(), `{"service_profile": {"id": `...), idOf(id)), "}}"...))
		return nil
	case len(rest) == 1 && method == http.MethodDelete:
		_, err := r.change(c, id, "delete_flavor_service_profile", func(tx *world.Tx, f *model.Flavor) error {
			if err := enforced("delete_flavor_service_profile"); err != nil {
				return err
			}
			return ru.RemoveProfile(tx, f, model.ServiceProfileID{UUID: idOf(rest[0])})
		})
		if err == nil {
			c.reply(http.StatusNoContent, nil)
		}
		return err
	case method == http.MethodGet && len(rest) <= 1:
		f, _, err := r.object(c, id)
		if err == nil {
			err = enforced("get_flavor_service_profile")
		}
		if err != nil {
			return err
		}
		return showProfiles(c, f, rest)
	}
	return errMethod
}

func showProfiles(c *call, f *model.Flavor, rest []string) error {
	one := func(b []byte, p model.ServiceProfileID) []byte {
		return append(appendUUID(append(b, `{"id": `...), p.UUID), '}')
	}
	if len(rest) == 0 {
		c.reply(http.StatusOK, append(appendList(append(c.buffer(), `{"service_profiles": `...), f.Profiles, one), '}'))
		return nil
	}
	p := model.ServiceProfileID{UUID: idOf(rest[0])}
	if !slices.Contains(f.Profiles, p) {
		return errNotFound("FlavorServiceProfileBindingNotFound", "Service Profile %s is not associated with flavor %s.", rest[0], f.ID)
	}
	c.reply(http.StatusOK, append(one(append(c.buffer(), `{"service_profile": `...), p), '}'))
	return nil
}

// nextProviders answers GET /flavors/ID/next_providers: who would provide a new thing of the flavor.
func nextProviders(c *call, r *flavors, id string, rest []string) error {
	if c.r.Method != http.MethodGet || len(rest) != 0 {
		return errMethod
	}
	f, x, err := r.object(c, id)
	if err != nil {
		return err
	}
	p, how, err := c.s.deps.Rules.NextProvider(x.W, f)
	if err != nil {
		return err
	}
	b := appendStringOrNull(append(c.buffer(), `{"next_providers": [{"provider": `...), how.Name)
	b = appendString(append(b, `, "driver": `...), p.Driver)
	c.reply(http.StatusOK, append(appendString(append(b, `, "metainfo": `...), p.Metainfo), "}]}"...))
	return nil
}

func serviceProfileResource(ru *rules.Rules) *serviceProfiles {
	type T = model.ServiceProfile
	type X = rules.FlavorExtra
	r := &serviceProfiles{
		single: true, name: "service_profile", plural: "service_profiles", path: "service_profiles", word: "ServiceProfile", loaded: true,
		gone:   "Service Profile %s could not be found.",
		source: table(func(w *world.World) *world.Table[model.ServiceProfileID, T] { return &w.ServiceProfiles.Table }),
		id:     func(p *T) model.UUID { return p.ID.UUID },
		meta:   func(p *T) *model.Meta { return &p.Meta },
		create: ru.PutServiceProfile,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error {
			return ru.PutServiceProfile(tx, by, c.New, c.X)
		},
		remove: ru.DeleteServiceProfile,
	}
	r.identified()
	ignoredOwner(r)
	ownDescription(r).inPut().limit(longText)
	r.text("driver", func(p *T) *string { return &p.Driver }).rw().limit(longText)
	r.text("metainfo", func(p *T) *string { return &p.Metainfo }).rw().limit(4096).convert(func(v Value) (assign[T, X], error) {
		text := ""
		if v.truthy() {
			if err := noCollection(v); err != nil {
				return nil, err
			}
			text = v.String() // a number or the like, as text
		}
		_, err := textValue(Value{kind: isString, text: text}, 4096)
		return func(p *T, _ *X) { p.Metainfo = text }, err
	}).late()
	flagOrNull(r.flag("enabled", func(p *T) *bool { return &p.Enabled })).rw().initially(func(p *T, _ *X) { p.Enabled = true })
	return r
}

// serviceProviders answers GET /service-providers.
func serviceProviders(c *call, rest []string) error {
	switch {
	case len(rest) > 0:
		return errNoPath
	case c.r.Method != http.MethodGet:
		return errMethod
	}
	q, err := parseQuery(c.r.URL.RawQuery, 0)
	if err != nil {
		return err
	}
	var list []rules.Provider // to whom policy shows none there is none, as in Neutron
	if c.may.Allows("get_service_provider", nil) {
		list = c.s.deps.Rules.Providers()
	}
	for _, f := range q.filters {
		value := map[string]func(rules.Provider) string{
			"name": func(p rules.Provider) string { return p.Name }, "service_type": func(rules.Provider) string { return model.ServiceL3 },
			"default": func(rules.Provider) string { return "False" },
		}[f.name]
		if value == nil && !c.s.deps.LooseFilters {
			return badRequest("%s is invalid attribute for filtering", pyList([]string{f.name}))
		}
		list = slices.DeleteFunc(list, func(p rules.Provider) bool { return value != nil && !slices.Contains(f.values, value(p)) })
	}
	b := appendList(append(c.buffer(), `{"service_providers": `...), list, func(b []byte, p rules.Provider) []byte {
		b = appendString(append(b, `{"service_type": "`+model.ServiceL3+`", "name": `...), p.Name)
		return append(b, `, "default": false}`...)
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}
