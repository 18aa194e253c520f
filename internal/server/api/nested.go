package api

import (
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// nest puts child beneath the objects of parent: /parents/ID/children. The child's parent and bindParent must be set; a
// caller who cannot see the parent does not find the child either.
func nest[P, E, CP, CE any](parent *resource[P, E], child *resource[CP, CE]) {
	child.compiled()
	parent.children = append(parent.children, child)
	if parent.subs == nil {
		parent.subs = map[string]func(c *call, id string, rest []string) error{}
	}
	parent.subs[child.path] = func(c *call, id string, rest []string) error {
		if err := child.wellFormed(c, rest); err != nil {
			return err
		}
		if child.beforeParent != nil {
			if err := child.beforeParent(c); err != nil {
				return err
			}
		}
		c.above = id
		if len(rest) == 0 && child.orphaned && (c.r.Method == http.MethodPut || c.r.Method == http.MethodDelete) {
			c.parent = idOf(id)
			return child.serve(c, rest)
		}
		v, err := parent.find(c.view(), id)
		if err != nil {
			return err
		}
		c.parent = parent.id(v)
		return child.serve(c, rest)
	}
}

// wellFormed tests what can be told of a request without looking at any object: Neutron refuses a wrong body or filter
// beneath a parent before it looks for the parent.
func (r *resource[P, E]) wellFormed(c *call, rest []string) error {
	var err error
	switch {
	case len(rest) == 0 && c.r.Method == http.MethodPost && r.create != nil:
		_, _, err = r.readCreate(c)
	case len(rest) == 0 && c.r.Method == http.MethodPut:
		err = r.readAll(c)
	case len(rest) == 1 && c.r.Method == http.MethodPut && c.core() && r.keyless(c): // found later
	case len(rest) == 1 && c.r.Method == http.MethodPut:
		_, err = r.readUpdate(c)
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, c.r.Method):
		err = errMethod
	case c.r.Method == http.MethodDelete && len(rest) == 1 && !c.core():
		var sent bool
		if sent, err = c.sendsBody(); err == nil && sent {
			err = c.refuseBody()
		}
	case len(rest) == 0 && c.r.Method == http.MethodGet:
		var q *query
		if q, err = parseQuery(c.r.URL.RawQuery, c.s.deps.MaxPage); err == nil {
			q.loose, q.limitLast = c.s.deps.LooseFilters, !c.core()
			_, _, err = r.asked(c.view(), q)
		}
	}
	return err
}

// custom is an endpoint that is no collection of objects.
type custom struct {
	path   string
	answer func(c *call, rest []string) error
}

func (e custom) pathName() string { return e.path }

func (e custom) serve(c *call, rest []string) error { return e.answer(c, rest) }

// object finds what a sub-path is about, as the caller may see it, with the view that it was found in.
func (r *resource[P, E]) object(c *call, id string) (P, *View, error) {
	x := c.view()
	v, err := r.find(x, id)
	return v, x, err
}

// errNotFound is the fault for something that is not there, where Neutron's words are not the usual ones.
func errNotFound(typ, format string, args ...any) error {
	return model.Errf(model.KindNotFound, typ, format, args...)
}
