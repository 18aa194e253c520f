package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// parse reads a rule of the policy language. An empty rule is always true.
//
//	rule  = and { "or" and }
//	and   = unary { "and" unary }
//	unary = "not" unary | "(" rule ")" | check
//
// Tokens are oslo.policy's: parted by blanks, with parentheses taken off their ends.
func parse(rule string) (check, error) {
	if rule == "" {
		return always(true), nil
	}
	p := &parser{tokens: tokenize(rule)}
	c, err := p.or()
	if err == nil && p.next < len(p.tokens) {
		err = fmt.Errorf("%q is not expected", p.tokens[p.next])
	}
	if err != nil {
		return nil, fmt.Errorf("rule %q: %w", rule, err)
	}
	return c, nil
}

func tokenize(rule string) []string {
	var out []string
	for _, word := range strings.FieldsFunc(rule, unicode.IsSpace) {
		inner := strings.TrimLeft(word, "(")
		for range len(word) - len(inner) {
			out = append(out, "(")
		}
		bare := strings.TrimRight(inner, ")")
		if bare != "" {
			out = append(out, bare)
		}
		for range len(inner) - len(bare) {
			out = append(out, ")")
		}
	}
	return out
}

type parser struct {
	tokens []string
	next   int
	depth  int
}

// maxDepth bounds nesting, so that a file of parentheses cannot exhaust the stack.
const maxDepth = 1000

// take consumes the next token if it is word, in whatever case.
func (p *parser) take(word string) bool {
	if p.next < len(p.tokens) && strings.EqualFold(p.tokens[p.next], word) {
		p.next++
		return true
	}
	return false
}

func (p *parser) or() (check, error) {
	return p.chain("or", p.and, func(cs []check) check { return some{cs} })
}

func (p *parser) and() (check, error) {
	return p.chain("and", p.unary, func(cs []check) check { return all{cs} })
}

// chain reads operands joined by word.
func (p *parser) chain(word string, operand func() (check, error), combine func([]check) check) (check, error) {
	c, err := operand()
	if err != nil {
		return nil, err
	}
	cs := []check{c}
	for p.take(word) {
		if c, err = operand(); err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	if len(cs) == 1 {
		return cs[0], nil
	}
	return combine(cs), nil
}

func (p *parser) unary() (check, error) {
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.depth > maxDepth:
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	case p.next == len(p.tokens):
		return nil, fmt.Errorf("a check is missing at the end")
	case p.take("not"):
		c, err := p.unary()
		return not{c}, err
	case p.take("("):
		c, err := p.or()
		if err == nil && !p.take(")") {
			err = fmt.Errorf("a ) is missing")
		}
		return c, err
	}
	tok := p.tokens[p.next]
	switch strings.ToLower(tok) {
	case ")", "and", "or":
		return nil, fmt.Errorf("a check is missing before %q", tok)
	}
	p.next++
	return parseCheck(tok)
}

// parseCheck reads one check: @, !, or kind:match.
func parseCheck(tok string) (check, error) {
	switch tok {
	case "@":
		return always(true), nil
	case "!":
		return always(false), nil
	}
	kind, match, ok := strings.Cut(tok, ":")
	if !ok {
		return nil, fmt.Errorf("%q is no check; write kind:value, as role:admin or rule:admin_only", tok)
	}
	switch kind {
	case "rule":
		return ref{match}, nil
	case "field":
		return parseField(match)
	case "http", "https":
		return nil, fmt.Errorf("%q asks another server, which is not supported; decide by role or attribute", tok)
	}
	t, err := parseTemplate(match)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "role":
		return role{t}, nil
	case "tenant_id":
		// Neutron's OwnerCheck: nothing but one attribute may stand here.
		if _, ok := t.single(); !ok {
			return nil, fmt.Errorf("%q compares with no attribute; write tenant_id:%%(tenant_id)s", tok)
		}
	}
	return generic{kind: kind, literal: literal(kind), match: t}, nil
}

func parseField(match string) (check, error) {
	resource, rest, ok := strings.Cut(match, ":")
	attr, value, ok2 := strings.Cut(rest, "=")
	if !ok || !ok2 || resource == "" || attr == "" {
		return nil, fmt.Errorf("%q is no field check; write field:networks:shared=True", "field:"+match)
	}
	f := field{resource: resource, attr: canonical(attr), value: value}
	if re, ok := strings.CutPrefix(value, "~"); ok {
		// Python's match() is anchored at the start only.
		var err error
		if f.pattern, err = regexp.Compile(`\A(?:` + re + `)`); err != nil {
			return nil, fmt.Errorf("%q: the pattern cannot be read: %w", "field:"+match, err)
		}
	}
	return f, nil
}

// parseTemplate reads text with %(name)s in it; %% is a percent sign.
func parseTemplate(s string) (template, error) {
	var t template
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			b.WriteString(s)
			t.text = append(t.text, b.String())
			return t, nil
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if strings.HasPrefix(s, "%") {
			b.WriteByte('%')
			s = s[1:]
			continue
		}
		end := strings.Index(s, ")s")
		if !strings.HasPrefix(s, "(") || end < 0 {
			return t, fmt.Errorf("%q has a %% that starts no attribute; write %%(name)s, or %%%% for the sign itself", "%"+s)
		}
		t.attrs = append(t.attrs, canonical(s[1:end]))
		t.text = append(t.text, b.String())
		b.Reset()
		s = s[end+2:]
	}
}

// canonical makes tenant_id project_id, the parents' too (network:tenant_id), for they are one attribute.
func canonical(attr string) string {
	prefix, last := "", attr
	if i := strings.LastIndexByte(attr, ':'); i >= 0 {
		prefix, last = attr[:i+1], attr[i+1:]
	}
	if last == "tenant_id" {
		return prefix + "project_id"
	}
	return attr
}

// literal is the text of a kind that is a Python literal (True, None, a number, a quoted string); nil if it is none.
func literal(kind string) *string {
	switch kind {
	case "True", "False", "None":
		return &kind
	}
	if n := len(kind); n >= 2 && (kind[0] == '\'' || kind[0] == '"') && kind[n-1] == kind[0] {
		s := kind[1 : n-1]
		return &s
	}
	if n, err := strconv.ParseInt(kind, 10, 64); err == nil && strconv.FormatInt(n, 10) == kind {
		return &kind
	}
	return nil
}

// parseList reads the old syntax: a list is "or" of its items, an item that is a list is "and" of its checks. No items:
// always true; only empty items: never.
func parseList(items []any) (check, error) {
	if len(items) == 0 {
		return always(true), nil
	}
	var ors []check
	for _, item := range items {
		words, ok := item.([]any)
		if !ok {
			words = []any{item}
		}
		var ands []check
		for _, w := range words {
			s, ok := w.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no check; write text, as \"role:admin\"", w)
			}
			if s == "" && len(words) == 1 {
				continue
			}
			c, err := parseCheck(s)
			if err != nil {
				return nil, err
			}
			ands = append(ands, c)
		}
		switch len(ands) {
		case 0:
		case 1:
			ors = append(ors, ands[0])
		default:
			ors = append(ors, all{ands})
		}
	}
	switch len(ors) {
	case 0:
		return always(false), nil
	case 1:
		return ors[0], nil
	}
	return some{ors}, nil
}
