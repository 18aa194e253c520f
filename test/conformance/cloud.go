package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/weft-cloud/weft/test/rig"
)

type object = map[string]any

// cloud is a server, the agents of two hosts on the null data plane, and an identity service.
type cloud struct {
	*rig.Server
	dir        string
	public     string // id of the external network
	extensions []string
}

func startCloud(ctx context.Context, weft, dir string) (*cloud, error) {
	weft, err := filepath.Abs(weft)
	if err != nil {
		return nil, err
	}
	server, err := rig.New(rig.Options{Weft: weft, Dir: dir, Identity: true, Config: rig.Config{
		"DEFAULT":        {"router_distributed": "False"},
		"ml2_type_vlan":  {"network_vlan_ranges": "physnet1:100:200,physnet2:300:400"},
		"ml2_type_vxlan": {"vni_ranges": "1:5000"},
	}})
	if err != nil {
		return nil, err
	}
	c := &cloud{Server: server, dir: dir}
	if err := c.begin(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *cloud) begin(ctx context.Context) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	for i, host := range []string{"host1", "host2"} {
		mappings := rig.Config{"ovs": {"bridge_mappings": "physnet1:br-phys1,physnet2:br-phys2"}}
		if err := c.Agent(host, fmt.Sprintf("127.0.0.%d", 11+i), mappings); err != nil {
			return err
		}
	}
	return c.populate(ctx)
}

// populate makes the external network and the default pools that the suites expect, and reads the extensions.
func (c *cloud) populate(ctx context.Context) error {
	token, err := c.Token(ctx, "admin", rig.AdminPassword, "admin")
	if err != nil {
		return err
	}
	var made struct{ Network struct{ ID string } }
	network := object{"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "public"}
	if err := c.Do(ctx, token, "POST", "/v2.0/networks", object{"network": network}, &made); err != nil {
		return err
	}
	c.public = made.Network.ID
	for _, subnet := range []object{
		{"name": "public-v4", "network_id": c.public, "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false},
		{"name": "public-v6", "network_id": c.public, "ip_version": 6, "cidr": "2001:db8:ffff::/64", "enable_dhcp": false},
	} {
		if err := c.Do(ctx, token, "POST", "/v2.0/subnets", object{"subnet": subnet}, nil); err != nil {
			return err
		}
	}
	// The default pools are what an auto-allocated topology is made of.
	for _, pool := range []object{
		{"name": "default-v4", "prefixes": []string{"10.250.0.0/16"}, "default_prefixlen": 26, "is_default": true, "shared": true},
		{"name": "default-v6", "prefixes": []string{"fd00:250::/48"}, "default_prefixlen": 64, "is_default": true, "shared": true},
	} {
		if err := c.Do(ctx, token, "POST", "/v2.0/subnetpools", object{"subnetpool": pool}, nil); err != nil {
			return err
		}
	}
	var ext struct{ Extensions []struct{ Alias string } }
	if err := c.Do(ctx, token, "GET", "/v2.0/extensions", nil, &ext); err != nil {
		return err
	}
	for _, e := range ext.Extensions {
		c.extensions = append(c.extensions, e.Alias)
	}
	return nil
}

func (c *cloud) tempestConf(ws string) string {
	return fmt.Sprintf(`[DEFAULT]
log_file = %[1]s/tempest-debug.log
[oslo_concurrency]
lock_path = %[1]s/lock
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = %[2]s
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
[identity]
uri_v3 = %[3]s/v3
auth_version = v3
region = RegionOne
[identity-feature-enabled]
api_v2 = false
api_v3 = true
[service_available]
cinder = false
glance = false
horizon = false
neutron = true
nova = false
swift = false
[network]
public_network_id = %[4]s
floating_network_name = public
build_interval = 1
[network-feature-enabled]
ipv6_subnet_attributes = true
api_extensions = %[5]s
ipv6 = true
port_admin_state_change = true
[neutron_plugin_options]
provider_vlans = physnet1
available_type_drivers = flat,vlan,vxlan
agent_availability_zone = nova
l3_agent_mode = dvr_snat
max_networks_per_project = 4
create_shared_resources = true
`, ws, rig.AdminPassword, c.Keystone, c.public, strings.Join(c.extensions, ","))
}
