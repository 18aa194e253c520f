package api

import (
	"net/netip"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// Values that are addresses, as Neutron reads them (neutron-lib: api/validators).

func addrValue(v Value) (netip.Addr, error) {
	if v.kind == isString {
		if a, err := netip.ParseAddr(v.text); err == nil && a.Zone() == "" && !a.Is4In6() {
			return a, nil
		}
	}
	return netip.Addr{}, reasonf("'%s' is not a valid IP address.", v)
}

// cidrValue reads an address with a length; the host's bits must be zero.
func cidrValue(v Value) (netip.Prefix, error) {
	p, err := subnetValue(v)
	if err == nil && p != p.Masked() {
		return netip.Prefix{}, reasonf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended.", v.text, p.Masked())
	}
	return p, err
}

// subnetValue reads an address and the length of its prefix; the address may be any of the range.
func subnetValue(v Value) (netip.Prefix, error) {
	if v.kind != isString {
		return netip.Prefix{}, reasonf("'%s' is not a valid IP subnet.", v)
	}
	p, err := netip.ParsePrefix(v.text)
	if err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() {
		return netip.Prefix{}, reasonf("'%s' is not a valid IP subnet.", v)
	}
	return p, nil
}

func macValue(v Value) (model.MAC, error) {
	if v.kind == isString {
		if m, err := model.ParseMAC(v.text); err == nil && !m.IsZero() {
			return m, nil
		}
	}
	return model.MAC{}, reasonf("'%s' is not a valid MAC address.", v)
}

// routesValue reads a list of destination and nexthop.
func routesValue(v Value) ([]model.Route, error) {
	out, again, err := manyRoutes(v)
	if err == nil && again.kind == isObject {
		err = reasonf("Duplicate hostroute '%s'.", again)
	}
	return out, err
}

// manyRoutes reads a list of routes and leaves out what it has twice, of which again is the first; null if there is none.
func manyRoutes(v Value) (routes []model.Route, again Value, err error) {
	if v.kind == isNull {
		return nil, again, nil
	}
	if v.kind != isList {
		return nil, again, reasonf("Invalid data format for hostroute: '%s'.", v)
	}
	out := make([]model.Route, 0, len(v.items))
	seen := map[model.Route]bool{}
	for _, item := range v.items {
		if why := onlyKeys(item, "destination", "nexthop"); why != nil {
			return nil, again, why
		}
		d, _ := item.get("destination")
		n, _ := item.get("nexthop")
		prefix, err := cidrValue(d)
		if err != nil {
			return nil, again, err
		}
		hop, err := addrValue(n)
		if err != nil {
			return nil, again, err
		}
		route := model.Route{Destination: prefix, NextHop: hop}
		if seen[route] {
			if again.kind == isNull {
				again = item
			}
			continue
		}
		seen[route] = true
		out = append(out, route)
	}
	return out, again, nil
}

// onlyKeys tests that a value is an object and has exactly these keys.
func onlyKeys(v Value, keys ...string) error {
	if v.kind != isObject {
		return reasonf("Invalid input. '%s' must be a dictionary with keys: %s.", v, pyList(keys))
	}
	for _, k := range keys {
		if _, ok := v.get(k); !ok {
			return reasonf("Validation of dictionary's keys failed. Expected keys: %s Provided keys: %s.", pySet(keys), pySet(v.names()))
		}
	}
	if len(v.members) != len(keys) {
		return reasonf("Validation of dictionary's keys failed. Expected keys: %s Provided keys: %s.", pySet(keys), pySet(v.names()))
	}
	return nil
}

func pySet(names []string) string {
	if len(names) == 0 {
		return "set()"
	}
	return "{" + strings.Trim(pyList(names), "[]") + "}"
}

// names are an object's keys in the order sent.
func (v Value) names() []string {
	out := make([]string, len(v.members))
	for i, m := range v.members {
		out[i] = m.name
	}
	return out
}

// poolsValue reads allocation_pools.
func poolsValue(v Value) ([]model.AddrRange, error) {
	if v.kind != isList {
		return nil, reasonf("Invalid data format for IP pool: '%s'.", v)
	}
	out := make([]model.AddrRange, 0, len(v.items))
	for _, item := range v.items {
		if why := onlyKeys(item, "start", "end"); why != nil {
			return nil, why
		}
		start, _ := item.get("start")
		end, _ := item.get("end")
		first, err := addrValue(start)
		if err != nil {
			return nil, err
		}
		last, err := addrValue(end)
		if err != nil {
			return nil, err
		}
		out = append(out, model.AddrRange{First: first, Last: last})
	}
	return out, nil
}

// fixedIPsValue reads fixed_ips; a list of dictionaries with subnet_id, ip_address or both.
func fixedIPsValue(v Value) ([]rules.FixedIPRequest, error) {
	if v.kind != isList {
		return nil, reasonf("Invalid data format for fixed IP: '%s'.", v)
	}
	out := make([]rules.FixedIPRequest, 0, len(v.items))
	seen := map[netip.Addr]bool{}
	for _, item := range v.items {
		if item.kind != isObject {
			return nil, reasonf("Invalid data format for fixed IP: '%s'.", item)
		}
		var q rules.FixedIPRequest
		for _, m := range item.members {
			switch {
			case m.value.kind == isNull:
			case m.name == "ip_address":
				a, err := addrValue(m.value)
				if err != nil {
					return nil, err
				}
				if seen[a] {
					return nil, reasonf("Duplicate IP address '%s'.", a)
				}
				seen[a], q.Addr = true, a
			case m.name == "subnet_id":
				u, err := uuidValue(m.value, false)
				if err != nil {
					return nil, err
				}
				q.Subnet.UUID = u
			}
		}
		out = append(out, q)
	}
	return out, nil
}

// addrsValue reads a list of addresses without repetitions; null is none.
func addrsValue(v Value) ([]netip.Addr, error) {
	if noList(v) {
		return nil, nil
	}
	if v.kind != isList {
		return nil, reasonf("Invalid data format for nameserver: '%s'.", v)
	}
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, item := range v.items {
		a, err := addrValue(item)
		if err != nil {
			return nil, reasonf("'%s' is not a valid nameserver. '%s' is not a valid IP address.", item, item)
		}
		if seen[a] {
			return nil, reasonf("Duplicate nameserver '%s'.", item)
		}
		seen[a] = true
		out = append(out, a)
	}
	return out, nil
}

// stringsValue reads a list of texts.
func stringsValue(v Value) ([]string, error) {
	items, err := listValue(v)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, err := textValue(item, 255)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
