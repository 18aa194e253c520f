package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/server/api"
)

// cases are the requests of one resource that should be refused. They come from the resource's own table of attributes, so that a new
// attribute is among them; few go through, which is no harm.
type cases struct {
	w    *cloud
	d    api.Description
	r    *rand.Rand
	good object // that creates one; nil: nothing does
	out  []request
}

func newCases(w *cloud, d api.Description, r *rand.Rand) *cases {
	return &cases{w: w, d: d, r: r, good: w.good(d.Path, false)}
}

func (c *cases) all() []request {
	c.shapes()
	c.places()
	c.values()
	c.pairs()
	c.lists()
	return c.out
}

func (c *cases) add(who, method, path string, body any) {
	c.out = append(c.out, request{who, method, path, body})
}

func (c *cases) object() string { return collection(c.d) + "/" + subjectID(c.d) }

// with is the good body with some attributes otherwise; an attribute of type gone is left out.
func (c *cases) with(o object) object {
	all := maps.Clone(c.good)
	if all == nil {
		all = object{}
	}
	for k, v := range o {
		if all[k] = v; v == (gone{}) {
			delete(all, k)
		}
	}
	return object{c.d.Name: all}
}

type gone struct{}

// shapes are bodies that are none, by all callers, to the collection, the object, and what is not there.
func (c *cases) shapes() {
	d := c.d
	wrap := func(v any) object { return object{d.Name: v} }
	bodies := []any{nil, raw("{"), raw(`"x"`), raw("null"), raw("7"), []any{}, []any{object{}}, object{}, object{"odd": object{}}, wrap(nil), wrap([]any{}), wrap("x"), wrap(7), wrap(object{}),
		wrap(object{"odd": 1}), wrap(object{"odd": 1, "even": 2}), object{d.Plural: []any{}}, object{d.Plural: object{}}, object{d.Plural: nil}, object{d.Plural: []any{7}},
		object{d.Plural: []any{object{"odd": 1}}}, object{d.Plural: []any{wrap(object{"odd": 1})}}, object{d.Plural: []any{wrap(c.good)}}, wrap(object{"project_id": "x"}),
		wrap(object{"tenant_id": "x"}), wrap(object{"project_id": "x", "tenant_id": "y"}), wrap(object{"project_id": 7})}
	for _, who := range []string{"admin", "member", "reader"} {
		for _, b := range bodies {
			c.add(who, "POST", collection(d), b)
			c.add(who, "PUT", c.object(), b)
			c.add(who, "PUT", collection(d)+"/"+absent, b)
		}
		for _, b := range []any{raw("{"), raw("null"), object{}, wrap(object{})} {
			c.add(who, "DELETE", c.object(), b)
			c.add(who, "DELETE", collection(d)+"/"+absent, b)
		}
		c.add(who, "POST", collection(d), c.with(object{"odd": 1}))
		for _, a := range d.Attributes {
			if a.Required {
				c.add(who, "POST", collection(d), c.with(object{a.Name: gone{}}))
			}
		}
	}
}

// places are all methods by all callers where there is nothing, or nothing for them.
func (c *cases) places() {
	named := object{c.d.Name: object{"name": "x", "description": "x"}}
	for _, who := range []string{"admin", "member", "reader", "other", "nobody"} {
		for _, id := range []string{absent, "no-id", subjectID(c.d)} {
			path := collection(c.d) + "/" + id
			c.add(who, "GET", path, nil)
			c.add(who, "PUT", path, named)
			c.add(who, "POST", path, named)
			c.add(who, "PATCH", path, named)
			c.add(who, "GET", path+"/odd", nil)
			if id != subjectID(c.d) || who != "admin" && who != "member" {
				c.add(who, "DELETE", path, nil)
			}
		}
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			c.add(who, method, collection(c.d), nil)
		}
		if owner := parent.FindString(c.d.Path); owner != "" {
			path := "/" + strings.Replace(c.d.Path, owner, absent, 1)
			c.add(who, "GET", path, nil)
			c.add(who, "GET", path+"/"+absent, nil)
			c.add(who, "POST", path, c.with(nil))
			c.add(who, "PUT", path+"/"+absent, named)
			c.add(who, "DELETE", path+"/"+absent, nil)
		}
		if c.good != nil && who != "admin" && who != "member" {
			c.add(who, "POST", collection(c.d), c.with(nil))
		}
	}
}

// odd are values that are wrong for most attributes, of every kind.
var odd = []any{nil, "", "x", 7, -1, 70000, 1.5, true, object{}, []any{}, []any{nil}, []any{"x"}, []any{object{}}, object{"a": 1}, strings.Repeat("x", 256), absent, []any{absent}, "10.0.0.0/33",
	"10.76.0.9", "fd00:76::9", "224.0.0.1", "a b", "é"}

// values are wrong values of each attribute; of what may not be sent, one.
func (c *cases) values() {
	for _, a := range c.d.Attributes {
		for i, v := range odd {
			if a.Post || i == 2 {
				c.add("admin", "POST", collection(c.d), c.with(object{a.Name: v}))
			}
			if a.Put || i == 2 {
				c.add("admin", "PUT", c.object(), object{c.d.Name: object{a.Name: v}})
			}
			if i%8 == 2 || v == nil {
				c.add("member", "POST", collection(c.d), c.with(object{a.Name: v}))
				c.add("member", "PUT", c.object(), object{c.d.Name: object{a.Name: v}})
			}
		}
	}
}

// pairs are two faults in one request: which is told first shows the order of checks.
func (c *cases) pairs() {
	if len(c.d.Attributes) < 2 {
		return
	}
	for range 3 * len(c.d.Attributes) {
		two := object{}
		for len(two) < 2 {
			two[c.d.Attributes[c.r.IntN(len(c.d.Attributes))].Name] = odd[c.r.IntN(len(odd))]
		}
		if c.r.IntN(4) == 0 {
			two["odd"] = 1
		}
		if c.good != nil && c.r.IntN(3) == 0 {
			for _, name := range slices.Sorted(maps.Keys(c.good)) {
				if _, is := two[name]; !is && c.r.IntN(2) == 0 {
					two[name] = gone{}
				}
			}
		}
		who := []string{"admin", "admin", "member", "reader"}[c.r.IntN(4)]
		if c.r.IntN(2) == 0 {
			c.add(who, "POST", collection(c.d), c.with(two))
			continue
		}
		maps.DeleteFunc(two, func(_ string, v any) bool { return v == (gone{}) })
		path := c.object()
		if c.r.IntN(4) == 0 {
			path = collection(c.d) + "/" + absent
		}
		c.add(who, "PUT", path, object{c.d.Name: two})
	}
}

// lists are queries that mean nothing.
func (c *cases) lists() {
	path := collection(c.d)
	queries := []string{"odd=1", "limit=x", "limit=-1", "limit=1.5", "limit=0&sort_key=odd", "marker=" + absent, "marker=x", "sort_key=odd", "sort_dir=odd", "sort_key=id&sort_dir=odd", "sort_key=id&sort_dir=asc&sort_dir=desc",
		"sort_key=id&sort_key=odd&sort_dir=asc&sort_dir=asc", "page_reverse=x", "fields=odd", "tags=", "tags-odd=x", "odd=1&sort_key=odd", "sort_key=odd&limit=x", "odd=1&limit=x", "id=x&id=y", "limit="}
	for _, a := range c.d.Attributes {
		for _, v := range []string{"x", "", "7", "true"} {
			queries = append(queries, fmt.Sprintf("%s=%s", a.Name, v))
		}
		queries = append(queries, "sort_key="+a.Name+"&sort_dir=asc")
	}
	for i, q := range queries {
		c.add("admin", "GET", path+"?"+q, nil)
		if i%5 == 0 {
			c.add("member", "GET", path+"?"+q, nil)
			c.add("reader", "GET", path+"/"+subjectID(c.d)+"?"+q, nil)
		}
	}
}
