package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// TrunkExtra is what a client sends for a trunk beyond what is stored in it.
type TrunkExtra struct {
	SubPorts []SubPortRequest
}

// SubPortRequest is a subport as a client asks for it.
type SubPortRequest struct {
	model.SubPort
	// Incomplete is what to refuse it with because its segmentation is missing or no number; nil if that is there. Neutron
	// says so after it has looked at the trunk's port.
	Incomplete error
}

// portFor is the port of an id, if the actor may know of it: their own, or one on a network of theirs.
func portFor(tx *world.Tx, by *Actor, id model.PortID) (*model.Port, error) {
	if p := tx.Ports.Get(id); p != nil {
		n := tx.Networks.Get(p.NetworkID)
		if by.Admin || by.AdvSvc || p.ProjectID == by.Project || (n != nil && n.ProjectID == by.Project) {
			return p, nil
		}
	}
	return nil, model.Errf(model.KindNotFound, "PortNotFound", "Port %s could not be found.", idText(id.UUID))
}

// CreateTrunk completes t and puts it.
func (r *Rules) CreateTrunk(tx *world.Tx, by *Actor, t *model.Trunk, x *TrunkExtra) error {
	if _, err := portFor(tx, by, t.PortID); err != nil { // first: nobody learns what ports of others are used for
		return err
	}
	if err := notInTrunk(tx, t.PortID); err != nil {
		return err
	}
	t.ID, t.Status = model.TrunkID{UUID: tx.NewUUID()}, model.StatusDown
	if err := r.addSubPorts(tx, by, t, x.SubPorts); err != nil {
		return err
	}
	tx.Trunks.Put(t)
	return nil
}

// notInTrunk tests that a port is neither parent nor subport.
func notInTrunk(tx *world.Tx, p model.PortID) error {
	if tx.Trunks.BySubPort(p) != nil {
		return model.Errf(model.KindConflict, "TrunkPortInUse", "Port %s is in use by another trunk.", p)
	}
	if tx.Trunks.ByParent(p) != nil {
		return parentInUse(p)
	}
	return nil
}

func parentInUse(p model.PortID) error {
	return model.Errf(model.KindConflict, "ParentPortInUse", "Port %s is currently in use and is not eligible for use as a parent port.", p)
}

// addSubPorts adds subports to t, which is not in the world yet or a copy of what is. All of them are looked at before one
// is added.
func (r *Rules) addSubPorts(tx *world.Tx, by *Actor, t *model.Trunk, add []SubPortRequest) error {
	t.SubPorts = slices.Clone(t.SubPorts)
	checked := make([]model.SubPort, 0, len(add))
	for _, q := range add {
		s, err := r.checkSubPort(tx, by, t, q)
		if err != nil {
			return err
		}
		checked = append(checked, s)
	}
	for _, s := range checked {
		for _, other := range t.SubPorts {
			if other.Type == s.Type && other.Tag == s.Tag {
				return model.Errf(model.KindConflict, "DuplicateSubPort", "segmentation_type %s and segmentation_id %d already in use on trunk %s.", s.Type, s.Tag, t.ID)
			}
			if other.PortID == s.PortID {
				return model.Errf(model.KindConflict, "TrunkPortInUse", "Port %s is in use by another trunk.", s.PortID)
			}
		}
		t.SubPorts = append(t.SubPorts, s)
	}
	return nil
}

// checkSubPort completes a subport that is asked for, or says what speaks against it; in the order of
// neutron/services/trunk/rules.py, which looks late whether the port is there.
func (r *Rules) checkSubPort(tx *world.Tx, by *Actor, t *model.Trunk, q SubPortRequest) (model.SubPort, error) {
	s := q.SubPort
	if s.PortID == t.PortID {
		return s, parentInUse(s.PortID)
	}
	p, notFound := portFor(tx, by, s.PortID)
	if p != nil {
		if parent := tx.Ports.Get(t.PortID); parent != nil {
			if own, under := networkMTU(tx, p), networkMTU(tx, parent); own > under {
				return s, model.Errf(model.KindConflict, "SubPortMtuGreaterThanTrunkPortMtu",
					"MTU %d of subport %s cannot be greater than MTU %d of trunk %s.", own, p.ID, under, parent.ID)
			}
		}
	}
	if s.Type == model.SegmentInherit && p != nil {
		if segments := NetworkSegments(&tx.World, p.NetworkID); len(segments) > 0 {
			s.Type, s.Tag, q.Incomplete = segments[0].NetworkType, int(segments[0].SegmentationID), nil
		}
	}
	if q.Incomplete != nil {
		return s, q.Incomplete
	}
	if err := checkSegmentation(s); err != nil {
		return s, err
	}
	if notFound != nil { // before what it is used for, which is nobody else's business
		return s, notFound
	}
	if err := notInTrunk(tx, s.PortID); err != nil {
		return s, err
	}
	if p.DeviceID != "" {
		return s, model.Errf(model.KindConflict, "PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.",
			p.ID, p.NetworkID, p.DeviceID)
	}
	return s, nil
}

// checkSegmentation tests how the frames of a subport are told apart.
func checkSegmentation(s model.SubPort) error {
	if s.Type != model.TypeVLAN {
		return model.Invalid("Unknown segmentation_type '%s'.", s.Type)
	}
	if s.Tag < 1 || s.Tag > maxVLAN {
		return model.Invalid("Segmentation ID '%d' is not in range.", s.Tag)
	}
	return nil
}

func networkMTU(tx *world.Tx, p *model.Port) uint32 {
	if n := tx.Networks.Get(p.NetworkID); n != nil {
		return n.MTU
	}
	return 0
}

// UpdateTrunk puts t.
func (r *Rules) UpdateTrunk(tx *world.Tx, _ *Actor, _, t *model.Trunk, _ *TrunkExtra) error {
	tx.Trunks.Put(t)
	return nil
}

// CheckTrunk tests that the subports of a trunk may be changed, and that it may be deleted.
func CheckTrunk(t *model.Trunk) error {
	if !t.AdminStateUp {
		return model.Errf(model.KindConflict, "TrunkDisabled", "Trunk %s is currently disabled.", t.ID)
	}
	return nil
}

// DeleteTrunk removes a trunk; its ports stay.
func (r *Rules) DeleteTrunk(tx *world.Tx, _ *Actor, t *model.Trunk) error {
	if err := CheckTrunk(t); err != nil {
		return err
	}
	tx.Trunks.Delete(t.ID)
	return nil
}

// AddSubPorts adds subports, all or none.
func (r *Rules) AddSubPorts(tx *world.Tx, by *Actor, old *model.Trunk, add []SubPortRequest) error {
	t := *old
	if err := r.addSubPorts(tx, by, &t, add); err != nil {
		return err
	}
	if err := CheckTrunk(old); err != nil {
		return err
	}
	t.Status = model.StatusDown
	tx.Trunks.Put(&t)
	return nil
}

// RemoveSubPorts takes ports out of a trunk, all of which must be in it.
func (r *Rules) RemoveSubPorts(tx *world.Tx, old *model.Trunk, remove []SubPortRequest) error {
	if err := CheckTrunk(old); err != nil {
		return err
	}
	t := *old
	t.SubPorts = slices.Clone(old.SubPorts)
	for _, s := range remove {
		i := slices.IndexFunc(t.SubPorts, func(o model.SubPort) bool { return o.PortID == s.PortID })
		if i < 0 {
			return model.Errf(model.KindNotFound, "SubPortNotFound", "SubPort %s on trunk %s could not be found.", idText(s.PortID.UUID), t.ID)
		}
		t.SubPorts = slices.Delete(t.SubPorts, i, i+1)
	}
	t.Status = model.StatusDown
	tx.Trunks.Put(&t)
	return nil
}

// trunkNeeds refuses the deletion of a port that is in a trunk.
func trunkNeeds(tx *world.Tx, p model.PortID) error {
	if t := tx.Trunks.BySubPort(p); t != nil {
		return model.Errf(model.KindConflict, "PortInUseAsSubPort", "Port %s is currently a subport for trunk %s.", p, t.ID)
	}
	if t := tx.Trunks.ByParent(p); t != nil {
		return model.Errf(model.KindConflict, "PortInUseAsTrunkParent", "Port %s is currently a parent port for trunk %s.", p, t.ID)
	}
	return nil
}
