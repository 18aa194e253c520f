package config

import (
	"fmt"
	"strings"
)

// notices tells of every assignment that is unknown, obsolete or spelled the old way, once per option and file.
func (v *values) notices() []Notice {
	var out []Notice
	for _, as := range v.files {
		seen := map[Name]bool{}
		for _, a := range as {
			if seen[a.name()] {
				continue
			}
			seen[a.name()] = true
			if text := v.remark(a); text != "" {
				out = append(out, Notice{File: a.file, Line: a.line, Group: a.section, Option: a.key, Text: text})
			}
		}
	}
	return out
}

// remark is what there is to say of one assignment; usually nothing.
func (v *values) remark(a assignment) string {
	o := v.byName[a.name()]
	switch {
	case o == nil:
		if g := goneGroup(strings.ToLower(a.section)); g != "" {
			return g
		}
		return "is not an option of Weft's and has no effect" + v.guess(a)
	case o.Gone != "":
		return "has no effect: " + o.Gone
	case a.name() != o.Name.fold():
		return fmt.Sprintf("is taken as %s, its name today", o.Name)
	}
	return ""
}

// guess proposes what may have been meant.
func (v *values) guess(a assignment) string {
	best, dist := Name{}, 3
	for n, o := range v.byName {
		if n != o.Name.fold() || o.Gone != "" {
			continue
		}
		d := distance(n.Option, a.key)
		if n.Group != a.name().Group {
			d += 2 // the right name in another section is as far away as two slips of the pen
		}
		if d < dist || (d == dist && d < 3 && o.Name.String() < best.String()) {
			best, dist = o.Name, d
		}
	}
	if dist == 3 {
		return ""
	}
	return "; was " + best.String() + " meant?"
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
