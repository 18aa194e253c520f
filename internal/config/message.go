package config

import (
	"fmt"
	"strings"
)

// Error is one fault of the configuration: where, what, and how to cure it. Several come joined (errors.Join).
type Error struct {
	File string // empty when the fault is in no file: a missing option
	Line int    // 0 when the fault is in no line
	// Group and Option are the spelling in the file.
	Group, Option string
	Problem, Cure string
}

func (e *Error) Error() string {
	return place(e.File, e.Line, e.Group, e.Option) + e.Problem + "; " + e.Cure
}

// Notice is something an operator should know, but that stops nothing: an option that Weft does not know, or one that it
// does not need, with what it does instead.
type Notice struct {
	File          string
	Line          int
	Group, Option string
	Text          string
}

func (n Notice) String() string { return place(n.File, n.Line, n.Group, n.Option) + n.Text }

func place(file string, line int, group, option string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file)
		if line > 0 {
			fmt.Fprintf(&b, ":%d", line)
		}
		b.WriteString(": ")
	}
	if option != "" {
		fmt.Fprintf(&b, "[%s] %s: ", group, option)
	}
	return b.String()
}

// splitCure takes apart the text of a conversion's error, which is "problem; cure".
func splitCure(err error) (problem, cure string) {
	text := err.Error()
	i := strings.LastIndex(text, "; ")
	if i < 0 {
		return text, "correct it"
	}
	return text[:i], text[i+2:]
}
