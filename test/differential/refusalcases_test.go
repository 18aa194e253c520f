package differential

import (
	"fmt"
	"hash/fnv"
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
	seed uint64
	good object // that creates one; nil: nothing does
	out  []request
}

func newCases(w *cloud, d api.Description, seed uint64) *cases {
	return &cases{w: w, d: d, seed: seed, good: w.good(d.Path, false)}
}

func (c *cases) all() []request {
	c.shapes()
	c.places()
	c.values()
	c.pairs()
	c.lists()
	own := len(c.out)
	c.paths()
	c.headers()
	others := slices.DeleteFunc(c.out[own:], func(q request) bool { return c.chance(oneOfForms, "form", q) != 0 })
	return c.out[:own+len(others)]
}

// oneOfForms: what is alike for all resources is tried on one of so many, on other ones each.
const oneOfForms = 5

func (c *cases) add(who, method, path string, body any) {
	c.out = append(c.out, request{who: who, method: method, path: path, body: body})
}

// chance is a number below n that depends on the seed, the resource and what is asked about, so that what is chosen for one attribute
// stays as it is when the resource gets another.
func (c *cases) chance(n int, about ...any) int {
	return chance(c.seed, n, append([]any{c.d.Path}, about...)...)
}

func chance(seed uint64, n int, about ...any) int {
	h := fnv.New64a()
	fmt.Fprintln(h, about...)
	return rand.New(rand.NewPCG(seed, h.Sum64())).IntN(n)
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
	for _, a := range c.d.Attributes {
		for i := range 3 {
			c.pair(a.Name, c.partner(a.Name, i), i)
		}
	}
}

// partner is which other attribute is wrong together with one.
func (c *cases) partner(name string, i int) string {
	best, at := "", -1
	for _, b := range c.d.Attributes {
		if n := c.chance(1<<30, "partner", name, b.Name, i); b.Name != name && n > at {
			best, at = b.Name, n
		}
	}
	return best
}

func (c *cases) pair(one, other string, i int) {
	two := object{one: odd[c.chance(len(odd), "one", one, i)], other: odd[c.chance(len(odd), "other", one, i)]}
	if c.chance(4, "odd", one, i) == 0 {
		two["odd"] = 1
	}
	who := []string{"admin", "admin", "member", "reader"}[c.chance(4, "who", one, i)]
	if c.chance(2, "put", one, i) == 0 {
		path := c.object()
		if c.chance(4, "absent", one, i) == 0 {
			path = collection(c.d) + "/" + absent
		}
		c.add(who, "PUT", path, object{c.d.Name: two})
		return
	}
	if c.chance(3, "less", one, i) == 0 {
		for name := range c.good {
			if _, is := two[name]; !is && c.chance(2, "gone", one, i, name) == 0 {
				two[name] = gone{}
			}
		}
	}
	c.add(who, "POST", collection(c.d), c.with(two))
}

// lists are queries that mean nothing.
func (c *cases) lists() {
	path := collection(c.d)
	queries := []string{"odd=1", "limit=x", "limit=-1", "limit=1.5", "limit=0&sort_key=odd", "marker=" + absent, "marker=x", "sort_key=odd", "sort_dir=odd", "sort_key=id&sort_dir=odd", "sort_key=id&sort_dir=asc&sort_dir=desc",
		"sort_key=id&sort_key=odd&sort_dir=asc&sort_dir=asc", "page_reverse=x", "fields=odd", "tags=", "tags-odd=x", "odd=1&sort_key=odd", "sort_key=odd&limit=x", "odd=1&limit=x", "id=x&id=y", "limit=",
		"page_reverse=7", "page_reverse=", "page_reverse=true&limit=x", "sort_key=", "sort_dir=", "sort_key=id&sort_dir=", "sort_dir=asc", "sort_key=id&sort_key=id&sort_dir=asc", "sort_key=id,id", "sort_dir=ASC&sort_key=id",
		"limit=0", "limit=99999999999999999999", "limit=1&limit=2", "limit=%2B1", "limit=1&marker=", "limit=1&marker=" + subjectID(c.d), "limit=1&marker=x&page_reverse=x", "marker=" + absent + "&marker=x",
		"fields=", "fields=id&fields=odd", "limit=%20", "LIMIT=x", "limit=1;odd=1", "=x", "&&", "id", "id=%ZZ", "odd"}
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
