package rules

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// SubnetPoolExtra is what a client sends for a subnet pool beyond what is stored in it.
type SubnetPoolExtra struct {
	Shared                             Opt[bool]
	MinPrefixLen, MaxPrefixLen, Length Opt[int] // Length: default_prefixlen
}

// accessible reports whether the actor may refer to an object: it is his, shared with him, or he sees everything.
func accessible(tx *world.Tx, by *Actor, kind model.Kind, id model.UUID, owner string) bool {
	return by.Admin || by.AdvSvc || owner == by.Project || Shared(&tx.World, kind, id, by.Project)
}

// poolFor is the subnet pool that the actor wants to use.
func (r *Rules) poolFor(tx *world.Tx, by *Actor, id model.SubnetPoolID) (*model.SubnetPool, error) {
	p := tx.SubnetPools.Get(id)
	if p == nil || !accessible(tx, by, model.KindSubnetPool, id.UUID, p.ProjectID) {
		return nil, model.Errf(model.KindNotFound, "SubnetPoolNotFound", "Subnet pool %s could not be found.", idText(id.UUID))
	}
	return p, nil
}

// CreateSubnetPool completes p and puts it.
func (r *Rules) CreateSubnetPool(tx *world.Tx, by *Actor, p *model.SubnetPool, x *SubnetPoolExtra) error {
	p.ID = model.SubnetPoolID{UUID: tx.NewUUID()}
	if len(p.Prefixes) == 0 {
		return model.Errf(model.KindInvalid, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list.")
	}
	for _, q := range p.Prefixes {
		if q.Addr().Is4() != p.Prefixes[0].Addr().Is4() {
			return model.Errf(model.KindInvalid, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
		}
	}
	p.Prefixes = merged(p.Prefixes...)
	p.MinPrefixLen, p.MaxPrefixLen = 8, 32
	if p.IPVersion() == 6 {
		p.MinPrefixLen, p.MaxPrefixLen = 64, 128
	}
	if x.MinPrefixLen.Set {
		p.MinPrefixLen = x.MinPrefixLen.V
	}
	p.DefaultPrefixLen = p.MinPrefixLen
	if err := setLengths(p, x); err != nil {
		return err
	}
	if err := checkOnlyDefault(tx, p); err != nil {
		return err
	}
	if err := r.checkScope(tx, by, p); err != nil {
		return err
	}
	tx.SubnetPools.Put(p)
	if x.Shared.V {
		if scopeReached(&tx.World, &model.RBACPolicy{ObjectID: p.ID.UUID, Target: model.TargetAll}) != nil {
			return model.Invalid("Subnet pool %s cannot be shared: its address scope %s is not; share the scope first.", p.ID, p.AddressScope)
		}
		share(tx, p.ProjectID, model.KindSubnetPool, p.ID.UUID, model.ActionShared)
	}
	return nil
}

// setLengths takes the lengths sent and tests them.
func setLengths(p *model.SubnetPool, x *SubnetPoolExtra) error {
	set := func(to *int, o Opt[int]) {
		if o.Set {
			*to = o.V
		}
	}
	set(&p.MinPrefixLen, x.MinPrefixLen)
	set(&p.MaxPrefixLen, x.MaxPrefixLen)
	set(&p.DefaultPrefixLen, x.Length)
	bound := func(what string, n int, base string, limit int) error {
		return model.Errf(model.KindInvalid, "IllegalSubnetPoolPrefixBounds", "Illegal prefix bounds: %s=%d, %s=%d.", what, n, base, limit)
	}
	longest := p.AddressBits()
	switch {
	case p.MinPrefixLen > p.MaxPrefixLen:
		return bound("min_prefixlen", p.MinPrefixLen, "max_prefixlen", p.MaxPrefixLen)
	case p.MaxPrefixLen > longest:
		return bound("max_prefixlen", p.MaxPrefixLen, "ip_version_max", longest)
	case p.DefaultPrefixLen < p.MinPrefixLen:
		return bound("default_prefixlen", p.DefaultPrefixLen, "min_prefixlen", p.MinPrefixLen)
	case p.DefaultPrefixLen > p.MaxPrefixLen:
		return bound("default_prefixlen", p.DefaultPrefixLen, "max_prefixlen", p.MaxPrefixLen)
	}
	return nil
}

// defaultPool is the default pool of a family, nil if there is none.
func defaultPool(w *world.World, version int) *model.SubnetPool {
	for p := range w.SubnetPools.All() {
		if p.IsDefault && p.IPVersion() == version {
			return p
		}
	}
	return nil
}

func checkOnlyDefault(tx *world.Tx, p *model.SubnetPool) error {
	if d := defaultPool(&tx.World, p.IPVersion()); p.IsDefault && d != nil && d.ID != p.ID {
		return model.Invalid("A default subnetpool for this IP family has already been set. Only one default may exist per IP family.")
	}
	return nil
}

// checkScope tests whether a pool may be in its address scope: the scope must be the actor's to use, of the same family,
// and no other pool of it may have any of the pool's addresses.
func (r *Rules) checkScope(tx *world.Tx, by *Actor, p *model.SubnetPool) error {
	if p.AddressScope.IsZero() {
		return nil
	}
	s := tx.AddressScopes.Get(p.AddressScope)
	if s == nil || !accessible(tx, by, model.KindAddressScope, s.ID.UUID, s.ProjectID) {
		return model.Errf(model.KindNotFound, "AddressScopeNotFound", "Address scope %s could not be found.", p.AddressScope)
	}
	if !by.Admin && s.ProjectID != by.Project && !Shared(&tx.World, model.KindAddressScope, s.ID.UUID, by.Project) { // a network service sees it
		return model.Errf(model.KindInvalid, "IllegalSubnetPoolAssociationToAddressScope",
			"Illegal subnetpool association: subnetpool %s cannot be associated with address scope %s.", p.ID, s.ID)
	}
	if s.IPVersion != p.IPVersion() {
		return model.Errf(model.KindInvalid, "IllegalSubnetPoolIpVersionAssociationToAddressScope",
			"Illegal subnetpool association: subnetpool %s cannot associate with address scope %s because subnetpool ip_version is not %d.",
			p.ID, s.ID, s.IPVersion)
	}
	for subnet := range tx.Subnets.ByPool(p.ID) {
		for other := range tx.Subnets.ByNetwork(subnet.NetworkID) {
			if other.IPVersion() == s.IPVersion && other.PoolID != p.ID {
				return errScopeAffinity()
			}
		}
	}
	mine := setOf(p.Prefixes...)
	for other := range tx.SubnetPools.ByAddressScope(s.ID) {
		if other.ID != p.ID && slices.ContainsFunc(other.Prefixes, mine.OverlapsPrefix) {
			return model.Errf(model.KindConflict, "AddressScopePrefixConflict",
				"Failed to associate address scope: subnetpools within an address scope must have unique prefixes.")
		}
	}
	return nil
}

func errScopeAffinity() error {
	return model.Errf(model.KindInvalid, "NetworkAddressScopeAffinityError",
		"Subnets of the same address family hosted on the same network must all participate in the same address scope.")
}

// UpdateSubnetPool puts p, which is old with what the client changed. Prefixes may only grow.
func (r *Rules) UpdateSubnetPool(tx *world.Tx, by *Actor, old, p *model.SubnetPool, x *SubnetPoolExtra) error {
	mine := setOf(p.Prefixes...)
	if !slices.Equal(old.Prefixes, p.Prefixes) {
		for _, q := range old.Prefixes {
			if !mine.ContainsPrefix(q) {
				return errPrefixes("Existing prefixes must be a subset of the new prefixes")
			}
		}
		for _, q := range p.Prefixes {
			if q.Addr().BitLen() != old.AddressBits() {
				return model.Errf(model.KindInvalid, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
			}
		}
		p.Prefixes = merged(p.Prefixes...)
		p.EmptyOf = 0 // they have grown
	}
	if err := setLengths(p, x); err != nil {
		return err
	}
	if err := checkOnlyDefault(tx, p); err != nil {
		return err
	}
	if s := tx.AddressScopes.Get(old.AddressScope); s != nil && !by.Admin && s.ProjectID != by.Project {
		return errPoolUpdate("subnetpool %s cannot be updated when associated with shared address scope %s", p.ID, s.ID)
	}
	if err := r.checkScope(tx, by, p); err != nil {
		return err
	}
	tx.SubnetPools.Put(p)
	return nil
}

func errPrefixes(why string) error {
	return model.Errf(model.KindInvalid, "IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: %s.", why)
}

func errPoolUpdate(format string, args ...any) error {
	e := model.Errf(model.KindInvalid, "IllegalSubnetPoolUpdate", format, args...)
	e.Message = "Illegal subnetpool update : " + e.Message + "."
	return e
}

// DeleteSubnetPool deletes a pool that no subnet is from.
func (r *Rules) DeleteSubnetPool(tx *world.Tx, _ *Actor, p *model.SubnetPool) error {
	for range tx.Subnets.ByPool(p.ID) {
		return model.Errf(model.KindInvalid, "SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations.")
	}
	unshare(tx, p.ID.UUID)
	tx.SubnetPools.Delete(p.ID)
	return nil
}

// AddPrefixes adds prefixes to a pool.
func (r *Rules) AddPrefixes(tx *world.Tx, by *Actor, old *model.SubnetPool, add []netip.Prefix) error {
	p := *old
	p.Prefixes = slices.Concat(old.Prefixes, add)
	return r.UpdateSubnetPool(tx, by, old, &p, &SubnetPoolExtra{})
}

// RemovePrefixes takes addresses that no subnet has from a pool; those that it does not have are ignored.
func (r *Rules) RemovePrefixes(tx *world.Tx, _ *Actor, old *model.SubnetPool, remove []netip.Prefix) error {
	gone := setOf(remove...)
	if !slices.ContainsFunc(old.Prefixes, gone.OverlapsPrefix) {
		return nil
	}
	for s := range tx.Subnets.ByPool(old.ID) {
		if gone.OverlapsPrefix(s.CIDR) {
			return errPrefixes("One or more the prefixes to be removed is in use by a subnet")
		}
	}
	p := *old
	p.Prefixes = subtract(old.Prefixes, remove) // a pool may be emptied
	if p.EmptyOf = 0; len(p.Prefixes) == 0 {
		p.EmptyOf = old.IPVersion()
	}
	tx.SubnetPools.Put(&p)
	return nil
}

// OnboardNetwork puts the subnets of a network that are of a pool's family into the pool, and returns them.
func (r *Rules) OnboardNetwork(tx *world.Tx, by *Actor, old *model.SubnetPool, id model.NetworkID) ([]*model.Subnet, error) {
	n := tx.Networks.Get(id)
	if n == nil || !r.mayUse(tx, by, n) {
		return nil, errNetwork(id)
	}
	if !by.Admin && n.ProjectID != by.Project {
		return nil, model.Errf(model.KindForbidden, "NotAuthorized", "Not authorized.")
	}
	var add []netip.Prefix
	var out []*model.Subnet
	for s := range tx.Subnets.ByNetwork(id) {
		if s.IPVersion() != old.IPVersion() {
			continue
		}
		for have := range tx.Subnets.ByPool(old.ID) {
			if have.CIDR.Overlaps(s.CIDR) {
				return nil, errPoolUpdate("Onboarding subnet %s: %s conflicts with allocated prefixes in subnet pool %s", s.ID, s.CIDR, old.ID)
			}
		}
		c := *s
		c.PoolID = old.ID
		add, out = append(add, s.CIDR), append(out, &c)
	}
	if out == nil {
		return nil, nil
	}
	if err := r.AddPrefixes(tx, by, old, add); err != nil {
		return nil, err
	}
	for _, s := range out {
		tx.Subnets.Put(s)
	}
	touchNetwork(tx, id)
	return out, nil
}

func setOf(prefixes ...netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	s, _ := b.IPSet() // prefixes that have been read are valid
	return s
}

// merged is prefixes in order, without overlaps and as few as possible.
func merged(prefixes ...netip.Prefix) []netip.Prefix { return setOf(prefixes...).Prefixes() }

func subtract(prefixes, gone []netip.Prefix) []netip.Prefix {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	for _, p := range gone {
		b.RemovePrefix(p)
	}
	s, _ := b.IPSet()
	return s.Prefixes()
}

// cut finds the range of a new subnet in a pool: the one asked for (cidr valid), or the first free one of a length, of
// the smallest piece that is left and large enough.
func cut(tx *world.Tx, p *model.SubnetPool, s *model.Subnet, length int) (netip.Prefix, error) {
	if length > p.MaxPrefixLen {
		return netip.Prefix{}, model.Errf(model.KindInvalid, "MaxPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, maximum allowed prefix is %d.", length, p.MaxPrefixLen)
	}
	if length < p.MinPrefixLen {
		return netip.Prefix{}, model.Errf(model.KindInvalid, "MinPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, minimum allowed prefix is %d.", length, p.MinPrefixLen)
	}
	var taken []netip.Prefix
	used := 0.0
	for o := range tx.Subnets.ByPool(p.ID) {
		taken = append(taken, o.CIDR)
		if o.ProjectID == s.ProjectID {
			used += units(o.CIDR.Addr().BitLen(), o.CIDR.Bits())
		}
	}
	if q := p.DefaultQuota; q != nil && *q > 0 && used+units(p.AddressBits(), length) > float64(*q) {
		return netip.Prefix{}, model.Errf(model.KindOverQuota, "SubnetPoolQuotaExceeded", "Per-tenant subnet pool prefix quota exceeded.")
	}
	free := subtract(p.Prefixes, taken)
	if s.CIDR.IsValid() {
		if !setOf(free...).ContainsPrefix(s.CIDR) {
			return netip.Prefix{}, errCut("Cannot allocate requested subnet from the available set of prefixes")
		}
		return s.CIDR, nil
	}
	slices.SortStableFunc(free, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	for _, f := range free {
		if f.Bits() <= length {
			return netip.PrefixFrom(f.Addr(), length), nil
		}
	}
	return netip.Prefix{}, errCut("Insufficient prefix space to allocate subnet size /%d", length)
}

// errCut is a conflict: Neutron answers 500 to it, which says that the server is at fault.
func errCut(format string, args ...any) error {
	e := model.Errf(model.KindConflict, "SubnetAllocationError", format, args...)
	e.Message = "Failed to allocate subnet: " + e.Message + "."
	return e
}

// units is what a range counts against a pool's quota, by how long its family's addresses are: addresses, or /64s.
func units(address, bits int) float64 {
	if address == 32 {
		return math.Pow(2, float64(32-bits))
	}
	return math.Pow(2, float64(64-bits))
}
