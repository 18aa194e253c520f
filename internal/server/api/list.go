package api

import (
	"iter"
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// list answers GET of the collection.
func (r *Resource[T, X]) list(c *call) error {
	q, err := parseQuery(c.r.URL.RawQuery, c.s.deps.MaxPage)
	if err != nil {
		return err
	}
	x := c.view()
	rows, err := r.page(x, q)
	if err != nil {
		return err
	}
	m := r.mask(x, q.fields)
	b := append(append(c.buffer(), `{"`...), r.plural...)
	b = appendList(append(b, `": `...), rows, func(b []byte, v *T) []byte { return r.encode(b, v, x, m) })
	b = r.links(c, b, q, rows)
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

// links appends where the pages before and after are.
func (r *Resource[T, X]) links(c *call, b []byte, q *query, rows []*T) []byte {
	if q.limit == 0 || len(rows) == 0 {
		return b
	}
	full := len(rows) >= q.limit
	var links []string
	if full || q.reverse {
		links = append(links, `{"rel": "next", "href": `+string(appendString(nil, c.here()+"?"+q.pageLink(r.id(rows[len(rows)-1]).String(), false)))+"}")
	}
	if full || !q.reverse {
		links = append(links, `{"rel": "previous", "href": `+string(appendString(nil, c.here()+"?"+q.pageLink(r.id(rows[0]).String(), true)))+"}")
	}
	b = append(append(append(b, `, "`...), r.plural...), `_links": `...)
	return appendList(b, links, func(b []byte, s string) []byte { return append(b, s...) })
}

// page is the rows that a query asks for, in order.
func (r *Resource[T, X]) page(x *View, q *query) ([]*T, error) {
	match, err := r.matcher(x, q)
	if err != nil {
		return nil, err
	}
	less, err := r.order(q)
	if err != nil {
		return nil, err
	}
	var marker *T
	if q.marker != "" {
		if marker, err = r.find(x, q.marker); err != nil {
			return nil, err
		}
	}
	var out []*T
	if less == nil {
		for v := range r.candidates(x, q, marker) {
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

// sorted gathers, sorts and cuts when the order is not that of ids.
func (r *Resource[T, X]) sorted(x *View, q *query, marker *T, match func(*T) bool, less func(a, b *T) int) []*T {
	var out []*T
	straight := *q
	straight.reverse = false
	for v := range r.candidates(x, &straight, nil) {
		if (marker == nil || less(v, marker) > 0) && match(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, less)
	if q.limit > 0 && len(out) > q.limit {
		out = out[:q.limit]
	}
	return out
}

// order is the comparison that a query asks for, nil for the order of ids.
func (r *Resource[T, X]) order(q *query) (func(a, b *T) int, error) {
	type key struct {
		compare func(a, b *T) int
		sign    int
	}
	var keys []key
	for _, s := range q.sort {
		a := r.byName[s.name]
		if a == nil || a.compare == nil {
			return nil, badRequest("%s is invalid attribute for sort_keys", pyList([]string{s.name}))
		}
		sign := 1
		if s.desc {
			sign = -1
		}
		keys = append(keys, key{a.compare, sign})
	}
	if len(keys) == 0 || (q.sort[0].name == "id" && !q.sort[0].desc) {
		return nil, nil
	}
	turn := 1
	if q.reverse {
		turn = -1
	}
	return func(a, b *T) int {
		for _, k := range keys {
			if c := k.compare(a, b); c != 0 {
				return c * k.sign * turn
			}
		}
		return r.id(a).Compare(r.id(b)) * turn
	}, nil
}

// matcher is the test of a query's filters, tags and the caller's scope.
func (r *Resource[T, X]) matcher(x *View, q *query) (func(*T) bool, error) {
	var unknown []string
	tests := []func(*T) bool{r.sees(x)}
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
		tests = append(tests, test)
	}
	if !q.tags.empty() {
		if !r.tagged {
			unknown = append(unknown, "tags")
		}
		tests = append(tests, func(v *T) bool { return q.tags.match(r.meta(v).Tags) })
	}
	if unknown != nil {
		return nil, badRequest("%s is invalid attribute for filtering", pyList(unknown))
	}
	return func(v *T) bool {
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
func (r *Resource[T, X]) candidates(x *View, q *query, marker *T) iter.Seq[*T] {
	rows := r.indexed(x, q)
	if rows == nil {
		switch {
		case marker != nil:
			return r.source.after(x.W, r.id(marker), q.reverse)
		case q.reverse:
			return r.source.back(x.W)
		}
		return r.source.all(x.W)
	}
	if q.reverse {
		slices.Reverse(rows)
	}
	return func(yield func(*T) bool) {
		for _, v := range rows {
			if marker != nil {
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

// indexed gathers the rows that the best index lists, in the order of ids; nil if no filter has one.
func (r *Resource[T, X]) indexed(x *View, q *query) []*T {
	for _, f := range q.filters {
		if f.name == "id" {
			out := []*T{}
			for _, u := range sortedUUIDs(f.values) {
				if v := r.source.get(x.W, u); v != nil {
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
			out := []*T{}
			values := slices.Clone(f.values)
			slices.Sort(values)
			for _, value := range slices.Compact(values) {
				out = slices.AppendSeq(out, ix.rows(x.W, value))
			}
			if len(values) > 1 {
				slices.SortFunc(out, func(a, b *T) int { return r.id(a).Compare(r.id(b)) })
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
