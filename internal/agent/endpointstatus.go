package agent

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// GatewayStatus is the gateway address of a subnet, and the router that has it.
type GatewayStatus struct {
	Address netip.Addr `json:"address"`
	// Router is zero if none that this host routes for has the address: another host's, or nobody's.
	Router model.RouterID `json:"router,omitzero"`
	Up     bool           `json:"up"`
}

// endpointStatus is what the State says of an endpoint.
func endpointStatus(st *hostplan.State, e *hostplan.Endpoint) EndpointStatus {
	es := EndpointStatus{Port: e.Port, Name: e.Name, Network: e.Network, MAC: e.MAC, Addresses: []string{}, Device: e.Device,
		Instance: e.DeviceID, AdminUp: e.AdminUp, MTU: e.MTU, Secured: e.PortSecurity, Rules: -1}
	if e.PortSecurity && (e.Policy == nil || !e.Policy.AllowAll) {
		es.Rules = 0
		if e.Policy != nil {
			es.Rules = len(e.Policy.Rules)
		}
	}
	if e.DHCP4 != nil {
		es.Lease = e.DHCP4.Address.String()
		for _, a := range e.DHCP4.DNS {
			es.Resolvers = append(es.Resolvers, a.String())
		}
	}
	for _, p := range e.Addresses {
		es.Addresses = append(es.Addresses, p.Addr().String())
	}
	es.Gateways = gateways(st, e)
	return es
}

// astray finds the ports of interfaces that no endpoint has, among those of the networks that this host knows.
func astray(st *hostplan.State, devices map[string]dataplane.Device) []Astray {
	strangers := maps.Clone(devices)
	for _, e := range st.Endpoints {
		delete(strangers, e.Device)
	}
	if len(strangers) == 0 {
		return nil
	}
	var out []Astray
	for _, n := range st.Neighbors {
		if d, ok := strangers[n.Port.DeviceName()]; ok && n.Host != st.Host {
			out = append(out, Astray{Port: n.Port, MAC: n.MAC, Addresses: n.Addresses, Device: d.Name, Bound: n.Host})
		}
	}
	slices.SortFunc(out, func(a, b Astray) int { return a.Port.Compare(b.Port.UUID) })
	return out
}

func gateways(st *hostplan.State, e *hostplan.Endpoint) []GatewayStatus {
	n := st.Networks[e.Network]
	if n == nil {
		return nil
	}
	var out []GatewayStatus
	for _, s := range n.Subnets {
		if !s.Gateway.IsValid() || !slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return s.Prefix.Contains(p.Addr()) }) {
			continue
		}
		g := GatewayStatus{Address: s.Gateway}
		for id, r := range st.Routers {
			for _, leg := range r.Interfaces {
				if leg.Network == e.Network && slices.ContainsFunc(leg.Addresses, func(p netip.Prefix) bool { return p.Addr() == s.Gateway }) {
					g.Router, g.Up = id, r.AdminUp
				}
			}
		}
		out = append(out, g)
	}
	return out
}
