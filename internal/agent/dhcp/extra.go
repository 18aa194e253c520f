package dhcp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// extra is one of a port's extra_dhcp_opts, understood.
type extra struct {
	code uint16
	// tags must all hold of the client; one that begins with '!' must not.
	tags []string
	// drop: an empty value takes the option out of the answer.
	drop bool
	data []byte
}

// parseExtra reads a name in any form that Neutron's users write: "67", "bootfile-name", "option:bootfile-name",
// "option6:dns-server", each also behind "tag:NAME," (several times).
func parseExtra(o hostplan.DHCPOption, v6 bool) (extra, error) {
	var e extra
	name := strings.TrimSpace(o.Name)
	for strings.HasPrefix(name, "tag:") {
		tag, rest, ok := strings.Cut(name[len("tag:"):], ",")
		if !ok || tag == "" {
			return e, fmt.Errorf("option %q: a tag needs a name and an option behind it, as in tag:ipxe,bootfile-name: %w", o.Name, errValue)
		}
		e.tags = append(e.tags, strings.TrimSpace(tag))
		name = strings.TrimSpace(rest)
	}
	for _, prefix := range []string{"option:", "option6:"} {
		name = strings.TrimPrefix(name, prefix)
	}
	opt, err := lookup(name, v6)
	if err != nil {
		return e, fmt.Errorf("option %q: %w", o.Name, err)
	}
	e.code = opt.code
	if o.Value == "" && opt.shape != shapeFlag {
		e.drop = true
		return e, nil
	}
	if e.data, err = encode(opt.shape, o.Value, v6); err != nil {
		return e, fmt.Errorf("option %q: %w", o.Name, err)
	}
	return e, nil
}

func lookup(name string, v6 bool) (option, error) {
	names, reserved, top := names4, reserved4, uint64(siaddr)
	if v6 {
		names, reserved, top = names6, reserved6, 65535
	}
	opt, ok := names[name]
	if !ok {
		n, err := strconv.ParseUint(name, 10, 16)
		if err != nil {
			return opt, fmt.Errorf("no such option; use its number: %w", errValue)
		}
		if n > top {
			return opt, fmt.Errorf("the largest number of an option is %d: %w", top, errValue)
		}
		opt = byCode(names, uint16(n))
	}
	if reserved[opt.code] {
		return opt, fmt.Errorf("the protocol itself sets this one: %w", errValue)
	}
	return opt, nil
}

// extras returns what of opts holds for a client with the given tags, the last one of a code winning, and complaints about
// the others.
func extras(opts []hostplan.DHCPOption, v6 bool, tags map[string]bool) (out []extra, bad []string) {
	for _, o := range opts {
		e, err := parseExtra(o, v6)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		if !holds(e.tags, tags) {
			continue
		}
		// one with a tag is meant for this client and beats one without
		if i := slices.IndexFunc(out, func(x extra) bool { return x.code == e.code }); i < 0 {
			out = append(out, e)
		} else if len(e.tags) >= len(out[i].tags) {
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

// CheckOptions returns one sentence for each option that would be left out of every answer, for the people who set them.
func CheckOptions(opts []hostplan.DHCPOption, v6 bool) []string {
	var bad []string
	for _, o := range opts {
		if _, err := parseExtra(o, v6); err != nil {
			bad = append(bad, err.Error())
		}
	}
	return bad
}
