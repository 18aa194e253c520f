package rules

import (
	"encoding/json"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// VNICDirectPhysical is the binding:vnic_type of a whole network card that an instance is given.
const VNICDirectPhysical = "direct-physical"

// cardMAC is the MAC of the card that a port of type direct-physical is bound to, as Nova tells it in the profile; zero:
// none (extension port-mac-override).
func cardMAC(p *model.Port) (model.MAC, error) {
	if p.VNICType != VNICDirectPhysical || len(p.Profile) == 0 {
		return model.MAC{}, nil
	}
	var profile struct {
		MAC *string `json:"device_mac_address"`
	}
	if err := json.Unmarshal(p.Profile, &profile); err != nil || profile.MAC == nil {
		return model.MAC{}, nil // a profile is the hypervisor's own business, whatever else is in it
	}
	m, err := model.ParseMAC(*profile.MAC)
	if err != nil || m.IsZero() || m.IsMulticast() {
		return model.MAC{}, badRequest("port", "device_mac_address '%s' of binding:profile is not a MAC address", *profile.MAC)
	}
	return m, nil
}

// overrideMAC gives a port the MAC of its card, and a random one again when it leaves the card.
func (r *Rules) overrideMAC(tx *world.Tx, old, p *model.Port) error {
	m, err := cardMAC(p)
	if err != nil {
		return err
	}
	if old == nil {
		if !m.IsZero() {
			p.MAC = m
		}
		return nil
	}
	before, err := cardMAC(old)
	if err != nil {
		before = model.MAC{}
	}
	switch {
	case !m.IsZero() && m != old.MAC:
		p.MAC = m
		return r.giveMAC(tx, p)
	case m.IsZero() && before == old.MAC && !before.IsZero() && p.MAC == old.MAC && p.Host == "":
		p.MAC = model.MAC{}
		return r.giveMAC(tx, p)
	}
	return nil
}

// checkLegMoves refuses to take an address from a port of a router by the ports' API: the router's other parts depend on
// it (extension l3-port-ip-change-not-allowed). Further addresses may be added.
func checkLegMoves(tx *world.Tx, r *Rules, old, p *model.Port) error {
	switch old.DeviceOwner {
	case model.OwnerRouterInterface, model.OwnerDVRInterface, model.OwnerHAInterface, model.OwnerRouterGateway, model.OwnerRouterSNAT:
	default:
		return nil
	}
	if !r.isServed(tx, old) {
		return nil
	}
	for _, f := range old.FixedIPs {
		if !slices.Contains(p.FixedIPs, f) {
			return badRequest("port", "Fixed IP %s of port %s cannot be changed, since the port is a router's (device owner %s): change the router's interface instead",
				f.Address, old.ID, old.DeviceOwner)
		}
	}
	return nil
}
