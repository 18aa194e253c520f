package policy

import (
	"fmt"
	"io"
	"strings"
)

// WriteSample writes a policy file that changes nothing: every default, commented out, with what it was before.
func WriteSample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Rules of Weft, which are Neutron's. Uncomment and change what shall differ.\n" +
		"# \"or, before:\" holds beside the rule while [oslo_policy] enforce_new_defaults is false, unless the rule is set here.\n")
	for _, part := range []struct {
		title  string
		grants []grant
	}{
		{"What other rules refer to", helpers()}, {"Networks and what is on them", coreGrants()},
		{"Routers and what is behind them", l3Grants()}, {"Everything else", otherGrants()},
	} {
		fmt.Fprintf(&b, "\n# --- %s\n", part.title)
		for _, g := range part.grants {
			now, before, changed := strings.Cut(g.who, " | ")
			b.WriteString("\n")
			if changed {
				fmt.Fprintf(&b, "# or, before: %s\n", before)
			}
			for name := range strings.FieldsSeq(g.rules) {
				fmt.Fprintf(&b, "#%q: %q\n", name, now)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
