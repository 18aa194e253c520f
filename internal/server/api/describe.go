package api

import (
	"slices"
	"strings"
)

// Description says what of a resource clients may send, for what compares the API with another from outside.
type Description struct {
	// Path is beneath /v2.0; a nested resource's names its parent: "routers/{router}/conntrack_helpers". Name is the key of its bodies,
	// Plural that of lists.
	Path, Name, Plural string
	Attributes         []AttributeDescription
}

// AttributeDescription says who may send an attribute, and when.
type AttributeDescription struct {
	Name string
	// Post and Put say whether a creation and an update may have it, Required whether a creation must.
	Post, Put, Required bool
}

// Describe returns all resources by path.
func Describe() []Description {
	var out []Description
	for _, e := range resources(&server{}) {
		if d, ok := e.(describer); ok {
			out = d.describe(out, "")
		}
	}
	out = bindingShape().describe(out, "ports/{port}/")
	slices.SortFunc(out, func(a, b Description) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// describer is a resource of any type.
type describer interface {
	// describe appends the resource, whose path begins with what its parents' do, and those beneath it.
	describe(to []Description, above string) []Description
}

func (r *resource[P, E]) describe(to []Description, above string) []Description {
	d := Description{Path: above + r.path, Name: r.name, Plural: r.plural}
	for _, a := range r.inOrder {
		d.Attributes = append(d.Attributes, AttributeDescription{a.name, a.post && a.parse != nil, a.put && a.parse != nil, a.required || a.needed})
	}
	to = append(to, d)
	for _, child := range r.children {
		to = child.describe(to, d.Path+"/{"+r.name+"}/")
	}
	return to
}
