package lab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/lab/osclient"
)

// tenant is a project of the demo, with a user of the same name.
type tenant struct {
	project string
	suffix  string // of its networks' and routers' names
	servers []demoServer
}

type demoServer struct{ name, host, network, ip string }

// tenants: two projects with the very same addresses. The last octets are those of the capture that everybody who
// heard of distributed routing has seen: 172.16.42.6 on compute2 pings 172.16.42.7 on compute1.
func tenants() []tenant {
	return []tenant{
		{project: "demo", servers: []demoServer{
			{"red1", "compute1", "red", "172.16.42.7"},
			{"red2", "compute2", "red", "172.16.42.6"},
			{"red3", "compute1", "red", "172.16.42.8"},
			{"blue1", "compute1", "blue", "172.16.43.7"},
			{"blue2", "compute2", "blue", "172.16.43.6"},
		}},
		{project: "demo-b", suffix: "-b", servers: []demoServer{
			{"red1-b", "compute1", "red-b", "172.16.42.7"},
			{"blue2-b", "compute2", "blue-b", "172.16.43.6"},
		}},
	}
}

// demoHost is where an instance of the demo runs: on the host it is meant for, or on the last one if there are fewer.
func (r *Record) demoHost(s demoServer) string {
	computes := r.Computes()
	if slices.Contains(computes, s.host) {
		return s.host
	}
	return computes[len(computes)-1]
}

// pool6 is the name of the pool of the demo's IPv6 subnets, and of its address scope.
const pool6 = "ipv6"

// colours are the demo's networks, without a tenant's suffix.
func colours() []struct{ name, v4, v6 string } {
	return []struct{ name, v4, v6 string }{
		{"red", "172.16.42.0/24", "fd00:172:16:42::/64"},
		{"blue", "172.16.43.0/24", "fd00:172:16:43::/64"},
	}
}

// pools are the addresses of a demo subnet that the server may give to whoever asks for none: not those below .10, which the
// instances have by name and which a DHCP or SNAT port must not have taken before, and not .99 and .100, which stay free for those
// who try things out.
func pools(cidr string) []doc {
	prefix := strings.TrimSuffix(cidr, "0/24")
	return []doc{{"start": prefix + "10", "end": prefix + "98"}, {"start": prefix + "101", "end": prefix + "254"}}
}

// demoNetworks makes projects, users, networks, subnets and routers.
func (r *Record) demoNetworks(ctx context.Context) error {
	admin := r.Admin()
	defer admin.Close()
	if err := makeExternal(ctx, admin); err != nil {
		return err
	}
	for _, t := range tenants() {
		if err := r.makeTenant(ctx, admin, t); err != nil {
			return fmt.Errorf("project %s: %w", t.project, err)
		}
	}
	return nil
}

// makeExternal makes the external network. Its IPv6 subnet and those of the first tenant are of one pool, and so in one address scope:
// that is what NDP proxies take.
func makeExternal(ctx context.Context, admin *osclient.Client) error {
	scope, err := create(ctx, admin, "network", "/v2.0/address-scopes", "address_scope", doc{"name": pool6, "ip_version": 6, "shared": true})
	if err != nil {
		return err
	}
	pool, err := create(ctx, admin, "network", "/v2.0/subnetpools", "subnetpool", doc{"name": pool6, "address_scope_id": scope, "shared": true, "default_prefixlen": 64,
		"prefixes": []string{"2001:db8:cb00:7000::/52", "fd00:172:16::/48"}})
	if err != nil {
		return err
	}
	id, err := create(ctx, admin, "network", "/v2.0/networks", "network", doc{"name": "external", "router:external": true,
		"provider:network_type": "flat", "provider:physical_network": physnet})
	if err != nil {
		return err
	}
	for _, s := range []doc{
		{"name": "external-v4", "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1",
			"allocation_pools": []doc{{"start": "203.0.113.100", "end": "203.0.113.199"}}},
		{"name": "external-v6", "ip_version": 6, "subnetpool_id": pool, "cidr": "2001:db8:cb00:7100::/64", "gateway_ip": "2001:db8:cb00:7100::1",
			"allocation_pools": []doc{{"start": "2001:db8:cb00:7100::100", "end": "2001:db8:cb00:7100::1ff"}}},
	} {
		s["network_id"], s["enable_dhcp"] = id, false
		if _, err := create(ctx, admin, "network", "/v2.0/subnets", "subnet", s); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) makeTenant(ctx context.Context, admin *osclient.Client, t tenant) error {
	project, err := create(ctx, admin, "identity", "/projects", "project", doc{"name": t.project, "domain_id": "default"})
	if err != nil {
		return err
	}
	user, err := create(ctx, admin, "identity", "/users", "user", doc{"name": t.project, "domain_id": "default", "password": r.Passwords.Demo, "default_project_id": project})
	if err != nil {
		return err
	}
	var roles struct{ Roles []struct{ ID string } }
	if err := admin.Do(ctx, "identity", http.MethodGet, "/roles?name=member", nil, &roles); err != nil {
		return err
	}
	if len(roles.Roles) != 1 {
		return fmt.Errorf("identity has %d roles named member", len(roles.Roles))
	}
	if err := admin.Do(ctx, "identity", http.MethodPut, "/projects/"+project+"/users/"+user+"/roles/"+roles.Roles[0].ID, nil, nil); err != nil {
		return err
	}
	c := r.client(t.project, r.Passwords.Demo, t.project)
	defer c.Close()
	return makeTopology(ctx, c, t)
}

// makeTopology makes the tenant's two networks with both families and the router between them. That the router is
// distributed is the server's configuration (router_distributed); a tenant may not say so itself.
func makeTopology(ctx context.Context, c *osclient.Client, t tenant) error {
	router, err := create(ctx, c, "network", "/v2.0/routers", "router", doc{"name": "router" + t.suffix})
	if err != nil {
		return err
	}
	var pools6 struct{ Subnetpools []struct{ ID string } }
	if t.suffix == "" { // the second tenant has the same addresses, of which a pool and the outside can know only one
		if err := c.Do(ctx, "network", http.MethodGet, "/v2.0/subnetpools?name="+pool6, nil, &pools6); err != nil {
			return err
		}
	}
	for _, col := range colours() {
		name := col.name + t.suffix
		id, err := create(ctx, c, "network", "/v2.0/networks", "network", doc{"name": name})
		if err != nil {
			return err
		}
		for _, s := range []doc{
			{"name": name + "-v4", "network_id": id, "ip_version": 4, "cidr": col.v4, "allocation_pools": pools(col.v4)},
			{"name": name + "-v6", "network_id": id, "ip_version": 6, "cidr": col.v6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
		} {
			if s["ip_version"] == 6 && len(pools6.Subnetpools) > 0 {
				s["subnetpool_id"] = pools6.Subnetpools[0].ID
			}
			subnet, err := create(ctx, c, "network", "/v2.0/subnets", "subnet", s)
			if err != nil {
				return err
			}
			if err := c.Do(ctx, "network", http.MethodPut, "/v2.0/routers/"+router+"/add_router_interface", doc{"subnet_id": subnet}, nil); err != nil {
				return err
			}
		}
	}
	if t.suffix != "" {
		return nil
	}
	return demoOutside(ctx, c, router)
}

// create makes a resource and returns its id.
func create(ctx context.Context, c *osclient.Client, service, path, key string, d doc) (string, error) {
	var out map[string]struct{ ID string }
	if err := c.Do(ctx, service, http.MethodPost, path, doc{key: d}, &out); err != nil {
		return "", fmt.Errorf("create %s %v: %w", key, d["name"], err)
	}
	return out[key].ID, nil
}

// demoServers boots all instances at once and waits until each has its addresses.
func (r *Record) demoServers(ctx context.Context) error {
	admin := r.Admin()
	defer admin.Close()
	nets, err := Networks(ctx, admin)
	if err != nil {
		return err
	}
	byName := map[string]string{}
	for _, n := range nets {
		byName[n.Name] = n.ID
	}
	waits, cancel := context.WithCancel(ctx)
	defer cancel()
	g, waits := errgroup.WithContext(waits)
	var ids []string
	for _, t := range tenants() {
		c := r.client(t.project, r.Passwords.Demo, t.project)
		defer c.Close()
		for _, s := range t.servers {
			id, err := Boot(ctx, c, BootRequest{Name: s.name, Host: r.demoHost(s), NetworkID: byName[s.network], FixedIP: s.ip})
			if err != nil {
				return fmt.Errorf("boot %s: %w", s.name, err)
			}
			ids = append(ids, id)
			g.Go(func() error { return AwaitServer(waits, c, id, 70*time.Second) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.awaitAddresses(ctx, ids)
}
