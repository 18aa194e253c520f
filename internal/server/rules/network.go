package rules

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// NetworkExtra is what a client sends for a network beyond what is stored in it.
type NetworkExtra struct {
	Provider SegmentRequest
	Segments Opt[[]SegmentRequest]
	Shared   Opt[bool]
}

// NewNetworkExtra is a request without provider attributes.
func NewNetworkExtra() *NetworkExtra {
	return &NetworkExtra{Provider: SegmentRequest{SegmentationID: -1}}
}

// CreateNetwork completes n, takes its segments and puts it.
func (r *Rules) CreateNetwork(tx *world.Tx, by *Actor, n *model.Network, x *NetworkExtra) error {
	if n.QoSPolicy.IsZero() {
		n.QoSPolicy = defaultQoSPolicy(tx, n.ProjectID)
	} else if _, err := qosPolicyFor(tx, by, n.QoSPolicy); err != nil {
		return err
	}
	n.ID = model.NetworkID{UUID: tx.NewUUID()}
	r.EnsureDefaultGroup(tx, n.ProjectID)
	if err := soleDefaultNetwork(tx, n); err != nil {
		return err
	}
	if err := checkZones(tx, n.AZHints); err != nil {
		return err
	}
	wanted, err := r.wantedSegments(n, x)
	if err != nil {
		return err
	}
	limit := uint32(0)
	for i, q := range wanted {
		c, err := r.reserveAny(tx, n, q, len(wanted) == 1)
		if err != nil {
			return err
		}
		if err := soleOn(tx, n.ID, c); err != nil {
			return err
		}
		tx.Segments.Put(&model.Segment{
			ID: model.SegmentID{UUID: tx.NewUUID()}, NetworkID: n.ID, NetworkType: c.Type, Physnet: c.Physnet,
			SegmentationID: c.ID, Index: i,
		})
		if m := r.segmentMTU(c.Type, c.Physnet); limit == 0 || (m > 0 && m < limit) {
			limit = m
		}
	}
	if n.MTU == 0 {
		n.MTU = limit
	}
	if err := checkMTU(n.MTU, limit); err != nil {
		return err
	}
	if n.VLANTransparent != nil && *n.VLANTransparent && !r.cfg.VLANTransparent {
		return model.Errf(model.KindInvalid, "VlanTransparencyDriverError",
			"Backend does not support VLAN Transparency: leave vlan_transparent out (the server's vlan_transparent is False).")
	}
	if err := qosFitsNetwork(tx, n.QoSPolicy, n.ID); err != nil {
		return err
	}
	tx.Networks.Put(n)
	if x.Shared.Set && x.Shared.V {
		share(tx, n.ProjectID, model.KindNetwork, n.ID.UUID, model.ActionShared)
	}
	if n.External {
		share(tx, n.ProjectID, model.KindNetwork, n.ID.UUID, model.ActionExternal)
	}
	return nil
}

// wantedSegments is what the network's segments are to be.
func (r *Rules) wantedSegments(_ *model.Network, x *NetworkExtra) ([]SegmentRequest, error) {
	if !x.Segments.Set {
		return []SegmentRequest{x.Provider}, nil
	}
	if !x.Provider.empty() {
		return nil, model.Errf(model.KindInvalid, "SegmentsSetInConjunctionWithProviders", "Segments and provider values cannot both be set.")
	}
	if len(x.Segments.V) == 0 {
		return []SegmentRequest{{SegmentationID: -1}}, nil
	}
	for i, s := range x.Segments.V {
		if s.Type == "" {
			return nil, model.Invalid("network_type required.")
		}
		if slices.Contains(x.Segments.V[:i], s) && s.SegmentationID >= 0 {
			return nil, model.Errf(model.KindInvalid, "SegmentsContainDuplicateEntry", "Duplicate segment entry in request.")
		}
	}
	return x.Segments.V, nil
}

// reserveAny takes the segment asked for, or one of the tenants' types; sole: it is the network's only one.
func (r *Rules) reserveAny(tx *world.Tx, n *model.Network, q SegmentRequest, sole bool) (world.Carrier, error) {
	if !q.empty() {
		return r.reserve(tx, n.ProjectID, q)
	}
	types := r.cfg.TenantTypes
	if n.External && sole && r.cfg.ExternalType != "" {
		types = []string{r.cfg.ExternalType}
	}
	for _, t := range types {
		if c, err := r.reserve(tx, n.ProjectID, SegmentRequest{Type: t, SegmentationID: -1}); err == nil {
			return c, nil
		}
	}
	return world.Carrier{}, errNoNetwork()
}

func checkMTU(mtu, limit uint32) error {
	if limit > 0 && mtu > limit {
		return model.Invalid("Requested MTU is too big, maximum is %d.", limit)
	}
	return nil
}

// minMTU6 is the least MTU of a link with IPv6 (RFC 8200, section 5), minMTU4 with IPv4 (RFC 791).
const (
	minMTU6 = 1280
	minMTU4 = 68
)

// UpdateNetwork puts n, which is old with what the client changed.
func (r *Rules) UpdateNetwork(tx *world.Tx, by *Actor, old, n *model.Network, x *NetworkExtra) error {
	if n.QoSPolicy != old.QoSPolicy {
		if err := changeQoSPolicy(tx, by, old.QoSPolicy, n.QoSPolicy); err != nil {
			return err
		}
		if err := qosFitsNetwork(tx, n.QoSPolicy, n.ID); err != nil {
			return err
		}
	}
	if err := r.changeCarrier(tx, n, x); err != nil {
		return err
	}
	if old.External && !n.External {
		for p := range tx.Ports.ByNetwork(n.ID) {
			if p.DeviceOwner == model.OwnerRouterGateway || p.DeviceOwner == model.OwnerFloatingIP {
				return model.Errf(model.KindConflict, "ExternalNetworkInUse",
					"External network %s cannot be updated to be made non-external, since it has existing gateway ports.", n.ID)
			}
		}
	}
	if n.MTU != old.MTU {
		if err := r.checkNewMTU(tx, n); err != nil {
			return err
		}
	}
	if err := soleDefaultNetwork(tx, n); err != nil {
		return err
	}
	if err := r.changeSharing(tx, old, n, x); err != nil {
		return err
	}
	tx.Networks.Put(n)
	return nil
}

// changeSharing makes and removes the wildcard policies that shared and router:external stand for.
func (r *Rules) changeSharing(tx *world.Tx, old, n *model.Network, x *NetworkExtra) error {
	if x.Shared.Set {
		all := policyFor(&tx.World, model.KindNetwork, n.ID.UUID, model.ActionShared, model.TargetAll)
		switch {
		case x.Shared.V && all == nil:
			share(tx, n.ProjectID, model.KindNetwork, n.ID.UUID, model.ActionShared)
		case !x.Shared.V && all != nil:
			tx.RBACPolicies.Delete(all.ID)
			if len(losers(&tx.World, all)) > 0 {
				return model.Errf(model.KindConflict, "InvalidSharedSetting",
					"Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.", n.ID)
			}
		}
	}
	switch {
	case n.External && !old.External:
		share(tx, n.ProjectID, model.KindNetwork, n.ID.UUID, model.ActionExternal)
	case old.External && !n.External:
		for _, p := range slices.Collect(tx.RBACPolicies.ByObject(n.ID.UUID)) {
			if p.Action == model.ActionExternal {
				tx.RBACPolicies.Delete(p.ID)
			}
		}
	}
	return nil
}

func (r *Rules) checkNewMTU(tx *world.Tx, n *model.Network) error {
	limit := uint32(0)
	for s := range tx.Segments.ByNetwork(n.ID) {
		if m := r.segmentMTU(s.NetworkType, s.Physnet); limit == 0 || m < limit {
			limit = m
		}
	}
	if n.MTU == 0 {
		n.MTU = limit
	}
	least := uint32(minMTU4)
	for s := range tx.Subnets.ByNetwork(n.ID) {
		if s.IPVersion() == 6 {
			least = minMTU6
		}
	}
	if n.MTU < least {
		return model.Invalid("MTU %d is too small for the network's subnets, minimum is %d.", n.MTU, least)
	}
	return checkMTU(n.MTU, limit)
}

// goesWithNetwork reports whether a port is deleted together with its network.
func goesWithNetwork(p *model.Port) bool {
	switch p.DeviceOwner {
	case model.OwnerDHCP, model.OwnerDistributed, model.OwnerFloatingAgentGateway:
		return true
	}
	return false
}

// DeleteNetwork deletes a network with its subnets and segments, unless ports are on it.
func (r *Rules) DeleteNetwork(tx *world.Tx, _ *Actor, n *model.Network) error {
	for _, f := range slices.Collect(tx.FloatingIPs.ByNetwork(n.ID)) {
		if f.Router.IsZero() {
			if err := r.DeleteFloatingIP(tx, nil, f); err != nil {
				return err
			}
		}
	}
	var own []*model.Port
	var used []string
	for p := range tx.Ports.ByNetwork(n.ID) {
		if goesWithNetwork(p) {
			own = append(own, p)
		} else {
			used = append(used, p.ID.String())
		}
	}
	if used != nil {
		return model.Errf(model.KindConflict, "NetworkInUse",
			"Unable to complete operation on network %s. There are one or more ports still in use on the network, id for these ports is: %s.",
			n.ID, strings.Join(used, ","))
	}
	for _, p := range own {
		if err := r.dropPort(tx, p); err != nil {
			return err
		}
	}
	for _, s := range slices.Collect(tx.Subnets.ByNetwork(n.ID)) {
		tx.Subnets.Delete(s.ID)
	}
	for _, s := range slices.Collect(tx.Segments.ByNetwork(n.ID)) {
		tx.Segments.Delete(s.ID)
	}
	unshare(tx, n.ID.UUID)
	leaveTopology(tx, n.ProjectID, n.ID, model.RouterID{})
	tx.Networks.Delete(n.ID)
	return nil
}

// NetworkSegments are a network's segments in order.
func NetworkSegments(w *world.World, n model.NetworkID) []*model.Segment {
	out := slices.Collect(w.Segments.ByNetwork(n))
	slices.SortStableFunc(out, func(a, b *model.Segment) int { return a.Index - b.Index })
	return out
}

// touchNetwork gives a network a new revision, because something that it shows has changed.
func touchNetwork(tx *world.Tx, id model.NetworkID) {
	if n := tx.Networks.Get(id); n != nil {
		c := *n
		tx.Networks.Put(&c)
	}
}
