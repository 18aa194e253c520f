package rules

import (
	"maps"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// SegmentRequest is the provider attributes of one segment as the client sent them.
type SegmentRequest struct {
	Type, Physnet  string
	SegmentationID int64 // -1: not given
}

func (s *SegmentRequest) empty() bool {
	return s.Type == "" && s.Physnet == "" && s.SegmentationID < 0
}

// maxVNI is the largest VXLAN network identifier (RFC 7348, section 5), maxVLAN the largest VLAN (IEEE 802.1Q).
const (
	maxVNI  = 1<<24 - 1
	maxVLAN = 4094
)

// isTunnel reports whether networks of a type are carried in tunnels between hosts.
func isTunnel(typ string) bool { return typ == model.TypeVXLAN || typ == model.TypeGRE }

// reserve takes the segment that a request asks for, or a free one of its type that networks of the project may get.
func (r *Rules) reserve(tx *world.Tx, project string, q SegmentRequest) (world.Carrier, error) {
	none := world.Carrier{}
	if q.Type == "" {
		return none, model.Invalid("network_type required.")
	}
	if !slices.Contains(r.cfg.TypeDrivers, q.Type) {
		return none, model.Invalid("network_type value '%s' not supported.", q.Type)
	}
	switch q.Type {
	case model.TypeLocal:
		if q.Physnet != "" {
			return none, model.Invalid("physical_network prohibited for local provider network.")
		}
		if q.SegmentationID >= 0 {
			return none, model.Invalid("segmentation_id prohibited for local provider network.")
		}
		return world.Carrier{Type: q.Type}, nil
	case model.TypeFlat:
		return r.reserveFlat(tx, q)
	case model.TypeVLAN:
		return r.reserveVLAN(tx, project, q)
	}
	return r.reserveTunnel(tx, project, q)
}

func (r *Rules) reserveFlat(tx *world.Tx, q SegmentRequest) (world.Carrier, error) {
	c := world.Carrier{Type: model.TypeFlat, Physnet: q.Physnet}
	switch {
	case q.Physnet == "":
		return c, model.Invalid("physical_network required for flat provider network.")
	case q.SegmentationID >= 0:
		return c, model.Invalid("segmentation_id prohibited for flat provider network.")
	case !slices.Contains(r.cfg.FlatNetworks, "*") && !slices.Contains(r.cfg.FlatNetworks, q.Physnet):
		return c, model.Invalid("physical_network '%s' unknown for flat provider network.", q.Physnet)
	case tx.Segments.ByCarrier(c) != nil:
		return c, model.Errf(model.KindConflict, "FlatNetworkInUse",
			"Unable to create the flat network. Physical network %s is in use.", q.Physnet)
	}
	return c, nil
}

func (r *Rules) reserveVLAN(tx *world.Tx, project string, q SegmentRequest) (world.Carrier, error) {
	c := world.Carrier{Type: model.TypeVLAN, Physnet: q.Physnet}
	if q.Physnet == "" {
		if q.SegmentationID >= 0 {
			return c, model.Invalid("segmentation_id requires physical_network for VLAN provider network.")
		}
		return r.anyVLAN(tx, project)
	}
	_, known := r.cfg.VLANRanges[q.Physnet]
	if !known {
		return c, model.Invalid("physical_network '%s' unknown for VLAN provider network.", q.Physnet)
	}
	if q.SegmentationID < 0 {
		if len(r.sharedRanges(tx, c, "")) == 0 && len(ownRanges(tx, c, project)) == 0 {
			return c, model.Invalid("Physical network %s requires segmentation_id to be specified when creating a provider network.", q.Physnet)
		}
		return r.free(tx, c, project)
	}
	if q.SegmentationID < 1 || q.SegmentationID > maxVLAN {
		return c, model.Invalid("segmentation_id out of range (1 through %d).", maxVLAN)
	}
	c.ID = uint32(q.SegmentationID)
	if tx.Segments.ByCarrier(c) != nil {
		return c, model.Errf(model.KindConflict, "VlanIdInUse",
			"Unable to create the network. The VLAN %d on physical network %s is in use.", c.ID, c.Physnet)
	}
	return c, nil
}

func (r *Rules) anyVLAN(tx *world.Tx, project string) (world.Carrier, error) {
	for _, p := range slices.Sorted(maps.Keys(r.cfg.VLANRanges)) {
		if c, err := r.free(tx, world.Carrier{Type: model.TypeVLAN, Physnet: p}, project); err == nil {
			return c, nil
		}
	}
	return world.Carrier{}, errNoNetwork()
}

func (r *Rules) reserveTunnel(tx *world.Tx, project string, q SegmentRequest) (world.Carrier, error) {
	c := world.Carrier{Type: q.Type}
	if q.Physnet != "" {
		return c, model.Invalid("provider:physical_network specified for %s network.", q.Type)
	}
	if q.SegmentationID < 0 {
		return r.free(tx, c, project)
	}
	if q.SegmentationID < 1 || (q.Type == model.TypeVXLAN && q.SegmentationID > maxVNI) || q.SegmentationID > 1<<32-1 {
		return c, model.Invalid("segmentation_id out of range (1 through %d).", maxVNI)
	}
	c.ID = uint32(q.SegmentationID)
	if tx.Segments.ByCarrier(c) != nil {
		return c, model.Errf(model.KindConflict, "TunnelIdInUse",
			"Unable to create the network. The tunnel ID %d is in use.", c.ID)
	}
	return c, nil
}

func errNoNetwork() error {
	return model.Errf(model.KindUnavailable, "NoNetworkAvailable",
		"Unable to create the network. No tenant network is available for allocation.")
}

// freeIn finds an unused id in the ranges: the first one from a random start on, so that an id given back is seldom the
// next one used. The start is among the lower ids, in a window that grows with the cloud: people read and compare these
// numbers, and Neutron's clients expect low ones of a range.
func freeIn(tx *world.Tx, c world.Carrier, ranges []Range) (world.Carrier, error) {
	var size uint64
	for _, g := range ranges {
		size += uint64(g.Max-g.Min) + 1
	}
	if size == 0 {
		return c, errNoNetwork()
	}
	skip := pick(tx, min(size, 128+2*uint64(tx.Segments.Len())))
	start := 0
	for skip > uint64(ranges[start].Max-ranges[start].Min) {
		skip -= uint64(ranges[start].Max-ranges[start].Min) + 1
		start++
	}
	from := ranges[start].Min + uint32(skip)
	if id, ok := firstFree(tx, c, Range{from, ranges[start].Max}); ok {
		c.ID = id
		return c, nil
	}
	for i := range ranges {
		g := ranges[(start+1+i)%len(ranges)]
		if id, ok := firstFree(tx, c, g); ok {
			c.ID = id
			return c, nil
		}
	}
	return c, errNoNetwork()
}

func firstFree(tx *world.Tx, c world.Carrier, g Range) (uint32, bool) {
	c.ID = g.Min
	want := g.Min
	for used := range tx.Segments.CarriersFrom(c) {
		if used.Type != c.Type || used.Physnet != c.Physnet || used.ID != want {
			break
		}
		if want == g.Max {
			return 0, false
		}
		want++
	}
	return want, true
}

// segmentMTU is the largest packet that a segment carries.
func (r *Rules) segmentMTU(typ, physnet string) uint32 {
	mtu := r.cfg.GlobalMTU
	switch {
	case isTunnel(typ):
		if r.cfg.PathMTU != 0 && r.cfg.PathMTU < mtu {
			mtu = r.cfg.PathMTU
		}
		// Outer IP header, and UDP + VXLAN + inner Ethernet (30) or GRE with key + inner Ethernet (22).
		overhead := uint32(20 + 30)
		if typ == model.TypeGRE {
			overhead = 20 + 22
		}
		if r.cfg.OverlayIPv6 {
			overhead += 20
		}
		if mtu <= overhead {
			return 0
		}
		return mtu - overhead
	case physnet != "":
		if m, ok := r.cfg.PhysnetMTUs[physnet]; ok && (m < mtu || mtu == 0) {
			mtu = m
		}
	}
	return mtu
}

// soleOn refuses a second segment of a network on a physical network, of which nobody could tell which one a host means.
func soleOn(tx *world.Tx, n model.NetworkID, c world.Carrier) error {
	if c.Physnet == "" {
		return nil
	}
	for s := range tx.Segments.ByNetwork(n) {
		if s.NetworkType == c.Type && s.Physnet == c.Physnet {
			return model.Errf(model.KindConflict, "NeutronDbObjectDuplicateEntry",
				"Failed to create a duplicate NetworkSegment: for attribute(s) ['network_id', 'network_type', 'physical_network'] with value(s) %s-%s-%s", n, c.Type, c.Physnet)
		}
	}
	return nil
}

// changeCarrier gives a network of one VLAN another id, with all that is bound to it; nothing else of how a network is
// carried changes in its life (neutron/plugins/ml2/plugin.py).
func (r *Rules) changeCarrier(tx *world.Tx, n *model.Network, x *NetworkExtra) error {
	q := x.Provider
	if q.empty() && len(x.Segments.V) == 0 { // an empty list is as none, as in Neutron
		return nil
	}
	have := NetworkSegments(&tx.World, n.ID)
	for _, s := range have {
		if (q.Type != "" && q.Type != s.NetworkType) || (q.Physnet != "" && q.Physnet != s.Physnet) || len(x.Segments.V) > 0 {
			return model.Invalid("Plugin does not support updating the following provider network attributes: provider:network_type, provider:physical_network.")
		}
	}
	switch {
	case q.SegmentationID < 0:
		return nil
	case len(have) != 1:
		return model.Invalid("Provider network attributes can be updated only in provider networks with a single segment..")
	case have[0].NetworkType != model.TypeVLAN:
		return model.Invalid("Only VLAN type networks can be updated.")
	case q.SegmentationID == int64(have[0].SegmentationID):
		return nil
	}
	c, err := r.reserve(tx, n.ProjectID, SegmentRequest{Type: model.TypeVLAN, Physnet: have[0].Physnet, SegmentationID: q.SegmentationID})
	if err != nil {
		return err
	}
	s := *have[0]
	s.SegmentationID = c.ID
	tx.Segments.Put(&s)
	return nil
}
