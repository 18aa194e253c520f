package api

import (
	"iter"
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
}

// source is a table of the world as the engine needs it.
type source[T any] struct {
	get   func(w *world.World, id model.UUID) *T
	all   func(w *world.World) iter.Seq[*T]
	after func(w *world.World, id model.UUID, reverse bool) iter.Seq[*T] // rows beyond id, that one left out
	back  func(w *world.World) iter.Seq[*T]
	put   func(tx *world.Tx, v *T)
}

// table makes a source of a World's table whose key is an identifier.
func table[K ~struct{ model.UUID }, T any](of func(*world.World) *world.Table[K, T]) source[T] {
	return source[T]{
		get: func(w *world.World, id model.UUID) *T { return of(w).Get(K{id}) },
		all: func(w *world.World) iter.Seq[*T] { return of(w).All() },
		after: func(w *world.World, id model.UUID, reverse bool) iter.Seq[*T] {
			rows := of(w).From(K{id})
			if reverse {
				rows = of(w).BackwardFrom(K{id})
			}
			return func(yield func(*T) bool) {
				skip := of(w).Get(K{id})
				for v := range rows {
					if v != skip && !yield(v) {
						return
					}
				}
			}
		},
		back: func(w *world.World) iter.Seq[*T] { return of(w).Backward() },
		put:  func(tx *world.Tx, v *T) { of(&tx.World).Put(v) },
	}
}

// rows is a sequence of objects in the order of ids.
type rows[T any] = iter.Seq[*T]

// index answers equality filters on an attribute; rows come in the order of ids.
type index[T any] struct {
	attr string
	rows func(w *world.World, value string) rows[T]
}

// Resource declares a resource of the API: T is what is stored, X what else a client may send. Rules get a fresh T (or
// a copy of the old one) with the stored attributes assigned, and X with the rest.
type Resource[T, X any] struct {
	name, plural string // "network", "networks": also the path
	path         string // beneath /v2.0; empty: plural with '-' for '_'
	word         string // as faults write it: "Network"
	notFound     string // type of the fault; empty: word + "NotFound"
	source       source[T]
	id           func(*T) model.UUID
	meta         func(*T) *model.Meta
	project      func(*T) string
	setProject   func(*T, string) // nil: the resource belongs to no project
	quota        model.Kind       // counted against quotas; empty: not

	create func(tx *world.Tx, by *rules.Actor, v *T, x *X) error
	update func(tx *world.Tx, by *rules.Actor, c Change[T, X]) error
	remove func(tx *world.Tx, by *rules.Actor, old *T) error

	// What policy may ask of an object beyond its attributes; all may be nil. network: on which network it is. shared:
	// whether it is shared with the viewer's project. parentProject: whose the router, floating IP or security group is
	// that it is under.
	network       func(v *T) model.NetworkID
	shared        func(v *T, x *View) bool
	external      func(v *T, x *View) bool
	parentProject func(v *T, x *View) string
	// parent is the object that a nested resource belongs to.
	parent     func(v *T) model.UUID
	bindParent func(v *T, parent model.UUID)
	// policy is the resource's name in rules, if it is not name.
	policy string
	// indexes in the order of preference.
	indexes []index[T]
	// seeks are indexes that can start beyond a row, for pages of long lists; by the attribute's name.
	seeks map[string]func(w *world.World, value string, after *T, reverse bool) rows[T]
	// reach gathers the rows in which everything is that a caller who does not see all may see; nil: all rows.
	reach func(x *View) []*T
	// actions are PUT /plural/id/action; subs are GET, POST, … of anything else beneath an object.
	actions map[string]func(c *call, id string) error
	subs    map[string]func(c *call, id string, rest []string) error
	tagged  bool
	// prepare runs before any request is answered; may be nil.
	prepare func(c *call) error
	// gone is the fault's message for an id that is not there; empty: the usual one.
	gone string
	// concealed: who may not change or delete an object is told that it is not there, even if he may see it.
	concealed bool
	// freeMarker: a page may start beyond an object that the caller does not see.
	freeMarker bool
	// extraInit makes an X that means "nothing sent"; nil: the zero X.
	extraInit func() X

	attrs  []*attr[T, X]
	byName map[string]*attr[T, X]
}

// Change is an update: Old as it is, New a copy with the stored attributes assigned. The rule puts New.
type Change[T, X any] struct {
	Old, New *T
	X        *X
	// Has reports whether the client sent an attribute.
	Has func(name string) bool
}

// standard declares what every resource with standard attributes has. Call it after the resource's own attributes.
func (r *Resource[T, X]) standard() {
	r.add(&attr[T, X]{name: "description", append: func(b []byte, v *T, _ *View) []byte {
		return appendString(b, r.meta(v).Description)
	}}).rw().convert(func(v Value) (assign[T, X], error) {
		s, err := textValue(v, 255)
		return func(t *T, _ *X) { r.meta(t).Description = s }, err
	}).filterBy(func(_ *View, values []string) (func(*T) bool, error) {
		return func(v *T) bool { return slices.Contains(values, r.meta(v).Description) }, nil
	}).compare = func(a, b *T) int { return strings.Compare(r.meta(a).Description, r.meta(b).Description) }
	r.add(&attr[T, X]{name: "created_at", append: func(b []byte, v *T, _ *View) []byte {
		return appendTime(b, r.meta(v).CreatedAt)
	}}).compare = func(a, b *T) int { return int(r.meta(a).CreatedAt - r.meta(b).CreatedAt) }
	r.add(&attr[T, X]{name: "updated_at", append: func(b []byte, v *T, _ *View) []byte {
		return appendTime(b, r.meta(v).UpdatedAt)
	}}).compare = func(a, b *T) int { return int(r.meta(a).UpdatedAt - r.meta(b).UpdatedAt) }
	r.number("revision_number", func(v *T) int64 { return int64(r.meta(v).Revision) })
	if r.tagged {
		r.derived("tags", func(b []byte, v *T, _ *View) []byte { return appendStrings(b, r.meta(v).Tags) })
	}
}

// owned declares project_id and its older name, tenant_id.
func (r *Resource[T, X]) owned() {
	for _, name := range []string{"project_id", "tenant_id"} {
		a := &attr[T, X]{name: name, post: true, append: func(b []byte, v *T, _ *View) []byte {
			return appendString(b, r.project(v))
		}}
		a.text = func(v *T, _ *View) string { return r.project(v) }
		a.parse = func(v Value) (assign[T, X], error) {
			s, err := textValue(v, 255)
			return func(t *T, _ *X) { r.setProject(t, s) }, err
		}
		a.filter = func(_ *View, values []string) (func(*T) bool, error) {
			return func(v *T) bool { return slices.Contains(values, r.project(v)) }, nil
		}
		a.compare = func(x, y *T) int { return strings.Compare(r.project(x), r.project(y)) }
		r.add(a)
	}
}

// identified declares the id.
func (r *Resource[T, X]) identified() {
	a := r.derived("id", func(b []byte, v *T, _ *View) []byte { return appendUUID(b, r.id(v)) })
	a.compare = func(x, y *T) int { return r.id(x).Compare(r.id(y)) }
	a.filter = func(_ *View, values []string) (func(*T) bool, error) {
		want := parseUUIDs(values)
		return func(v *T) bool { return slices.Contains(want, r.id(v)) }, nil
	}
}

// attr is a declared attribute, to change it.
func (r *Resource[T, X]) attr(name string) *attr[T, X] {
	for _, a := range r.attrs {
		if a.name == name {
			return a
		}
	}
	panic("api: " + r.plural + " has no attribute " + name)
}

// compiled readies the resource for use.
func (r *Resource[T, X]) compiled() endpoint {
	if r.path == "" {
		r.path = strings.ReplaceAll(r.plural, "_", "-")
	}
	if r.notFound == "" {
		r.notFound = r.word + "NotFound"
	}
	if r.policy == "" {
		r.policy = r.name
	}
	r.byName = make(map[string]*attr[T, X], len(r.attrs))
	for _, a := range r.attrs {
		r.byName[a.name] = a
	}
	return r
}

func (r *Resource[T, X]) missing(id string) error {
	if r.gone != "" {
		return model.Errf(model.KindNotFound, r.notFound, r.gone, id)
	}
	return model.Errf(model.KindNotFound, r.notFound, "%s %s could not be found.", r.word, id)
}

// find returns the object of an id that the viewer may see.
func (r *Resource[T, X]) find(x *View, id string) (*T, error) {
	u, err := model.ParseUUID(id)
	if err == nil {
		if v := r.source.get(x.W, u); v != nil && r.sees(x)(v) {
			return v, nil
		}
	}
	return nil, r.missing(id)
}

// encode appends an object with the attributes that m shows.
func (r *Resource[T, X]) encode(b []byte, v *T, x *View, m *mask) []byte {
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
