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
		carried := "yes, but for: "
		for _, g := range gaps {
			if !slices.Contains(g.Extensions, e.alias) {
				continue
			}
			not = append(not, g.Name)
			if !g.Partly {
				carried = "not: "
			}
		}
		if carried += strings.Join(not, ", "); not == nil {
			carried = "yes"
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
