package model

// Router forwards between networks (API reference: routers). Its interfaces are the ports with its id as DeviceID.
type Router struct {
	ID           RouterID `json:"id"`
	ProjectID    string   `json:"project_id"`
	Name         string   `json:"name"`
	AdminStateUp bool     `json:"admin_state_up"`
	Status       string   `json:"status"`
	Distributed  bool     `json:"distributed,omitempty"`
	HA           bool     `json:"ha,omitempty"`
	HAVRID       int      `json:"ha_vr_id,omitempty"`
	Routes       []Route  `json:"routes,omitempty"` // sorted
	// GatewayPort is the port on the external network (device_owner network:router_gateway); zero: no gateway.
	GatewayPort PortID `json:"gateway_port,omitzero"`
	EnableSNAT  bool   `json:"enable_snat,omitempty"`
	// GatewayQoS is the policy for what goes through the gateway; zero: none.
	GatewayQoS QoSPolicyID `json:"gateway_qos,omitzero"`
	// GatewayHost is where the central part (SNAT, or the whole of a centralized router) is; "" = not scheduled.
	GatewayHost    string   `json:"gateway_host,omitempty"`
	FlavorID       string   `json:"flavor_id,omitempty"`
	AZHints        []string `json:"az_hints,omitempty"`
	EnableNDPProxy bool     `json:"enable_ndp_proxy,omitempty"`
	Meta
}
