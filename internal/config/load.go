package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Loaded is everything that the files say, for both commands, and what an operator should be told about them.
type Loaded struct {
	Server  Server
	Agent   Agent
	Notices []Notice

	raw  raw
	src  *values
	host string
	// dir is the directory of the first file; "" without any.
	dir string
}

// ReadSources reads files and then, sorted by name, every *.conf in dirs. A later source wins over an earlier one.
func ReadSources(files, dirs []string) ([]Source, error) {
	for _, d := range dirs {
		found, err := filepath.Glob(filepath.Join(d, "*.conf"))
		if err != nil {
			return nil, fmt.Errorf("list configuration directory %s: %w", d, err)
		}
		slices.Sort(found)
		files = append(files[:len(files):len(files)], found...)
	}
	var out []Source
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		out = append(out, Source{Name: f, Text: text})
	}
	return out, nil
}

// LoadServer reads the server's configuration. hostname is what [DEFAULT] host defaults to. The error joins every fault
// found, each an *Error; the notices of Loaded are worth printing in either case.
func LoadServer(sources []Source, hostname string) (*Loaded, error) {
	l, faults := load(sources, hostname)
	if len(faults) == 0 {
		faults = l.checkServer()
	}
	return l, join(faults)
}

// LoadAgent is LoadServer for the agent.
func LoadAgent(sources []Source, hostname string) (*Loaded, error) {
	l, faults := load(sources, hostname)
	if len(faults) == 0 {
		faults = l.checkAgent()
	}
	return l, join(faults)
}

func join(faults []*Error) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

func load(sources []Source, hostname string) (*Loaded, []*Error) {
	l := &Loaded{host: hostname}
	t := l.table()
	v := newValues(t)
	l.src = v
	var faults []*Error
	for _, s := range sources {
		if l.dir == "" && !s.override {
			l.dir = filepath.Dir(s.Name)
		}
		as, fs := parseINI(s)
		faults = append(faults, fs...)
		v.add(as)
	}
	for _, o := range t.opts {
		if f := v.resolve(o); f != nil {
			faults = append(faults, f)
		}
	}
	l.Notices = v.notices()
	if len(faults) == 0 {
		faults = l.settle()
	}
	return l, faults
}

// values is what the files assign, by option. Group names are compared in lower case, as oslo.config does ("QUOTAS").
type values struct {
	byName map[Name]*Option // every spelling of every option
	// files holds, per file in the order read, what it assigns.
	files [][]assignment
	// busy marks options whose value is being substituted, to find circles.
	busy map[*Option]bool
	// known caches substituted texts, without which $a$a, $b$b, … would double the work at each step.
	known map[*Option]string
}

func newValues(t *table) *values {
	v := &values{byName: map[Name]*Option{}, busy: map[*Option]bool{}, known: map[*Option]string{}}
	for _, o := range t.opts {
		for _, n := range append([]Name{o.Name}, o.Older...) {
			v.byName[n.fold()] = o
		}
	}
	return v
}

// fold is the name as it is compared: the group in lower case, but for DEFAULT, of which oslo.config wants capitals.
func (n Name) fold() Name {
	if n.Group == "DEFAULT" {
		return n
	}
	return Name{strings.ToLower(n.Group), n.Option}
}

func (a assignment) name() Name { return Name{Group: a.section, Option: a.key}.fold() }

func (v *values) add(as []assignment) { v.files = append(v.files, as) }

// find returns the assignments that give o its value: with one file, the current name wins over older ones, and the last
// file that has any of them over the ones before. A Multi option collects one name's values from every file.
func (v *values) find(o *Option) []assignment {
	names := append([]Name{o.Name}, o.Older...)
	var out []assignment
	for _, as := range slices.Backward(v.files) {
		for _, n := range names {
			var here []assignment
			for _, a := range as {
				if a.name() == n.fold() {
					here = append(here, a)
				}
			}
			if len(here) == 0 {
				continue
			}
			if !o.Multi {
				return here[len(here)-1:]
			}
			out = append(here, out...)
		}
	}
	return out
}

// resolve gives o its value, from the files or its default.
func (v *values) resolve(o *Option) *Error {
	if o.Gone != "" {
		return nil
	}
	as := v.find(o)
	if len(as) == 0 {
		if o.NoDefault {
			return nil
		}
		text, err := v.text(o)
		if err == nil {
			err = o.apply([]string{text})
		}
		return v.fault(o, nil, err)
	}
	var raw []string
	for _, a := range as {
		s, err := v.substitute(a.value, o.Group)
		if err != nil {
			return v.fault(o, &a, err)
		}
		raw = append(raw, s)
	}
	err := o.apply(raw)
	if errors.Is(err, errUnset) && !o.NoDefault {
		err = o.apply([]string{o.Default})
	}
	if errors.Is(err, errUnset) {
		err = nil
	}
	return v.fault(o, &as[len(as)-1], err)
}

// fault words err, whose text is "problem; cure", for option o at a.
func (v *values) fault(o *Option, a *assignment, err error) *Error {
	if err == nil {
		return nil
	}
	problem, cure := splitCure(err)
	e := &Error{Group: o.Group, Option: o.Option, Problem: problem, Cure: cure}
	if a != nil {
		e.File, e.Line, e.Group, e.Option = a.file, a.line, a.section, a.key
	}
	return e
}

// where is the assignment that gave o its value, or nil.
func (v *values) where(n Name) *assignment {
	o := v.byName[n.fold()]
	if o == nil {
		return nil
	}
	if as := v.find(o); len(as) > 0 {
		return &as[len(as)-1]
	}
	return nil
}

// given reports whether a file sets the option.
func (v *values) given(group, option string) bool { return v.where(Name{group, option}) != nil }

// faultAt makes an Error for an option that has been read.
func (v *values) faultAt(n Name, problem, cure string) *Error {
	e := &Error{Group: n.Group, Option: n.Option, Problem: problem, Cure: cure}
	if a := v.where(n); a != nil {
		e.File, e.Line, e.Group, e.Option = a.file, a.line, a.section, a.key
	}
	return e
}
