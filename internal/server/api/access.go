package api

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// target shows an object to policy's rules.
type target[P, E any] struct {
	r *resource[P, E]
	v P
	x *View
}

// Attr implements policy.Target.
func (t target[P, E]) Attr(name string) (string, bool) {
	switch name {
	case "project_id":
		if t.r.project == nil {
			return "", false
		}
		return t.r.project(t.v), true
	case "network:project_id":
		if n := t.r.networkOf(t.v, t.x); n != nil {
			return n.ProjectID, true
		}
		return "", false
	case "network:shared":
		n := t.r.networkOf(t.v, t.x)
		return pythonBool(n != nil && networkShared(n, t.x)), n != nil
	case "ext_parent:project_id", "security_group:project_id":
		if t.r.parentProject == nil {
			return "", false
		}
		return t.r.parentProject(t.v, t.x), true
	}
	a := t.r.byName[name]
	if a == nil || a.text == nil {
		return "", false
	}
	return a.text(t.v, t.x), true
}

// networkOf is the network that an object is on, nil if it is on none.
func (r *resource[P, E]) networkOf(v P, x *View) *model.Network {
	if r.network == nil {
		return nil
	}
	return x.W.Networks.Get(r.network(v))
}

// allowed asks policy about an action on an object, together with attributes that have rules of their own.
func (r *resource[P, E]) allowed(x *View, action string, attrs []string, v P) error {
	return x.May.Enforce(action, attrs, target[P, E]{r, v, x})
}

// maySee asks policy whether an object's attribute may be shown.
func (r *resource[P, E]) maySee(v P, x *View, attr string) bool {
	return x.May.Allows("get_"+r.policy+":"+attr, target[P, E]{r, v, x})
}

// sees makes the test of what the viewer may see: policy's union of own objects, shared ones and so on.
func (r *resource[P, E]) sees(x *View) func(v P) bool {
	visible := r.inScope(x)
	if r.parent == nil {
		return visible
	}
	return func(v P) bool { return r.parent(v) == x.Parent && visible(v) }
}

func (r *resource[P, E]) inScope(x *View) func(v P) bool {
	s := x.May.Scope(r.policy)
	if s.All {
		return func(P) bool { return true }
	}
	if r.project == nil && r.parentProject == nil && r.network == nil { // nobody's: policy alone decides
		return func(v P) bool { return x.May.Allows("get_"+r.policy, target[P, E]{r, v, x}) }
	}
	me := x.By.Project
	return func(v P) bool {
		if s.Own && r.project != nil && r.project(v) == me {
			return true
		}
		if s.Shared && r.shared != nil && r.shared(v, x) {
			return true
		}
		if s.External && r.external != nil && r.external(v, x) {
			return true
		}
		if s.ParentOwner && r.parentProject != nil && r.parentProject(v, x) == me {
			return true
		}
		if s.NetworkOwner {
			if n := r.networkOf(v, x); n != nil && n.ProjectID == me {
				return true
			}
		}
		return s.Ask && x.May.Shows(r.policy, target[P, E]{r, v, x})
	}
}

// shows makes the test whether the caller may see an attribute of an object; nil: of every object.
func (r *resource[P, E]) shows(x *View, attr string) func(P) bool {
	switch m := x.May.Mask(r.policy); {
	case slices.Contains(m.Hidden, attr):
		return func(P) bool { return false }
	case slices.Contains(m.Ask, attr):
		return func(v P) bool { return r.maySee(v, x, attr) }
	}
	return nil
}

// seenOrder is an attribute's order as the caller may know it: objects of which he may not see it are alike, and before the others.
func (r *resource[P, E]) seenOrder(x *View, a *attribute[P, E]) func(v, w P) int {
	compare := a.compare
	if a.compareIn != nil {
		compare = a.compareIn(x)
	}
	shown := r.shows(x, a.name)
	if shown == nil {
		return compare
	}
	return func(v, w P) int {
		switch a1, a2 := shown(v), shown(w); {
		case a1 && a2:
			return compare(v, w)
		case a1:
			return 1
		case a2:
			return -1
		}
		return 0
	}
}

// mask is which attributes are shown, and which of them policy must be asked about for each object.
type mask struct{ show, ask []bool }

// mask is what the caller asked for and may see.
func (r *resource[P, E]) mask(x *View, fields []string) *mask {
	m := &mask{show: make([]bool, len(r.attrs))}
	p := x.May.Mask(r.policy)
	for i, a := range r.attrs {
		m.show[i] = a.append != nil && (len(fields) == 0 || slices.Contains(fields, a.name)) && !slices.Contains(p.Hidden, a.name)
		if len(p.Ask) > 0 && slices.Contains(p.Ask, a.name) {
			if m.ask == nil {
				m.ask = make([]bool, len(r.attrs))
			}
			m.ask[i] = true
		}
	}
	return m
}
