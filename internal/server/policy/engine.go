package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weft-cloud/weft/internal/server/identity"
)

// Options are an Engine's; see [oslo_policy] in docs/configuration.md.
type Options struct {
	Files              []File
	DefaultRule        string // for actions that have no rule; "" = "default"
	EnforceScope       bool
	EnforceNewDefaults bool
}

// rule is one named rule as it is in force.
type rule struct {
	check check
	// action rules are made for project scope; helpers have none (scope_types).
	action bool
}

// Engine holds the rules in force. Safe for concurrent use.
type Engine struct {
	opts Options
	now  atomic.Pointer[ruleset]
}

// ruleset is the rules of one reading of the files. It never changes but for its cache.
type ruleset struct {
	rules       map[string]rule
	attrs       map[string][]string // resource → attributes that have get_ rules of their own
	defaultRule string
	scope       bool
	newOnly     bool

	keep int        // the most sets kept
	mu   sync.Mutex // guards sets
	sets map[string]*Set
}

// maxSets bounds the cache of compiled callers.
const maxSets = 4096

// New makes an Engine of Neutron's defaults and opts.Files. The notices are for the operator's log. Errors name file,
// line, rule and cure: a rule that cannot be read is refused here and does not, as with oslo.policy, silently deny.
func New(opts Options) (*Engine, []string, error) {
	e := &Engine{opts: opts}
	notices, err := e.Reload(opts.Files)
	if err != nil {
		return nil, nil, err
	}
	return e, notices, nil
}

// Reload puts the defaults and files into force in place of what was. After an error what was stays.
func (e *Engine) Reload(files []File) ([]string, error) {
	opts := e.opts
	opts.Files = files
	rs, notices, err := newRuleset(opts)
	if err != nil {
		return nil, err
	}
	e.now.Store(rs)
	return notices, nil
}

// Compile is the rules in force as they are for one caller. Callers alike in everything that rules can ask share one Set.
func (e *Engine) Compile(c *identity.Caller) *Set { return e.now.Load().compile(c) }

// newRuleset reads defaults and files.
func newRuleset(opts Options) (*ruleset, []string, error) {
	e := &ruleset{rules: map[string]rule{}, attrs: map[string][]string{}, defaultRule: opts.DefaultRule, scope: opts.EnforceScope,
		newOnly: opts.EnforceNewDefaults, keep: maxSets, sets: map[string]*Set{}}
	if e.defaultRule == "" {
		e.defaultRule = "default"
	}
	if err := e.addDefaults(); err != nil {
		return nil, nil, err
	}
	known := len(e.rules)
	notices, err := e.addFiles(opts.Files)
	if err != nil {
		return nil, nil, err
	}
	if err := e.checkCycles(); err != nil {
		return nil, nil, err
	}
	if len(e.rules) > known {
		notices = append(notices, e.unusedHelpers()...)
	}
	e.indexAttributes()
	slices.Sort(notices)
	return e, notices, nil
}

// indexAttributes finds the attributes that have rules for seeing them.
func (e *ruleset) indexAttributes() {
	for name := range e.rules {
		if action, attr, ok := strings.Cut(name, ":"); ok && strings.HasPrefix(action, "get_") {
			r := strings.TrimPrefix(action, "get_")
			e.attrs[r] = append(e.attrs[r], attr)
		}
	}
	for _, a := range e.attrs {
		slices.Sort(a)
	}
}

// addDefaults parses the table. With enforce_new_defaults false a rule and what it was before are both enough.
func (e *ruleset) addDefaults() error {
	add := func(gs []grant, action bool) error {
		for _, g := range gs {
			now, before, changed := strings.Cut(g.who, " | ")
			c, err := parse(now)
			if err != nil {
				return fmt.Errorf("default of %s: %w", g.rules, err)
			}
			if changed && !e.newOnly {
				old, err := parse(before)
				if err != nil {
					return fmt.Errorf("older default of %s: %w", g.rules, err)
				}
				c = some{[]check{c, old}}
			}
			for name := range strings.FieldsSeq(g.rules) {
				e.rules[name] = rule{check: c, action: action}
			}
		}
		return nil
	}
	return errors.Join(add(helpers(), false), add(coreGrants(), true), add(l3Grants(), true), add(otherGrants(), true))
}

// addFiles puts the operator's rules over the defaults.
func (e *ruleset) addFiles(files []File) ([]string, error) {
	var notices []string
	var errs []error
	for _, f := range files {
		overrides, err := parseFile(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, o := range overrides {
			e.rules[o.name] = rule{check: o.check, action: e.rules[o.name].action}
			for _, name := range refs(o.check) {
				if _, ok := e.rules[name]; !ok && !slices.ContainsFunc(overrides, func(p override) bool { return p.name == name }) {
					notices = append(notices, fmt.Sprintf("%s: %s refers to rule:%s, which is not defined; rule:%s holds in its place", o.where, o.name, name, e.defaultRule))
				}
			}
		}
	}
	return notices, errors.Join(errs...)
}

// unusedHelpers warns of rules in files that stand for no action and to which nothing refers: often a slip of the pen.
func (e *ruleset) unusedHelpers() []string {
	used := map[string]bool{e.defaultRule: true}
	for _, r := range e.rules {
		for _, n := range refs(r.check) {
			used[n] = true
		}
	}
	defaults := map[string]bool{}
	for _, gs := range [][]grant{helpers(), coreGrants(), l3Grants(), otherGrants()} {
		for _, g := range gs {
			for n := range strings.FieldsSeq(g.rules) {
				defaults[n] = true
			}
		}
	}
	var out []string
	for n := range e.rules {
		// A file may give an attribute a rule that the defaults have not: get_port:name.
		action, _, _ := strings.Cut(n, ":")
		if !used[n] && !defaults[n] && !defaults[action] {
			out = append(out, fmt.Sprintf("policy rule %s stands for nothing that Weft does, and no rule refers to it", n))
		}
	}
	return out
}

// refs lists the rules that a check names.
func refs(c check) []string {
	switch c := c.(type) {
	case ref:
		return []string{c.name}
	case not:
		return refs(c.of)
	case all:
		return refsOf(c.of)
	case some:
		return refsOf(c.of)
	}
	return nil
}

func refsOf(cs []check) []string {
	var out []string
	for _, c := range cs {
		out = append(out, refs(c)...)
	}
	return out
}

// checkCycles refuses rules that refer to themselves, which oslo.policy would follow without end.
func (e *ruleset) checkCycles() error {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case open:
			return fmt.Errorf("policy rule %s refers to itself; break the circle", name)
		case done:
			return nil
		}
		state[name] = open
		for _, n := range refs(e.rules[name].check) {
			if err := visit(n); err != nil {
				return err
			}
		}
		state[name] = done
		return nil
	}
	for name := range e.rules {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// find is the rule of that name, or the default rule, or never.
func (e *ruleset) find(name string) rule {
	if r, ok := e.rules[name]; ok {
		return r
	}
	if r, ok := e.rules[e.defaultRule]; ok {
		return r
	}
	return rule{check: always(false)}
}

// compile finds or makes the Set of a caller.
func (e *ruleset) compile(c *identity.Caller) *Set {
	key := fingerprint(c)
	e.mu.Lock()
	s := e.sets[key]
	e.mu.Unlock()
	if s != nil {
		return s
	}
	s = compile(e, c)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.sets) >= e.keep {
		// Any one will do: whoever is dropped and comes back costs one compilation.
		for k := range e.sets {
			delete(e.sets, k)
			break
		}
	}
	e.sets[key] = s
	return s
}
