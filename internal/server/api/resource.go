package api

import (
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// View is from where an object is looked at: the world it belongs to and who looks.
type View struct {
	W     *world.World
	By    *rules.Actor
	May   *policy.Set
	Rules *rules.Rules
	// Parent is the object that a nested resource is asked for under.
	Parent model.UUID
	// Created: the answer to a POST; Detail: one that shows more than others. Neutron's answers differ so.
	Created, Detail bool
	// Families restricts the addresses that are counted to those of IP versions; nil: all.
	Families []int
	// One: the answer to a GET of one object, which may cost more than each of a list may.
	One bool
	// turn is said before each row of a table that is looked at.
	turn func()
}

// rowSource is a table of the world as the engine needs it.
type rowSource[P any] struct {
	get   func(w *world.World, id model.UUID) P
	all   func(w *world.World) iter.Seq[P]
	after func(w *world.World, id model.UUID, reverse bool) iter.Seq[P] // rows beyond id, that one left out
	back  func(w *world.World) iter.Seq[P]
	put   func(tx *world.Tx, v P)
	clone func(v P) P // of nil: a new one
}

// rowIndex answers equality filters on an attribute; rows come in the order of ids.
type rowIndex[P any] struct {
	attr string
	rows func(w *world.World, value string) iter.Seq[P]
}

// resource is a resource of the API: P points to what is stored, E to what else a client may send. Rules get a fresh object
// (or a copy of the old one) with the stored attributes assigned, and an E with the rest.
type resource[P, E any] struct {
	name, plural string // "network", "networks": also the path
	path         string // beneath /v2.0; empty: plural with '-' for '_'
	word         string // as faults write it: "Network"
	notFound     string // type of the fault; empty: word + "NotFound"
	source       rowSource[P]
	id           func(P) model.UUID
	meta         func(P) *model.Meta
	project      func(P) string
	setProject   func(P, string) // nil: the resource belongs to no project
	quota        model.Kind      // counted against quotas; empty: not

	create func(tx *world.Tx, by *rules.Actor, v P, x E) error
	// place finds what a new object is put on, which comes before quota and policy; may be nil.
	place func(tx *world.Tx, by *rules.Actor, v P) error
	// together tests what the objects of one POST have to do with each other, before the first is made; nil: nothing.
	together func([]P) error
	update   func(tx *world.Tx, by *rules.Actor, c update[P, E]) error
	remove   func(tx *world.Tx, by *rules.Actor, old P) error

	// What policy may ask of an object beyond its attributes; all may be nil. network: on which network it is. shared:
	// whether it is shared with the viewer's project. parentProject: whose the router, floating IP or security group is
	// that it is under.
	network       func(v P) model.NetworkID
	shared        func(v P, x *View) bool
	external      func(v P, x *View) bool
	parentProject func(v P, x *View) string
	// parent is the object that a nested resource belongs to.
	parent     func(v P) model.UUID
	bindParent func(v P, parent model.UUID)
	// policy is the resource's name in rules, if it is not name.
	policy string
	// indexes in the order of preference.
	indexes []rowIndex[P]
	// seeks are indexes that can start beyond a row, for pages of long lists; by the attribute's name.
	seeks map[string]func(w *world.World, value string, after P, reverse bool) iter.Seq[P]
	// reach gathers the rows in which everything is that a caller who does not see all may see; nil: all rows.
	reach func(x *View) []P
	// actions are PUT /plural/id/action; subs are GET, POST, … of anything else beneath an object.
	actions map[string]func(c *call, id string) error
	subs    map[string]func(c *call, id string, rest []string) error
	tagged  bool
	// single: Neutron takes one object of it at a time; here that is said of changes alone.
	single bool
	// children are the resources nested beneath this one's objects.
	children []describer
	// prepare runs before any request is answered; may be nil.
	prepare func(c *call) error
	// beforeParent runs for a nested resource when the request is well formed, before its parent is looked for; may be nil.
	beforeParent func(c *call) error
	// gone is the fault's message for an id that is not there; empty: the usual one.
	gone string
	// goneUnder is gone with the parent's id as a second value, for what is looked for beneath one; empty: gone.
	goneUnder string
	// orphaned: a PUT or DELETE of all that is beneath a parent does not look for the parent.
	orphaned bool
	// loaded: Neutron loads an object of anybody's (ownOnly: of the caller's project) before it asks policy, and then denies it in other words than one that is not there.
	loaded, ownOnly bool
	// concealed: who may not change or delete an object is told that it is not there, even if he may see it.
	concealed bool
	// concealedAs is what he is told; nil: as of an id that is not there.
	concealedAs error
	// freeMarker: a page may start beyond an object that the caller does not see.
	freeMarker bool
	// extra makes an E that means "nothing sent"; nil: all that E points to is zero.
	extra func() E

	attrs   []*attribute[P, E]
	inOrder []*attribute[P, E] // in which Neutron looks at them
	byName  map[string]*attribute[P, E]
}

// update is a change of an object: Old as it is, New a copy with the stored attributes assigned. The rule puts New.
type update[P, E any] struct {
	Old, New P
	X        E
	// Has reports whether the client sent an attribute.
	Has func(name string) bool
}

// standard declares what every resource with standard attributes has. Call it after the resource's own attributes.
func (r *resource[P, E]) standard() {
	r.add(&attribute[P, E]{name: "description", append: func(b []byte, v P, _ *View) []byte {
		return appendString(b, r.meta(v).Description)
	}}).rw().convert(func(v Value) (assignment[P, E], error) {
		s, err := textValue(v, 255)
		return func(t P, _ E) { r.meta(t).Description = s }, err
	}).filterBy(func(_ *View, values []string) (func(P) bool, error) {
		return func(v P) bool { return slices.Contains(values, r.meta(v).Description) }, nil
	}).compare = func(a, b P) int { return strings.Compare(r.meta(a).Description, r.meta(b).Description) }
	r.add(&attribute[P, E]{name: "created_at", append: func(b []byte, v P, _ *View) []byte {
		return appendTime(b, r.meta(v).CreatedAt)
	}}).compare = func(a, b P) int { return int(r.meta(a).CreatedAt - r.meta(b).CreatedAt) }
	r.add(&attribute[P, E]{name: "updated_at", append: func(b []byte, v P, _ *View) []byte {
		return appendTime(b, r.meta(v).UpdatedAt)
	}}).compare = func(a, b P) int { return int(r.meta(a).UpdatedAt - r.meta(b).UpdatedAt) }
	r.number("revision_number", func(v P) int64 { return int64(r.meta(v).Revision) })
	if r.tagged {
		r.derived("tags", func(b []byte, v P, _ *View) []byte { return appendStrings(b, r.meta(v).Tags) })
	}
}

// owned declares project_id and its older name, tenant_id.
func (r *resource[P, E]) owned() {
	for _, name := range []string{"project_id", "tenant_id"} {
		a := &attribute[P, E]{name: name, post: true, append: func(b []byte, v P, _ *View) []byte {
			return appendString(b, r.project(v))
		}}
		a.text = func(v P, _ *View) string { return r.project(v) }
		a.parse = func(v Value) (assignment[P, E], error) {
			s, err := textValue(v, 255)
			return func(t P, _ E) { r.setProject(t, s) }, err
		}
		a.filter = func(_ *View, values []string) (func(P) bool, error) {
			return func(v P) bool { return slices.Contains(values, r.project(v)) }, nil
		}
		a.compare = func(x, y P) int { return strings.Compare(r.project(x), r.project(y)) }
		r.add(a)
	}
}

// identified declares the id.
func (r *resource[P, E]) identified() {
	a := r.derived("id", func(b []byte, v P, _ *View) []byte { return appendUUID(b, r.id(v)) })
	a.compare = func(x, y P) int { return r.id(x).Compare(r.id(y)) }
	a.filter = func(_ *View, values []string) (func(P) bool, error) {
		want := parseUUIDs(values)
		return func(v P) bool { return slices.Contains(want, r.id(v)) }, nil
	}
}

// attr is a declared attribute, to change it.
func (r *resource[P, E]) attr(name string) *attribute[P, E] {
	for _, a := range r.attrs {
		if a.name == name {
			return a
		}
	}
	panic("api: " + r.plural + " has no attribute " + name)
}

// compiled readies the resource for use.
func (r *resource[P, E]) compiled() endpoint {
	if r.path == "" {
		r.path = strings.ReplaceAll(r.plural, "_", "-")
	}
	if r.notFound == "" {
		r.notFound = r.word + "NotFound"
	}
	if r.policy == "" {
		r.policy = r.name
	}
	if r.extra == nil {
		of := reflect.TypeFor[E]().Elem()
		r.extra = func() E { return reflect.New(of).Interface().(E) }
	}
	r.byName = make(map[string]*attribute[P, E], len(r.attrs))
	for _, a := range r.attrs {
		r.byName[a.name] = a
	}
	r.inOrder = sortedAsNeutron(r.plural, r.attrs)
	known := strings.Fields(neutronOrder[r.plural])
	for _, a := range r.attrs {
		a.unread = len(known) > 0 && !a.post && !a.put && a.name != "project_id" && a.name != "tenant_id" && !slices.Contains(known, a.name)
	}
	return r
}

func (r *resource[P, E]) missing(id string) error {
	if r.gone != "" {
		return model.Errf(model.KindNotFound, r.notFound, r.gone, id)
	}
	return model.Errf(model.KindNotFound, r.notFound, "%s %s could not be found.", r.word, id)
}

// missingUnder is missing for what is looked for beneath a parent, which Neutron may name, too.
func (r *resource[P, E]) missingUnder(x *View, id string) error {
	if r.goneUnder == "" || x.Parent.IsZero() {
		return r.missing(id)
	}
	return model.Errf(model.KindNotFound, r.notFound, r.goneUnder, id, x.Parent)
}

// find returns the object of an id that the viewer may see.
func (r *resource[P, E]) find(x *View, id string) (P, error) {
	var none P
	u, err := model.ParseUUID(id)
	if err != nil {
		return none, r.missingUnder(x, id)
	}
	switch v := r.source.get(x.W, u); {
	case isNil(v):
	case r.sees(x)(v):
		return v, nil
	case r.loaded && (r.parent == nil || r.parent(v) == x.Parent) && (!r.ownOnly || r.project(v) == x.By.Project):
		return none, errNoPath
	}
	return none, r.missingUnder(x, id)
}

// encode appends an object with the attributes that m shows.
func (r *resource[P, E]) encode(b []byte, v P, x *View, m *mask) []byte {
	b = append(b, '{')
	first := true
	for i, a := range r.attrs {
		if !m.show[i] || (a.shown != nil && !a.shown(v, x)) || (m.ask != nil && m.ask[i] && !r.maySee(v, x, a.name)) {
			continue
		}
		if !first {
			b = append(b, ',', ' ')
		}
		first = false
		b = a.append(append(b, a.key...), v, x)
	}
	return append(b, '}')
}
