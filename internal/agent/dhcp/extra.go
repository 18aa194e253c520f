package dhcp

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/dhcpoption"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// extras returns what of opts holds for a client with the given tags, the last one of a code winning, and complaints about
// the others.
func extras(opts []hostplan.DHCPOption, v6 bool, tags map[string]bool) (out []dhcpoption.Option, bad []string) {
	for _, o := range opts {
		e, err := dhcpoption.Parse(o.Name, o.Value, v6)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		if !holds(e.Tags, tags) {
			continue
		}
		// one with a tag is meant for this client and beats one without
		if i := slices.IndexFunc(out, func(x dhcpoption.Option) bool { return x.Code == e.Code }); i < 0 {
			out = append(out, e)
		} else if len(e.Tags) >= len(out[i].Tags) {
			out[i] = e
		}
	}
	return out, bad
}

func holds(want []string, have map[string]bool) bool {
	for _, w := range want {
		name, not := strings.CutPrefix(w, "!")
		if have[name] == not {
			return false
		}
	}
	return true
}
