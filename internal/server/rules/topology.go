package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// topologyNames are what the objects of an auto-allocated topology are called; clients know them by it.
const (
	topologyNetwork = "auto_allocated_network"
	topologyRouter  = "auto_allocated_router"
	topologySubnet4 = "auto_allocated_subnet_v4"
	topologySubnet6 = "auto_allocated_subnet_v6"
)

// topologyNeeds is what an auto-allocated topology is made of: the default external network, and the default pools.
func topologyNeeds(w *world.World) (*model.Network, []*model.SubnetPool, error) {
	missing := func(why string) error {
		return model.Errf(model.KindConflict, "AutoAllocationFailure", "Deployment error: %s.", why)
	}
	var external *model.Network
	for n := range w.Networks.External() {
		if n.IsDefault {
			external = n
		}
	}
	if external == nil {
		return nil, nil, missing("No default router:external network")
	}
	var pools []*model.SubnetPool
	for _, version := range []int{4, 6} {
		if p := defaultPool(w, version); p != nil {
			pools = append(pools, p)
		}
	}
	if pools == nil {
		return nil, nil, missing("No default subnetpools defined")
	}
	return external, pools, nil
}

// CheckTopology reports whether a topology could be made.
func (r *Rules) CheckTopology(w *world.World) error {
	_, _, err := topologyNeeds(w)
	return err
}

// EnsureTopology returns the project's auto-allocated topology, making it if there is none: a network with a subnet of
// each default pool, and a router that connects them with the default external network.
func (r *Rules) EnsureTopology(tx *world.Tx, project string) (*model.Topology, error) {
	if t := tx.Topologies.Get(project); t != nil {
		return t, nil
	}
	external, pools, err := topologyNeeds(&tx.World)
	if err != nil {
		return nil, err
	}
	for kind, n := range map[model.Kind]int{model.KindNetwork: 1, model.KindSubnet: len(pools), model.KindRouter: 1} {
		if err := r.CheckQuota(tx, kind, project, n); err != nil {
			return nil, err
		}
	}
	// The pools and the external network are the administrator's to lend, whether or not they are shared.
	by := &Actor{Project: project, Admin: true}
	n := &model.Network{ProjectID: project, Name: topologyNetwork, AdminStateUp: true, PortSecurity: true}
	if err := r.CreateNetwork(tx, by, n, NewNetworkExtra()); err != nil {
		return nil, err
	}
	v := &model.Router{ProjectID: project, Name: topologyRouter, AdminStateUp: true}
	if err := r.CreateRouter(tx, by, v, &RouterExtra{Gateway: Some(&GatewayRequest{Network: external.ID})}); err != nil {
		return nil, err
	}
	for _, p := range pools {
		s := &model.Subnet{NetworkID: n.ID, ProjectID: project, Name: topologySubnet4, EnableDHCP: true, PoolID: p.ID}
		if p.IPVersion() == 6 {
			s.Name, s.RAMode, s.AddressMode = topologySubnet6, model.ModeSLAAC, model.ModeSLAAC
			if p.DefaultPrefixLen != 64 { // SLAAC needs a /64 (RFC 4862)
				s.RAMode, s.AddressMode = model.ModeStateful, model.ModeStateful
			}
		}
		if err := r.CreateSubnet(tx, by, s, &SubnetExtra{IPVersion: p.IPVersion()}); err != nil {
			return nil, err
		}
		if _, err := r.AddInterface(tx, by, tx.Routers.Get(v.ID), InterfaceRequest{Subnet: Some(s.ID)}); err != nil {
			return nil, err
		}
	}
	t := &model.Topology{ProjectID: project, NetworkID: n.ID, RouterID: v.ID}
	tx.Topologies.Put(t)
	return t, nil
}

// DeleteTopology deletes a project's auto-allocated topology, unless something uses it; without one it does nothing.
func (r *Rules) DeleteTopology(tx *world.Tx, project string) error {
	t := tx.Topologies.Get(project)
	if t == nil {
		return nil
	}
	if v := tx.Routers.Get(t.RouterID); v != nil {
		for _, p := range interfaces(&tx.World, v.ID) {
			if _, err := r.RemoveInterface(tx, &Actor{Admin: true}, tx.Routers.Get(v.ID), InterfaceRequest{Port: Some(p.ID)}); err != nil {
				return err
			}
		}
		if err := r.DeleteRouter(tx, nil, tx.Routers.Get(v.ID)); err != nil {
			return err
		}
	}
	if n := tx.Networks.Get(t.NetworkID); n != nil {
		if err := r.DeleteNetwork(tx, nil, n); err != nil {
			return err
		}
	}
	tx.Topologies.Delete(project)
	return nil
}

// leaveTopology forgets what goes away by other ways: with its network a topology is gone, without its router it stays.
func leaveTopology(tx *world.Tx, project string, n model.NetworkID, v model.RouterID) {
	t := tx.Topologies.Get(project)
	switch {
	case t == nil:
	case !n.IsZero() && t.NetworkID == n:
		tx.Topologies.Delete(project)
	case !v.IsZero() && t.RouterID == v:
		c := *t
		c.RouterID = model.RouterID{}
		tx.Topologies.Put(&c)
	}
}

// soleDefaultNetwork refuses a second default external network, also of a network that is not external, which cannot be the default and
// forgets that it was to be.
func soleDefaultNetwork(tx *world.Tx, n *model.Network) error {
	if !n.IsDefault {
		return nil
	}
	if !n.External {
		n.IsDefault = false
	}
	others := slices.Collect(tx.Networks.External())
	i := slices.IndexFunc(others, func(o *model.Network) bool { return o.IsDefault && o.ID != n.ID })
	if i < 0 {
		return nil
	}
	return model.Errf(model.KindConflict, "DefaultExternalNetworkExists", "A default external network already exists: %s.", others[i].ID)
}
