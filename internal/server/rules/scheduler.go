package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// hasDHCP reports whether a network has a subnet with DHCP.
func hasDHCP(w *world.World, n model.NetworkID) bool {
	for s := range w.Subnets.ByNetwork(n) {
		if s.EnableDHCP {
			return true
		}
	}
	return false
}

// ServesDHCP reports whether a DHCP agent has been given a network, by the server or by hand: it is the one that holds the
// network:dhcp port. Every host answers for its own ports all the same.
func ServesDHCP(a *model.Agent, n *model.Network) bool {
	return a.Type == model.AgentDHCP && slices.Contains(n.DHCPOn, a.ID)
}

// AddDHCP gives a network to a DHCP agent, beside those that have it.
func (r *Rules) AddDHCP(tx *world.Tx, a *model.Agent, id model.NetworkID) error {
	n := tx.Networks.Get(id)
	switch {
	case a.Type != model.AgentDHCP || !a.AdminStateUp:
		return model.Errf(model.KindNotFound, "InvalidDHCPAgent", "Agent %s is not a valid DHCP Agent or has been disabled.", a.ID)
	case n == nil:
		return errNetwork(id)
	case ServesDHCP(a, n):
		return model.Errf(model.KindConflict, "NetworkHostedByDHCPAgent", "The network %s has been already hosted by the DHCP Agent %s.", id, a.ID)
	}
	c := *n
	c.DHCPOn = append(slices.Clone(n.DHCPOn), a.ID)
	c.DHCPOff = without(n.DHCPOff, a.ID)
	tx.Networks.Put(&c)
	r.settleDHCP(tx, id)
	return nil
}

// RemoveDHCP takes a network from a DHCP agent, which gets it again by hand only.
func (r *Rules) RemoveDHCP(tx *world.Tx, a *model.Agent, id model.NetworkID) error {
	n := tx.Networks.Get(id)
	switch {
	case n == nil:
		return errNetwork(id)
	case !ServesDHCP(a, n):
		return model.Errf(model.KindConflict, "NetworkNotHostedByDhcpAgent", "The network %s is not hosted by the DHCP Agent %s.", id, a.ID)
	}
	c := *n
	c.DHCPOn = without(n.DHCPOn, a.ID)
	c.DHCPOff = append(slices.Clone(n.DHCPOff), a.ID)
	tx.Networks.Put(&c)
	r.settleDHCP(tx, id)
	return nil
}

func without[E comparable](list []E, e E) []E {
	return slices.DeleteFunc(slices.Clone(list), func(x E) bool { return x == e })
}

// AddRouter puts a router's central part on an L3 agent's host.
func (r *Rules) AddRouter(tx *world.Tx, a *model.Agent, id model.RouterID) error {
	v := tx.Routers.Get(id)
	h := tx.Hosts.Get(a.Host)
	switch {
	case a.Type != model.AgentL3 || !a.AdminStateUp || h == nil:
		return model.Errf(model.KindNotFound, "InvalidL3Agent", "Agent %s is not a L3 Agent or has been disabled", a.ID)
	case v == nil:
		return noRouter(id)
	case h.AgentMode == model.ModeDVR || h.AgentMode == model.ModeDVRNoExternal:
		return model.Errf(model.KindConflict, "DVRL3CannotAssignToDvrAgent", "Not allowed to manually assign a router to an agent in 'dvr' mode.")
	case v.GatewayHost == a.Host: // nothing to do is no fault
		return nil
	case !r.canServe(tx, h, v):
		return model.Errf(model.KindConflict, "RouterL3AgentMismatch",
			"Cannot host router %s on %s L3 agent %s: its mode, or the external network that the host does not reach, forbids it.", id, h.AgentMode, a.ID)
	}
	c := *v
	c.GatewayHost = a.Host
	tx.Routers.Put(&c)
	r.placeCentral(tx, &c)
	return nil
}

// RemoveRouter takes a router's central part from an L3 agent's host. The next change of the router places it anew.
// Taking it from an agent that does not have it is no fault, as in Neutron, unless the agent's mode lets it have none.
func (r *Rules) RemoveRouter(tx *world.Tx, a *model.Agent, id model.RouterID) error {
	v := tx.Routers.Get(id)
	h := tx.Hosts.Get(a.Host)
	switch {
	case a.Type == model.AgentL3 && h != nil && (h.AgentMode == model.ModeDVR || h.AgentMode == model.ModeDVRNoExternal):
		return model.Errf(model.KindConflict, "DVRL3CannotRemoveFromDvrAgent", "Not allowed to manually remove a router from an agent in 'dvr' mode.")
	case v == nil:
		return noRouter(id)
	case a.Type != model.AgentL3 || v.GatewayHost != a.Host:
		return nil
	}
	c := *v
	c.GatewayHost = ""
	tx.Routers.Put(&c)
	r.placeCentral(tx, &c)
	return nil
}

// checkZones tests that hosts of each availability zone exist.
func checkZones(tx *world.Tx, hints []string) error {
	for _, z := range hints {
		known := false
		for h := range tx.Hosts.All() {
			known = known || h.AZ == z
		}
		if !known {
			return model.Errf(model.KindNotFound, "AvailabilityZoneNotFound", "AvailabilityZone %s could not be found.", z)
		}
	}
	return nil
}
