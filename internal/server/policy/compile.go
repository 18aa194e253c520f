package policy

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/server/identity"
)

type (
	// is is what is left of a check once the caller is known: an attribute of the target is one of values.
	is struct {
		attr   string
		values []string
	}
	// like compares a text made of several attributes, or in either case of letters.
	like struct {
		match  template
		values []string
		fold   bool
	}
)

func (c is) String() string   { return "%(" + c.attr + ")s in " + strings.Join(c.values, ",") }
func (c like) String() string { return c.match.String() + " in " + strings.Join(c.values, ",") }

// compiler folds a caller into rules.
type compiler struct {
	engine *ruleset
	creds  creds
	done   map[string]check
}

// rule is the folded rule of that name.
func (c *compiler) rule(name string) check {
	if r, ok := c.done[name]; ok {
		return r
	}
	r := c.fold(c.engine.find(name).check)
	c.done[name] = r
	return r
}

// fold replaces what the caller decides by yes or no and drops what that makes superfluous.
func (c *compiler) fold(k check) check {
	switch k := k.(type) {
	case not:
		in := c.fold(k.of)
		if a, ok := in.(always); ok {
			return !a
		}
		return not{in}
	case all:
		return c.foldMany(k.of, false, func(cs []check) check { return all{cs} })
	case some:
		return c.foldMany(k.of, true, func(cs []check) check { return some{cs} })
	case ref:
		return c.rule(k.name)
	case role:
		return compare(k.match, c.creds["roles"], true)
	case generic:
		if k.literal != nil {
			return compare(k.match, []string{*k.literal}, false)
		}
		return compare(k.match, c.creds[k.kind], false)
	}
	return k
}

// foldMany folds the operands of "or" (decisive = true) or "and" (false): one that is decisive decides, one that is the
// opposite drops out.
func (c *compiler) foldMany(of []check, decisive always, combine func([]check) check) check {
	var left []check
	for _, k := range of {
		f := c.fold(k)
		switch a, ok := f.(always); {
		case !ok:
			left = append(left, f)
		case a == decisive:
			return decisive
		}
	}
	switch len(left) {
	case 0:
		return !decisive
	case 1:
		return left[0]
	}
	return combine(left)
}

// compare is "match equals one of values". Nothing equals what the caller has not: a caller without a project owns no
// object without one, though Python would find None equal to None.
func compare(match template, values []string, fold bool) check {
	if len(values) == 0 {
		return always(false)
	}
	if s, ok := match.constant(); ok {
		return always(among(s, values, fold))
	}
	if attr, ok := match.single(); ok && !fold {
		return is{attr, values}
	}
	return like{match, values, fold}
}

func among(s string, values []string, fold bool) bool {
	return slices.ContainsFunc(values, func(v string) bool { return v == s || fold && strings.EqualFold(v, s) })
}

// eval asks the target what is left.
func eval(k check, t Target) bool {
	switch k := k.(type) {
	case always:
		return bool(k)
	case not:
		return !eval(k.of, t)
	case all:
		for _, c := range k.of {
			if !eval(c, t) {
				return false
			}
		}
		return true
	case some:
		for _, c := range k.of {
			if eval(c, t) {
				return true
			}
		}
		return false
	case is:
		v, ok := t.Attr(k.attr)
		return ok && slices.Contains(k.values, v)
	case like:
		v, ok := k.match.fill(t)
		return ok && among(v, k.values, k.fold)
	case field:
		return k.holds(t)
	}
	return false
}

// holds is Neutron's FieldCheck: the target's attribute has the value; of objects on a network, "shared" is the
// network's.
func (f field) holds(t Target) bool {
	v, ok := t.Attr(f.attr)
	if !ok && f.resource == "networks" && f.attr == "shared" {
		v, ok = t.Attr("network:shared")
	}
	switch {
	case !ok:
		return false
	case f.pattern != nil:
		return f.pattern.MatchString(v)
	}
	return v == f.value || (v == "True" || v == "False") && strings.EqualFold(v, f.value)
}

// compile makes a Set: all rules, folded.
func compile(e *ruleset, caller *identity.Caller) *Set {
	c := &compiler{engine: e, creds: credsOf(caller), done: make(map[string]check, len(e.rules))}
	s := &Set{engine: e, project: caller.ProjectID}
	s.admin = caller.IsAdmin || eval(c.rule("context_is_admin"), c.creds)
	s.service = s.admin || eval(c.rule("context_is_advsvc"), c.creds)
	if s.admin != caller.IsAdmin {
		// is_admin may be asked by rules, and is known only now.
		c.creds["is_admin"] = []string{"True"}
		c.done = make(map[string]check, len(e.rules))
	}
	for name := range e.rules {
		c.rule(name)
	}
	s.rules = c.done
	s.fallback = c.rule(e.defaultRule)
	s.bypass = s.admin && !e.newOnly
	s.foreign = e.scope && caller.Scope() != "project"
	s.scope = caller.Scope()
	return s
}
