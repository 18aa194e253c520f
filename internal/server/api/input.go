package api

import (
	"cmp"
	"errors"
	"net/http"
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
	late    error    // what is wrong with values and is found after policy was asked
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

// noKey is the fault of a body without the resource's name.
func (r *resource[P, E]) noKey() error {
	return badRequest("Unable to find '%s' in request body", r.name)
}

// keyless reports whether a body says nothing of the resource.
func (r *resource[P, E]) keyless(c *call) bool {
	body, err := c.json()
	if err != nil {
		return errors.Is(err, errEmpty)
	}
	_, one := body.get(r.name)
	_, several := body.get(r.plural)
	_, named := r.several(body)
	return body.kind == isObject && !one && !several && !named
}

// several is what a body has beneath the name of more than one object. Neutron makes that name of the resource's by an s; where it is
// another it takes one object at a time.
func (r *resource[P, E]) several(body Value) (Value, bool) {
	if r.plural != r.name+"s" {
		return Value{}, false
	}
	return body.get(r.plural)
}

// envelope reads the body of POST or PUT, which is an object that has something.
func (r *resource[P, E]) envelope(c *call) (Value, error) {
	body, err := c.json()
	switch {
	case err != nil && !errors.Is(err, errEmpty):
		return body, err
	case c.core():
		if err != nil || body.kind == isObject && len(body.members) == 0 {
			return body, cmp.Or(c.checkIfMatch(), r.noKey())
		}
	case c.r.Method == http.MethodPut && (err != nil || body.kind != isObject && body.kind != isList):
		return body, model.Errf(model.KindInvalid, "BadRequest", "Bad body request: Invalid format: %s.", pyBytes(c.raw))
	case err != nil || !body.truthy():
		return body, errEmpty
	}
	if body.kind != isObject {
		return body, errNoObject
	}
	return body, nil
}

// readCreate reads the body of POST; bulk tells whether it was a list.
func (r *resource[P, E]) readCreate(c *call) (objects []*wanted[P, E], bulk bool, err error) {
	body, err := r.envelope(c)
	if err != nil {
		return nil, false, err
	}
	if list, ok := r.several(body); ok {
		objects, err = r.readBulk(c, list, true)
		return objects, true, err
	}
	one, err := r.inner(body)
	if err != nil {
		return nil, false, err
	}
	w, err := r.readOne(c, one, true)
	return []*wanted[P, E]{w}, false, err
}

// readBulk reads several objects to be created, or what Neutron's reader finds wrong with several that are to be changed.
func (r *resource[P, E]) readBulk(c *call, list Value, create bool) (objects []*wanted[P, E], err error) {
	items := list.items
	switch {
	case c.s.deps.NoBulk:
		return nil, badRequest("Bulk operation not supported")
	case !list.truthy():
		return nil, badRequest("Resources required")
	case list.kind == isString, list.kind == isObject: // letters and keys are no objects
		return nil, r.notAnObject()
	case list.kind != isList:
		return nil, errNoObject
	}
	for _, item := range items {
		if inner, ok := item.get(r.name); ok && inner.kind == isNull {
			return nil, r.noKey()
		} else if ok {
			item = inner
		} else if item.kind == isNull || item.kind == isNumber || item.kind == isBool {
			return nil, errNoObject
		}
		w, err := r.readOne(c, item, create)
		if err != nil {
			return nil, err
		}
		objects = append(objects, w)
	}
	return objects, nil
}

// inner is the object that a body has beneath the resource's name.
func (r *resource[P, E]) inner(body Value) (Value, error) {
	one, ok := body.get(r.name)
	if !ok || one.kind == isNull {
		return one, r.noKey()
	}
	return one, nil
}

// readUpdate reads the body of PUT.
func (r *resource[P, E]) readUpdate(c *call) (*wanted[P, E], error) {
	body, err := r.envelope(c)
	if err != nil {
		return nil, err
	}
	switch list, bulk := r.several(body); {
	case bulk && (r.single || c.core()):
		return nil, badRequest("Bulk operation not supported")
	case bulk:
		if _, err := r.readBulk(c, list, false); err != nil {
			return nil, err
		}
		return &wanted[P, E]{late: r.noKey()}, nil // the object is looked for first
	}
	one, err := r.inner(body)
	if err != nil {
		return nil, err
	}
	return r.readOne(c, one, false)
}

func (r *resource[P, E]) notAnObject() error {
	return badRequest("Object '%s' contains invalid data", r.name)
}

// readOne reads one object, in Neutron's order: project, unknown attributes, what may be sent, values.
func (r *resource[P, E]) readOne(c *call, obj Value, create bool) (*wanted[P, E], error) {
	if obj.kind != isObject {
		return nil, r.notAnObject()
	}
	w := &wanted[P, E]{given: make([]string, 0, len(obj.members)+1)}
	if err := c.checkProject(obj); err != nil {
		return nil, err
	}
	if create && r.setProject != nil {
		if err := r.readProject(c, obj, w); err != nil {
			return nil, err
		}
	}
	var unknown []string
	for _, m := range obj.members {
		if a := r.byName[m.name]; a == nil || a.unread {
			if unknown = append(unknown, m.name); m.name == "project_id" || m.name == "tenant_id" {
				unknown = append(unknown, "project_id", "tenant_id") // Neutron writes one beside the other before it looks
			}
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
	for _, a := range r.inOrder {
		v, ok := obj.get(a.name)
		if !ok && !(create && a.needed) {
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
				err = badRequest("Invalid input for %s. Reason: %s", r.faulty(a.name), why)
			}
			if !a.isLate {
				return nil, err
			}
			if w.late == nil {
				w.late = err
			}
			continue
		}
		w.assigns = append(w.assigns, f)
	}
	return w, nil
}

// checkProject refuses two names of a project that differ, and another project than the caller's from whoever may not act for it;
// also where that would say nothing, as Neutron.
func (c *call) checkProject(obj Value) error {
	project, ok1 := obj.get("project_id")
	tenant, ok2 := obj.get("tenant_id")
	switch {
	case ok1 && ok2 && project.String() != tenant.String():
		return badRequest("'project_id' and 'tenant_id' do not match")
	case !ok1 && ok2:
		project = tenant
	}
	mine := project.kind == isString && project.text == c.by.Project && c.by.Project != "" // "" is nobody's
	if (ok1 || ok2) && !mine && !c.by.Admin && !c.by.AdvSvc {
		return badRequest("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges")
	}
	return nil
}

// errNoProject refuses what would belong to nobody: the token is of no project (unscoped, of a domain or the system), and the request names none.
var errNoProject = badRequest("Running without keystone AuthN requires that tenant_id is specified")

// readProject finds whose the new object is to be.
func (r *resource[P, E]) readProject(c *call, obj Value, w *wanted[P, E]) error {
	w.project = c.by.Project
	given := false
	for _, name := range []string{"tenant_id", "project_id"} {
		if v, ok := obj.get(name); ok {
			given = true
			if v.kind == isString {
				w.project = v.text
			}
		}
	}
	if w.project == "" && !given {
		return errNoProject
	}
	p := w.project
	w.assigns = append(w.assigns, func(v P, _ E) { r.setProject(v, p) })
	return nil
}

// faulty is the name by which Neutron finds fault with an attribute: of a project's two names that which the resource's map has.
func (r *resource[P, E]) faulty(name string) string {
	if name != "project_id" && name != "tenant_id" {
		return name
	}
	return projectIn(neutronOrder[r.plural])
}

// checkGiven tests that everything sent may be sent, and that nothing required is missing.
func (r *resource[P, E]) checkGiven(w *wanted[P, E], create bool) error {
	for _, a := range r.inOrder {
		given := w.has(a.name)
		switch {
		case !create && given && (!a.put || a.parse == nil):
			return badRequest("Cannot update read-only attribute %s", r.faulty(a.name))
		case create && a.required && !given:
			return badRequest("Failed to parse request. Required attribute '%s' not specified", a.name)
		case create && (!a.post || a.parse == nil) && given:
			return badRequest("Attribute '%s' not allowed in POST", a.name)
		}
	}
	return nil
}
