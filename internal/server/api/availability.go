package api

import (
	"math/big"
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// availabilityResource is how many addresses networks have and how many are in use: a view of the networks' table.
func availabilityResource() *Resource[model.Network, none] {
	type T = model.Network
	r := &Resource[T, none]{
		name: "network_ip_availability", plural: "network_ip_availabilities", word: "Network",
		source:  table(func(w *world.World) *world.Table[model.NetworkID, T] { return &w.Networks.Table }),
		id:      func(n *T) model.UUID { return n.ID.UUID },
		project: func(n *T) string { return n.ProjectID },
		indexes: []index[T]{{"network_id", func(w *world.World, v string) rows[T] {
			return func(yield func(*T) bool) {
				if n := w.Networks.Get(model.NetworkID{UUID: idOf(v)}); n != nil {
					yield(n)
				}
			}
		}}},
	}
	r.derived("network_id", func(b []byte, n *T, _ *View) []byte { return appendUUID(b, n.ID.UUID) }).
		filterBy(func(_ *View, values []string) (func(*T) bool, error) {
			want := parseUUIDs(values)
			return func(n *T) bool { return slices.Contains(want, n.ID.UUID) }, nil
		}).compare = func(a, b *T) int { return a.ID.Compare(b.ID.UUID) }
	r.text("network_name", func(n *T) *string { return &n.Name })
	r.owned()
	for _, owner := range []string{"project_id", "tenant_id"} {
		r.attr(owner).post = false
	}
	r.derived("total_ips", func(b []byte, n *T, x *View) []byte {
		total, _ := availability(n, x)
		return total.Append(b, 10)
	})
	r.derived("used_ips", func(b []byte, n *T, x *View) []byte {
		_, used := availability(n, x)
		return strconv.AppendInt(b, int64(used), 10)
	})
	r.derived("subnet_ip_availability", func(b []byte, n *T, x *View) []byte {
		return appendList(b, availableSubnets(n, x), func(b []byte, s *model.Subnet) []byte {
			b = appendUUID(append(b, `{"subnet_id": `...), s.ID.UUID)
			b = appendString(append(b, `, "subnet_name": `...), s.Name)
			b = appendPrefix(append(b, `, "cidr": `...), s.CIDR)
			b = strconv.AppendInt(append(b, `, "ip_version": `...), int64(s.IPVersion()), 10)
			b = rules.PoolSize(s).Append(append(b, `, "total_ips": `...), 10)
			b = strconv.AppendInt(append(b, `, "used_ips": `...), int64(rules.UsedAddresses(x.W, s)), 10)
			return append(b, '}')
		})
	})
	// A filter alone: of which family the addresses are that are counted.
	r.derived("ip_version", nil).filterBy(func(x *View, values []string) (func(*T) bool, error) {
		for _, v := range values {
			n, err := strconv.Atoi(v)
			if err != nil || (n != 4 && n != 6) {
				return nil, model.Invalid("'%s' is not an IP version: write 4 or 6.", v)
			}
			x.Families = append(x.Families, n)
		}
		return func(n *T) bool { return len(availableSubnets(n, x)) > 0 }, nil
	})
	return r
}

// availableSubnets are the subnets of a network that the viewer asks about.
func availableSubnets(n *model.Network, x *View) []*model.Subnet {
	out := slices.Collect(x.W.Subnets.ByNetwork(n.ID))
	if x.Families == nil {
		return out
	}
	return slices.DeleteFunc(out, func(s *model.Subnet) bool { return !slices.Contains(x.Families, s.IPVersion()) })
}

func availability(n *model.Network, x *View) (total *big.Int, used int) {
	total = new(big.Int)
	for _, s := range availableSubnets(n, x) {
		total.Add(total, rules.PoolSize(s))
		used += rules.UsedAddresses(x.W, s)
	}
	return total, used
}
