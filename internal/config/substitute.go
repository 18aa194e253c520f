package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxValue bounds a value, so that variables that multiply each other end in an error and not in the loss of all memory.
const maxValue = 1 << 16

// substitute replaces $name, ${name}, $group.name and ${group.name} by those options' values and $$ or \$ by a dollar
// sign, with the rules of oslo.config's templates: a plain name is looked for in group and then in [DEFAULT]; a dollar
// sign before anything else stays. A name that no option and no file has is an error, there as here.
func (v *values) substitute(s, group string) (string, error) {
	s = strings.ReplaceAll(s, `\$`, "$$")
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if strings.HasPrefix(s, "$") {
			b.WriteByte('$')
			s = s[1:]
			continue
		}
		name, rest := variable(s)
		if name == "" {
			b.WriteByte('$')
			continue
		}
		text, err := v.lookup(name, group)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		if b.Len() > maxValue {
			return "", fmt.Errorf("with its variables replaced the value is longer than %d bytes; shorten it", maxValue)
		}
		s = rest
	}
}

// variable reads the name behind a dollar sign; name is empty if there is none.
func variable(s string) (name, rest string) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if n := nameLen(inner); n > 0 && n < len(inner) && inner[n] == '}' {
			return inner[:n], inner[n+1:]
		}
		return "", s
	}
	n := nameLen(s)
	return s[:n], s[n:]
}

// nameLen is the length of the variable's name at the start of s: [_a-z][._a-z0-9]*, letters of either case.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := s[i] == '_' || (c >= 'a' && c <= 'z')
		if !letter && (i == 0 || (s[i] != '.' && (s[i] < '0' || s[i] > '9'))) {
			return i
		}
	}
	return len(s)
}

// lookup is the value, as text, of a variable met in group.
func (v *values) lookup(name, group string) (string, error) {
	tries := []Name{{group, name}, {"DEFAULT", name}}
	if g, o, ok := strings.Cut(name, "."); ok {
		tries = []Name{{g, o}}
	}
	for _, n := range tries {
		if o := v.byName[n.fold()]; o != nil {
			return v.text(o)
		}
	}
	for _, n := range tries {
		for _, as := range slices.Backward(v.files) {
			for _, a := range slices.Backward(as) {
				if a.name() == n.fold() {
					return a.value, nil
				}
			}
		}
	}
	return "", fmt.Errorf("$%s names an option that is neither known nor set; for a plain dollar sign write $$", name)
}

// text is an option's own value with its variables replaced; empty if it is not set.
func (v *values) text(o *Option) (string, error) {
	if s, ok := v.known[o]; ok {
		return s, nil
	}
	if v.busy[o] {
		return "", fmt.Errorf("$%s leads back to itself; break the circle", o.Option)
	}
	v.busy[o] = true
	defer delete(v.busy, o)
	raw := o.Default
	if as := v.find(o); len(as) > 0 {
		raw = as[len(as)-1].value
	}
	s, err := v.substitute(raw, o.Group)
	if err == nil {
		v.known[o] = s
	}
	return s, err
}
