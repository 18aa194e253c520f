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

// attribute is one attribute of a resource; P points to its stored objects, E to what a client sends beyond them.
//
// There are four kinds. Stored: a field of T, read and written through a pointer to it. Derived from the object, and
// derived from world and viewer: only append is set. Input only: only parse is set; it leaves what the client sent in E
// for the rule.
type attribute[P, E any] struct {
	name string
	// post and put say whether a client may send the attribute; required, whether POST must have it.
	post, put, required bool
	// needed: POST must have it, too, but Neutron gives it a default that is refused when values are read.
	needed bool
	// guarded: policy may have a rule for setting the attribute (Neutron's enforce_policy). explicit says whether a
	// creation that sends a value is asked about it; nil: any but null. subs are the keys of the attribute's
	// dictionaries that have rules of their own.
	guarded  bool
	explicit func(v Value) bool
	subs     []string
	filled   bool // see fill
	// text is the value as policy rules compare it; nil: rules cannot.
	text func(v P, x *View) string
	// parse turns the client's value into an assignment. Errors: reason, or a *model.Error passed on as it is.
	parse func(v Value) (assignment[P, E], error)
	// absent assigns the default when POST does not have the attribute; nil: the zero value is the default.
	absent assignment[P, E]
	// append adds the attribute's JSON value; nil: never shown.
	append func(b []byte, v P, x *View) []byte
	// shown says whether an object has the attribute at all; nil: always.
	shown func(v P, x *View) bool
	// filter makes the test for a list filter with these values; nil: not a filter.
	filter func(x *View, values []string) (func(v P) bool, error)
	// compare orders by the attribute; nil: not a sort key.
	compare func(a, b P) int
	// compareIn makes compare for what follows from other objects, too; nil: it does not.
	compareIn func(x *View) func(a, b P) int
	key       []byte // the name as it is written
	max       int    // longest text
	isLate    bool   // what is wrong with a value is found after policy was asked
	boolean   bool   // declared by flag or flagOf
	null      bool   // text: null is taken as ""
	unread    bool   // clients cannot send it, and Neutron does not know the name in a body
}

// assignment puts an accepted value where it belongs.
type assignment[P, E any] func(v P, x E)

// reason is why a value is refused; the engine adds the attribute's name in Neutron's words.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

// inPost lets clients set the attribute at creation.
func (a *attribute[P, E]) inPost() *attribute[P, E] { a.post = true; return a }

// inPut lets clients change the attribute.
func (a *attribute[P, E]) inPut() *attribute[P, E] { a.put = true; return a }

// rw lets clients set the attribute at creation and later.
func (a *attribute[P, E]) rw() *attribute[P, E] { a.post, a.put = true, true; return a }

// must makes POST refuse a body without the attribute.
func (a *attribute[P, E]) must() *attribute[P, E] { a.post, a.required = true, true; return a }

// needs makes POST refuse a body without the attribute as it refuses null.
func (a *attribute[P, E]) needs() *attribute[P, E] { a.post, a.needed = true, true; return a }

// guard tells that policy may have rules for setting the attribute, and for keys of the dictionaries in it. Creation
// with false or "" is not asked about: those are the defaults.
func (a *attribute[P, E]) guard(subs ...string) *attribute[P, E] {
	a.guarded, a.subs = true, subs
	a.explicit = func(v Value) bool {
		if a.boolean { // however it is written: false, "False", 0
			on, err := boolValue(v)
			return err != nil || on
		}
		return v.kind != isNull && !(v.kind == isString && v.text == "")
	}
	return a
}

// fill says that Neutron gives each dictionary of a guarded list the keys that it lacks before it asks policy.
func (a *attribute[P, E]) fill() *attribute[P, E] { a.filled = true; return a }

// guardAny is guard for an attribute without a default: policy is asked about any value but null.
func (a *attribute[P, E]) guardAny() *attribute[P, E] {
	a.guard().explicit = func(v Value) bool { return v.kind != isNull }
	return a
}

// guardAll is guard for an attribute that Neutron gives no default at all: policy is asked about null and "", too.
func (a *attribute[P, E]) guardAll() *attribute[P, E] {
	a.guard().explicit = func(Value) bool { return true }
	return a
}

// asked appends the names of the rules that setting the attribute to v is under.
func (a *attribute[P, E]) asked(names []string, v Value, create bool) []string {
	if !a.guarded || (create && !a.explicit(v)) {
		return names
	}
	names = append(names, a.name)
	for _, sub := range a.subs {
		if _, has := v.get(sub); has {
			names = append(names, a.name+":"+sub)
		}
	}
	for _, item := range v.items { // of a list each dictionary's keys, as they stand there, are asked about
		for _, m := range item.members {
			if slices.Contains(a.subs, m.name) {
				names = append(names, a.name+":"+m.name)
			}
		}
		for _, sub := range a.subs {
			if _, has := item.get(sub); a.filled && !has {
				names = append(names, a.name+":"+sub)
			}
		}
	}
	return names
}

// limit bounds a text's length in characters.
func (a *attribute[P, E]) limit(n int) *attribute[P, E] { a.max = n; return a }

// late leaves what is wrong with a value until policy was asked: Neutron's rules find it, not its reader.
func (a *attribute[P, E]) late() *attribute[P, E] { a.isLate = true; return a }

// orNull accepts null for a text, meaning "".
func (a *attribute[P, E]) orNull() *attribute[P, E] { a.null = true; return a }

// initially assigns a default at creation.
func (a *attribute[P, E]) initially(f assignment[P, E]) *attribute[P, E] { a.absent = f; return a }

// when shows the attribute only on objects of which f holds.
func (a *attribute[P, E]) when(f func(v P, x *View) bool) *attribute[P, E] { a.shown = f; return a }

// noFilter takes away the filter that the attribute's type would offer.
func (a *attribute[P, E]) noFilter() *attribute[P, E] { a.filter = nil; return a }

// convert replaces how the client's value is read.
func (a *attribute[P, E]) convert(f func(v Value) (assignment[P, E], error)) *attribute[P, E] {
	a.parse = f
	return a
}

// check adds a test of the client's value, made before it is read.
func (a *attribute[P, E]) check(f func(v Value) error) *attribute[P, E] {
	parse := a.parse
	a.parse = func(v Value) (assignment[P, E], error) {
		if err := f(v); err != nil {
			return nil, err
		}
		return parse(v)
	}
	return a
}

// sortBy makes the attribute a sort key.
func (a *attribute[P, E]) sortBy(f func(a, b P) int) *attribute[P, E] { a.compare = f; return a }

// filterBy replaces the filter.
func (a *attribute[P, E]) filterBy(f func(x *View, values []string) (func(v P) bool, error)) *attribute[P, E] {
	a.filter = f
	return a
}

// add declares an attribute; the constructors below are the usual ways to.
func (r *resource[P, E]) add(a *attribute[P, E]) *attribute[P, E] {
	a.key = append(appendString(nil, a.name), ':', ' ')
	r.attrs = append(r.attrs, a)
	return a
}

// text declares a stored text, a filter and sort key, of at most 255 characters.
func (r *resource[P, E]) text(name string, field func(P) *string) *attribute[P, E] {
	return r.textOf(name, func(v P) string { return *field(v) }, func(v P, s string) { *field(v) = s })
}

// textOf is text for what is not simply a field.
func (r *resource[P, E]) textOf(name string, get func(P) string, set func(P, string)) *attribute[P, E] {
	a := &attribute[P, E]{name: name, max: 255}
	a.append = func(b []byte, v P, _ *View) []byte { return appendString(b, get(v)) }
	a.text = func(v P, _ *View) string { return get(v) }
	a.parse = func(v Value) (assignment[P, E], error) {
		if v.kind == isNull && a.null {
			return func(t P, _ E) { set(t, "") }, nil
		}
		s, err := textValue(v, a.max)
		if err != nil {
			return nil, err
		}
		return func(t P, _ E) { set(t, s) }, nil
	}
	a.filter = func(_ *View, values []string) (func(P) bool, error) {
		if len(values) == 1 {
			want := values[0]
			return func(v P) bool { return get(v) == want }, nil
		}
		return func(v P) bool { return slices.Contains(values, get(v)) }, nil
	}
	a.compare = func(x, y P) int { return strings.Compare(get(x), get(y)) }
	return r.add(a)
}

// nullable declares a stored text that shows as null when it is empty, and may be sent as null.
func (r *resource[P, E]) nullable(name string, field func(P) *string) *attribute[P, E] {
	return r.nullableOf(name, func(v P) string { return *field(v) }, func(v P, s string) { *field(v) = s })
}

// nullableOf is nullable for what is not simply a field.
func (r *resource[P, E]) nullableOf(name string, get func(P) string, set func(P, string)) *attribute[P, E] {
	a := r.textOf(name, get, set)
	a.append = func(b []byte, v P, _ *View) []byte { return appendStringOrNull(b, get(v)) }
	return a.orNull()
}

// flag declares a stored boolean, a filter and sort key.
func (r *resource[P, E]) flag(name string, field func(P) *bool) *attribute[P, E] {
	a := &attribute[P, E]{name: name, boolean: true}
	a.append = func(b []byte, v P, _ *View) []byte { return appendBool(b, *field(v)) }
	a.text = func(v P, _ *View) string { return pythonBool(*field(v)) }
	a.parse = func(v Value) (assignment[P, E], error) {
		on, err := boolValue(v)
		if err != nil {
			return nil, err
		}
		return func(t P, _ E) { *field(t) = on }, nil
	}
	a.filter = func(_ *View, values []string) (func(P) bool, error) {
		return boolFilter(values, func(v P) bool { return *field(v) })
	}
	a.compare = func(x, y P) int { return compareBool(*field(x), *field(y)) }
	return r.add(a)
}

// flagOf declares a boolean derived from object, world and viewer.
func (r *resource[P, E]) flagOf(name string, get func(v P, x *View) bool) *attribute[P, E] {
	a := &attribute[P, E]{name: name, boolean: true}
	a.append = func(b []byte, v P, x *View) []byte { return appendBool(b, get(v, x)) }
	a.text = func(v P, x *View) string { return pythonBool(get(v, x)) }
	a.filter = func(x *View, values []string) (func(P) bool, error) {
		return boolFilter(values, func(v P) bool { return get(v, x) })
	}
	return r.add(a)
}

// uuid declares a stored identifier, null when there is none; a filter and sort key.
func (r *resource[P, E]) uuid(name string, field func(P) *model.UUID) *attribute[P, E] {
	a := &attribute[P, E]{name: name}
	a.append = func(b []byte, v P, _ *View) []byte { return appendUUID(b, *field(v)) }
	a.text = func(v P, _ *View) string { return field(v).String() }
	a.parse = func(v Value) (assignment[P, E], error) {
		u, err := uuidValue(v, !a.required)
		if err != nil {
			return nil, err
		}
		return func(t P, _ E) { *field(t) = u }, nil
	}
	a.filter = func(_ *View, values []string) (func(P) bool, error) {
		want := parseUUIDs(values)
		if len(want) == 1 {
			return func(v P) bool { return *field(v) == want[0] }, nil
		}
		return func(v P) bool { return slices.Contains(want, *field(v)) }, nil
	}
	a.compare = func(x, y P) int { return field(x).Compare(*field(y)) }
	return r.add(a)
}

// number declares an integer derived from the object, a filter and sort key.
func (r *resource[P, E]) number(name string, get func(P) int64) *attribute[P, E] {
	a := &attribute[P, E]{name: name}
	a.append = func(b []byte, v P, _ *View) []byte { return strconv.AppendInt(b, get(v), 10) }
	a.filter = func(_ *View, values []string) (func(P) bool, error) {
		want := make([]int64, 0, len(values))
		for _, s := range values {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, model.Invalid("'%s' is not an integer.", s)
			}
			want = append(want, n)
		}
		return func(v P) bool { return slices.Contains(want, get(v)) }, nil
	}
	a.compare = func(x, y P) int { return cmp.Compare(get(x), get(y)) }
	return r.add(a)
}

// derived declares an attribute that is shown only.
func (r *resource[P, E]) derived(name string, show func(b []byte, v P, x *View) []byte) *attribute[P, E] {
	return r.add(&attribute[P, E]{name: name, append: show})
}

// input declares an attribute that the client sends for the rule alone.
func (r *resource[P, E]) input(name string, parse func(v Value) (assignment[P, E], error)) *attribute[P, E] {
	return r.add(&attribute[P, E]{name: name, parse: parse})
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
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "t", "on", "y", "yes":
		return true, true
	case "false", "0", "f", "off", "n", "no":
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
	if v.kind == isBool { // which Python counts among the integers
		n := int64(0)
		if v.text == "true" {
			n = 1
		}
		return n, nil
	}
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

// noCollection refuses a list or a dictionary where any one value would do, as text.
func noCollection(v Value) error {
	if v.kind == isList || v.kind == isObject {
		return reasonf("'%s' is not a valid string.", v)
	}
	return nil
}

// noList reports whether a value stands for an empty list: null, or a form's empty text.
func noList(v Value) bool { return v.kind == isNull || v.kind == isString && v.text == "" }

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

func boolFilter[P any](values []string, get func(P) bool) (func(P) bool, error) {
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
	return func(v P) bool {
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
