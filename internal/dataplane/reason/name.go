package reason

import "fmt"

// names are the reasons' names for programs (JSON, metrics), by number.
var names = [...]string{"none", "malformed", "unknown_endpoint", "endpoint_down", "vlan_tagged", "ether_type", "spoofed_mac", "spoofed_ip",
	"spoofed_arp", "rogue_dhcp", "rogue_ra", "unknown_vtep", "unknown_vni", "unknown_mac", "not_for_us", "no_route", "no_neighbor",
	"blackhole", "ttl_exceeded", "too_big", "policy_ingress", "policy_egress", "invalid_state", "conn_table_full", "fragment_orphan",
	"storm_limit", "router_down", "self_dad", "bad_checksum", "source_routed", "link_scope", "no_tunnel", "not_programmed", "internal",
	"closed_port", "no_uplink"}

// String is the reason's name: lower case with underscores, stable. internal/forward has the sentences for people.
func (r Reason) String() string {
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason_%d", uint16(r))
}
