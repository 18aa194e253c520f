package api

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/server/promise"
)

// WriteExtensions writes the two tables of docs/extensions.md: what is offered, and what of it is not carried out.
func WriteExtensions(w io.Writer) error {
	var b strings.Builder
	gaps := promise.Gaps()
	b.WriteString("| extension | what it is | carried out |\n|---|---|---|\n")
	for _, e := range extensions {
		var not []string
		for _, g := range gaps {
			if slices.Contains(g.Extensions, e.alias) {
				not = append(not, g.Name)
			}
		}
		carried := "yes"
		if not != nil {
			carried = "not: " + strings.Join(not, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.alias, strings.TrimSuffix(e.description, "."), carried)
	}
	b.WriteString("\n## What is not carried out\n\n| what | warned about at | what happens |\n|---|---|---|\n")
	for _, g := range gaps {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.Name, g.Asked, g.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
