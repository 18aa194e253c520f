package policy

import (
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// Set is what one caller may do. It never changes and is safe for concurrent use; keep one per request, for Compile
// hands out the same one again as long as nothing changes.
type Set struct {
	engine   *ruleset
	project  string
	scope    string
	rules    map[string]check // folded
	fallback check
	admin    bool // context_is_admin
	service  bool // context_is_advsvc, or admin
	bypass   bool // everything is allowed
	foreign  bool // enforce_scope, and the token is of another scope than project
}

// Admin reports whether the caller is administrator (rule context_is_admin).
func (s *Set) Admin() bool { return s.admin }

// Service reports whether the caller acts for others as a network service does (context_is_advsvc); administrators do.
func (s *Set) Service() bool { return s.service }

// Project is the caller's project; "" if the token has none.
func (s *Set) Project() string { return s.project }

// Allows reports whether the caller may take action ("create_network", "update_port:mac_address") on target; nil if
// there is no object. An action without a rule of its own falls under the default rule.
func (s *Set) Allows(action string, target Target) bool {
	if s.bypass {
		return true
	}
	if s.foreign && s.engine.rules[action].action {
		return false
	}
	c, ok := s.rules[action]
	if !ok {
		c = s.fallback
	}
	if a, ok := c.(always); ok {
		return bool(a)
	}
	if target == nil {
		target = nothing{}
	}
	return eval(c, target)
}

// Enforce is Allows for an action together with the attributes that a request sets and that have rules of their own
// ("mac_address", "fixed_ips:ip_address"; deeper ones after what they are part of). The error is Neutron's refusal,
// which names all rules that were asked.
func (s *Set) Enforce(action string, attrs []string, target Target) error {
	ok := s.Allows(action, target)
	for _, a := range attrs {
		ok = ok && s.Allows(action+":"+a, target)
	}
	if ok {
		return nil
	}
	if s.foreign && !s.bypass {
		return model.Errf(model.KindForbidden, "InvalidScope", "rule:%s requires a scope of ['project'], request was made with %s scope.", action, s.scope)
	}
	return model.Errf(model.KindForbidden, "PolicyNotAuthorized", "%s is disallowed by policy", asked(action, attrs))
}

// asked words the rules as Neutron nests them: one after the other, each pair in parentheses; the rules of what an
// attribute consists of go, in parentheses, with the attribute's own.
func asked(action string, attrs []string) string {
	text := "rule:" + action
	for i := 0; i < len(attrs); {
		name := attrs[i]
		one := "rule:" + action + ":" + name
		var parts []string
		for i++; i < len(attrs) && strings.HasPrefix(attrs[i], name+":"); i++ {
			parts = append(parts, "rule:"+action+":"+attrs[i])
		}
		if len(parts) > 0 {
			one = "(" + one + " and (" + strings.Join(parts, " and ") + "))"
		}
		text = "(" + text + " and " + one + ")"
	}
	return text
}

// Visibility says which objects of a resource a caller may see, as a union. What policy leaves open is bounded by what
// Neutron's queries are: everything for administrators and network services, for others their own project's objects,
// those shared with it, external networks, and what is on or under their own.
type Visibility struct {
	All          bool // every object; the rest does not matter
	Own          bool // objects of Set.Project
	Shared       bool // objects shared with the project (RBAC, shared=true), or on a network that is
	External     bool // networks with router:external
	NetworkOwner bool // objects on a network of Set.Project
	ParentOwner  bool // objects under a router, floating IP or security group of Set.Project
	// Ask: beyond these, an object is shown if Shows says so.
	Ask bool
}

// Shows reports whether the caller sees one object of a resource. Scope says the same of many at once, but for Ask. It
// is more than Allows("get_<resource>", target): a rule that holds for everybody's objects does not put them in the
// caller's reach, as Neutron's queries would not find them.
func (s *Set) Shows(resource string, target Target) bool {
	return s.Allows("get_"+resource, target) && (s.service || s.reaches(target))
}

// reaches reports whether Neutron's queries would find the object for an ordinary caller.
func (s *Set) reaches(t Target) bool {
	for _, attr := range []string{"project_id", "network:project_id", "ext_parent:project_id", "security_group:project_id"} {
		if p, ok := t.Attr(attr); ok && p == s.project && p != "" {
			return true
		}
	}
	for _, attr := range []string{"shared", "network:shared", "router:external"} {
		if v, ok := t.Attr(attr); ok && v == "True" {
			return true
		}
	}
	return false
}

// Scope says which objects of a resource ("network", "port") the caller may see.
func (s *Set) Scope(resource string) Visibility {
	action := "get_" + resource
	if s.bypass {
		return Visibility{All: true}
	}
	if s.foreign && s.engine.rules[action].action {
		return Visibility{}
	}
	c, ok := s.rules[action]
	if !ok {
		c = s.fallback
	}
	var v Visibility
	s.widen(&v, c)
	return v
}

// widen adds to v the objects for which c holds.
func (s *Set) widen(v *Visibility, c check) {
	switch c := c.(type) {
	case always:
		if !c {
			return
		}
		if s.service {
			v.All = true
		}
		v.Own, v.Shared, v.External, v.NetworkOwner, v.ParentOwner = s.project != "", true, true, s.project != "", s.project != ""
		return
	case some:
		for _, k := range c.of {
			s.widen(v, k)
		}
		return
	case is:
		if len(c.values) == 1 && c.values[0] == s.project {
			switch c.attr {
			case "project_id":
				v.Own = true
				return
			case "network:project_id":
				v.NetworkOwner = true
				return
			case "ext_parent:project_id", "security_group:project_id":
				v.ParentOwner = true
				return
			}
		}
	case field:
		switch {
		case c.attr == "shared" && strings.EqualFold(c.value, "true"):
			v.Shared = true
			return
		case c.resource == "networks" && c.attr == "router:external" && strings.EqualFold(c.value, "true"):
			v.External = true
			return
		}
	}
	v.Ask = true
}

// Mask says which attributes of a resource's objects a caller may see. Attributes in neither list are shown.
type Mask struct {
	Hidden []string // never shown
	Ask    []string // shown if Allows("get_<resource>:<attribute>", object) says so
}

// Mask is the mask of a resource's objects, by the rules get_<resource>:<attribute>. The slices must not be changed.
func (s *Set) Mask(resource string) Mask {
	var m Mask
	if s.bypass {
		return m
	}
	for _, a := range s.engine.attrs[resource] {
		name := "get_" + resource + ":" + a
		c := s.rules[name]
		switch k, ok := c.(always); {
		case s.foreign && s.engine.rules[name].action, ok && !bool(k):
			m.Hidden = append(m.Hidden, a)
		case !ok:
			m.Ask = append(m.Ask, a)
		}
	}
	return m
}
