package api

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// param is one name=value of a query, in the order sent.
type param struct{ name, value string }

// query is what a list request asks for.
type query struct {
	params  []param
	fields  []string
	limit   int // 0: none
	marker  string
	reverse bool
	keys    []string // to sort by
	dirs    []string // of each key: asc or desc
	tags    tagFilter
	filters []filterParam
	loose   bool // filters that there are not are passed over
	// limitLast: a bad limit is found after a bad order.
	limitLast bool
	// badLimit is what is wrong with the limit; it is found last.
	badLimit error
}

type filterParam struct {
	name   string
	values []string
}

// tagFilter: all of, any of, and not these.
type tagFilter struct{ all, any, notAll, notAny []string }

func (t *tagFilter) empty() bool {
	return len(t.all)+len(t.any)+len(t.notAll)+len(t.notAny) == 0
}

func (t *tagFilter) match(tags []string) bool {
	has := func(s string) bool { return slices.Contains(tags, s) }
	hasAll := func(want []string) bool { return !slices.ContainsFunc(want, func(s string) bool { return !has(s) }) }
	return hasAll(t.all) && (len(t.any) == 0 || slices.ContainsFunc(t.any, has)) &&
		(len(t.notAll) == 0 || !hasAll(t.notAll)) && !slices.ContainsFunc(t.notAny, has)
}

// parseQuery reads a query string. maxLimit bounds pages; 0: no bound.
func parseQuery(raw string, maxLimit int) (*query, error) {
	q := &query{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, badRequest("The query part '%s' is not properly escaped.", part)
		}
		q.params = append(q.params, param{name, value})
		switch name {
		case "fields":
			if value != "" {
				q.fields = append(q.fields, value)
			}
		case "limit":
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if errors.Is(err, strconv.ErrRange) && n > 0 {
				err = nil // more than there can be: n is the most that a number can say
			}
			if q.badLimit = nil; err != nil || n < 0 {
				q.badLimit = model.Errf(model.KindInvalid, "BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not '%s'.", value)
				n = 0
			}
			q.limit = n
		case "marker":
			q.marker = value
		case "page_reverse":
			q.reverse = strings.EqualFold(value, "true")
		case "sort_key":
			if value != "" {
				q.keys = append(q.keys, value)
			}
		case "sort_dir":
			if value != "" {
				q.dirs = append(q.dirs, value)
			}
		case "tags":
			q.tags.all = append(q.tags.all, splitTags(value)...)
		case "tags-any":
			q.tags.any = append(q.tags.any, splitTags(value)...)
		case "not-tags":
			q.tags.notAll = append(q.tags.notAll, splitTags(value)...)
		case "not-tags-any":
			q.tags.notAny = append(q.tags.notAny, splitTags(value)...)
		default:
			q.filter(name, value)
		}
	}
	if maxLimit > 0 && (q.limit == 0 || q.limit > maxLimit) {
		q.limit = maxLimit
	}
	return q, nil
}

func splitTags(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (q *query) filter(name, value string) {
	for i := range q.filters {
		if q.filters[i].name == name {
			q.filters[i].values = append(q.filters[i].values, value)
			return
		}
	}
	q.filters = append(q.filters, filterParam{name, []string{value}})
}

func pyList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = pyQuote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// pageLink is the query of another page of the same list: as sent, but from marker; "": from the end.
func (q *query) pageLink(marker string, reverse bool) string {
	var b strings.Builder
	for _, p := range q.params {
		if p.name == "marker" || p.name == "page_reverse" {
			continue
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value) + "&")
	}
	if marker != "" {
		b.WriteString("marker=" + url.QueryEscape(marker) + "&")
	}
	if reverse {
		b.WriteString("page_reverse=True&")
	}
	return strings.TrimSuffix(b.String(), "&")
}
