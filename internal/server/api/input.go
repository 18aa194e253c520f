package api

import (
	"errors"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// wanted is one object of a request's body, read and validated.
type wanted[P, E any] struct {
	assigns []assignment[P, E]
	given   []string
	asked   []string // attributes that policy is to be asked about
	project string   // of a creation
}

func (w *wanted[P, E]) has(name string) bool { return slices.Contains(w.given, name) }

// make builds the object and the extra input anew: a rule may run more than once.
func (r *resource[P, E]) make(w *wanted[P, E], base P) (P, E) {
	v, x := r.source.clone(base), r.extra()
	for _, f := range w.assigns {
		f(v, x)
	}
	return v, x
}

// readCreate reads the body of POST; bulk tells whether it was a list.
func (r *resource[P, E]) readCreate(c *call) (objects []*wanted[P, E], bulk bool, err error) {
	body, err := c.body()
	if err != nil {
		return nil, false, err
	}
	if one, ok := body.get(r.name); ok {
		w, err := r.readOne(c, one, true)
		return []*wanted[P, E]{w}, false, err
	}
	list, ok := body.get(r.plural)
	if !ok {
		return nil, false, badRequest("Unable to find '%s' in request body", r.name)
	}
	if c.s.deps.NoBulk {
		return nil, true, badRequest("Bulk operation not supported")
	}
	if list.kind != isList || len(list.items) == 0 {
		return nil, false, badRequest("Resources required")
	}
	for _, item := range list.items {
		if inner, ok := item.get(r.name); ok && len(item.members) == 1 {
			item = inner
		}
		w, err := r.readOne(c, item, true)
		if err != nil {
			return nil, true, err
		}
		objects = append(objects, w)
	}
	return objects, true, nil
}

// readUpdate reads the body of PUT.
func (r *resource[P, E]) readUpdate(c *call) (*wanted[P, E], error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	one, ok := body.get(r.name)
	if !ok {
		return nil, badRequest("Unable to find '%s' in request body", r.name)
	}
	return r.readOne(c, one, false)
}

// readOne reads one object, in Neutron's order: project, unknown attributes, what may be sent, values.
func (r *resource[P, E]) readOne(c *call, obj Value, create bool) (*wanted[P, E], error) {
	if obj.kind != isObject {
		return nil, badRequest("Unable to find '%s' in request body", r.name)
	}
	w := &wanted[P, E]{given: make([]string, 0, len(obj.members))}
	if create && r.setProject != nil {
		if err := r.readProject(c, obj, w); err != nil {
			return nil, err
		}
	}
	var unknown []string
	for _, m := range obj.members {
		if r.byName[m.name] == nil {
			unknown = append(unknown, m.name)
		}
		w.given = append(w.given, m.name)
	}
	if unknown != nil {
		slices.Sort(unknown)
		return nil, badRequest("Unrecognized attribute(s) '%s'", strings.Join(slices.Compact(unknown), ", "))
	}
	if err := r.checkGiven(w, create); err != nil {
		return nil, err
	}
	for _, a := range r.attrs {
		v, ok := obj.get(a.name)
		if !ok {
			if create && a.absent != nil {
				w.assigns = append(w.assigns, a.absent)
			}
			continue
		}
		w.asked = a.asked(w.asked, v, create)
		f, err := a.parse(v)
		if err != nil {
			var why reason
			if errors.As(err, &why) {
				err = badRequest("Invalid input for %s. Reason: %s", a.name, why)
			}
			return nil, err
		}
		w.assigns = append(w.assigns, f)
	}
	return w, nil
}

// readProject finds whose the new object is to be.
func (r *resource[P, E]) readProject(c *call, obj Value, w *wanted[P, E]) error {
	w.project = c.by.Project
	project, ok1 := obj.get("project_id")
	tenant, ok2 := obj.get("tenant_id")
	switch {
	case ok1 && ok2 && project.String() != tenant.String():
		return badRequest("'project_id' and 'tenant_id' do not match")
	case !ok1 && ok2:
		project = tenant
	}
	if ok1 || ok2 {
		if project.kind == isString {
			w.project = project.text
		}
		if w.project != c.by.Project && !c.by.Admin && !c.by.AdvSvc {
			return badRequest("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges")
		}
	}
	p := w.project
	w.assigns = append(w.assigns, func(v P, _ E) { r.setProject(v, p) })
	return nil
}

// checkGiven tests that everything sent may be sent, and that nothing required is missing.
func (r *resource[P, E]) checkGiven(w *wanted[P, E], create bool) error {
	if !create {
		for _, name := range w.given {
			if a := r.byName[name]; !a.put || a.parse == nil {
				return badRequest("Cannot update read-only attribute %s", name)
			}
		}
		return nil
	}
	for _, a := range r.attrs {
		switch {
		case a.required && !w.has(a.name):
			return badRequest("Failed to parse request. Required attribute '%s' not specified", a.name)
		case (!a.post || a.parse == nil) && w.has(a.name):
			return badRequest("Attribute '%s' not allowed in POST", a.name)
		}
	}
	return nil
}

// ifMatch is the revision that the request insists on.
func (c *call) ifMatch() (revision string, ok bool, err error) {
	h := c.r.Header.Get("If-Match")
	if h == "" {
		return "", false, nil
	}
	if strings.TrimSpace(h) == "*" {
		return "", false, nil // that it exists, which is tested anyway (RFC 9110, section 13.1.1)
	}
	number, ok := strings.CutPrefix(strings.Trim(strings.TrimPrefix(strings.TrimSpace(h), "W/"), `"`), "revision_number=")
	if !ok {
		return "", false, badRequest("The If-Match header '%s' is not understood: write revision_number=N.", h)
	}
	return number, true, nil
}

func checkRevision(want string, m *model.Meta) error {
	if now := uitoa(m.Revision); now != want {
		return model.Errf(model.KindPrecondition, "RevisionNumberConstraintFailed", "Constrained to %s, but current revision is %s", want, now)
	}
	return nil
}
