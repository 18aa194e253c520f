package rules

import (
	"math/big"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// FixedIPRequest asks for an address: on a subnet (zero: any that fits), a certain one (invalid: any).
type FixedIPRequest struct {
	Subnet model.SubnetID
	Addr   netip.Addr
}

// isRouterLeg reports whether a port's owner may have any address of an automatic subnet, and gets none by itself.
func isRouterLeg(owner string) bool {
	switch owner {
	case model.OwnerRouterInterface, model.OwnerDVRInterface, model.OwnerHAInterface, model.OwnerRouterSNAT:
		return true
	}
	return false
}

// eui64 is the address of a MAC on a /64 (RFC 4291, appendix A).
func eui64(cidr netip.Prefix, m model.MAC) netip.Addr {
	a := cidr.Addr().As16()
	copy(a[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(a)
}

// allocator hands out addresses to one port. The port's old addresses count as its own.
type allocator struct {
	r       *Rules
	tx      *world.Tx
	port    *model.Port
	by      *Actor          // whose wishes they are, to whom subnets of others' networks are not there; nil: nobody wishes
	subnets []*model.Subnet // of the network that serve the port's owner
	got     []model.FixedIP
	// deferred: the network is routed, and on which host the port will be is not known yet.
	deferred bool
}

func (r *Rules) allocatorFor(tx *world.Tx, p *model.Port) (*allocator, error) {
	a := &allocator{r: r, tx: tx, port: p}
	any := false
	for s := range tx.Subnets.ByNetwork(p.NetworkID) {
		any = true
		if serves(s, p.DeviceOwner) {
			a.subnets = append(a.subnets, s)
		}
	}
	if any && a.subnets == nil {
		return nil, model.Errf(model.KindConflict, "IpAddressGenerationFailureNoMatchingSubnet",
			"No valid service subnet for the given device owner, network %s, service type %s.", p.NetworkID, p.DeviceOwner)
	}
	// A subnet that is for such ports comes before one that is for all.
	slices.SortStableFunc(a.subnets, func(x, y *model.Subnet) int {
		return min(len(y.ServiceTypes), 1) - min(len(x.ServiceTypes), 1)
	})
	return a, a.route()
}

// serves reports whether a subnet is for ports of an owner. One with DHCP has room for its DHCP ports, whomever it is for.
func serves(s *model.Subnet, owner string) bool {
	return len(s.ServiceTypes) == 0 || slices.Contains(s.ServiceTypes, owner) || (owner == model.OwnerDHCP && s.EnableDHCP)
}

// taken reports whether somebody else has an address, or this port has just been given it.
func (a *allocator) taken(s model.SubnetID, addr netip.Addr) bool {
	if slices.Contains(a.got, model.FixedIP{SubnetID: s, Address: addr}) {
		return true
	}
	p := a.tx.Ports.ByAddress(s, addr)
	return p != nil && p.ID != a.port.ID
}

func (a *allocator) give(s *model.Subnet, addr netip.Addr) {
	a.got = append(a.got, model.FixedIP{SubnetID: s.ID, Address: addr})
}

// automatic gives what a port gets without asking: an IPv4 address, an IPv6 one of subnets without SLAAC, and one of
// each SLAAC subnet.
func (a *allocator) automatic() error {
	for _, v6 := range []bool{false, true} {
		var from []*model.Subnet
		for _, s := range a.subnets {
			if s.CIDR.Addr().Is6() == v6 && (!s.AutoAddressed() || isRouterLeg(a.port.DeviceOwner)) {
				from = append(from, s)
			}
		}
		if len(from) > 0 && !a.one(from) {
			return a.exhausted()
		}
	}
	return a.slaac()
}

func (a *allocator) exhausted() error {
	return model.Errf(model.KindConflict, "IpAddressGenerationFailure", "No more IP addresses available on network %s.", a.port.NetworkID)
}

// slaac gives an address of each automatic subnet that has given none yet.
func (a *allocator) slaac() error {
	if isRouterLeg(a.port.DeviceOwner) {
		return nil
	}
	for _, s := range a.subnets {
		if !s.AutoAddressed() || !a.onSegment(s) || slices.ContainsFunc(a.got, func(f model.FixedIP) bool { return f.SubnetID == s.ID }) {
			continue
		}
		addr := eui64(s.CIDR, a.port.MAC)
		if a.taken(s.ID, addr) {
			return errAllocated(addr, s.ID)
		}
		a.give(s, addr)
	}
	return nil
}

func errAllocated(addr netip.Addr, s model.SubnetID) error {
	return model.Errf(model.KindConflict, "IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", addr, s)
}

// one gives an address of the first subnet that has one left.
func (a *allocator) one(from []*model.Subnet) bool {
	for _, s := range from {
		if addr, ok := a.freeIn(s); ok {
			a.give(s, addr)
			return true
		}
	}
	return false
}

// requested gives the addresses that a client asked for, certain ones first.
func (a *allocator) requested(want []FixedIPRequest) error {
	for _, q := range want {
		if !q.Addr.IsValid() {
			continue
		}
		s, err := a.subnetFor(q)
		if err != nil {
			return err
		}
		if s.AutoAddressed() && !isRouterLeg(a.port.DeviceOwner) && q.Addr != eui64(s.CIDR, a.port.MAC) {
			return model.Errf(model.KindInvalid, "AllocationOnAutoAddressSubnet",
				"IPv6 address %s cannot be directly assigned to a port on subnet %s as the subnet is configured for automatic addresses", q.Addr, s.ID)
		}
		if a.taken(s.ID, q.Addr) {
			return errAllocated(q.Addr, s.ID)
		}
		a.give(s, q.Addr)
	}
	for _, q := range want {
		if q.Addr.IsValid() {
			continue
		}
		s, err := a.subnetFor(q)
		if err != nil {
			return err
		}
		if s.AutoAddressed() && !isRouterLeg(a.port.DeviceOwner) {
			continue // slaac gives it
		}
		if !a.one([]*model.Subnet{s}) {
			return a.exhausted()
		}
	}
	return a.slaac()
}

// subnetFor finds the subnet that a request means, and tests that the address is one of it.
func (a *allocator) subnetFor(q FixedIPRequest) (*model.Subnet, error) {
	if q.Subnet.IsZero() {
		if !q.Addr.IsValid() {
			return nil, model.Invalid("IP allocation requires subnet_id or ip_address.")
		}
		for s := range a.tx.Subnets.ByNetwork(a.port.NetworkID) {
			if usable(s, q.Addr, a.port.DeviceOwner) {
				return s, nil
			}
		}
		return nil, model.Errf(model.KindInvalid, "InvalidIpForNetwork",
			"IP address %s is not a valid IP for any of the subnets on the specified network.", q.Addr)
	}
	s := a.tx.Subnets.Get(q.Subnet)
	if s == nil {
		return nil, model.NotFound("Subnet", idText(q.Subnet.UUID))
	}
	if s.NetworkID != a.port.NetworkID {
		if a.by != nil && !a.r.mayUse(a.tx, a.by, a.tx.Networks.Get(s.NetworkID)) {
			return nil, model.NotFound("Subnet", idText(s.ID.UUID))
		}
		return nil, model.Invalid("Failed to create port on network %s, because fixed_ips included invalid subnet %s.", a.port.NetworkID, s.ID)
	}
	if q.Addr.IsValid() && !usable(s, q.Addr, a.port.DeviceOwner) {
		return nil, model.Errf(model.KindInvalid, "InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", q.Addr)
	}
	return s, nil
}

// usable reports whether an address of s may be a port's: not IPv4's network and broadcast addresses, and IPv6's
// subnet-router anycast address for routers only.
func usable(s *model.Subnet, a netip.Addr, owner string) bool {
	if !s.CIDR.Contains(a) {
		return false
	}
	if a.Is4() {
		return s.CIDR.Bits() >= 31 || (a != s.CIDR.Addr() && a != lastOf(s.CIDR))
	}
	return a != s.CIDR.Addr() || owner == "" || isRouterLeg(owner) || owner == model.OwnerRouterGateway
}

// probes is how often a random address is tried before the pool is walked.
const probes = 8

// freeIn finds an unused address in a subnet's pools: a random one, and not one given back lately if others are left.
func (a *allocator) freeIn(s *model.Subnet) (netip.Addr, bool) {
	total := new(big.Int)
	for _, p := range s.Pools {
		total.Add(total, sizeOf(p))
	}
	if total.Sign() == 0 {
		return netip.Addr{}, false
	}
	var start netip.Addr
	for range probes {
		start = nth(s.Pools, pickBig(a.tx, total))
		if !a.taken(s.ID, start) && !a.r.wasReleased(s.ID, start) {
			return start, true
		}
	}
	var second netip.Addr
	for _, p := range rotated(s.Pools, start) {
		addr, ok := a.gap(s.ID, p, &second)
		if ok {
			return addr, true
		}
	}
	return second, second.IsValid()
}

// gap finds the first address of a range that nobody has; one that was given back lately is left in second instead.
func (a *allocator) gap(s model.SubnetID, p model.AddrRange, second *netip.Addr) (netip.Addr, bool) {
	want := p.First
	for used := range a.tx.Ports.Addresses(s, p.First) {
		for ; want.Less(used); want = want.Next() {
			if p.Last.Less(want) {
				return want, false
			}
			if a.taken(s, want) {
				continue
			}
			if !a.r.wasReleased(s, want) {
				return want, true
			}
			*second = want
		}
		if p.Last.Less(want) {
			return want, false
		}
		if want == used {
			want = want.Next()
		}
		if !want.IsValid() {
			return want, false
		}
	}
	for ; want.IsValid() && !p.Last.Less(want); want = want.Next() {
		if a.taken(s, want) {
			continue
		}
		if !a.r.wasReleased(s, want) {
			return want, true
		}
		*second = want
	}
	return want, false
}

// rotated is the pools' ranges, beginning at an address in one of them.
func rotated(pools []model.AddrRange, from netip.Addr) []model.AddrRange {
	var before, after []model.AddrRange
	for _, p := range pools {
		switch {
		case p.Last.Less(from):
			before = append(before, p)
		case from.Less(p.First) || from == p.First:
			after = append(after, p)
		default:
			after = append([]model.AddrRange{{First: from, Last: p.Last}}, after...)
			before = append(before, model.AddrRange{First: p.First, Last: from.Prev()})
		}
	}
	return append(after, before...)
}

func sizeOf(p model.AddrRange) *big.Int {
	n := new(big.Int).Sub(number(p.Last), number(p.First))
	return n.Add(n, big.NewInt(1))
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

// nth is the n-th address of the pools.
func nth(pools []model.AddrRange, n *big.Int) netip.Addr {
	for _, p := range pools {
		size := sizeOf(p)
		if n.Cmp(size) < 0 {
			b := new(big.Int).Add(number(p.First), n).Bytes()
			whole := make([]byte, p.First.BitLen()/8)
			copy(whole[len(whole)-len(b):], b)
			a, _ := netip.AddrFromSlice(whole)
			return a
		}
		n = new(big.Int).Sub(n, size)
	}
	return netip.Addr{}
}

// release notes that an address was given back.
func (r *Rules) release(s model.SubnetID, a netip.Addr) {
	r.released[r.next%len(r.released)] = allocation{s, a}
	r.next++
}

func (r *Rules) wasReleased(s model.SubnetID, a netip.Addr) bool {
	return slices.Contains(r.released[:], allocation{s, a})
}

// addressAll gives every port of a network its address on a new SLAAC subnet.
func (r *Rules) addressAll(tx *world.Tx, s *model.Subnet) {
	for _, p := range slices.Collect(tx.Ports.ByNetwork(s.NetworkID)) {
		addr := eui64(s.CIDR, p.MAC)
		if g := segmentOf(&tx.World, p); !s.SegmentID.IsZero() && (g == nil || g.ID != s.SegmentID) {
			continue
		}
		if isRouterLeg(p.DeviceOwner) || p.DeviceOwner == model.OwnerRouterGateway || tx.Ports.ByAddress(s.ID, addr) != nil {
			continue
		}
		c := *p
		c.FixedIPs = append(slices.Clone(p.FixedIPs), model.FixedIP{SubnetID: s.ID, Address: addr})
		tx.Ports.Put(&c)
	}
}
