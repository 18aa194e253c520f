package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// valueKind is the type of a JSON value.
type valueKind uint8

const (
	isNull valueKind = iota
	isBool
	isNumber
	isString
	isList
	isObject
)

// Value is a JSON value as the client sent it.
type Value struct {
	kind    valueKind
	text    string // a string's text, a number's literal, "true" or "false"
	items   []Value
	members []member
}

type member struct {
	name  string
	value Value
}

// errJSON is returned for bytes that are not one JSON value.
var errJSON = errors.New("not JSON")

// maxDepth bounds nesting: no request needs more, and the parser recurses.
const maxDepth = 32

// parseJSON reads exactly one value. A repeated member replaces the earlier one, as in Python.
func parseJSON(b []byte) (Value, error) {
	if !utf8.Valid(b) {
		return Value{}, errJSON
	}
	p := parser{b: b}
	v, ok := p.value(0)
	if p.space(); !ok || p.at != len(b) {
		return Value{}, errJSON
	}
	return v, nil
}

type parser struct {
	b  []byte
	at int
}

func (p *parser) space() {
	for p.at < len(p.b) {
		switch p.b[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips white space and takes c if it is there.
func (p *parser) next(c byte) bool {
	p.space()
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) (Value, bool) {
	p.space()
	if p.at >= len(p.b) || depth > maxDepth {
		return Value{}, false
	}
	switch c := p.b[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		s, ok := p.str()
		return Value{kind: isString, text: s}, ok
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.word("true"):
		return Value{kind: isBool, text: "true"}, true
	case p.word("false"):
		return Value{kind: isBool, text: "false"}, true
	case p.word("null"):
		return Value{}, true
	}
	return Value{}, false
}

func (p *parser) word(w string) bool {
	if len(p.b)-p.at < len(w) || string(p.b[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) object(depth int) (Value, bool) {
	p.at++
	v := Value{kind: isObject}
	if p.next('}') {
		return v, true
	}
	for {
		if p.space(); p.at >= len(p.b) || p.b[p.at] != '"' {
			return v, false
		}
		name, ok := p.str()
		if !ok || !p.next(':') {
			return v, false
		}
		m, ok := p.value(depth + 1)
		if !ok {
			return v, false
		}
		v.set(name, m)
		if p.next('}') {
			return v, true
		}
		if !p.next(',') {
			return v, false
		}
	}
}

func (v *Value) set(name string, m Value) {
	// Objects with very many members come from nobody in earnest; they are kept in order of arrival and a repeated
	// one is found by the readers, which take the last.
	if len(v.members) < 64 {
		for i := range v.members {
			if v.members[i].name == name {
				v.members[i].value = m
				return
			}
		}
	}
	v.members = append(v.members, member{name, m})
}

func (p *parser) list(depth int) (Value, bool) {
	p.at++
	v := Value{kind: isList}
	if p.next(']') {
		return v, true
	}
	for {
		m, ok := p.value(depth + 1)
		if !ok {
			return v, false
		}
		v.items = append(v.items, m)
		if p.next(']') {
			return v, true
		}
		if !p.next(',') {
			return v, false
		}
	}
}

func (p *parser) number() (Value, bool) {
	start := p.at
	for p.at < len(p.b) && strings.IndexByte("+-.eE0123456789", p.b[p.at]) >= 0 {
		p.at++
	}
	s := string(p.b[start:p.at])
	digits := strings.TrimPrefix(s, "-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return Value{}, false
	}
	if c := s[len(s)-1]; c < '0' || c > '9' || len(s) > 400 {
		return Value{}, false
	}
	if _, err := strconv.ParseFloat(s, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return Value{}, false
	}
	return Value{kind: isNumber, text: s}, true
}

func (p *parser) str() (string, bool) {
	p.at++
	start := p.at
	for ; p.at < len(p.b); p.at++ {
		switch c := p.b[p.at]; {
		case c == '"':
			s := string(p.b[start:p.at])
			p.at++
			return s, true
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// escaped reads a string with escapes, of which the bytes from start on have been seen.
func (p *parser) escaped(start int) (string, bool) {
	s := append(make([]byte, 0, p.at-start+16), p.b[start:p.at]...)
	for p.at < len(p.b) {
		c := p.b[p.at]
		p.at++
		switch {
		case c == '"':
			return string(s), true
		case c < ' ':
			return "", false
		case c != '\\':
			s = append(s, c)
			continue
		}
		if p.at >= len(p.b) {
			return "", false
		}
		c = p.b[p.at]
		p.at++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			s = append(s, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", false
		}
		r, ok := p.hex4()
		if !ok {
			return "", false
		}
		if utf16.IsSurrogate(r) && p.at+6 <= len(p.b) && p.b[p.at] == '\\' && p.b[p.at+1] == 'u' {
			p.at += 2
			low, ok := p.hex4()
			if !ok {
				return "", false
			}
			r = utf16.DecodeRune(r, low)
		}
		s = utf8.AppendRune(s, r) // a lone surrogate becomes U+FFFD
	}
	return "", false
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.b[p.at:p.at+4]), 16, 16)
	p.at += 4
	return rune(n), err == nil
}

// get returns the member of a name.
func (v Value) get(name string) (Value, bool) {
	for i := len(v.members) - 1; i >= 0; i-- {
		if v.members[i].name == name {
			return v.members[i].value, true
		}
	}
	return Value{}, false
}

// truthy is what Python takes for true.
func (v Value) truthy() bool {
	switch v.kind {
	case isNull:
		return false
	case isBool:
		return v.text == "true"
	case isNumber:
		f, _ := strconv.ParseFloat(v.text, 64) // out of range is infinite
		return f != 0
	case isString:
		return v.text != ""
	case isList:
		return len(v.items) > 0
	}
	return len(v.members) > 0
}

// String is the value as Python's str() prints it: what Neutron's messages quote.
func (v Value) String() string {
	if v.kind == isString {
		return v.text
	}
	return v.repr()
}

// repr is the value as Python's repr() prints it.
func (v Value) repr() string {
	switch v.kind {
	case isNull:
		return "None"
	case isBool:
		if v.text == "true" {
			return "True"
		}
		return "False"
	case isNumber:
		return v.text
	case isString:
		return pyQuote(v.text)
	case isList:
		parts := make([]string, len(v.items))
		for i, m := range v.items {
			parts[i] = m.repr()
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	parts := make([]string, len(v.members))
	for i, m := range v.members {
		parts[i] = pyQuote(m.name) + ": " + m.value.repr()
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func pyQuote(s string) string {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `\'`) + "'"
}

// pyBytes is what Python's repr() prints of bytes, cut where a message gets too long.
func pyBytes(b []byte) string {
	const enough = 200
	if len(b) > enough {
		b = b[:enough]
	}
	var s strings.Builder
	quote := byte('\'')
	if slices.Contains(b, '\'') && !slices.Contains(b, '"') {
		quote = '"'
	}
	s.WriteString("b" + string(quote))
	for _, c := range b {
		switch {
		case c == '\\' || c == quote:
			s.WriteString("\\" + string(c))
		case c == '\n':
			s.WriteString("\\n")
		case c == '\r':
			s.WriteString("\\r")
		case c == '\t':
			s.WriteString("\\t")
		case c < ' ' || c > '~':
			fmt.Fprintf(&s, "\\x%02x", c)
		default:
			s.WriteByte(c)
		}
	}
	s.WriteByte(quote)
	return s.String()
}

// appendJSON writes the value back as JSON.
func (v Value) appendJSON(b []byte) []byte {
	switch v.kind {
	case isNull:
		return append(b, "null"...)
	case isBool, isNumber:
		return append(b, v.text...)
	case isString:
		return appendString(b, v.text)
	case isList:
		b = append(b, '[')
		for i, m := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = m.appendJSON(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, m := range v.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.name), ':')
		b = m.value.appendJSON(b)
	}
	return append(b, '}')
}
