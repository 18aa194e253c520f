package rules

import (
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// AddressScopeExtra is what a client sends for an address scope beyond what is stored in it.
type AddressScopeExtra struct{ Shared Opt[bool] }

// CreateAddressScope completes s and puts it.
func (r *Rules) CreateAddressScope(tx *world.Tx, _ *Actor, s *model.AddressScope, x *AddressScopeExtra) error {
	s.ID = model.AddressScopeID{UUID: tx.NewUUID()}
	tx.AddressScopes.Put(s)
	if x.Shared.V {
		share(tx, s.ProjectID, model.KindAddressScope, s.ID.UUID, model.ActionShared)
	}
	return nil
}

// UpdateAddressScope puts s, which is old with what the client changed.
func (r *Rules) UpdateAddressScope(tx *world.Tx, by *Actor, s *model.AddressScope, x *AddressScopeExtra) error {
	if x.Shared.Set && !x.Shared.V && Shared(&tx.World, model.KindAddressScope, s.ID.UUID, by.Project) {
		return model.Errf(model.KindInvalid, "AddressScopeUpdateError",
			"Unable to update address scope %s : Shared address scope can't be unshared.", s.ID)
	}
	tx.AddressScopes.Put(s)
	if x.Shared.V {
		share(tx, s.ProjectID, model.KindAddressScope, s.ID.UUID, model.ActionShared)
	}
	return nil
}

// DeleteAddressScope deletes a scope that no subnet pool is in.
func (r *Rules) DeleteAddressScope(tx *world.Tx, _ *Actor, s *model.AddressScope) error {
	for range tx.SubnetPools.ByAddressScope(s.ID) {
		return model.Errf(model.KindConflict, "AddressScopeInUse",
			"Unable to complete operation on address scope %s. There are one or more subnet pools in use on the address scope.", s.ID)
	}
	unshare(tx, s.ID.UUID)
	tx.AddressScopes.Delete(s.ID)
	return nil
}

// NetworkScope is the address scope of a network's subnets of a family; zero: none.
func NetworkScope(w *world.World, n model.NetworkID, version int) model.AddressScopeID {
	for s := range w.Subnets.ByNetwork(n) {
		if p := w.SubnetPools.Get(s.PoolID); p != nil && s.IPVersion() == version {
			return p.AddressScope
		}
	}
	return model.AddressScopeID{}
}
