package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// Role says which command an option is for.
type Role uint8

// The roles. An option may be for both.
const (
	ForServer Role = 1 << iota
	ForAgent
)

func (r Role) String() string {
	switch r {
	case ForServer:
		return "server"
	case ForAgent:
		return "agent"
	}
	return "server, agent"
}

// Name is a place in a configuration file.
type Name struct{ Group, Option string }

func (n Name) String() string { return "[" + n.Group + "] " + n.Option }

// Option is the one declaration of an option. Default is text as it would stand in a file, and is read by the same
// rules, $variables included.
type Option struct {
	Name
	// Kind is the word for the type in the documents: "integer", "list", "key:value pairs".
	Kind    string
	Role    Role
	Default string
	// NoDefault tells "not set" from an empty default.
	NoDefault bool
	// Shown stands for the default where that is computed: "<host name>".
	Shown  string
	Help   string
	Older  []Name // other spellings, tried after Name in this order
	Multi  bool   // repeated keys add up instead of the last one winning
	Secret bool
	// Gone, if not empty, says what Weft does instead of what the option asked for; the value is read by nobody.
	Gone string
	// Choices, if any, are the values allowed.
	Choices []string

	set    func(raw string) error
	setAll func(raw []string) error
	check  []func() error
}

// table collects options while their declarations run; group and role hold for what follows.
type table struct {
	opts  []*Option
	group string
	role  Role
}

func (t *table) in(group string, role Role) { t.group, t.role = group, role }

// def is what every builder shares.
func (t *table) def(kind, name, def, help string) *Option {
	o := &Option{Name: Name{t.group, name}, Kind: kind, Role: t.role, Default: def, Help: help}
	t.opts = append(t.opts, o)
	return o
}

// bind makes the setter of an option whose text goes through parse.
func bind[T any](o *Option, dst *T, parse func(string) (T, error)) *Option {
	o.set = func(raw string) error {
		v, err := parse(raw)
		if err == nil {
			*dst = v
		}
		return err
	}
	return o
}

func (t *table) str(dst *string, name, def, help string) *Option {
	o := t.def("string", name, def, help)
	return bind(o, dst, func(s string) (string, error) {
		if len(o.Choices) > 0 && !slices.Contains(o.Choices, s) {
			return "", fmt.Errorf("%q is not known; choose one of %s", s, strings.Join(o.Choices, ", "))
		}
		return s, nil
	})
}

func (t *table) secret(dst *Secret, name, help string) *Option {
	o := t.def("string", name, "", help).unset()
	o.Secret = true
	return bind(o, dst, func(s string) (Secret, error) { return NewSecret(s), nil })
}

func (t *table) boolean(dst *bool, name, def, help string) *Option {
	return bind(t.def("boolean", name, def, help), dst, parseBool)
}

func (t *table) integer(dst *int, name, def, help string) *Option {
	return bind(t.def("integer", name, def, help), dst, func(s string) (int, error) {
		n, err := parseInt(s)
		return int(n), err
	}).between(dst, -1<<31, 1<<31-1)
}

func (t *table) port(dst *uint16, name, def, help string) *Option {
	return bind(t.def("port", name, def, help), dst, func(s string) (uint16, error) {
		n, err := parseInt(s)
		if err == nil && (n < 0 || n > 65535) {
			err = fmt.Errorf("%d is not a port; give a number from 0 to 65535", n)
		}
		return uint16(n), err
	})
}

func (t *table) seconds(dst *time.Duration, name, def, help string) *Option {
	return bind(t.def("seconds", name, def, help), dst, parseSeconds)
}

func (t *table) list(dst *[]string, name, def, help string) *Option {
	return bind(t.def("list", name, def, help), dst, func(s string) ([]string, error) { return parseList(s), nil })
}

func (t *table) multi(dst *[]string, name, help string) *Option {
	o := t.def("string, may be repeated", name, "", help).unset()
	o.Multi = true
	o.setAll = func(raw []string) error { *dst = raw; return nil }
	return o
}

func (t *table) pairs(dst *[]Pair, name, def, help string) *Option {
	return bind(t.def("name:value pairs", name, def, help), dst, func(s string) ([]Pair, error) { return parsePairs(s, false) })
}

func (t *table) mac(dst *model.MAC, name, def, help string) *Option {
	return bind(t.def("MAC address", name, def, help), dst, parseMAC)
}

func (t *table) addr(dst *netip.Addr, name, help string) *Option {
	return bind(t.def("IP address", name, "", help).unset(), dst, parseAddr)
}

// gone declares options of Neutron's that Weft accepts and does not need.
func (t *table) gone(instead string, names ...string) {
	for _, n := range names {
		o := t.def("", n, "", "").unset()
		o.Gone = instead
	}
}

// was adds an older spelling; an empty group is the option's own.
func (o *Option) was(group, name string) *Option {
	if group == "" {
		group = o.Group
	}
	o.Older = append(o.Older, Name{group, name})
	return o
}

func (o *Option) unset() *Option { o.NoDefault = true; return o }

func (o *Option) shown(s string) *Option { o.Shown = s; return o }

func (o *Option) oneOf(choices ...string) *Option { o.Choices = choices; return o }

// must adds a check that runs after the value is set.
func (o *Option) must(check func() error) *Option { o.check = append(o.check, check); return o }

// between bounds an integer.
func (o *Option) between(dst *int, low, high int) *Option {
	return o.must(func() error {
		if *dst < low || *dst > high {
			return fmt.Errorf("%d is out of bounds; give a number from %d to %d", *dst, low, high)
		}
		return nil
	})
}

// atLeast bounds a number of seconds from below.
func (o *Option) atLeast(dst *time.Duration, low time.Duration) *Option {
	return o.must(func() error {
		if *dst < low {
			return fmt.Errorf("%v is too short; give at least %d seconds", *dst, int(low/time.Second))
		}
		return nil
	})
}

// apply converts raw (of which all but the last are dropped, unless the option is Multi) and runs the checks.
func (o *Option) apply(raw []string) error {
	var err error
	if o.Multi {
		err = o.setAll(raw)
	} else {
		err = o.set(raw[len(raw)-1])
	}
	if err != nil {
		return err
	}
	for _, c := range o.check {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}
