package config

import (
	"fmt"
	"strings"
	"unicode"
)

// Source is one configuration file: its name, as it is to appear in messages, and its text.
type Source struct {
	Name string
	Text []byte
	// override marks what is no file; see Override.
	override bool
}

// Override is a Source that sets one option, as a flag of the command line does: put it last. flag is its name in
// messages. Other options that refer to this one ($state_dir) follow, as they would not if the field were set afterwards.
func Override(flag, group, option, value string) Source {
	return Source{Name: flag, Text: fmt.Appendf(nil, "[%s]\n%s = %s\n", group, option, strings.ReplaceAll(value, "$", "$$")), override: true}
}

// assignment is one `key = value` of a file; line is that of the key, from 1.
type assignment struct {
	file    string
	line    int
	section string
	key     string
	value   string
}

// parser holds the state of reading one file by the rules of oslo.config's iniparser.
type parser struct {
	file    string
	section string
	open    *assignment // the assignment that continuation lines still extend
	out     []assignment
	faults  []*Error
}

// parseINI reads one file. Rules (oslo_config/iniparser.py, 9.0):
// a line that starts with a blank continues the value before it, joined by a newline; an empty line ends a value; '#'
// and ';' start a comment only in the first column; the first '=' or ':' ends the key; one pair of matching quotes around
// the first line of a value is taken off; an assignment needs a section before it. All faults of a file are returned.
func parseINI(src Source) ([]assignment, []*Error) {
	p := parser{file: src.Name}
	if strings.HasPrefix(string(src.Text), "\ufeff") {
		p.fault(1, "the file starts with a byte order mark, which oslo.config refuses, too", "save it as UTF-8 without one")
		return nil, p.faults
	}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(src.Text))
	line := 0
	for raw := range strings.SplitSeq(text, "\n") {
		line++
		p.read(line, strings.TrimRightFunc(raw, unicode.IsSpace))
	}
	p.flush()
	return p.out, p.faults
}

// read takes one line without its trailing blanks.
func (p *parser) read(n int, line string) {
	switch {
	case line == "":
		p.flush()
		return
	case line[0] == ' ' || line[0] == '\t':
		p.extend(n, strings.TrimLeftFunc(line, unicode.IsSpace))
		return
	}
	p.flush()
	switch line[0] {
	case '[':
		p.startSection(n, line)
	case '#', ';':
	default:
		p.assign(n, line)
	}
}

func (p *parser) extend(n int, text string) {
	if p.open == nil {
		p.fault(n, "the line is indented, which continues a value, but there is none before it",
			"remove the blanks at its start")
		return
	}
	p.open.value += "\n" + text
}

func (p *parser) startSection(n int, line string) {
	if !strings.HasSuffix(line, "]") {
		p.fault(n, "a section's name must end with ]", "write it as [DEFAULT], with nothing behind the bracket")
		return
	}
	if len(line) <= 2 {
		p.fault(n, "the section has no name", "write it as [DEFAULT]")
		return
	}
	p.section = line[1 : len(line)-1]
}

func (p *parser) assign(n int, line string) {
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		p.fault(n, "there is neither = nor : in the line", "write `name = value`, or start the line with # for a comment")
		return
	}
	key := strings.TrimSpace(line[:i])
	if key == "" {
		p.fault(n, "there is no option's name before the "+line[i:i+1], "write `name = value`")
		return
	}
	if p.section == "" {
		p.fault(n, "option "+key+" stands before any section", "put [DEFAULT] on a line above it")
		return
	}
	p.open = &assignment{file: p.file, line: n, section: p.section, key: key, value: unquote(strings.TrimSpace(line[i+1:]))}
}

// unquote takes one pair of equal quotes off. A lone quote is both of them to oslo.config, and so it is here.
func unquote(v string) string {
	if v == "" || v[0] != v[len(v)-1] || (v[0] != '"' && v[0] != '\'') {
		return v
	}
	if len(v) == 1 {
		return ""
	}
	return v[1 : len(v)-1]
}

func (p *parser) flush() {
	if p.open != nil {
		p.out = append(p.out, *p.open)
		p.open = nil
	}
}

func (p *parser) fault(n int, problem, cure string) {
	p.faults = append(p.faults, &Error{File: p.file, Line: n, Group: p.section, Problem: problem, Cure: cure})
}
