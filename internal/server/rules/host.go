package rules

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// RegisterHost records a host as its agent describes it (all but its DVR MAC, which is allotted here and left in h),
// and makes the agent rows that clients look for. Ports that could not be bound for want of the host are bound.
// Registering the same again changes nothing.
func (r *Rules) RegisterHost(tx *world.Tx, h *model.Host) error {
	if h.Name == "" {
		return model.Invalid("a host must have a name.")
	}
	if h.AgentMode == "" {
		h.AgentMode = model.ModeLegacy
	}
	if h.AZ == "" {
		h.AZ = "nova"
	}
	for o := range tx.Hosts.All() {
		if o.Name != h.Name && h.VTEP.IsValid() && o.VTEP == h.VTEP {
			return model.Errf(model.KindConflict, "TunnelEndpointInUse",
				"The tunnel address %s is host %s's already: set local_ip to an address of this host alone.", h.VTEP, o.Name)
		}
	}
	old := tx.Hosts.Get(h.Name)
	if old != nil {
		h.DVRMAC, h.Meta = old.DVRMAC, old.Meta
	} else {
		m, ok := newMAC(tx, r.cfg.DVRBaseMAC, func(m model.MAC) bool { return tx.Hosts.ByDVRMAC(m) != nil })
		if !ok {
			return model.Errf(model.KindUnavailable, "HostMacAddressGenerationFailure", "Unable to generate unique mac for host %s.", h.Name)
		}
		h.DVRMAC = m
	}
	if old == nil || !sameHost(old, h) {
		tx.Hosts.Put(h)
	}
	if err := r.putAgents(tx, h); err != nil {
		return err
	}
	r.registering = h.Name
	defer func() { r.registering = "" }()
	for _, p := range slices.Collect(tx.Ports.ByHost(h.Name)) {
		if p.VIFType == model.VIFBindingFailed {
			c := *p
			r.bind(tx, tx.Networks.Get(p.NetworkID), &c)
			if c.VIFType != p.VIFType {
				tx.Ports.Put(&c)
			}
		}
	}
	for _, v := range slices.Collect(tx.Routers.ByGatewayHost(h.Name)) {
		r.reschedule(tx, v)
	}
	r.scheduleAll(tx)
	r.settleAllDHCP(tx)
	return nil
}

// Registered reports whether a host and all of its agents are there, as RegisterHost leaves them.
func (r *Rules) Registered(w *world.World, host string) bool {
	agents := 0
	for range w.Agents.ByHost(host) {
		agents++
	}
	return w.Hosts.Get(host) != nil && agents == len(agentKinds)
}

// PortsReported records which ports a host has programmed and which it has not any more.
func (r *Rules) PortsReported(tx *world.Tx, host string, up, down []model.PortID) error {
	for _, p := range down {
		if err := r.PortDown(tx, host, p); err != nil {
			return err
		}
	}
	for _, p := range up {
		if err := r.PortUp(tx, host, p); err != nil {
			return err
		}
	}
	return nil
}

func sameHost(a, b *model.Host) bool {
	if a.VTEP != b.VTEP || a.DVRMAC != b.DVRMAC || a.AgentMode != b.AgentMode || a.DataPlane != b.DataPlane ||
		a.AZ != b.AZ || a.StartedAt != b.StartedAt || len(a.BridgeMappings) != len(b.BridgeMappings) {
		return false
	}
	for k, v := range a.BridgeMappings {
		if b.BridgeMappings[k] != v {
			return false
		}
	}
	return true
}

// agentKind is one of the rows that a host shows as.
type agentKind struct {
	typ, binary, topic string
	zoned              bool
	configurations     func(h *model.Host) map[string]any
}

var agentKinds = [...]agentKind{
	{model.AgentOVS, "neutron-openvswitch-agent", "N/A", false, func(h *model.Host) map[string]any {
		tunnels, vtep := []string{}, ""
		if h.VTEP.IsValid() {
			tunnels, vtep = []string{model.TypeVXLAN}, h.VTEP.String()
		}
		mappings := h.BridgeMappings
		if mappings == nil {
			mappings = map[string]string{}
		}
		return map[string]any{
			"bridge_mappings": mappings, "tunnel_types": tunnels, "tunneling_ip": vtep, "l2_population": true,
			"arp_responder_enabled": true, "enable_distributed_routing": h.AgentMode != model.ModeLegacy,
			"in_distributed_mode": h.AgentMode != model.ModeLegacy, "datapath_type": h.DataPlane, "extensions": []string{},
			"ovs_hybrid_plug": false, "log_agent_heartbeats": false,
		}
	}},
	{model.AgentL3, "neutron-l3-agent", "l3_agent", true, func(h *model.Host) map[string]any {
		return map[string]any{"agent_mode": h.AgentMode, "handle_internal_only_routers": true, "extensions": []string{}, "log_agent_heartbeats": false}
	}},
	{model.AgentDHCP, "neutron-dhcp-agent", "dhcp_agent", true, func(*model.Host) map[string]any {
		return map[string]any{"dhcp_driver": "weft", "log_agent_heartbeats": false}
	}},
	{model.AgentMetadata, "neutron-metadata-agent", "N/A", false, func(*model.Host) map[string]any {
		return map[string]any{"log_agent_heartbeats": false}
	}},
}

// putAgents makes and refreshes the agent rows of a host.
func (r *Rules) putAgents(tx *world.Tx, h *model.Host) error {
	have := map[string]*model.Agent{}
	for a := range tx.Agents.ByHost(h.Name) {
		have[a.Type] = a
	}
	for _, k := range agentKinds {
		conf, err := json.Marshal(k.configurations(h))
		if err != nil {
			return fmt.Errorf("configurations of %s on %s: %w", k.typ, h.Name, err)
		}
		az := ""
		if k.zoned {
			az = h.AZ
		}
		a := &model.Agent{ID: model.AgentID{UUID: tx.NewUUID()}, Host: h.Name, AdminStateUp: !r.cfg.NewAgentsDown}
		if old := have[k.typ]; old != nil {
			if string(old.Configurations) == string(conf) && old.AZ == az && old.StartedAt == h.StartedAt {
				continue
			}
			*a = *old
		}
		a.Type, a.Binary, a.Topic, a.AZ, a.Configurations, a.StartedAt = k.typ, k.binary, k.topic, az, conf, h.StartedAt
		tx.Agents.Put(a)
	}
	return nil
}

// UpdateAgent puts a, which is old with what the client changed.
func (r *Rules) UpdateAgent(tx *world.Tx, _ *Actor, a *model.Agent) error {
	tx.Agents.Put(a)
	return nil
}

// DeleteAgent deletes an agent row, and with its last row the host, whose DVR MAC is free again.
func (r *Rules) DeleteAgent(tx *world.Tx, _ *Actor, a *model.Agent) error {
	tx.Agents.Delete(a.ID)
	if a.Type == model.AgentDHCP {
		r.forgetDHCP(tx, a)
	}
	if a.Type == model.AgentL3 {
		for _, v := range slices.Collect(tx.Routers.ByGatewayHost(a.Host)) {
			c := *v
			c.GatewayHost = ""
			r.schedule(tx, &c)
			tx.Routers.Put(&c)
			r.placeCentral(tx, &c)
		}
	}
	for range tx.Agents.ByHost(a.Host) {
		return nil
	}
	for _, b := range slices.Collect(tx.Bindings.ByHost(a.Host)) {
		if b.Distributed {
			tx.Bindings.Delete(world.BindingKey{Port: b.PortID, Host: b.Host})
			if err := r.setPortStatus(tx, b.Host, b.PortID, model.StatusDown); err != nil {
				return err
			}
		}
	}
	tx.Hosts.Delete(a.Host)
	return nil
}
