package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// SubnetPools by id; indexes by project and address scope.
type SubnetPools struct {
	Table[model.SubnetPoolID, model.SubnetPool]
}

func newSubnetPools() SubnetPools {
	type T = model.SubnetPool
	type K = model.SubnetPoolID
	s := uuidSpec(model.KindSubnetPool, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		indexBy[K](hashUUID[model.AddressScopeID], func(v *T, yield func(model.AddressScopeID)) {
			if !v.AddressScope.IsZero() {
				yield(v.AddressScope)
			}
		}),
	}
	return SubnetPools{newTable(s)}
}

// ByProject yields a project's subnet pools.
func (t *SubnetPools) ByProject(p string) iter.Seq[*model.SubnetPool] { return with(&t.Table, 0, p) }

// ByAddressScope yields the pools in an address scope.
func (t *SubnetPools) ByAddressScope(s model.AddressScopeID) iter.Seq[*model.SubnetPool] {
	return with(&t.Table, 1, s)
}

// AddressScopes by id.
type AddressScopes struct {
	Table[model.AddressScopeID, model.AddressScope]
}

func newAddressScopes() AddressScopes {
	type T = model.AddressScope
	return AddressScopes{newTable(uuidSpec(model.KindAddressScope, func(v *T) model.AddressScopeID { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID }))}
}
