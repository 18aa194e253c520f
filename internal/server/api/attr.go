package api

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weft-cloud/weft/internal/model"
)

// attr is one attribute of a resource whose stored objects are T and whose input beyond them is X.
//
// There are four kinds. Stored: a field of T, read and written through a pointer to it. Derived from the object, and
// derived from world and viewer: only append is set. Input only: only parse is set; it leaves what the client sent in X
// for the rule.
type attr[T, X any] struct {
	name string
	// post and put say whether a client may send the attribute; required, whether POST must have it.
	post, put, required bool
	// guarded: policy may have a rule for setting the attribute (Neutron's enforce_policy). explicit says whether a
	// creation that sends a value is asked about it; nil: any but null. subs are the keys of the attribute's
	// dictionaries that have rules of their own.
	guarded  bool
	explicit func(v Value) bool
	subs     []string
	// text is the value as policy rules compare it; nil: rules cannot.
	text func(v *T, x *View) string
	// parse turns the client's value into an assignment. Errors: reason, or a *model.Error passed on as it is.
	parse func(v Value) (assign[T, X], error)
	// absent assigns the default when POST does not have the attribute; nil: the zero value is the default.
	absent assign[T, X]
	// append adds the attribute's JSON value; nil: never shown.
	append func(b []byte, v *T, x *View) []byte
	// shown says whether an object has the attribute at all; nil: always.
	shown func(v *T, x *View) bool
	// filter makes the test for a list filter with these values; nil: not a filter.
	filter func(x *View, values []string) (func(v *T) bool, error)
	// compare orders by the attribute; nil: not a sort key.
	compare func(a, b *T) int
	key     []byte // the name as it is written
	max     int    // longest text
	null    bool   // text: null is taken as ""
}

// assign puts an accepted value where it belongs.
type assign[T, X any] func(v *T, x *X)

// reason is why a value is refused; the engine adds the attribute's name in Neutron's words.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

// inPost lets clients set the attribute at creation.
func (a *attr[T, X]) inPost() *attr[T, X] { a.post = true; return a }

// inPut lets clients change the attribute.
func (a *attr[T, X]) inPut() *attr[T, X] { a.put = true; return a }

// rw lets clients set the attribute at creation and later.
func (a *attr[T, X]) rw() *attr[T, X] { a.post, a.put = true, true; return a }

// must makes POST refuse a body without the attribute.
func (a *attr[T, X]) must() *attr[T, X] { a.post, a.required = true, true; return a }

// guard tells that policy may have rules for setting the attribute, and for keys of the dictionaries in it. Creation
// with false or "" is not asked about: those are the defaults.
func (a *attr[T, X]) guard(subs ...string) *attr[T, X] {
	a.guarded, a.subs = true, subs
	a.explicit = func(v Value) bool {
		on, ok := parseBool(v.text)
		return v.kind != isNull && !(v.kind == isString && v.text == "") && !(v.kind != isString && ok && !on)
	}
	return a
}

// guardAny is guard for an attribute without a default: policy is asked about any value but null.
func (a *attr[T, X]) guardAny() *attr[T, X] {
	a.guard().explicit = func(v Value) bool { return v.kind != isNull }
	return a
}

// asked appends the names of the rules that setting the attribute to v is under.
func (a *attr[T, X]) asked(names []string, v Value, create bool) []string {
	if !a.guarded || (create && !a.explicit(v)) {
		return names
	}
	names = append(names, a.name)
	for _, sub := range a.subs {
		_, has := v.get(sub)
		for _, item := range v.items {
			_, in := item.get(sub)
			has = has || in
		}
		if has {
			names = append(names, a.name+":"+sub)
		}
	}
	return names
}

// limit bounds a text's length in characters.
func (a *attr[T, X]) limit(n int) *attr[T, X] { a.max = n; return a }

// orNull accepts null for a text, meaning "".
func (a *attr[T, X]) orNull() *attr[T, X] { a.null = true; return a }

// initially assigns a default at creation.
func (a *attr[T, X]) initially(f assign[T, X]) *attr[T, X] { a.absent = f; return a }

// when shows the attribute only on objects of which f holds.
func (a *attr[T, X]) when(f func(v *T, x *View) bool) *attr[T, X] { a.shown = f; return a }

// noFilter and noSort take away what the attribute's type would offer.
func (a *attr[T, X]) noFilter() *attr[T, X] { a.filter = nil; return a }

func (a *attr[T, X]) noSort() *attr[T, X] { a.compare = nil; return a }

// convert replaces how the client's value is read.
func (a *attr[T, X]) convert(f func(v Value) (assign[T, X], error)) *attr[T, X] {
	a.parse = f
	return a
}

// check adds a test of the client's value, made before it is read.
func (a *attr[T, X]) check(f func(v Value) error) *attr[T, X] {
	parse := a.parse
	a.parse = func(v Value) (assign[T, X], error) {
		if err := f(v); err != nil {
			return nil, err
		}
		return parse(v)
	}
	return a
}

// filterBy replaces the filter.
func (a *attr[T, X]) filterBy(f func(x *View, values []string) (func(v *T) bool, error)) *attr[T, X] {
	a.filter = f
	return a
}

// add declares an attribute; the constructors below are the usual ways to.
func (r *Resource[T, X]) add(a *attr[T, X]) *attr[T, X] {
	a.key = append(appendString(nil, a.name), ':', ' ')
	r.attrs = append(r.attrs, a)
	return a
}

// text declares a stored text, a filter and sort key, of at most 255 characters.
func (r *Resource[T, X]) text(name string, field func(*T) *string) *attr[T, X] {
	a := &attr[T, X]{name: name, max: 255}
	a.append = func(b []byte, v *T, _ *View) []byte { return appendString(b, *field(v)) }
	a.text = func(v *T, _ *View) string { return *field(v) }
	a.parse = func(v Value) (assign[T, X], error) {
		if v.kind == isNull && a.null {
			return func(t *T, _ *X) { *field(t) = "" }, nil
		}
		s, err := textValue(v, a.max)
		if err != nil {
			return nil, err
		}
		return func(t *T, _ *X) { *field(t) = s }, nil
	}
	a.filter = func(_ *View, values []string) (func(*T) bool, error) {
		if len(values) == 1 {
			want := values[0]
			return func(v *T) bool { return *field(v) == want }, nil
		}
		return func(v *T) bool { return slices.Contains(values, *field(v)) }, nil
	}
	a.compare = func(x, y *T) int { return strings.Compare(*field(x), *field(y)) }
	return r.add(a)
}

// nullable declares a stored text that shows as null when it is empty, and may be sent as null.
func (r *Resource[T, X]) nullable(name string, field func(*T) *string) *attr[T, X] {
	a := r.text(name, field)
	a.append = func(b []byte, v *T, _ *View) []byte { return appendStringOrNull(b, *field(v)) }
	return a.orNull()
}

// flag declares a stored boolean, a filter and sort key.
func (r *Resource[T, X]) flag(name string, field func(*T) *bool) *attr[T, X] {
	a := &attr[T, X]{name: name}
	a.append = func(b []byte, v *T, _ *View) []byte { return appendBool(b, *field(v)) }
	a.text = func(v *T, _ *View) string { return pythonBool(*field(v)) }
	a.parse = func(v Value) (assign[T, X], error) {
		on, err := boolValue(v)
		if err != nil {
			return nil, err
		}
		return func(t *T, _ *X) { *field(t) = on }, nil
	}
	a.filter = func(_ *View, values []string) (func(*T) bool, error) {
		return boolFilter(values, func(v *T) bool { return *field(v) })
	}
	a.compare = func(x, y *T) int { return compareBool(*field(x), *field(y)) }
	return r.add(a)
}

// flagOf declares a boolean derived from object, world and viewer.
func (r *Resource[T, X]) flagOf(name string, get func(v *T, x *View) bool) *attr[T, X] {
	a := &attr[T, X]{name: name}
	a.append = func(b []byte, v *T, x *View) []byte { return appendBool(b, get(v, x)) }
	a.text = func(v *T, x *View) string { return pythonBool(get(v, x)) }
	a.filter = func(x *View, values []string) (func(*T) bool, error) {
		return boolFilter(values, func(v *T) bool { return get(v, x) })
	}
	return r.add(a)
}

// uuid declares a stored identifier, null when there is none; a filter and sort key.
func (r *Resource[T, X]) uuid(name string, field func(*T) *model.UUID) *attr[T, X] {
	a := &attr[T, X]{name: name}
	a.append = func(b []byte, v *T, _ *View) []byte { return appendUUID(b, *field(v)) }
	a.text = func(v *T, _ *View) string { return field(v).String() }
	a.parse = func(v Value) (assign[T, X], error) {
		u, err := uuidValue(v, !a.required)
		if err != nil {
			return nil, err
		}
		return func(t *T, _ *X) { *field(t) = u }, nil
	}
	a.filter = func(_ *View, values []string) (func(*T) bool, error) {
		want := parseUUIDs(values)
		if len(want) == 1 {
			return func(v *T) bool { return *field(v) == want[0] }, nil
		}
		return func(v *T) bool { return slices.Contains(want, *field(v)) }, nil
	}
	a.compare = func(x, y *T) int { return field(x).Compare(*field(y)) }
	return r.add(a)
}

// number declares an integer derived from the object, a filter and sort key.
func (r *Resource[T, X]) number(name string, get func(*T) int64) *attr[T, X] {
	a := &attr[T, X]{name: name}
	a.append = func(b []byte, v *T, _ *View) []byte { return strconv.AppendInt(b, get(v), 10) }
	a.filter = func(_ *View, values []string) (func(*T) bool, error) {
		want := make([]int64, 0, len(values))
		for _, s := range values {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, model.Invalid("'%s' is not an integer.", s)
			}
			want = append(want, n)
		}
		return func(v *T) bool { return slices.Contains(want, get(v)) }, nil
	}
	a.compare = func(x, y *T) int { return cmp.Compare(get(x), get(y)) }
	return r.add(a)
}

// derived declares an attribute that is shown only.
func (r *Resource[T, X]) derived(name string, show func(b []byte, v *T, x *View) []byte) *attr[T, X] {
	return r.add(&attr[T, X]{name: name, append: show})
}

// input declares an attribute that the client sends for the rule alone.
func (r *Resource[T, X]) input(name string, parse func(v Value) (assign[T, X], error)) *attr[T, X] {
	return r.add(&attr[T, X]{name: name, parse: parse})
}

// Values as Neutron reads them (neutron-lib: api/converters.py, api/validators).

func textValue(v Value, max int) (string, error) {
	if v.kind != isString {
		return "", reasonf("'%s' is not a valid string.", v)
	}
	if max > 0 && len(v.text) > max && utf8.RuneCountInString(v.text) > max {
		return "", reasonf("'%s' exceeds maximum length of %d.", v.text, max)
	}
	return v.text, nil
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

func boolValue(v Value) (bool, error) {
	if v.kind == isBool || v.kind == isString || v.kind == isNumber {
		if on, ok := parseBool(v.text); ok {
			return on, nil
		}
	}
	return false, model.Invalid("'%s' cannot be converted to boolean.", v)
}

func intValue(v Value) (int64, error) {
	if v.kind == isNumber || v.kind == isString {
		if n, err := strconv.ParseInt(strings.TrimSpace(v.text), 10, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(v.text, 64); err == nil && v.kind == isNumber && f > -1e15 && f < 1e15 {
			return int64(f), nil
		}
	}
	return 0, model.Invalid("'%s' is not an integer.", v)
}

func uuidValue(v Value, null bool) (model.UUID, error) {
	if v.kind == isNull && null {
		return model.UUID{}, nil
	}
	if v.kind == isString {
		if u, err := model.ParseUUID(v.text); err == nil {
			return u, nil
		}
	}
	return model.UUID{}, reasonf("'%s' is not a valid UUID.", v)
}

func listValue(v Value) ([]Value, error) {
	if v.kind != isList {
		return nil, reasonf("'%s' is not a list.", v)
	}
	return v.items, nil
}

// parseUUIDs keeps what can be an identifier: nothing has any other.
func parseUUIDs(values []string) []model.UUID {
	out := make([]model.UUID, 0, len(values))
	for _, s := range values {
		if u, err := model.ParseUUID(s); err == nil {
			out = append(out, u)
		} else if s == "" {
			out = append(out, model.UUID{})
		}
	}
	return out
}

func boolFilter[T any](values []string, get func(*T) bool) (func(*T) bool, error) {
	var want [2]bool
	for _, s := range values {
		on, ok := parseBool(s)
		if !ok {
			return nil, model.Invalid("'%s' cannot be converted to boolean.", s)
		}
		if on {
			want[1] = true
		} else {
			want[0] = true
		}
	}
	return func(v *T) bool {
		if get(v) {
			return want[1]
		}
		return want[0]
	}, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// pythonBool is a boolean as policy rules write it.
func pythonBool(v bool) string {
	if v {
		return "True"
	}
	return "False"
}
