package policy

import (
	"regexp"
	"strings"
)

// check is a node of a parsed rule.
type check interface {
	// String is the rule in the policy language.
	String() string
}

type (
	always bool // @ and !
	not    struct{ of check }
	all    struct{ of []check } // and
	some   struct{ of []check } // or
	// ref is rule:<name>.
	ref struct{ name string }
	// role is role:<text>; the text may take attributes of the target.
	role struct{ match template }
	// field is field:<resources>:<attribute>=<value>, Neutron's own check.
	field struct {
		resource, attr, value string
		pattern               *regexp.Regexp // of a value that starts with ~
	}
	// generic is <kind>:<text>: kind is a literal, or a path into what is known of the caller.
	generic struct {
		kind    string
		literal *string // kind's value if it is a literal
		match   template
	}
)

func (c always) String() string {
	if c {
		return "@"
	}
	return "!"
}
func (c not) String() string     { return "not " + c.of.String() }
func (c all) String() string     { return "(" + join(c.of, " and ") + ")" }
func (c some) String() string    { return "(" + join(c.of, " or ") + ")" }
func (c ref) String() string     { return "rule:" + c.name }
func (c role) String() string    { return "role:" + c.match.String() }
func (c field) String() string   { return "field:" + c.resource + ":" + c.attr + "=" + c.value }
func (c generic) String() string { return c.kind + ":" + c.match.String() }

func join(cs []check, sep string) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = c.String()
	}
	return strings.Join(parts, sep)
}

// template is text with attributes of the target in it, as Python's % operator has it: "role-%(name)s".
type template struct {
	// text[i] precedes attrs[i]; the last text ends the template, so there is one more of them.
	text, attrs []string
}

func (t template) String() string {
	var b strings.Builder
	for i, s := range t.text {
		b.WriteString(strings.ReplaceAll(s, "%", "%%"))
		if i < len(t.attrs) {
			b.WriteString("%(" + t.attrs[i] + ")s")
		}
	}
	return b.String()
}

// constant is the text of a template without attributes.
func (t template) constant() (string, bool) { return t.text[0], len(t.attrs) == 0 }

// single is the attribute of a template that is nothing else.
func (t template) single() (string, bool) {
	if len(t.attrs) == 1 && t.text[0] == "" && t.text[1] == "" {
		return t.attrs[0], true
	}
	return "", false
}

// fill replaces the attributes; false if the target lacks one.
func (t template) fill(target Target) (string, bool) {
	var b strings.Builder
	for i, s := range t.text {
		b.WriteString(s)
		if i < len(t.attrs) {
			v, ok := target.Attr(t.attrs[i])
			if !ok {
				return "", false
			}
			b.WriteString(v)
		}
	}
	return b.String(), true
}
