package rules

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Values of ip_allocation: when a port gets its addresses.
const (
	AllocationImmediate = "immediate"
	AllocationDeferred  = "deferred" // once its host is known: the network is routed
	AllocationNone      = "none"     // never: the client asked for no address
)

// Routed reports whether a network's subnets are of segments: it is not one broadcast domain (l2_adjacency false), and
// a port gets an address of the segment that its host reaches.
func Routed(w *world.World, n model.NetworkID) bool {
	for s := range w.Subnets.ByNetwork(n) {
		return !s.SegmentID.IsZero()
	}
	return false
}

// SegmentExtra is what a client sends for a segment beyond what is stored in it.
type SegmentExtra struct {
	SegmentationID int64 // -1: not given
}

// NewSegmentExtra is a request without a segmentation id.
func NewSegmentExtra() *SegmentExtra { return &SegmentExtra{SegmentationID: -1} }

// CreateSegment gives a network a further segment: it takes the carrier asked for, or a free one, and puts v. The
// network's MTU must fit into the new segment.
func (r *Rules) CreateSegment(tx *world.Tx, _ *Actor, v *model.Segment, x *SegmentExtra) error {
	n := tx.Networks.Get(v.NetworkID)
	if n == nil {
		return errNetwork(v.NetworkID)
	}
	c, err := r.reserve(tx, n.ProjectID, SegmentRequest{Type: v.NetworkType, Physnet: v.Physnet, SegmentationID: x.SegmentationID})
	if err != nil {
		return err
	}
	if err := soleOn(tx, n.ID, c); err != nil {
		return err
	}
	v.ID = model.SegmentID{UUID: tx.NewUUID()}
	v.NetworkType, v.Physnet, v.SegmentationID = c.Type, c.Physnet, c.ID
	for _, o := range NetworkSegments(&tx.World, n.ID) {
		v.Index = o.Index + 1
	}
	if err := checkMTU(n.MTU, r.segmentMTU(c.Type, c.Physnet)); err != nil {
		return err
	}
	tx.Segments.Put(v)
	touchNetwork(tx, n.ID)
	return nil
}

// UpdateSegment puts v, which is old with another name or description.
func (r *Rules) UpdateSegment(tx *world.Tx, v *model.Segment) error {
	tx.Segments.Put(v)
	return nil
}

// DeleteSegment removes a segment that no subnet is of and no port is bound to.
func (r *Rules) DeleteSegment(tx *world.Tx, _ *Actor, v *model.Segment) error {
	var subnets, ports []string
	for s := range tx.Subnets.ByNetwork(v.NetworkID) {
		if s.SegmentID == v.ID {
			subnets = append(subnets, s.ID.String())
		}
	}
	if subnets != nil {
		return errSegmentUsed(v.ID, "The segment is still associated with subnet(s) "+strings.Join(subnets, ", "))
	}
	for p := range tx.Ports.ByNetwork(v.NetworkID) {
		if s := segmentOf(&tx.World, p); s != nil && s.ID == v.ID {
			ports = append(ports, p.ID.String())
		}
	}
	if ports != nil {
		return errSegmentUsed(v.ID, "The segment is still bound with port(s) "+strings.Join(ports, ", "))
	}
	tx.Segments.Delete(v.ID)
	touchNetwork(tx, v.NetworkID)
	return nil
}

func errSegmentUsed(id model.SegmentID, why string) error {
	return model.Errf(model.KindConflict, "SegmentInUse", "Segment '%s' cannot be deleted: %s.", id, why)
}

// segmentOf is the segment that a bound port is on: the first of its network that its host reaches; nil for a port that
// is bound to no host.
func segmentOf(w *world.World, p *model.Port) *model.Segment {
	h := w.Hosts.Get(p.Host)
	if h == nil || !p.PluggedIn() {
		return nil
	}
	for _, s := range NetworkSegments(w, p.NetworkID) {
		if reaches(h, s) {
			return s
		}
	}
	return nil
}

// checkSegmentOf tests a new subnet's segment (old nil), or a change of it. Either all subnets of a network are of
// segments or none is; a network of one segment and one subnet may become routed, never the other way.
func checkSegmentOf(tx *world.Tx, old, s *model.Subnet) error {
	g := tx.Segments.Get(s.SegmentID)
	if g == nil && !s.SegmentID.IsZero() && old == nil {
		return model.NotFound("Segment", idText(s.SegmentID.UUID))
	}
	others := 0
	for o := range tx.Subnets.ByNetwork(s.NetworkID) {
		if o.ID == s.ID {
			continue
		}
		others++
		if o.SegmentID.IsZero() != s.SegmentID.IsZero() {
			return model.Errf(model.KindInvalid, "SubnetsNotAllAssociatedWithSegments",
				"All of the subnets on network '%s' must either all be associated with segments or all not associated with any segment.", s.NetworkID)
		}
	}
	if old != nil && old.SegmentID != s.SegmentID {
		if err := mayAssociate(tx, old, others); err != nil {
			return err
		}
	}
	if s.SegmentID.IsZero() {
		return nil
	}
	if g == nil { // of an update, that is found last
		return model.NotFound("Segment", idText(s.SegmentID.UUID))
	}
	if g.NetworkID != s.NetworkID {
		return model.Errf(model.KindInvalid, "NetworkIdsDontMatch",
			"The subnet's network id, '%s', doesn't match the network_id of segment '%s'", s.NetworkID, g.ID)
	}
	return nil
}

func mayAssociate(tx *world.Tx, old *model.Subnet, others int) error {
	segments := 0
	for range tx.Segments.ByNetwork(old.NetworkID) {
		segments++
	}
	switch {
	case !old.SegmentID.IsZero():
		return model.Errf(model.KindInvalid, "SubnetSegmentAssociationChangeNotAllowed",
			"A subnet that is already associated with a segment cannot have its segment association changed.")
	case others > 0:
		return model.Errf(model.KindInvalid, "SubnetsNotAllAssociatedWithSegments",
			"All of the subnets on network '%s' must either all be associated with segments or all not associated with any segment.", old.NetworkID)
	case segments > 1:
		return model.Errf(model.KindInvalid, "NoUpdateSubnetWhenMultipleSegmentsOnNetwork",
			"The network '%s' has multiple segments, it is only possible to associate an existing subnet with a segment on networks with a single segment.", old.NetworkID)
	}
	return nil
}

// routePeers gives each subnet of a routed network a host route, by way of its own gateway, to each subnet of another
// segment, unless a route of the client's covers it. gone is the range of a subnet that was deleted, if any; of is the
// segment of the subnet that came, went or changed.
func routePeers(tx *world.Tx, n model.NetworkID, of model.SegmentID, gone netip.Prefix) {
	if of.IsZero() {
		return
	}
	all := slices.Collect(tx.Subnets.ByNetwork(n))
	for _, s := range all {
		routes := slices.DeleteFunc(slices.Clone(s.HostRoutes), func(h model.Route) bool {
			return gone.IsValid() && h == model.Route{Destination: gone, NextHop: s.GatewayIP}
		})
		for _, o := range all {
			if o.SegmentID == s.SegmentID || o.IPVersion() != s.IPVersion() || !s.GatewayIP.IsValid() || covered(routes, o.CIDR) {
				continue
			}
			routes = append(routes, model.Route{Destination: o.CIDR, NextHop: s.GatewayIP})
		}
		if slices.Equal(routes, s.HostRoutes) {
			continue
		}
		c := *s
		c.HostRoutes = routes
		tx.Subnets.Put(&c)
	}
}

func covered(routes []model.Route, p netip.Prefix) bool {
	return slices.ContainsFunc(routes, func(h model.Route) bool {
		return h.Destination.Bits() <= p.Bits() && h.Destination.Contains(p.Addr())
	})
}

// withoutGateway is a subnet's host routes without those to its peers by way of a gateway that it has no longer.
func withoutGateway(tx *world.Tx, old, s *model.Subnet) []model.Route {
	if s.SegmentID.IsZero() || old.GatewayIP == s.GatewayIP || !old.GatewayIP.IsValid() {
		return s.HostRoutes
	}
	return slices.DeleteFunc(slices.Clone(s.HostRoutes), func(h model.Route) bool {
		for o := range tx.Subnets.ByNetwork(s.NetworkID) {
			if o.SegmentID != s.SegmentID && h == (model.Route{Destination: o.CIDR, NextHop: old.GatewayIP}) {
				return true
			}
		}
		return false
	})
}

// route leaves of a routed network's subnets those of segments that the port's host reaches. Without a host, a port gets
// only what it asks for by subnet or address, and the rest once the host is known. What belongs to the network as a
// whole may be on any.
func (a *allocator) route() error {
	p := a.port
	if p.DeviceOwner == model.OwnerDistributed || !slices.ContainsFunc(a.subnets, func(s *model.Subnet) bool { return !s.SegmentID.IsZero() }) {
		return nil
	}
	if p.Host == "" {
		a.deferred = true
		return nil
	}
	h := a.tx.Hosts.Get(p.Host)
	a.subnets = slices.DeleteFunc(a.subnets, func(s *model.Subnet) bool {
		g := a.tx.Segments.Get(s.SegmentID)
		return g != nil && (h == nil || !reaches(h, g))
	})
	if len(a.subnets) == 0 {
		return model.Errf(model.KindConflict, "HostNotConnectedToAnySegment",
			"Host %s is not connected to any segments on routed provider network '%s'.  It should be connected to one.", p.Host, p.NetworkID)
	}
	return nil
}

// oneSegment tests that a port's addresses are all of one segment, and of one that its host reaches.
func (a *allocator) oneSegment() error {
	var of *model.Subnet
	for _, f := range a.got {
		s := a.tx.Subnets.Get(f.SubnetID)
		if !s.SegmentID.IsZero() && a.port.Host != "" && a.port.DeviceOwner != model.OwnerDistributed && !slices.Contains(a.subnets, s) {
			return model.Invalid("Failed to create port on network %s, because fixed_ips included invalid subnet %s.", a.port.NetworkID, s.ID)
		}
		if of != nil && s.SegmentID != of.SegmentID && a.port.DeviceOwner != model.OwnerDistributed {
			return model.Errf(model.KindInvalid, "FixedIpsSubnetsNotOnSameSegment", "Cannot allocate addresses from different segments.")
		}
		of = s
	}
	return nil
}

// settle addresses a port whose addresses waited for its host, and refuses a host on which the port's addresses would
// not work. asked: the request has fixed_ips.
func (r *Rules) settle(tx *world.Tx, old, p *model.Port, asked bool) error {
	if p.Host == old.Host || p.Host == "" || asked {
		return nil
	}
	if p.IPAllocation == AllocationDeferred && len(p.FixedIPs) == 0 {
		defer func() { p.IPAllocation = AllocationDeferred }() // it says when the addresses were given, not whether
		return r.address(tx, &Actor{Admin: true}, p, Opt[[]FixedIPRequest]{})
	}
	if len(p.FixedIPs) == 0 || !Routed(&tx.World, p.NetworkID) {
		return nil
	}
	a, err := r.allocatorFor(tx, p)
	if err != nil {
		return err
	}
	for _, f := range p.FixedIPs {
		if !slices.ContainsFunc(a.subnets, func(s *model.Subnet) bool { return s.ID == f.SubnetID }) {
			return model.Errf(model.KindConflict, "HostNotCompatibleWithFixedIps",
				"Host %s is not connected to a segment where the existing fixed_ips on port %s will function given the routed network topology.", p.Host, p.ID)
		}
	}
	return nil
}

// onSegment reports whether an automatic address of s fits: on a routed network it goes with others of its segment only,
// as long as the host is not known.
func (a *allocator) onSegment(s *model.Subnet) bool {
	return !a.deferred || slices.ContainsFunc(a.got, func(f model.FixedIP) bool {
		return a.tx.Subnets.Get(f.SubnetID).SegmentID == s.SegmentID
	})
}
