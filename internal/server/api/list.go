package api

import (
	"container/heap"
	"iter"
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// list answers GET of the collection.
func (r *resource[P, E]) list(c *call) error {
	q, err := parseQuery(c.r.URL.RawQuery, c.s.deps.MaxPage)
	if err != nil {
		return err
	}
	q.loose, q.limitLast = c.s.deps.LooseFilters, !c.core()
	x := c.view()
	x.turn = c.goOn
	rows, err := r.page(x, q)
	if err != nil {
		return err
	}
	m := r.mask(x, q.fields)
	b := append(append(c.buffer(), `{"`...), r.plural...)
	b = appendList(append(b, `": `...), rows, func(b []byte, v P) []byte { return r.encode(c.flush(b), v, x, m) })
	b = r.links(c, b, q, rows)
	c.pace.rest()
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

// links appends where the pages before and after are. An empty page leads to the last one and to the first.
func (r *resource[P, E]) links(c *call, b []byte, q *query, rows []P) []byte {
	if q.limit == 0 {
		return b
	}
	first, last := "", ""
	if len(rows) > 0 {
		first, last = r.id(rows[0]).String(), r.id(rows[len(rows)-1]).String()
	}
	full := len(rows) >= q.limit
	var links []string
	if full || q.reverse {
		links = append(links, `{"rel": "next", "href": `+string(appendString(nil, c.here()+"?"+q.pageLink(last, false)))+"}")
	}
	if full || !q.reverse {
		links = append(links, `{"rel": "previous", "href": `+string(appendString(nil, c.here()+"?"+q.pageLink(first, true)))+"}")
	}
	b = append(append(append(b, `, "`...), r.plural...), `_links": `...)
	return appendList(b, links, func(b []byte, s string) []byte { return append(b, s...) })
}

// page is the rows that a query asks for, in order.
func (r *resource[P, E]) page(x *View, q *query) ([]P, error) {
	match, less, err := r.asked(x, q)
	if err != nil {
		return nil, err
	}
	var marker P
	if q.marker != "" {
		if r.freeMarker {
			marker = r.source.get(x.W, idOf(q.marker))
		}
		if isNil(marker) {
			if marker, err = r.find(x, q.marker); err != nil {
				return nil, err
			}
		}
	}
	var out []P
	if less == nil {
		for v := range r.candidates(x, q, marker) {
			x.turn()
			if match(v) {
				if out = append(out, v); q.limit > 0 && len(out) == q.limit {
					break
				}
			}
		}
	} else {
		out = r.sorted(x, q, marker, match, less)
	}
	if q.reverse {
		slices.Reverse(out)
	}
	return out, nil
}

// asked is the filter and the order of a query. What is wrong with filters is found first; with the limit after or before the order.
func (r *resource[P, E]) asked(x *View, q *query) (match func(P) bool, less func(a, b P) int, err error) {
	if match, err = r.matcher(x, q); err == nil && !q.limitLast {
		err = q.badLimit
	}
	if err == nil {
		less, err = r.order(x, q)
	}
	if err == nil {
		err = q.badLimit
	}
	return match, less, err
}

// sorted gathers, sorts and cuts when the order is not that of ids. With a limit it keeps the best rows only.
func (r *resource[P, E]) sorted(x *View, q *query, marker P, match func(P) bool, less func(a, b P) int) []P {
	out := best[P]{less: less, limit: q.limit}
	var none P
	straight := *q
	straight.reverse = false
	for v := range r.candidates(x, &straight, none) {
		x.turn()
		if (isNil(marker) || less(v, marker) > 0) && out.wants(v) && match(v) {
			out.add(v)
		}
	}
	slices.SortFunc(out.rows, less)
	return out.rows
}

// best keeps the limit first rows of those added (0: all); rows is a heap with the last of them on top.
type best[P any] struct {
	rows  []P
	less  func(a, b P) int
	limit int
}

func (h *best[P]) Len() int           { return len(h.rows) }
func (h *best[P]) Less(i, j int) bool { return h.less(h.rows[i], h.rows[j]) > 0 }
func (h *best[P]) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *best[P]) Push(v any)         { h.rows = append(h.rows, v.(P)) }
func (h *best[P]) Pop() any           { panic("api: nothing is popped") }

// wants reports whether v would be kept.
func (h *best[P]) wants(v P) bool {
	return h.limit == 0 || len(h.rows) < h.limit || h.less(v, h.rows[0]) < 0
}

func (h *best[P]) add(v P) {
	switch {
	case h.limit == 0:
		h.rows = append(h.rows, v)
	case len(h.rows) < h.limit:
		heap.Push(h, v)
	default:
		h.rows[0] = v
		heap.Fix(h, 0)
	}
}

// order is the comparison that a query asks for, nil for the order of ids. Attributes that the caller may not see are alike.
func (r *resource[P, E]) order(x *View, q *query) (func(a, b P) int, error) {
	if len(q.keys) != len(q.dirs) {
		return nil, badRequest("The number of sort_keys and sort_dirs must be same")
	}
	type key struct {
		compare func(a, b P) int
		sign    int
	}
	var keys []key
	var noKeys, noDirs []string
	for i, name := range q.keys {
		a, dir := r.byName[name], q.dirs[i]
		if a == nil || a.compare == nil && a.compareIn == nil {
			noKeys = append(noKeys, name)
			continue
		}
		sign := 1
		switch dir {
		case "asc":
		case "desc":
			sign = -1
		default:
			noDirs = append(noDirs, dir)
		}
		keys = append(keys, key{r.seenOrder(x, a), sign})
	}
	switch {
	case noKeys != nil:
		return nil, badRequest("%s is invalid attribute for sort_keys", pyList(noKeys))
	case noDirs != nil:
		return nil, badRequest("%s is invalid value for sort_dirs, valid value is 'asc' and 'desc'", pyList(noDirs))
	case len(keys) == 0 || (q.keys[0] == "id" && q.dirs[0] == "asc"):
		return nil, nil
	}
	turn := 1
	if q.reverse {
		turn = -1
	}
	return func(a, b P) int {
		for _, k := range keys {
			if c := k.compare(a, b); c != 0 {
				return c * k.sign * turn
			}
		}
		return r.id(a).Compare(r.id(b)) * turn
	}, nil
}

// matcher is the test of a query's filters, tags and the caller's scope. An attribute that the caller may not see matches nothing: he would learn it
// by asking for one value after the other.
func (r *resource[P, E]) matcher(x *View, q *query) (func(P) bool, error) {
	var unknown []string
	tests := []func(P) bool{r.sees(x)}
	for _, f := range q.filters {
		a := r.byName[f.name]
		if a == nil || a.filter == nil {
			unknown = append(unknown, f.name)
			continue
		}
		test, err := a.filter(x, f.values)
		if err != nil {
			return nil, err
		}
		if shown := r.shows(x, f.name); shown != nil {
			tests = append(tests, shown)
		}
		tests = append(tests, test)
	}
	if !q.tags.empty() {
		if !r.tagged {
			unknown = append(unknown, "tags")
		}
		tests = append(tests, func(v P) bool { return q.tags.match(r.meta(v).Tags) })
	}
	if unknown != nil && !q.loose {
		return nil, badRequest("%s is invalid attribute for filtering", pyList(unknown))
	}
	return func(v P) bool {
		for _, t := range tests {
			if !t(v) {
				return false
			}
		}
		return true
	}, nil
}

// candidates yields rows in the order of ids (reversed if the query says so) among which are all that match, from
// beyond the marker on. It takes the first index that serves one of the filters.
func (r *resource[P, E]) candidates(x *View, q *query, marker P) iter.Seq[P] {
	if rows := r.sought(x, q, marker); rows != nil {
		return rows
	}
	rows := r.indexed(x, q)
	if rows == nil && r.reach != nil && !x.May.Scope(r.policy).All {
		rows = r.reach(x)
		slices.SortFunc(rows, func(a, b P) int { return r.id(a).Compare(r.id(b)) })
		rows = slices.CompactFunc(rows, func(a, b P) bool { return r.id(a) == r.id(b) })
	} else if rows == nil {
		switch {
		case !isNil(marker):
			return r.source.after(x.W, r.id(marker), q.reverse)
		case q.reverse:
			return r.source.back(x.W)
		}
		return r.source.all(x.W)
	}
	if q.reverse {
		slices.Reverse(rows)
	}
	return func(yield func(P) bool) {
		for _, v := range rows {
			if !isNil(marker) {
				c := r.id(v).Compare(r.id(marker))
				if q.reverse {
					c = -c
				}
				if c <= 0 {
					continue
				}
			}
			if !yield(v) {
				return
			}
		}
	}
}

// sought yields the rows of an index that can start beyond the marker, if the best index for the query is one.
func (r *resource[P, E]) sought(x *View, q *query, marker P) iter.Seq[P] {
	for _, ix := range r.indexes {
		for _, f := range q.filters {
			if f.name != ix.attr {
				continue
			}
			seek := r.seeks[f.name]
			if seek == nil || len(f.values) != 1 || f.values[0] == "" || (!isNil(marker) && r.byName[f.name].text(marker, x) != f.values[0]) {
				return nil
			}
			return seek(x.W, f.values[0], marker, q.reverse)
		}
	}
	return nil
}

// indexed gathers the rows that the best index lists, in the order of ids; nil if no filter has one.
func (r *resource[P, E]) indexed(x *View, q *query) []P {
	for _, f := range q.filters {
		if f.name == "id" {
			out := []P{}
			for _, u := range sortedUUIDs(f.values) {
				if v := r.source.get(x.W, u); !isNil(v) {
					out = append(out, v)
				}
			}
			return out
		}
	}
	for _, ix := range r.indexes {
		for _, f := range q.filters {
			if f.name != ix.attr || slices.Contains(f.values, "") {
				continue
			}
			out := []P{}
			values := slices.Clone(f.values)
			slices.Sort(values)
			for _, value := range slices.Compact(values) {
				out = slices.AppendSeq(out, ix.rows(x.W, value))
			}
			if len(values) > 1 {
				slices.SortFunc(out, func(a, b P) int { return r.id(a).Compare(r.id(b)) })
			}
			return out
		}
	}
	return nil
}

func sortedUUIDs(values []string) []model.UUID {
	out := parseUUIDs(values)
	slices.SortFunc(out, model.UUID.Compare)
	return slices.Compact(out)
}
