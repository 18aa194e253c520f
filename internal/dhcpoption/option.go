// Package dhcpoption understands the DHCP options that people set on a port (extra_dhcp_opts): names as dnsmasq spells
// them, numbers, tags, and the texts of values. The agent answers instances with what it makes of them, and the server
// tells whoever sets an option that nobody will understand. It is pure.
package dhcpoption

import (
	"fmt"
	"strconv"
	"strings"
)

// Option is one option of a port, understood.
type Option struct {
	Code uint16
	// Tags must all hold of the client; one that begins with '!' must not.
	Tags []string
	// Drop: an empty value takes the option out of the answer.
	Drop bool
	Data []byte
}

// Parse reads a name in any form that Neutron's users write: "67", "bootfile-name", "option:bootfile-name",
// "option6:dns-server", each also behind "tag:NAME," (several times), and a value. v6 says for which protocol. The error
// names the option and says in words what is wrong.
func Parse(name, value string, v6 bool) (Option, error) {
	var e Option
	given := name
	name = strings.TrimSpace(name)
	for strings.HasPrefix(name, "tag:") {
		tag, rest, ok := strings.Cut(name[len("tag:"):], ",")
		if !ok || tag == "" {
			return e, fmt.Errorf("option %q: a tag needs a name and an option behind it, as in tag:ipxe,bootfile-name: %w", given, errValue)
		}
		e.Tags = append(e.Tags, strings.TrimSpace(tag))
		name = strings.TrimSpace(rest)
	}
	for _, prefix := range []string{"option:", "option6:"} {
		name = strings.TrimPrefix(name, prefix)
	}
	opt, err := lookup(name, v6)
	if err != nil {
		return e, fmt.Errorf("option %q: %w", given, err)
	}
	e.Code = opt.code
	if value == "" && opt.shape != shapeFlag {
		e.Drop = true
		return e, nil
	}
	if e.Data, err = encode(opt.shape, value, v6); err != nil {
		return e, fmt.Errorf("option %q: %w", given, err)
	}
	return e, nil
}

func lookup(name string, v6 bool) (option, error) {
	names, reserved, top := names4, reserved4, uint64(ServerAddress)
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
