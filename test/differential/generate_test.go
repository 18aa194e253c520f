package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// generator makes requests of one episode, which has two projects of its own.
type generator struct {
	r        *rand.Rand
	episode  int
	projects [2]string
	live     map[string][]string // names of what is there, by kind
	given    []string            // values of "name"
	cidrs    int
}

// absent is the identifier of nothing.
const absent = "00000000-0000-4000-8000-000000000000"

func (g *generator) ref(kind string) string {
	if some := g.live[kind]; len(some) > 0 && g.r.IntN(12) > 0 {
		return some[g.r.IntN(len(some))]
	}
	return absent
}

func (g *generator) newName() string {
	n := fmt.Sprintf("e%d-%03d", g.episode, len(g.given))
	g.given = append(g.given, n)
	return n
}

func (g *generator) oldName() string {
	if len(g.given) == 0 {
		return "none"
	}
	return g.given[g.r.IntN(len(g.given))]
}

func (g *generator) cidr() string {
	g.cidrs++
	return []string{fmt.Sprintf("10.1.%d.0/24", g.cidrs), fmt.Sprintf("10.1.%d.0/28", g.cidrs), fmt.Sprintf("fd00:%d::/64", g.cidrs), fmt.Sprintf("10.1.%d.7/24", g.cidrs), "10.1.0.0/24",
		"10.1.0.0/31", "x", "0.0.0.0/0", "224.0.0.0/24"}[min(g.r.IntN(14), 8)*g.r.IntN(2)]
}

// some chooses up to n of the attributes.
func (g *generator) some(of attrs, n int) []string {
	keys := slices.Sorted(maps.Keys(of))
	g.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys[:min(len(keys), 1+g.r.IntN(n))]
}

// odd is a value that hardly any attribute takes.
func (g *generator) odd() any {
	return []any{nil, "", "x", -1, 1.5, true, object{}, []any{}, []any{nil}, object{"a": 1}, strings.Repeat("x", 256), "\u0000"}[g.r.IntN(11)]
}

func (g *generator) value(make gen) any {
	if g.r.IntN(14) == 0 {
		return g.odd()
	}
	return make(g)
}

func (g *generator) who() string {
	return []string{"admin", "admin", "admin", "member", "member", "member", "member", "reader", "other"}[g.r.IntN(9)]
}

var parent = regexp.MustCompile(`\{(\w+)\}`)

func (g *generator) path(template string) string {
	return "/" + parent.ReplaceAllStringFunc(template, func(s string) string {
		if s == "{project}" {
			return g.projects[g.r.IntN(2)]
		}
		return g.ref(strings.Trim(s, "{}"))
	})
}

// create makes a request that creates an object; now and then several.
func (g *generator) create(k kind) request {
	attributes := func() object {
		o := object{}
		for key, make := range k.must {
			if g.r.IntN(25) > 0 {
				o[key] = g.value(make)
			}
		}
		for _, of := range []attrs{k.may, every} {
			if len(of) == 0 || g.r.IntN(3) == 0 {
				continue
			}
			for _, key := range g.some(of, 3) {
				if _, is := every[key]; !is || g.r.IntN(5) == 0 {
					o[key] = g.value(of[key])
				}
			}
		}
		return o
	}
	if g.r.IntN(60) == 0 {
		return request{who: g.who(), method: "POST", path: g.path(k.path), body: g.odd()}
	}
	return request{who: g.who(), method: "POST", path: g.path(k.path), body: object{k.name: attributes()}}
}

// object is the path of an object of a kind.
func (g *generator) object(k kind) string {
	id := g.ref(k.name)
	if owner := parent.FindStringSubmatch(k.path); owner != nil {
		if i := strings.LastIndexByte(id, '/'); i >= 0 {
			return strings.Replace("/"+k.path, owner[0], id[:i], 1) + id[i:]
		}
	}
	return g.path(k.path) + "/" + id
}

func (g *generator) update(k kind) request {
	o := object{}
	all := maps.Clone(k.may)
	if all == nil {
		all = attrs{}
	}
	maps.Copy(all, k.must)
	maps.Copy(all, every)
	for _, key := range g.some(all, 2) {
		o[key] = g.value(all[key])
	}
	return request{who: g.who(), method: "PUT", path: g.object(k), body: object{k.name: o}}
}

// query asks for a list; sorted says that its order counts.
func (g *generator) query(k kind) (r request, sorted bool) {
	r = request{who: g.who(), method: "GET", path: g.path(k.path)}
	q := url.Values{}
	for range g.r.IntN(3) {
		key := slices.Sorted(maps.Keys(filters))[g.r.IntN(len(filters))]
		q.Set(key, fmt.Sprint(filters[key](g)))
	}
	if g.r.IntN(4) == 0 {
		q["fields"] = []string{"id", "name", "odd", "tenant_id", "description"}[:1+g.r.IntN(5)]
	}
	if _, named := k.must["name"]; named && g.r.IntN(3) == 0 {
		sorted = true
		q.Set("sort_key", "name")
		q.Set("sort_dir", []string{"asc", "desc", "asc", "odd"}[g.r.IntN(4)])
		if g.r.IntN(2) == 0 {
			q.Set("limit", fmt.Sprint(g.r.IntN(4)))
			if g.r.IntN(2) == 0 {
				q.Set("marker", g.ref(k.name))
			}
			if g.r.IntN(3) == 0 {
				q.Set("page_reverse", "True")
			}
		}
		delete(q, "fields")
	}
	if r.who == "admin" && !strings.Contains(k.path, "{") && k.may["shared"] == nil {
		q.Set("project_id", g.projects[0])
	}
	if len(q) > 0 {
		r.path += "?" + strings.ReplaceAll(q.Encode(), "%2C", ",")
	}
	return r, sorted
}
