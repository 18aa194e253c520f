package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// SubnetExtra is what a client sends for a subnet beyond what is stored in it.
type SubnetExtra struct {
	IPVersion int
	// Gateway given as an invalid address means null: no gateway.
	Gateway Opt[netip.Addr]
	Pools   Opt[[]model.AddrRange]
	// PrefixLen is the length of the range to cut from a pool: that of PoolID, or with UseDefault the default one.
	PrefixLen  Opt[int]
	UseDefault bool
}

// CreateSubnet completes s and puts it.
func (r *Rules) CreateSubnet(tx *world.Tx, by *Actor, s *model.Subnet, x *SubnetExtra) error {
	n, err := r.networkFor(tx, by, s.NetworkID, "subnet")
	if err != nil {
		return err
	}
	s.ID = model.SubnetID{UUID: tx.NewUUID()}
	if err := r.giveRange(tx, by, s, x); err != nil {
		return err
	}
	if err := r.checkSubnet(s, nil); err != nil {
		return err
	}
	for other := range tx.Subnets.ByNetwork(n.ID) {
		if other.CIDR.Overlaps(s.CIDR) {
			return model.Invalid("Requested subnet with cidr: %s for network: %s overlaps with another subnet.", s.CIDR, n.ID)
		}
	}
	if r.cfg.NoOverlap {
		for other := range tx.Subnets.All() {
			if other.CIDR.Overlaps(s.CIDR) {
				return model.Invalid("Requested subnet with cidr: %s for network: %s overlaps with subnet %s of another network, and this cloud forbids that (allow_overlapping_ips = false).", s.CIDR, n.ID, other.ID)
			}
		}
	}
	if s.IPVersion() == 6 && n.MTU < minMTU6 {
		return model.Invalid("The network's MTU %d is too small for an IPv6 subnet, minimum is %d.", n.MTU, minMTU6)
	}
	if len(x.Pools.V) == 0 {
		x.Pools.Set = false // a new subnet without pools would be of no use: none asked for are those of the range
	}
	if err := setPools(s, x.Pools); err != nil {
		return err
	}
	if err := checkSegmentOf(tx, nil, s); err != nil {
		return err
	}
	tx.Subnets.Put(s)
	routePeers(tx, s.NetworkID, s.SegmentID, netip.Prefix{})
	touchNetwork(tx, n.ID)
	if s.AutoAddressed() {
		r.addressAll(tx, s)
	}
	r.settleDHCP(tx, n.ID)
	if n.External {
		return r.addressGateways(tx, s)
	}
	return nil
}

// giveRange settles a new subnet's range and gateway: what was asked for, or what its pool has left.
func (r *Rules) giveRange(tx *world.Tx, by *Actor, s *model.Subnet, x *SubnetExtra) error {
	own := s.CIDR.IsValid()
	if own && x.PrefixLen.Set {
		return badRequest("subnets", "cidr and prefixlen must not be supplied together")
	}
	if own && s.IPVersion() != x.IPVersion {
		return model.Invalid("cidr '%s' does not match the ip_version '%d'.", s.CIDR, x.IPVersion)
	}
	if err := choosePool(tx, s, x); err != nil {
		return err
	}
	if s.PoolID.IsZero() && !own {
		return badRequest("subnets", "a subnetpool must be specified in the absence of a cidr")
	}
	if !s.PoolID.IsZero() {
		if err := r.giveFromPool(tx, by, s, x); err != nil {
			return err
		}
	}
	switch {
	case x.Gateway.Set:
		s.GatewayIP = x.Gateway.V
	case own:
		s.GatewayIP = defaultGateway(s.CIDR)
	default:
		s.GatewayIP = s.CIDR.Addr().Next()
	}
	return checkAffinity(tx, s)
}

func choosePool(tx *world.Tx, s *model.Subnet, x *SubnetExtra) error {
	if !x.UseDefault {
		return nil
	}
	if !s.PoolID.IsZero() {
		return badRequest("subnets", "subnetpool_id and use_default_subnetpool cannot both be specified")
	}
	p := defaultPool(&tx.World, x.IPVersion)
	if p == nil {
		return badRequest("subnets", "No default subnetpool found for IPv%d", x.IPVersion)
	}
	s.PoolID = p.ID
	return nil
}

// giveFromPool gives a new subnet its range of a pool.
func (r *Rules) giveFromPool(tx *world.Tx, by *Actor, s *model.Subnet, x *SubnetExtra) error {
	if x.Pools.Set && !s.CIDR.IsValid() {
		return badRequest("subnets", "allocation_pools allowed only for specific subnet requests")
	}
	p, err := r.poolFor(tx, by, s.PoolID)
	if err != nil {
		return err
	}
	if p.IPVersion() != x.IPVersion {
		return badRequest("subnets", "Cannot allocate IPv%d subnet from IPv%d subnet pool", x.IPVersion, p.IPVersion())
	}
	length := p.DefaultPrefixLen
	switch {
	case s.CIDR.IsValid():
		length = s.CIDR.Bits()
	case x.PrefixLen.Set:
		length = x.PrefixLen.V
	}
	s.CIDR, err = cut(tx, p, s, length)
	return err
}

// checkAffinity tests that all subnets of a family on a network are of the same pool, or in the same address scope.
func checkAffinity(tx *world.Tx, s *model.Subnet) error {
	scope := NetworkScope(&tx.World, s.NetworkID, s.IPVersion())
	if p := tx.SubnetPools.Get(s.PoolID); !scope.IsZero() && p != nil {
		if p.AddressScope != scope {
			return errScopeAffinity()
		}
		return nil
	}
	for o := range tx.Subnets.ByNetwork(s.NetworkID) {
		if o.IPVersion() == s.IPVersion() && o.PoolID != s.PoolID {
			return model.Errf(model.KindInvalid, "NetworkSubnetPoolAffinityError",
				"Subnets hosted on the same network must be allocated from the same subnet pool.")
		}
	}
	return nil
}

func errNetwork(id model.NetworkID) error { return model.NotFound("Network", idText(id.UUID)) }

// networkFor is the network that the actor wants to put something on. One that he cannot see does not exist; on one
// that he only sees because it is external he may put nothing (neutron/pecan_wsgi/hooks/ownership_validation.py).
func (r *Rules) networkFor(tx *world.Tx, by *Actor, id model.NetworkID, what string) (*model.Network, error) {
	n := tx.Networks.Get(id)
	switch {
	case n == nil:
		return nil, errNetwork(id)
	case r.mayUse(tx, by, n):
		return n, nil
	case n.External:
		return nil, model.Errf(model.KindForbidden, "HTTPForbidden", "Tenant %s not allowed to create %s on this network", by.Project, what)
	}
	return nil, errNetwork(id)
}

// MayPut tests whether the actor may put something on a network.
func (r *Rules) MayPut(tx *world.Tx, by *Actor, id model.NetworkID, what string) error {
	_, err := r.networkFor(tx, by, id, what)
	return err
}

// mayUse reports whether the actor may put something on a network: it is his, or shared with him.
func (r *Rules) mayUse(tx *world.Tx, by *Actor, n *model.Network) bool {
	return by.Admin || by.AdvSvc || n.ProjectID == by.Project || Shared(&tx.World, model.KindNetwork, n.ID.UUID, by.Project)
}

// defaultGateway is the first address of an IPv4 range, and the subnet-router anycast address of an IPv6 one (RFC
// 4291, section 2.6.1).
func defaultGateway(cidr netip.Prefix) netip.Addr {
	if cidr.Addr().Is6() {
		return cidr.Addr()
	}
	return cidr.Addr().Next()
}

// checkSubnet tests what may change in the life of a subnet; old is nil at creation.
func (r *Rules) checkSubnet(s, old *model.Subnet) error {
	if s.CIDR.Addr() == netip.IPv6Unspecified() {
		return model.Invalid("IPv6 subnet '::' is not supported.")
	}
	if s.EnableDHCP && (old == nil || !old.EnableDHCP) {
		if err := checkDHCPRange(s.CIDR); err != nil {
			return err
		}
	}
	if err := checkGateway(s); err != nil {
		return err
	}
	if len(s.DNS) > r.cfg.MaxNameservers {
		return model.Errf(model.KindInvalid, "DNSNameServersExhausted",
			"Unable to complete operation for %s. The number of DNS nameservers exceeds the limit %d.", s.ID, r.cfg.MaxNameservers)
	}
	for _, a := range s.DNS {
		if a.Is4() != s.CIDR.Addr().Is4() {
			return model.Invalid("dns_nameserver '%s' does not match the ip_version '%d'.", a, s.IPVersion())
		}
	}
	if len(s.HostRoutes) > r.cfg.MaxHostRoutes {
		return model.Errf(model.KindInvalid, "HostRoutesExhausted",
			"Unable to complete operation for %s. The number of host routes exceeds the limit %d.", s.ID, r.cfg.MaxHostRoutes)
	}
	for _, h := range s.HostRoutes {
		if h.Destination.Addr().Is4() != s.CIDR.Addr().Is4() {
			return model.Invalid("destination '%s' does not match the ip_version '%d'.", h.Destination, s.IPVersion())
		}
		if h.NextHop.Is4() != s.CIDR.Addr().Is4() {
			return model.Invalid("nexthop '%s' does not match the ip_version '%d'.", h.NextHop, s.IPVersion())
		}
	}
	return checkModes(s, old)
}

func checkDHCPRange(cidr netip.Prefix) error {
	a := cidr.Addr()
	switch {
	case a.Is4() && cidr.Bits() > 30, a.Is6() && cidr.Bits() > 126:
		return model.Invalid("Subnet has a prefix length that is incompatible with DHCP service enabled.")
	case a.IsMulticast():
		return model.Invalid("Multicast IP subnet is not supported if enable_dhcp is True.")
	case a.IsLoopback():
		return model.Invalid("Loopback IP subnet is not supported if enable_dhcp is True.")
	case a.Is4() && a.IsUnspecified():
		return model.Invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")
	}
	return nil
}

func checkGateway(s *model.Subnet) error {
	g := s.GatewayIP
	if !g.IsValid() {
		return nil
	}
	if g.Is4() != s.CIDR.Addr().Is4() {
		return model.Invalid("gateway_ip '%s' does not match the ip_version '%d'.", g, s.IPVersion())
	}
	if g.Is4() && s.CIDR.Contains(g) && (g == s.CIDR.Addr() || g == lastOf(s.CIDR)) {
		return model.Invalid("Gateway is not valid on subnet.")
	}
	return nil
}

// checkModes tests ipv6_ra_mode and ipv6_address_mode.
func checkModes(s, old *model.Subnet) error {
	if s.IPVersion() == 4 {
		switch {
		case s.RAMode != "":
			return model.Invalid("ipv6_ra_mode is not valid when ip_version is 4.")
		case s.AddressMode != "":
			return model.Invalid("ipv6_address_mode is not valid when ip_version is 4.")
		}
		return nil
	}
	if s.RAMode != "" && s.AddressMode != "" && s.RAMode != s.AddressMode {
		return model.Invalid("ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. If both attributes are set, they must be the same value.", s.RAMode, s.AddressMode)
	}
	if !s.EnableDHCP && (s.RAMode != "" || s.AddressMode != "") {
		if old == nil || old.EnableDHCP {
			return model.Invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.")
		}
	}
	if s.AutoAddressed() && s.CIDR.Bits() != 64 {
		return model.Invalid("Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64.", s.CIDR)
	}
	return nil
}

// setPools takes the pools asked for, or makes them of everything but the gateway.
func setPools(s *model.Subnet, want Opt[[]model.AddrRange]) error {
	if !want.Set {
		s.Pools = defaultPools(s.CIDR, s.GatewayIP)
		return nil
	}
	pools := slices.Clone(want.V)
	slices.SortFunc(pools, func(a, b model.AddrRange) int { return a.First.Compare(b.First) })
	for i, p := range pools {
		text := fmt.Sprintf("%s-%s", p.First, p.Last)
		if p.First.Is4() != s.CIDR.Addr().Is4() || p.Last.Is4() != s.CIDR.Addr().Is4() || p.First.Compare(p.Last) > 0 {
			return model.Errf(model.KindInvalid, "InvalidAllocationPool", "The allocation pool %s is not valid.", text)
		}
		first, last := s.CIDR.Addr(), lastOf(s.CIDR)
		if first.Is4() && s.CIDR.Bits() < 31 {
			first, last = first.Next(), last.Prev()
		}
		if p.First.Compare(first) < 0 || p.Last.Compare(last) > 0 {
			return model.Errf(model.KindInvalid, "OutOfBoundsAllocationPool", "The allocation pool %s spans beyond the subnet cidr %s.", text, s.CIDR)
		}
		if i > 0 && p.First.Compare(pools[i-1].Last) <= 0 {
			return model.Errf(model.KindConflict, "OverlappingAllocationPools",
				"Found overlapping allocation pools: %s-%s %s for subnet %s.", pools[i-1].First, pools[i-1].Last, text, s.CIDR)
		}
		if s.GatewayIP.IsValid() && p.Contains(s.GatewayIP) {
			return model.Errf(model.KindConflict, "GatewayConflictWithAllocationPools",
				"Gateway ip %s conflicts with allocation pool %s.", s.GatewayIP, text)
		}
	}
	s.Pools = pools
	return nil
}

func defaultPools(cidr netip.Prefix, gateway netip.Addr) []model.AddrRange {
	first, last := cidr.Addr(), lastOf(cidr)
	switch {
	case first == last:
		return []model.AddrRange{{First: first, Last: last}}
	case first.Is6():
		first = first.Next()
	case cidr.Bits() <= 30:
		first, last = first.Next(), last.Prev()
	}
	if !gateway.IsValid() || gateway.Compare(first) < 0 || gateway.Compare(last) > 0 {
		return []model.AddrRange{{First: first, Last: last}}
	}
	var pools []model.AddrRange
	if gateway != first {
		pools = append(pools, model.AddrRange{First: first, Last: gateway.Prev()})
	}
	if gateway != last {
		pools = append(pools, model.AddrRange{First: gateway.Next(), Last: last})
	}
	return pools
}

// UpdateSubnet puts s, which is old with what the client changed.
func (r *Rules) UpdateSubnet(tx *world.Tx, _ *Actor, old, s *model.Subnet, x *SubnetExtra) error {
	if x.Gateway.Set {
		s.GatewayIP = x.Gateway.V
	}
	if err := checkGateway(s); err != nil {
		return err
	}
	if s.GatewayIP.IsValid() && s.GatewayIP != old.GatewayIP && old.GatewayIP.IsValid() { // it may be taken away, as in Neutron
		if p := tx.Ports.ByAddress(s.ID, old.GatewayIP); p != nil && p.IsRouterInterface() {
			return model.Errf(model.KindConflict, "GatewayIpInUse",
				"Current gateway ip %s already in use by port %s. Unable to update.", old.GatewayIP, p.ID)
		}
	}
	if err := r.checkSubnet(s, old); err != nil {
		return err
	}
	pools := x.Pools
	if !pools.Set {
		pools = Some(old.Pools)
	}
	if err := setPools(s, pools); err != nil {
		return err
	}
	if err := checkSegmentOf(tx, old, s); err != nil {
		return err
	}
	s.HostRoutes = withoutGateway(tx, old, s)
	tx.Subnets.Put(s)
	routePeers(tx, s.NetworkID, s.SegmentID, netip.Prefix{})
	touchNetwork(tx, s.NetworkID)
	r.settleDHCP(tx, s.NetworkID)
	return nil
}

// DeleteSubnet deletes a subnet unless ports have addresses of it that they do not lose with it.
func (r *Rules) DeleteSubnet(tx *world.Tx, _ *Actor, s *model.Subnet) error {
	var users []*model.Port
	seen := map[model.PortID]bool{}
	for _, p := range tx.Ports.Addresses(s.ID, s.CIDR.Addr()) {
		if seen[p.ID] {
			continue
		}
		seen[p.ID] = true
		if !goesWithNetwork(p) && (!s.AutoAddressed() || p.IsRouterInterface() || (!s.SegmentID.IsZero() && len(p.FixedIPs) == 1)) {
			return model.Errf(model.KindConflict, "SubnetInUse",
				"Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", s.ID)
		}
		users = append(users, p)
	}
	for _, p := range users {
		c := *p
		c.FixedIPs = slices.DeleteFunc(slices.Clone(p.FixedIPs), func(f model.FixedIP) bool { return f.SubnetID == s.ID })
		if len(c.FixedIPs) == 0 && goesWithNetwork(p) {
			if err := r.dropPort(tx, p); err != nil {
				return err
			}
			continue
		}
		tx.Ports.Put(&c)
	}
	tx.Subnets.Delete(s.ID)
	routePeers(tx, s.NetworkID, s.SegmentID, s.CIDR)
	touchNetwork(tx, s.NetworkID)
	r.settleDHCP(tx, s.NetworkID)
	return nil
}

// lastOf is the last address of a prefix: IPv4's broadcast address.
func lastOf(p netip.Prefix) netip.Addr { return netipx.PrefixLastIP(p) }
